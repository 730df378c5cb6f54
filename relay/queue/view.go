package queue

import (
	"fmt"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// A view is how providers stand at one moment. It may be used by any goroutine.
type view struct {
	routes  Routes
	of      map[string]standing // one that is not in it is gone
	message func(mail.ID) (*mail.Message, error)
}

// A standing is the state of a provider, and whether it waits for a probe.
type standing struct {
	store.ProviderState
	ready       bool
	unreachable time.Time
}

func (s *scheduler) view() *view {
	v := &view{routes: s.routes, of: map[string]standing{}, message: func(id mail.ID) (*mail.Message, error) {
		row, err := s.store.Message(s.records, id)
		return row.Message, err
	}}
	for name := range s.routes.Providers {
		v.of[name] = s.laneOf(name).standing()
	}
	return v
}

// fit is the change that makes a delivery agree with how its provider stands:
// another's where somebody stands in for it, else held where it cannot be
// tried, and due where what held it is over. What only a person can end stays.
func (v *view) fit(d mail.Delivery, now time.Time) (o mail.Outcome, ok bool) {
	switch d.Reason {
	case mail.HoldOperator, mail.HoldDamaged, mail.HoldAccount:
		return o, false
	}
	st, known := v.of[d.Provider]
	if st.State == store.StateParked && st.ready && d.Status == mail.Deferred && !d.NextAttempt.After(now) {
		return o, false // it may be the probe
	}
	if o, ok := v.handOver(d, now); ok {
		return o, true
	}
	switch {
	case !known:
		hold(&o, mail.HoldProviderGone, time.Time{})
		o.Text = fmt.Sprintf("provider %s is not configured any more", d.Provider)
		o.Explain = waits(o.Reason, o.Text)
		return o, d.Reason != mail.HoldProviderGone
	case st.State == store.StateParked:
		hold(&o, mail.HoldAuth, time.Time{})
		o.Text = fmt.Sprintf("provider %s is parked: %s", d.Provider, st.LastError)
		o.Explain = waits(o.Reason, o.Text)
		return o, d.Reason != mail.HoldAuth
	case st.State == store.StateHeld:
		hold(&o, mail.HoldQuota, st.Until)
		o.Text = fmt.Sprintf("provider %s is held: %s", d.Provider, st.LastError)
		if o.Explain = st.Explain; o.Explain == nil {
			o.Explain = waits(o.Reason, o.Text)
		}
		return o, d.NextAttempt.Before(st.Until)
	}
	o, _ = dueNow(d, now)
	// What waits longer than anything does comes from a clock that was wrong.
	longest := longestDelay
	if d.Status == mail.Held {
		longest = longestHold
	}
	ours := d.Reason == mail.HoldQuota && d.Explain != nil && d.Explain.ID == dailyLimit
	return o, ours || d.Reason == mail.HoldAuth || d.Reason == mail.HoldProviderGone || d.NextAttempt.Sub(now) > longest
}
