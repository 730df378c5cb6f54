package track

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

const (
	patience  = 250 * time.Millisecond // how long a reader waits for the store
	queueSize = 4096                   // events between the handlers and run
)

// A recorder brings Events to the store without making readers wait for it.
//
// An event has one owner at any time, so that it is never kept twice: first the
// goroutine that offers it to the store, which finishes even when the reader
// was answered meanwhile; then, if the store did not take it, the goroutine of
// run, which offers it again. While run has events that wait, or a call takes
// too long, new events line up behind them and their readers do not wait at all.
type recorder struct {
	store   Recorder
	spill   string
	clock   clock.Clock
	log     *slog.Logger
	metrics *metrics

	queue    chan mail.Event // to run
	late     atomic.Int64    // calls that outlasted patience and still run
	calls    atomic.Int64    // calls that run
	ended    chan struct{}   // wakes run when a call has ended that it may wait for
	behind   atomic.Bool     // events wait
	troubled atomic.Bool     // the store failed or was slow, which was logged
	dropping atomic.Bool     // events were lost, which was logged
	closed   atomic.Bool     // run ends or has ended
}

func newRecorder(store Recorder, spill string, clk clock.Clock, log *slog.Logger, m *metrics) *recorder {
	return &recorder{
		store: store, spill: spill, clock: clk, log: log, metrics: m,
		queue: make(chan mail.Event, queueSize),
		ended: make(chan struct{}, 1),
	}
}

// record returns when e is kept, or when a reader has waited long enough.
func (r *recorder) record(e mail.Event) {
	if r.behind.Load() || r.late.Load() > 0 {
		r.enqueue(e)
		return
	}
	done := make(chan struct{})
	var over atomic.Bool // set by the first to go: the call or its waiter
	r.offer(e, func(err error) {
		if err != nil {
			r.storeFailed(err)
			r.enqueue(e)
		}
		if over.Swap(true) {
			r.late.Add(-1)
			r.wake()
		}
		close(done)
	})
	timer := r.clock.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C():
		r.metrics.timeouts.Inc()
		r.trouble(fmt.Errorf("no answer within %v", patience))
		if !over.Swap(true) {
			r.late.Add(1)
		}
	}
}

// offer gives e to the store in a goroutine of its own and calls then with what
// came of it; nil also where nobody remembers the message. The call is never
// cut short: the store might have kept the event all the same.
func (r *recorder) offer(e mail.Event, then func(error)) {
	r.calls.Add(1)
	go func() {
		err := r.call(e)
		if errors.Is(err, mail.ErrNotFound) {
			r.metrics.unknown.Inc()
			err = nil
		}
		then(err)
		r.calls.Add(-1)
		if r.closed.Load() {
			r.wake()
		}
	}()
}

func (r *recorder) wake() {
	select {
	case r.ended <- struct{}{}:
	default:
	}
}

func (r *recorder) call(e mail.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.metrics.panics.Inc()
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return r.store.Record(context.Background(), e)
}

func (r *recorder) storeFailed(err error) {
	r.metrics.failures.Inc()
	r.trouble(err)
}

// trouble logs the first of a row of failures.
func (r *recorder) trouble(err error) {
	if !r.troubled.Swap(true) {
		r.log.Warn("the store does not keep opens and clicks at once; they wait, and readers are answered", "err", err)
	}
}

// enqueue hands e to run. Where there is no room the reader waits as long as
// for the store, and then e is dropped.
func (r *recorder) enqueue(e mail.Event) {
	r.behind.Store(true)
	if r.closed.Load() {
		r.drop(1, errors.New("the program is about to end"))
		return
	}
	select {
	case r.queue <- e:
		r.metrics.waiting.Inc()
		return
	default:
	}
	timer := r.clock.NewTimer(patience)
	defer timer.Stop()
	select {
	case r.queue <- e:
		r.metrics.waiting.Inc()
	case <-timer.C():
		r.drop(1, errors.New("too many wait in memory"))
	}
}

// drop counts lost events, and logs the first of a row.
func (r *recorder) drop(n int, err error) {
	r.metrics.dropped.Add(float64(n))
	if !r.dropping.Swap(true) {
		r.log.Error("opens and clicks are being lost; backstamp_track_dropped_events_total counts them", "err", err)
	}
}
