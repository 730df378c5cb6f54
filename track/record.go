package track

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

const (
	patience  = 250 * time.Millisecond // how long a reader waits for the store
	queueSize = 4096                   // events between the handlers and run
	batchMax  = 1000                   // events offered at once
)

// A recorder brings Events to the store without making readers wait for it.
//
// The events that come while the store keeps others wait for it together, as a
// batch: the call that offers it runs in a goroutine of its own, one at a time.
//
// An event has one owner at any time, so that it is never kept twice: first the
// goroutine that offers it to the store, which finishes even when the reader
// was answered meanwhile; then, if the store did not take it, the goroutine of
// run, which offers it again. While run has events that wait, or a call takes
// too long, new events line up behind them and their readers do not wait at all.
type recorder struct {
	store   Recorder
	spill   string
	open    func(path string) (*spillFile, error) // replaced by a test whose disk hangs
	clock   clock.Clock
	log     *slog.Logger
	metrics *metrics

	mu       sync.Mutex   // guards the next three
	gathers  *batch       // waits for the call that runs; nil: nothing does
	offering bool         // a goroutine calls until nothing gathers
	spare    []mail.Event // the room of a batch that is over

	queue    chan mail.Event // to run
	late     atomic.Int64    // batches that outlasted patience and have no outcome yet
	calls    atomic.Int64    // events that the store was or will be offered, of which it said nothing yet
	ended    chan struct{}   // wakes run when a call has ended that it may wait for
	behind   atomic.Bool     // events wait
	troubled atomic.Bool     // the store failed or was slow, which was logged
	full     atomic.Bool     // the queue had no room for as long as a reader waits
	dropping atomic.Bool     // events were lost, which was logged
	lost     atomic.Int64    // events since the start
	closed   atomic.Bool     // run ends or has ended
}

// A batch is events that are offered to the store together.
type batch struct {
	events []mail.Event
	late   bool          // its readers waited long enough
	done   chan struct{} // closed when the store answered, or they waited long enough
}

func newRecorder(store Recorder, spill string, clk clock.Clock, log *slog.Logger, m *metrics) *recorder {
	return &recorder{
		store: store, spill: spill, open: openSpill, clock: clk, log: log, metrics: m,
		queue: make(chan mail.Event, queueSize),
		ended: make(chan struct{}, 1),
	}
}

// record returns when e is kept, or when a reader has waited long enough. The
// first of a batch watches the time for all.
func (r *recorder) record(e mail.Event) {
	if r.behind.Load() || r.late.Load() > 0 {
		r.enqueue(e)
		return
	}
	b, first := r.join(e)
	switch {
	case b == nil:
		r.enqueue(e)
	case !first:
		<-b.done
	default:
		timer := r.clock.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-b.done:
		case <-timer.C():
			r.giveUp(b)
		}
	}
}

// join puts e into the batch that gathers and has it offered; nil where that
// is full.
func (r *recorder) join(e mail.Event) (b *batch, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gathers == nil {
		r.gathers, first = &batch{events: r.spare, done: make(chan struct{})}, true
		r.spare = nil
	}
	b = r.gathers
	if len(b.events) == batchMax || b.late {
		return nil, false
	}
	b.events = append(b.events, e)
	r.calls.Add(1)
	if !r.offering {
		r.offering = true
		go r.offerAll()
	}
	return b, first
}

// giveUp lets the readers of a batch go, unless its outcome has just come.
func (r *recorder) giveUp(b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-b.done:
		return
	default:
	}
	b.late = true
	r.late.Add(1)
	r.metrics.timeouts.Add(float64(len(b.events)))
	r.trouble(fmt.Errorf("no answer within %v", patience))
	close(b.done)
}

// offerAll offers what gathers until nothing does.
func (r *recorder) offerAll() {
	for {
		// Who is about to join does so before, not in the next commit.
		runtime.Gosched()
		r.mu.Lock()
		b := r.gathers
		r.gathers, r.offering = nil, b != nil
		r.mu.Unlock()
		if b == nil {
			return
		}
		for i, err := range r.offer(b.events) {
			if err != nil {
				r.storeFailed(err)
				r.enqueue(b.events[i])
			}
		}
		r.called(len(b.events))
		r.finish(b)
	}
}

// finish lets the readers of a batch go whose outcome is known and seen to.
func (r *recorder) finish(b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(b.events)
	r.spare = b.events[:0]
	if !b.late {
		close(b.done)
		return
	}
	r.late.Add(-1)
	r.wake()
}

// offer gives events to the store and returns what came of each; nil also where
// nobody remembers the message. The call is never cut short: the store might
// have kept them all the same.
func (r *recorder) offer(events []mail.Event) []error {
	errs := r.call(events)
	for i, err := range errs {
		if errors.Is(err, mail.ErrNotFound) {
			r.metrics.unknown.Inc()
			errs[i] = nil
		}
	}
	return errs
}

// called notes that the outcome of n events is known and was seen to.
func (r *recorder) called(n int) {
	r.calls.Add(-int64(n))
	if r.closed.Load() {
		r.wake()
	}
}

func (r *recorder) wake() {
	select {
	case r.ended <- struct{}{}:
	default:
	}
}

func (r *recorder) call(events []mail.Event) (errs []error) {
	defer func() {
		if p := recover(); p != nil {
			r.metrics.panics.Inc()
			errs = slices.Repeat([]error{fmt.Errorf("panic: %v", p)}, len(events))
		}
	}()
	return r.store.Record(context.Background(), events...)
}

func (r *recorder) storeFailed(err error) {
	r.metrics.failures.Inc()
	r.trouble(err)
}

// trouble logs the first of a row of failures. Neither it nor drop waits for the
// log, which may lie on the disk that hangs.
func (r *recorder) trouble(err error) {
	if !r.troubled.Swap(true) {
		go r.log.Warn("the store does not keep opens and clicks at once; they wait, and readers are answered", "err", err)
	}
}

// enqueue hands e to run. Where there is no room the reader waits as long as
// for the store, and then e is dropped; the next need not find out again.
func (r *recorder) enqueue(e mail.Event) {
	r.behind.Store(true)
	if r.closed.Load() {
		r.drop(1, errors.New("the program is about to end"))
		return
	}
	if r.hand(e) {
		r.metrics.waiting.Inc()
	} else {
		r.drop(1, errors.New("too many wait in memory"))
	}
}

// hand puts e into the queue and reports whether there was room in time.
func (r *recorder) hand(e mail.Event) bool {
	select {
	case r.queue <- e:
		r.full.Store(false)
		return true
	default:
	}
	if r.full.Load() {
		return false
	}
	timer := r.clock.NewTimer(patience)
	defer timer.Stop()
	select {
	case r.queue <- e:
		return true
	case <-timer.C():
		r.full.Store(true)
		return false
	}
}

// drop counts lost events, and logs the first of a row.
func (r *recorder) drop(n int, err error) {
	r.metrics.dropped.Add(float64(n))
	r.lost.Add(int64(n))
	if !r.dropping.Swap(true) {
		go r.log.Error("opens and clicks are being lost; backstamp_track_dropped_events_total counts them", "err", err)
	}
}
