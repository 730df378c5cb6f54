package bolt

import (
	"sync"
	"time"
)

// leases are the deliveries that somebody works on. The mutex guards them, and
// is held while Claim reads what is due: who ends a lease has committed before,
// so a delivery that Claim finds without one is read as it was left.
type leases struct {
	mu   sync.Mutex
	held map[place]time.Time // until when; zero: until it is ended
}

func newLeases() *leases { return &leases{held: map[place]time.Time{}} }

// hold leases without an end.
func (l *leases) hold(places []place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range places {
		l.held[p] = time.Time{}
	}
}

func (l *leases) end(places []place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range places {
		delete(l.held, p)
	}
}

// pick calls f with a test for what is free at that moment, and leases what it
// returns until then.
func (l *leases) pick(now, until time.Time, f func(free func(place) bool) ([]place, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	places, err := f(func(p place) bool {
		end, held := l.held[p]
		return !held || !end.IsZero() && !now.Before(end)
	})
	for _, p := range places {
		l.held[p] = until
	}
	return err
}
