package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
	"backstamp/store"
)

// restore takes over the states that outlived the last process.
func (s *scheduler) restore() error {
	states, err := s.store.Providers(s.stopping)
	if err != nil {
		return fmt.Errorf("reading the states of providers: %w", err)
	}
	for _, st := range states {
		l := s.lane(st.Credential)
		l.state = st
		l.probeAt = s.clock.Now().Add(probeEvery)
		s.gate.mark(l.credential, l.blocked(), true)
	}
	return nil
}

// lane returns the lane of a credential, made where there is none.
func (s *scheduler) lane(credential string) *lane {
	l := s.lanes[credential]
	if l == nil {
		l = &lane{
			credential: credential, more: map[string]bool{},
			state: store.ProviderState{Credential: credential, State: store.StateOK},
		}
		s.lanes[credential] = l
		s.ring = append(s.ring, l)
		s.changed = true
	}
	return l
}

// setRoutes takes over new routes. Backlogs are given back, as a provider may
// have come to another lane; a reload gives parked lanes another chance.
func (s *scheduler) setRoutes(r Routes) {
	reload := s.routed
	s.routes, s.routed = r, true
	for name := range r.Providers {
		s.laneOf(name)
	}
	s.waits = nil
	for _, f := range r.Failover {
		if f = f.withDefaults(); !slices.Contains(s.waits, f) {
			s.waits = append(s.waits, f)
		}
	}
	for _, l := range s.lanes {
		s.flush(l)
		l.epoch++
		l.unreachable = time.Time{}
		if reload && (l.state.State == store.StateParked || l.exhausted()) {
			s.free(l)
		}
	}
	s.epoch++
	s.due, s.sweepDue, s.changed = true, true, true
}

// learn draws conclusions from a try for the whole lane. A try that began
// before the last change of the lane says nothing about how it is now.
func (s *scheduler) learn(l *lane, j *job, a mail.Attempt) {
	stale := j.epoch != l.epoch
	switch {
	case a.Taken():
		s.gate.pace(l.credential, false)
	case a.Class == mail.ClassThrottling:
		s.gate.pace(l.credential, true)
	case a.Class == mail.ClassAuth && l.state.State == store.StateParked: // known
	case a.Class == mail.ClassAuth && stale:
		s.sweepDue = true // it is held for a state that is over
	case a.Class == mail.ClassAuth:
		s.park(l, j.provider, a)
	case a.Class == mail.ClassQuota && !stale && !l.blocked():
		s.limit(l, j, a)
	}
	if !a.Taken() && !about(a) {
		// Mail that waits for the account to be mended waits over a restart too.
		l.unsaved = l.unsaved || a.Class == mail.ClassAccount && said(a) != l.state.LastError
		l.state.LastError, l.state.Explain = said(a), a.Explain
		s.changed = true
	}
	if j.probe && !stale && proves(a) {
		s.free(l)
	}
}

// about reports whether a refusal is about this one message.
func about(a mail.Attempt) bool {
	switch a.Class {
	case mail.ClassSender, mail.ClassRecipient, mail.ClassContent:
		return true
	}
	return false
}

// proves reports whether a try got past the login.
func proves(a mail.Attempt) bool {
	return a.Taken() || !a.Reply.IsZero() && (about(a) || a.Class == mail.ClassQuota)
}

// park stops a lane whose login was refused.
func (s *scheduler) park(l *lane, provider string, a mail.Attempt) {
	s.log.Error("provider parked: it refused the login; its mail is held", "provider", provider, "means", means(a), "err", said(a))
	s.metrics.parked.WithLabelValues(provider).Inc()
	s.set(l, store.ProviderState{State: store.StateParked, Reason: mail.HoldAuth, LastError: said(a), Explain: a.Explain})
	l.ready, l.probeAt = false, s.clock.Now().Add(probeEvery)
}

// means says in a few words what a refusal means.
func means(a mail.Attempt) string {
	if x := catalogue.Shown(a.Explain, "en"); x != nil {
		return x.Title
	}
	return a.Class
}

// limit stops a lane whose quota is used up.
func (s *scheduler) limit(l *lane, j *job, a mail.Attempt) {
	until := j.way.Limits.reopens(s.clock.Now())
	s.log.Warn("provider held: its quota is used up", "provider", j.provider, "until", until, "means", means(a), "err", said(a))
	s.set(l, store.ProviderState{State: store.StateHeld, Reason: mail.HoldQuota, Until: until, LastError: said(a), Explain: a.Explain})
}

// exhaust stops a lane whose own limit for a day is met.
func (s *scheduler) exhaust(l *lane, until time.Time) {
	names := s.providers(l)
	limit := s.gate.daily(l.credential)
	s.log.Warn("provider held: its limit for a day is met", "provider", strings.Join(names, " "), "limit", limit, "until", until)
	why := fmt.Sprintf("the limit of %s a day is met", limit)
	s.set(l, store.ProviderState{
		State: store.StateHeld, Reason: mail.HoldQuota, Until: until, LastError: why,
		Explain: &mail.Explain{ID: dailyLimit, Class: mail.ClassQuota, Detail: limit},
	})
}

// reckon tells the meters what was spent before.
func (s *scheduler) reckon() {
	now := s.clock.Now()
	if now.Before(s.pausedTo) {
		return
	}
	for credential, since := range s.gate.unknown(now) {
		minutes, err := s.store.Spent(s.stopping, credential, since)
		if err != nil {
			s.pause("reading what a provider was given", err)
			return
		}
		s.gate.restore(credential, minutes)
	}
}

// free lets a lane work again.
func (s *scheduler) free(l *lane) {
	s.log.Info("provider no longer "+l.state.State, "provider", strings.Join(s.providers(l), " "))
	s.set(l, store.ProviderState{State: store.StateOK, LastError: l.state.LastError, Explain: l.state.Explain})
}

// set changes the state of a lane, and sees to the mail that it concerns.
func (s *scheduler) set(l *lane, st store.ProviderState) {
	st.Credential, st.Since = l.credential, s.clock.Now()
	l.state = st
	l.unsaved = true
	l.epoch++
	s.epoch++
	s.flush(l)
	s.gate.mark(l.credential, l.blocked(), true)
	s.sweepDue, s.changed = true, true
}

// providers returns the names of the providers of a lane, in order.
func (s *scheduler) providers(l *lane) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.routes.Providers)) {
		if s.laneOf(name) == l {
			names = append(names, name)
		}
	}
	return names
}

// save writes the states that changed. Until that works the lanes live by what
// is in memory.
func (s *scheduler) save() {
	if s.clock.Now().Before(s.pausedTo) {
		return
	}
	for _, l := range s.lanes {
		if !l.unsaved {
			continue
		}
		if err := s.store.SaveProvider(s.records, l.state); err != nil {
			s.pause("saving the state of a provider", err)
			return
		}
		l.unsaved = false
	}
}

// publish makes States.
func (s *scheduler) publish() {
	if !s.changed {
		return
	}
	s.changed = false
	var states []store.ProviderState
	for _, credential := range slices.Sorted(maps.Keys(s.lanes)) {
		if l := s.lanes[credential]; l.blocked() || len(s.providers(l)) > 0 {
			states = append(states, l.state)
		}
	}
	s.states.Store(&states)
}

// sweepBatch is how many deliveries a sweep has in hand at once.
const sweepBatch = 2000

// sweep finds the deliveries that do not fit and makes them. It follows every
// change of a lane or of the routes, one sweep at a time.
func (s *scheduler) sweep() {
	if s.sweeping || s.clock.Now().Before(s.pausedTo) {
		return
	}
	s.sweeping, s.sweepDue = true, false
	v, now := s.view(), s.clock.Now()
	s.help(func(ctx context.Context) func(*scheduler) {
		err := s.misfits(ctx, v, now)
		return func(s *scheduler) {
			s.sweeping = false
			if err != nil {
				s.sweepDue = true
				s.pause("looking through the queue", err)
			}
		}
	})
}

// misfits has what does not fit settled, batch after batch, so that a long
// queue is never in memory whole.
func (s *scheduler) misfits(ctx context.Context, v *view, now time.Time) error {
	var keys []key
	settle := func() {
		batch, settled := keys, make(chan struct{})
		keys = nil
		if !s.inbox.post(func(s *scheduler) { s.settle(batch, func() { close(settled) }) }) {
			return
		}
		select {
		case <-settled:
		case <-ctx.Done():
		}
	}
	for d, err := range s.unfinished(ctx) {
		if err != nil {
			return err
		}
		if _, ok := v.fit(d, now); ok {
			keys = append(keys, key{d.Message, d.Index})
		}
		if len(keys) == sweepBatch {
			settle()
		}
	}
	settle()
	return nil
}

// settle makes deliveries fit and then calls done, which may be nil. Should how
// things stand change before all is recorded, another sweep follows.
func (s *scheduler) settle(keys []key, done func()) {
	if len(keys) == 0 && done == nil {
		return
	}
	epoch := s.epoch
	s.amend(amendment{keys: keys, change: s.view().fit, skip: true, done: func(int, error) {
		s.sweepDue = s.sweepDue || s.epoch != epoch
		if done != nil {
			done()
		}
	}})
}

// invite lets the next delivery of a parked lane be its probe.
func (s *scheduler) invite(l *lane) {
	l.ready = true
	l.probeAt = s.clock.Now().Add(probeEvery)
}

// seek makes one held delivery of a parked lane due, to be its probe.
func (s *scheduler) seek(l *lane) {
	names := s.providers(l)
	if len(names) == 0 {
		return
	}
	s.help(func(ctx context.Context) func(*scheduler) {
		for d, err := range s.unfinished(ctx) {
			if err != nil {
				return func(s *scheduler) { s.pause("looking for a delivery to probe with", err) }
			}
			if d.Reason == mail.HoldAuth && slices.Contains(names, d.Provider) {
				return func(s *scheduler) {
					s.amend(amendment{keys: []key{{d.Message, d.Index}}, change: dueNow, skip: true})
				}
			}
		}
		return func(*scheduler) {}
	})
}

// help runs f beside the scheduler, and what it returns on it.
func (s *scheduler) help(f func(context.Context) func(*scheduler)) {
	s.helpers++
	go func() {
		g := f(s.stopping)
		s.inbox.post(func(s *scheduler) {
			s.helpers--
			g(s)
		})
	}()
}
