package track

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

const (
	memoryMax  = 10_000           // events that wait in memory; more go to the spill file
	alike      = time.Second      // equal hits that wait share a row, as in a commit, if they come within it
	syncEvery  = time.Second      // how long the spill file may be ahead of its disk
	triesMax   = 10               // how often the store may refuse an event while it takes others
	retryFirst = time.Second      // until the next try when the store takes nothing,
	retryLast  = 30 * time.Second // doubled up to this
	grace      = 5 * time.Second  // how long run's end waits for calls under way
)

// A waiting event is one that the store has not taken yet.
type waiting struct {
	mail.Event
	line  int64 // offset of its line in the spill file; notSpilled without one
	tries int
}

// A backlog is the events that wait, oldest first in memory, newer ones in the
// spill file. Only the goroutine of run touches it.
type backlog struct {
	*recorder
	memory   []*waiting
	recent   map[mail.Event]*waiting // those in memory that an equal hit may join, by likeness
	file     *spillFile              // nil without one
	syncing  chan error              // has the outcome of a sync that runs; nil: none does
	dirty    bool                    // the file has what no sync has begun with
	synced   clock.Timer             // runs since the last sync began; nil: long ago
	out      []*waiting              // the batch that was offered
	verdicts chan []error            // what came of it
	pause    time.Duration
	timer    clock.Timer // runs between a batch that failed and the next; else nil
}

// run owns the events that wait until ctx ends.
func (r *recorder) run(ctx context.Context) error {
	b := &backlog{recorder: r, verdicts: make(chan []error, 1), recent: map[mail.Event]*waiting{}}
	b.openFile()
	defer b.close()
	for {
		b.next()
		b.sync()
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.queue:
			b.push(e)
		case v := <-b.verdicts:
			b.settle(v)
		case <-fires(b.timer):
			b.timer = nil
		case <-fires(b.synced):
			b.synced = nil
		case err := <-b.syncing:
			b.syncing = nil
			b.noteSync(err)
		case <-r.ended:
		}
	}
}

// fires is the channel of a timer, which may be nil.
func fires(t clock.Timer) <-chan time.Time {
	if t == nil {
		return nil
	}
	return t.C()
}

// sync has what was written to the spill file put on its disk, once a second
// and beside run: a disk that hangs holds nobody up.
func (b *backlog) sync() {
	if b.file == nil || !b.dirty || b.syncing != nil || b.synced != nil {
		return
	}
	b.dirty = false
	b.syncing = make(chan error, 1)
	b.synced = b.clock.NewTimer(syncEvery)
	go func(file *spillFile, done chan<- error) { done <- file.f.Sync() }(b.file, b.syncing)
}

func (b *backlog) noteSync(err error) {
	if err != nil {
		b.log.Error("the spill file may not survive a loss of power", "err", err)
	}
}

// openFile finds what an earlier run has left. Without a file, on a disk that is
// full or read-only perhaps, the memory has to do.
func (b *backlog) openFile() {
	if b.spill == "" {
		return
	}
	file, err := b.open(b.spill)
	if err != nil {
		b.log.Error("opens and clicks that the store does not take wait in memory alone", "err", err)
		return
	}
	b.file = file
	b.metrics.waiting.Add(float64(file.left))
	if file.left > 0 {
		b.log.Info("opens and clicks of an earlier run are put into the store", "events", file.left)
	}
}

// next sends out a batch, unless one is out or the store is given a rest.
func (b *backlog) next() {
	if len(b.out) > 0 || b.timer != nil {
		return
	}
	if len(b.memory) == 0 {
		b.load()
	}
	if len(b.memory) == 0 {
		b.caughtUp()
		return
	}
	b.behind.Store(true)
	n := min(batchMax, len(b.memory))
	b.out, b.memory = b.memory[:n], b.memory[n:]
	events := make([]mail.Event, n)
	for i, w := range b.out {
		events[i] = w.Event
		if like := likeness(w.Event); b.recent[like] == w {
			delete(b.recent, like)
		}
	}
	b.calls.Add(int64(n))
	go func() {
		b.verdicts <- b.offer(events)
		b.called(n)
	}()
}

// load takes the oldest events of the spill file into memory.
func (b *backlog) load() {
	if b.file == nil {
		return
	}
	list, broken, err := b.file.read(memoryMax)
	if broken > 0 {
		b.metrics.waiting.Sub(float64(broken))
		b.drop(broken, errors.New("lines of the spill file are damaged"))
	}
	b.memory = list
	if err != nil && len(list) == 0 {
		b.log.Error("the spill file cannot be read; what is in it stays there until the next start", "err", err)
		b.file.close()
		b.file = nil
	}
}

// caughtUp ends a time of trouble. An event that just comes in shows in the
// queue, or else makes run look again.
func (b *backlog) caughtUp() {
	if len(b.queue) > 0 || b.late.Load() > 0 {
		return
	}
	b.behind.Store(false)
	b.dropping.Store(false)
	if b.troubled.Swap(false) {
		b.log.Info("no opens and clicks wait for the store any more")
	}
}

// push adds an event: to an equal one that waits, else to memory while all
// before it are there too, else to the file.
func (b *backlog) push(e mail.Event) {
	like := likeness(e)
	if w := b.recent[like]; w != nil && e.Time.Sub(w.Time).Abs() < alike {
		w.Count = w.Times() + e.Times()
		b.metrics.waiting.Dec()
		return
	}
	if len(b.memory) < memoryMax && (b.file == nil || b.file.unread() == 0) {
		w := &waiting{Event: e, line: notSpilled}
		b.memory = append(b.memory, w)
		b.recent[like] = w
		return
	}
	b.write(e)
}

// likeness is what equal hits have in common.
func likeness(e mail.Event) mail.Event {
	e.Time, e.Count = time.Time{}, 0
	return e
}

// write puts an event into the spill file.
func (b *backlog) write(e mail.Event) {
	err := errors.New("too many wait in memory, and there is no spill file")
	if b.file != nil {
		err = b.file.append(e)
	}
	if err != nil {
		b.metrics.waiting.Dec()
		b.drop(e.Times(), err)
		return
	}
	b.dirty = true
	b.metrics.spilled.Inc()
}

// settle takes in the verdicts about the batch that is out and puts back what
// was refused. Where the store took other events, the refused ones are to blame,
// and not for ever; else the store gets a rest.
func (b *backlog) settle(verdicts []error) {
	var refused, again []*waiting
	for i, err := range verdicts {
		if err == nil {
			b.done(b.out[i])
		} else {
			b.storeFailed(err)
			refused = append(refused, b.out[i])
		}
	}
	took := len(refused) < len(b.out)
	b.out = nil
	for _, w := range refused {
		if took {
			w.tries++
		}
		if w.tries >= triesMax {
			b.done(w)
			b.drop(w.Times(), fmt.Errorf("the store refuses an event of %v though it takes others", w.Message))
			continue
		}
		again = append(again, w)
	}
	b.memory = append(again, b.memory...)
	if took || len(again) == 0 {
		b.pause = 0
		return
	}
	b.pause = min(max(2*b.pause, retryFirst), retryLast)
	b.timer = b.clock.NewTimer(b.pause)
}

// done forgets an event.
func (b *backlog) done(w *waiting) {
	b.metrics.waiting.Dec()
	if w.line == notSpilled {
		return
	}
	if err := b.file.strike(w.line); err != nil {
		b.log.Error("an event that was kept stays in the spill file and will count twice", "msg", w.Message, "err", err)
	}
}

// close waits a while for the calls that are under way and writes down what is
// still there.
func (b *backlog) close() {
	b.closed.Store(true)
	for _, timer := range []clock.Timer{b.timer, b.synced} {
		if timer != nil {
			timer.Stop()
		}
	}
	b.await()
	for _, w := range b.memory {
		if w.line == notSpilled {
			b.write(w.Event)
		}
	}
	for len(b.queue) > 0 {
		b.write(<-b.queue)
	}
	if b.file == nil {
		return
	}
	if err := b.file.close(); err != nil {
		b.log.Error("the spill file may not be whole", "err", err)
	}
}

// await takes verdicts until no call runs, or for as long as grace lasts: what
// a call does after that nobody learns.
func (b *backlog) await() {
	timer := b.clock.NewTimer(grace)
	defer timer.Stop()
	for len(b.out) > 0 || b.calls.Load() > 0 {
		select {
		case v := <-b.verdicts:
			b.settle(v)
		case e := <-b.queue:
			b.push(e)
		case <-b.ended:
		case <-timer.C():
			b.drop(int(b.calls.Load()), errors.New("the store did not answer before the end"))
			return
		}
	}
}
