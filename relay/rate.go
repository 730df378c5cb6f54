package relay

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"backstamp/mail"
)

// A Rate is how many messages one address may hand in in a time. The zero Rate
// is no bound.
type Rate struct {
	Count int
	Per   time.Duration
}

// What is done with those who are too fast. Programs on this machine, which
// mostly do not try again, are slowed down while that does.
const (
	slowMax    = 10 * time.Second
	tooFastMax = 10     // refusals on one connection, which then ends
	bucketsMax = 10_000 // that are remembered, beyond those that are full
)

// rates are token buckets, one a client: each holds Count messages at first and
// is filled again, evenly, within Per.
type rates struct {
	mu      sync.Mutex
	buckets map[netip.Prefix]*bucket
}

type bucket struct {
	left float64
	at   time.Time // when left was true
	rate Rate
}

// take takes a message from the bucket of a client, or returns how long it is
// until there is one.
func (r *rates) take(client netip.Prefix, rate Rate, now time.Time) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.buckets[client]
	if b == nil {
		r.makeRoom(now)
		b = &bucket{left: float64(rate.Count), at: now}
		r.buckets[client] = b
	}
	b.rate = rate
	b.fill(now)
	if b.left >= 1 {
		b.left--
		return 0
	}
	return max(time.Nanosecond, time.Duration((1-b.left)*float64(rate.Per)/float64(rate.Count)))
}

// fill adds what came since the bucket was last looked at; a clock that was put
// back adds nothing.
func (b *bucket) fill(now time.Time) {
	gained := float64(max(0, now.Sub(b.at))) / float64(b.rate.Per) * float64(b.rate.Count)
	b.left, b.at = min(float64(b.rate.Count), b.left+gained), now
}

func (b *bucket) full() bool { return b.left >= float64(b.rate.Count) }

// makeRoom forgets buckets that are full, which are as good as new ones, and
// all others where these are too many.
func (r *rates) makeRoom(now time.Time) {
	if len(r.buckets) < bucketsMax {
		return
	}
	for client, b := range r.buckets {
		if b.fill(now); b.full() {
			delete(r.buckets, client)
		}
	}
	if len(r.buckets) >= bucketsMax {
		clear(r.buckets)
	}
}

// pace lets a client begin a message when its rate allows one. A program on
// this machine waits for its turn, if that comes soon; others are asked to try
// again.
func (s *session) pace(ctx context.Context, rate Rate) error {
	if rate.Count == 0 {
		return nil
	}
	addr := s.peer.addr.Addr()
	clk := s.server.clock
	patience := clk.Now()
	if addr.IsLoopback() {
		patience = patience.Add(slowMax)
	}
	for {
		wait := s.server.rates.take(clientOf(addr), rate, clk.Now())
		if wait == 0 {
			return nil
		}
		if clk.Now().Add(wait).After(patience) {
			return s.tooFast(wait)
		}
		if err := s.server.rest(ctx, wait); err != nil {
			return err
		}
	}
}

// rest keeps a client waiting.
func (s *Server) rest(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	timer := s.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return mail.ErrBroken // the server ends: 421
	}
}

// tooFast is the refusal, which ends the connection of those who do not listen.
func (s *session) tooFast(wait time.Duration) error {
	s.server.metrics.tooFast.Inc()
	if s.fast++; s.fast >= tooFastMax {
		return refusal(421, "4.7.1", "too much mail at a time; connect again later")
	}
	seconds := max(1, int64((wait+time.Second-1)/time.Second))
	return refusal(451, "4.7.1", fmt.Sprintf("too much mail at a time; try again in %d s", seconds))
}
