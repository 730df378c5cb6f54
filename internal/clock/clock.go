// Package clock is the time that rooms are given, so that tests decide what
// time it is and never sleep.
package clock

import (
	"sync"
	"time"
)

// A Clock tells the time and wakes.
type Clock interface {
	Now() time.Time
	// NewTimer returns a timer that fires once after d; d <= 0 fires at once.
	NewTimer(d time.Duration) Timer
}

// A Timer is what a Clock wakes with.
type Timer interface {
	C() <-chan time.Time
	// Stop ends the timer. Nothing is left in C afterwards.
	Stop()
}

// System is the machine's clock.
type System struct{}

// Now returns the time of the machine.
func (System) Now() time.Time { return time.Now() }

// NewTimer returns a timer of the machine.
func (System) NewTimer(d time.Duration) Timer { return timer{time.NewTimer(d)} }

type timer struct{ *time.Timer }

func (t timer) C() <-chan time.Time { return t.Timer.C }
func (t timer) Stop()               { t.Timer.Stop() }

// Fake is a clock that stands until it is told to go on.
type Fake struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*fakeTimer]struct{}
}

// NewFake returns a clock that stands at now.
func NewFake(now time.Time) *Fake {
	return &Fake{now: now, timers: map[*fakeTimer]struct{}{}}
}

// Now returns the time that was set last.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Advance moves the clock by d and fires what became due.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
	for t := range f.timers {
		if !t.at.After(f.now) {
			delete(f.timers, t)
			t.c <- f.now
		}
	}
}

// Timers returns how many timers wait, so that a test can tell when the code
// under test has gone to sleep.
func (f *Fake) Timers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.timers)
}

// NewTimer returns a timer that Advance fires.
func (f *Fake) NewTimer(d time.Duration) Timer {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &fakeTimer{clock: f, at: f.now.Add(d), c: make(chan time.Time, 1)}
	if d <= 0 {
		t.c <- f.now
	} else {
		f.timers[t] = struct{}{}
	}
	return t
}

type fakeTimer struct {
	clock *Fake
	at    time.Time
	c     chan time.Time
}

func (t *fakeTimer) C() <-chan time.Time { return t.c }

func (t *fakeTimer) Stop() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	delete(t.clock.timers, t)
	select {
	case <-t.c:
	default:
	}
}
