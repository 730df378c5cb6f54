package queue

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// Failover is how long the mail of an account waits for a provider before a
// follower takes it: one that cannot be reached, and one that is held by a
// limit. For one that is parked it does not wait, and throttling never moves mail.
type Failover struct {
	Unreachable time.Duration // 0: 5 minutes
	Held        time.Duration // 0: 15 minutes
}

func (f Failover) withDefaults() Failover {
	if f.Unreachable <= 0 {
		f.Unreachable = 5 * time.Minute
	}
	if f.Held <= 0 {
		f.Held = 15 * time.Minute
	}
	return f
}

// standing is how the providers of the lane stand.
func (l *lane) standing() standing { return standing{l.state, l.ready && !l.probing, l.unreachable} }

// awayProbe is how often a try goes to a provider that could not be reached and
// whose mail others take.
const awayProbe = time.Minute

// well reports whether a provider can be given mail.
func (s standing) well() bool { return s.State == store.StateOK && s.unreachable.IsZero() }

// over reports whether mail may leave a provider for its follower.
func (s standing) over(f Failover, now time.Time) bool {
	at := s.overAt(f)
	return !at.IsZero() && !at.After(now)
}

// overAt returns from when on it may, zero where there is no reason to.
func (s standing) overAt(f Failover) time.Time {
	switch {
	case s.State == store.StateParked:
		return s.Since
	case s.State == store.StateHeld:
		return s.Since.Add(f.Held)
	case !s.unreachable.IsZero():
		return s.unreachable.Add(f.Unreachable)
	}
	return time.Time{}
}

// handOver gives a delivery to the follower that can take it. It stays if its
// last try ended after the final dot without a reply: the provider may have it.
// It also stays while one before in the chain may yet be given mail again soon.
func (v *view) handOver(d mail.Delivery, now time.Time) (o mail.Outcome, ok bool) {
	st := v.of[d.Provider]
	if !v.routes.Providers[d.Provider].Followed || v.routes.Followers == nil || st.well() || d.Uncertain && d.Reply == "" {
		return o, false
	}
	m, err := v.message(d.Message)
	if err != nil {
		return o, false // whoever tries it meets that too
	}
	f := v.routes.Failover[m.Account].withDefaults()
	if !st.over(f, now) {
		return o, false
	}
	for _, name := range v.routes.Followers(m, d.Provider) {
		switch next := v.of[name]; {
		case next.well():
			return mail.Outcome{
				Status: mail.Queued, Next: now, Provider: name, Kind: mail.KindDeferred,
				Text:    fmt.Sprintf("moved from %s to %s, which stands in for it", d.Provider, name),
				Explain: failedOver(d.Provider, name),
			}, true
		case !next.over(f, now):
			return o, false
		}
	}
	return o, false
}

// handOver gives what a follower takes to it, and returns the rest.
func (w *worker) handOver(ds []mail.Delivery) []mail.Delivery {
	if w.job.elsewhere == nil {
		return ds
	}
	var moved []mail.Outcome
	now := w.clock.Now()
	ds = slices.DeleteFunc(ds, func(d mail.Delivery) bool {
		o, ok := w.job.elsewhere.handOver(d, now)
		if ok {
			o.Message, o.Index, o.At = d.Message, d.Index, now
			moved = append(moved, o)
			w.results = append(w.results, result{index: d.Index, status: mail.Deferred, next: now})
		}
		return ok
	})
	if len(moved) > 0 {
		w.record(w.records, moved)
	}
	return ds
}

// reach notes whether a provider could be reached at all.
func (s *scheduler) reach(l *lane, r result) {
	switch a := r.attempt; {
	case !a.Reply.IsZero() && !l.unreachable.IsZero():
		s.log.Info("provider can be reached again", "provider", strings.Join(s.providers(l), " "))
		l.unreachable = time.Time{}
	case !a.Reply.IsZero():
	case r.crashed || a.Err == nil || a.Uncertain || s.stopping.Err() != nil:
	case l.unreachable.IsZero():
		l.unreachable = s.clock.Now()
	}
}

// away reports whether a lane has been out of reach for so long that followers
// take its mail. Now and then one try goes to it all the same.
func (s *scheduler) away(l *lane) bool {
	now := s.clock.Now()
	for at := range s.failovers(l) {
		if l.blocked() || at.After(now) {
			continue
		}
		if now.Before(l.probeAt) && l.probeAt.Sub(now) <= awayProbe {
			return true
		}
		l.probeAt = now.Add(awayProbe)
		return false
	}
	return false
}

// failovers yields when followers may take the mail of a lane, for each account
// that has its own idea of that.
func (s *scheduler) failovers(l *lane) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		st := l.standing()
		if st.well() || !s.followed(l) {
			return
		}
		for _, f := range s.waits {
			if at := st.overAt(f); !yield(at) {
				return
			}
		}
	}
}

func (s *scheduler) followed(l *lane) bool {
	return slices.ContainsFunc(s.providers(l), func(name string) bool { return s.routes.Providers[name].Followed })
}

// failsOver reports whether a time has come at which mail goes to followers.
func (s *scheduler) failsOver(now time.Time) (any bool) {
	for _, l := range s.lanes {
		for at := range s.failovers(l) {
			any = any || at.After(s.looked) && !at.After(now)
		}
	}
	s.looked = now
	return any
}
