package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"go.etcd.io/bbolt"

	"backstamp/internal/crash"
	"backstamp/store"
)

// The bounds of one commit: they keep those who came first from waiting long
// for those behind them.
const (
	groupMax = 1000    // changes
	bytesMax = 4 << 20 // of bodies
)

// An op is changes of one caller that wait for the writer. Each of them fails
// alone.
type op struct {
	bytes int  // of bodies and plans in it
	hits  bool // the changes are hits, which may be on the tab of the transaction
	// apply makes the i-th change. It may run more than once, and must look for
	// everything that can refuse it before it writes.
	apply  func(t *tx, i int) error
	failed []error       // the outcome of each change
	done   chan struct{} // closed once the outcomes are there
}

// newOp returns n changes.
func newOp(n int, apply func(*tx, int) error) *op {
	return &op{apply: apply, failed: make([]error, n), done: make(chan struct{})}
}

// end tells the caller, of the changes that did not fail yet, what came of them.
func (o *op) end(err error) {
	for i := range o.failed {
		if o.failed[i] == nil {
			o.failed[i] = err
		}
	}
	close(o.done)
}

// A writer groups changes into commits. Its goroutine alone opens write
// transactions; the mutex guards what waits for it.
type writer struct {
	s      *Store
	commit func(*bbolt.Tx) error // these are replaced by tests that fail them
	firm   func() error

	mu      sync.Mutex
	waiting []*op
	ended   bool

	wake chan struct{} // holds one token while something may wait
	over chan struct{} // closed when the goroutine ended
}

func newWriter(s *Store) *writer {
	return &writer{
		s:      s,
		commit: (*bbolt.Tx).Commit,
		firm:   func() error { return firm(s.db.Path()) },
		wake:   make(chan struct{}, 1),
		over:   make(chan struct{}),
	}
}

// write has the change made and returns when it is durable. While it waits for
// its turn the context may end it, and then nothing was changed; once the
// writer took it up, only the outcome is returned.
func (s *Store) write(ctx context.Context, bytes int, apply func(*tx) error) error {
	o := newOp(1, func(t *tx, _ int) error { return apply(t) })
	o.bytes = bytes
	return s.writeAll(ctx, o)[0]
}

// writeAll has changes made and returns what came of each, as write does.
func (s *Store) writeAll(ctx context.Context, o *op) []error {
	if err := s.writable(ctx); err != nil {
		o.end(err)
	} else if !s.writer.add(o) {
		o.end(store.ErrClosed)
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		if s.writer.withdraw(o) {
			o.end(ctx.Err())
		}
		<-o.done
	}
	return o.failed
}

// writable says why nothing can be changed, if so.
func (s *Store) writable(ctx context.Context) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.o.ReadOnly {
		return fmt.Errorf("%w: it was opened for reading", store.ErrFull)
	}
	return nil
}

func (w *writer) add(o *op) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	w.waiting = append(w.waiting, o)
	w.rouse()
	return true
}

// withdraw takes back an op that still waits.
func (w *writer) withdraw(o *op) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, other := range w.waiting {
		if other == o {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			return true
		}
	}
	return false
}

func (w *writer) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take returns what goes into the next commit.
func (w *writer) take() (group []*op, ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, changes, bytes := 0, 0, 0
	for n < len(w.waiting) {
		changes += len(w.waiting[n].failed)
		bytes += w.waiting[n].bytes
		if n > 0 && (changes > groupMax || bytes > bytesMax) {
			break
		}
		n++
	}
	group = w.waiting[:n:n]
	w.waiting = w.waiting[n:]
	if len(w.waiting) == 0 {
		w.waiting = nil
	}
	return group, w.ended
}

// close ends the goroutine after the commit that runs. What still waits fails.
func (w *writer) close() {
	w.mu.Lock()
	w.ended = true
	for _, o := range w.waiting {
		o.end(store.ErrClosed)
	}
	w.waiting = nil
	w.rouse()
	w.mu.Unlock()
	<-w.over
}

// run is the writer's goroutine.
func (w *writer) run() {
	defer close(w.over)
	debug.SetPanicOnFault(true)
	for range w.wake {
		for {
			group, ended := w.take()
			if len(group) > 0 {
				w.group(group)
				continue
			}
			if ended {
				return
			}
			break
		}
	}
}

// errAgain says that an op failed after it wrote: the transaction is thrown
// away and the others get a new one.
var errAgain = errors.New("again")

// group commits the ops together. A change that fails, or panics, fails alone.
func (w *writer) group(ops []*op) {
	start := w.s.o.Clock.Now()
	err := errAgain
	for err == errAgain {
		err = w.update(func(t *tx) error { return applyAll(t, ops) })
	}
	changes := 0
	for _, o := range ops {
		changes += len(o.failed)
	}
	err = classify(err)
	w.s.health.note(err)
	w.s.metrics.commit(changes, w.s.o.Clock.Now().Sub(start), err)
	if err != nil {
		w.s.o.Log.Error("commit failed", "operations", changes, "err", err)
	}
	for _, o := range ops {
		o.end(err)
	}
}

// applyAll applies the changes that did not fail before.
func applyAll(t *tx, ops []*op) error {
	for _, o := range ops {
		if !o.hits {
			if err := t.flush(); err != nil {
				return err
			}
		}
		for i := range o.failed {
			if o.failed[i] != nil {
				continue
			}
			before := t.writes
			o.failed[i] = applyOne(t, o, i)
			if o.failed[i] != nil && t.writes > before {
				return errAgain
			}
		}
	}
	return t.flush()
}

func applyOne(t *tx, o *op, i int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return o.apply(t, i)
}

// update runs f in a write transaction and commits it, if it changed anything.
// bbolt's own Update would, after a panic in the commit, walk the damaged file
// in another goroutine; here the transaction is left open, and the store with
// it is over.
func (w *writer) update(f func(*tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %w", store.ErrCorrupt, panicked(p))
		}
	}()
	if err := w.s.health.cause(); err != nil {
		return err
	}
	b, err := w.s.db.Begin(true)
	if err != nil {
		return err
	}
	t := newTx(b)
	t.last = lastEvent(t)
	before := t.last
	if err := f(t); err != nil || t.writes == 0 {
		b.Rollback()
		return err
	}
	crash.At(crash.BeforeCommit)
	id := b.ID()
	if err := w.commit(b); err != nil {
		if err := w.outcome(id, err); err != nil {
			return err
		}
	}
	crash.At(crash.AfterCommit)
	if t.last != before {
		w.s.watch.notify()
	}
	return nil
}
