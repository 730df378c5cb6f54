package queue

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// A setClock is a clock that people set.
type setClock struct {
	clock.System
	ahead atomic.Int64
}

func (c *setClock) Now() time.Time {
	// Round strips the monotonic reading, which nobody can set.
	return c.System.Now().Round(0).Add(time.Duration(c.ahead.Load()))
}

// A clock that jumps costs a delivery at most one try before its time. It does
// not expire, and is not stuck.
func TestClockThatJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"ahead": 24 * time.Hour, "back": -24 * time.Hour, "far ahead": 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &setClock{}
				h := &house{t: t, store: newMemStore(), begin: time.Now()}
				h.store.clock = c
				h.queue = New(h.store, Settings{Rand: func() float64 { return 0.5 }}, c, slog.New(slog.DiscardHandler), nil)
				h.start()
				defer h.close()
				p := answering(later)
				h.routes(map[string]Provider{main: p})
				m := h.message(main, "a@x.test")
				m.Received = c.Now()
				h.put(m)
				wait(5 * time.Hour)
				tries := p.count()
				c.ahead.Add(int64(jump))
				wait(longestNap)
				if n := p.count() - tries; n > 1 {
					t.Errorf("%d tries because the clock was set", n)
				}
				h.want(m.ID, 1, "deferred")
				before := p.count()
				wait(4 * time.Hour)
				if n := p.count() - before; n < 1 || n > 3 {
					t.Errorf("%d tries in four hours", n)
				}
				wait(80 * time.Hour)
				h.want(m.ID, 1, "deferred")
				wait(12 * time.Hour)
				h.want(m.ID, 1, "failed")
			})
		})
	}
}

// What nobody tried has not waited in vain, however long the program was away.
func TestWaited(t *testing.T) {
	received := time.Now()
	j := judge{message: &mail.Message{Received: received}}
	var got []time.Duration
	for _, d := range []struct {
		waited         time.Duration
		to, next, then time.Duration // after received; to 0: nothing was counted yet
	}{
		{0, 0, 0, time.Second},
		{0, 0, 0, 50 * time.Hour},
		{time.Hour, time.Hour, 3 * time.Hour, 3*time.Hour + time.Minute},
		{time.Hour, time.Hour, 3 * time.Hour, 90 * time.Hour},
		{time.Hour, time.Hour, 3 * time.Hour, -90 * time.Hour},
		{time.Hour, time.Hour, 900 * time.Hour, 950 * time.Hour},
	} {
		delivery := mail.Delivery{Waited: d.waited, NextAttempt: received.Add(d.next)}
		if d.to > 0 {
			delivery.WaitedTo = received.Add(d.to)
		}
		j.now = received.Add(d.then)
		got = append(got, j.waited(delivery))
	}
	want := []time.Duration{
		time.Second, time.Hour, 3*time.Hour + time.Minute, 4 * time.Hour, time.Hour, 9 * time.Hour,
	}
	if !slices.Equal(got, want) {
		t.Errorf("waited %v, want %v", got, want)
	}
}
