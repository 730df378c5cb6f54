package storetest

import (
	"context"
	"errors"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// neverLower brings late and repeated news.
func neverLower(s *suite) {
	m := s.put(start, "a@x.test")
	ds := s.claim(start, 1)
	hit := func(k mail.Kind, c mail.Class) {
		s.Helper()
		s.record(mail.Event{Time: after(time.Minute), Kind: k, Message: m.ID, Recipient: 1, Link: 1, Class: c})
	}
	want := func(what string, status mail.Status) {
		s.Helper()
		equal(s, what, s.delivery(m.ID, 1).Status, status)
	}
	s.ok(s.Start(s.ctx, start, ds))
	hit(mail.KindClick, mail.Human) // it comes before the reply of the provider
	want("clicked early", mail.Queued)
	s.sent(m.ID, 1, after(time.Hour))
	want("sent late", mail.Clicked)
	hit(mail.KindOpen, mail.Human)
	hit(mail.KindOpen, mail.Prefetch)
	hit(mail.KindClick, mail.Scanner)
	want("opened late", mail.Clicked)
	s.conclude(mail.Outcome{Message: m.ID, Index: 1, At: after(2 * time.Hour), Status: mail.Failed})
	want("failed late", mail.Clicked)
	s.conclude(mail.Outcome{Message: m.ID, Index: 1, At: after(2 * time.Hour), Status: mail.Deferred, Next: after(3 * time.Hour)})
	want("deferred late", mail.Clicked)
	equal(s, "not tried again", len(s.claim(after(240*time.Hour), 9)), 0)
	equal(s, "not in the queue", len(all(s, s.Unfinished(s.ctx))), 0)
	t := s.delivery(m.ID, 1).Tally
	if t.Opens != 1 || t.Clicks != 1 || t.MachineOpens != 1 || t.MachineClicks != 1 || t.UniqueOpens != 1 {
		s.Errorf("tally: %+v", t)
	}
}

// openEndsRetries opens a message that still waits: it arrived after all.
func openEndsRetries(s *suite) {
	m := s.put(start, "a@x.test")
	s.claim(start, 1)
	s.conclude(mail.Outcome{Message: m.ID, Index: 1, At: start, Status: mail.Deferred, Attempted: true, Uncertain: true, Next: after(time.Minute)})
	s.record(mail.Event{Time: after(time.Second), Kind: mail.KindOpen, Message: m.ID, Recipient: 1, Class: mail.Human})
	d := s.delivery(m.ID, 1)
	if d.Status != mail.Opened || !d.NextAttempt.IsZero() || !d.Uncertain {
		s.Errorf("opened: %+v", d)
	}
	equal(s, "not tried again", len(s.claim(after(time.Hour), 9)), 0)
}

// impliedOpen clicks on what nobody saw opened.
func impliedOpen(s *suite) {
	m := s.put(start, "a@x.test")
	s.sent(m.ID, 1, start)
	click := mail.Event{Time: after(time.Minute), Kind: mail.KindClick, Message: m.ID, Recipient: 1, Link: 3, Class: mail.Human, IP: "192.0.2.7"}
	s.record(click)
	click.Time = after(2 * time.Minute)
	s.record(click)
	equal(s, "events", s.kinds(m.ID), []mail.Kind{mail.KindAccepted, mail.KindSent, mail.KindClick, mail.KindOpen, mail.KindClick})
	open := all(s, s.Events(s.ctx, store.EventFilter{Kind: mail.KindOpen}))[0]
	if open.Basis != mail.BasisClick || open.Link != 0 || open.IP != "192.0.2.7" || !open.Time.Equal(after(time.Minute)) {
		s.Errorf("implied open: %+v", open)
	}
	t := s.delivery(m.ID, 1).Tally
	if t.Opens != 0 || t.UniqueOpens != 1 || t.Clicks != 2 || t.UniqueClicks() != 1 || !t.FirstOpen.Equal(after(time.Minute)) {
		s.Errorf("tally: %+v", t)
	}
}

// shared counts the hits of a copy that several recipients share: nobody can
// be told apart.
func shared(s *suite) {
	m, ds := s.message(start, "a@x.test", "b@x.test")
	m.Shared = true
	s.ok(s.Put(s.ctx, m, ds, empty))
	s.sent(m.ID, 1, start)
	s.sent(m.ID, 2, start)
	for _, recipient := range []int{0, 0, 1} {
		s.record(mail.Event{Time: after(time.Minute), Kind: mail.KindClick, Message: m.ID, Recipient: recipient, Link: 1, Class: mail.Human})
	}
	s.record(mail.Event{Time: after(time.Minute), Kind: mail.KindOpen, Message: m.ID, Class: mail.Prefetch})
	row, err := s.Message(s.ctx, m.ID)
	s.ok(err)
	t := row.Message.Tally
	if t.Clicks != 3 || t.UniqueOpens != 1 || t.MachineOpens != 1 || t.Links[1].Clicks != 3 {
		s.Errorf("tally of the message: %+v", t)
	}
	for _, d := range row.Deliveries {
		if d.Status != mail.Sent || d.Tally.Clicks != 0 {
			s.Errorf("delivery: %+v", d)
		}
	}
	equal(s, "tally in a listing", all(s, s.Messages(s.ctx, store.Filter{}))[0].Message.Tally.Clicks, 3)
	equal(s, "usage", all(s, s.Usage(s.ctx)), []store.Usage{{Account: "shop", Provider: "shop/main", Day: "2026-03-01", Messages: 1, Recipients: 2,
		Sums: mail.Sums{Clicks: 3, MachineOpens: 1, UniqueOpens: 1, UniqueClicks: 1}}})
}

// unsent judges a hit on what nobody was sent yet: it stays in the queue.
func unsent(s *suite) {
	m := s.put(start, "a@x.test")
	s.record(mail.Event{Time: start, Kind: mail.KindClick, Message: m.ID, Recipient: 1, Link: 1, Class: mail.Human, Rule: "browser"})
	events := all(s, s.Events(s.ctx, store.EventFilter{Kind: mail.KindClick}))
	if len(events) != 1 || events[0].Class != mail.Scanner || events[0].Rule != "unsent" {
		s.Errorf("events: %+v", events)
	}
	equal(s, "status", s.delivery(m.ID, 1).Status, mail.Queued)
	equal(s, "to be tried", len(s.claim(start, 9)), 1)

	m, ds := s.message(start, "a@x.test", "b@x.test")
	m.Shared = true
	s.ok(s.Put(s.ctx, m, ds, empty))
	hit := mail.Event{Time: start, Kind: mail.KindOpen, Message: m.ID, Class: mail.Human}
	s.record(hit)
	s.sent(m.ID, 2, start)
	s.record(hit)
	row, err := s.Message(s.ctx, m.ID)
	s.ok(err)
	if t := row.Message.Tally; t.MachineOpens != 1 || t.Opens != 1 {
		s.Errorf("shared, one hit before the first was sent and one after: %+v", t)
	}
}

// sharedAlone counts the hits of a shared message with a single recipient for
// that one.
func sharedAlone(s *suite) {
	m, ds := s.message(start, "a@x.test")
	m.Shared = true
	s.ok(s.Put(s.ctx, m, ds, empty))
	s.sent(m.ID, 1, start)
	s.record(mail.Event{Time: after(time.Minute), Kind: mail.KindOpen, Message: m.ID, Class: mail.Human})
	d := s.delivery(m.ID, 1)
	if d.Status != mail.Opened || d.Tally.Opens != 1 {
		s.Errorf("delivery: %+v", d)
	}
}

// usage counts what providers took: a message once a day, its recipients each.
func usage(s *suite) {
	m := s.put(start, "a@x.test", "b@x.test", "c@x.test", "d@x.test")
	night := time.Date(2026, 3, 2, 8, 59, 0, 0, time.FixedZone("KST", 9*3600)) // still the first in UTC
	s.sent(m.ID, 1, night)
	s.sent(m.ID, 2, night)
	s.sent(m.ID, 2, night) // told twice
	s.sent(m.ID, 3, night.Add(time.Minute))
	s.conclude(mail.Outcome{Message: m.ID, Index: 4, At: start, Status: mail.Queued, Provider: "shop/spare"})
	s.sent(m.ID, 4, start)
	s.sent(s.put(start, "e@x.test").ID, 1, start)
	failed := s.put(start, "f@x.test")
	s.conclude(mail.Outcome{Message: failed.ID, Index: 1, At: start, Status: mail.Failed, Attempted: true})
	opened := s.put(start, "g@x.test") // the reader is faster than the provider's reply
	s.record(mail.Event{Time: start, Kind: mail.KindOpen, Message: opened.ID, Recipient: 1, Class: mail.Human})
	s.sent(opened.ID, 1, start)
	s.reopen()
	equal(s, "usage", all(s, s.Usage(s.ctx)), []store.Usage{
		{Account: "shop", Provider: "shop/main", Day: "2026-03-01", Messages: 3, Recipients: 4, Sums: mail.Sums{MachineOpens: 1}},
		{Account: "shop", Provider: "shop/main", Day: "2026-03-02", Messages: 1, Recipients: 1},
		{Account: "shop", Provider: "shop/spare", Day: "2026-03-01", Messages: 1, Recipients: 1},
	})
}

// spent counts for credentials, by the minute: a message once however many
// copies went out, on whatever day, and each recipient.
func spent(s *suite) {
	take := func(m *mail.Message, index int, credential string, at time.Duration) {
		s.conclude(mail.Outcome{Message: m.ID, Index: index, At: after(at), Status: mail.Sent, Attempted: true, Kind: mail.KindSent, Credential: credential})
	}
	m := s.put(start, "a@x.test", "b@x.test", "c@x.test")
	take(m, 1, "aa", 10*time.Second)
	take(m, 2, "aa", 20*time.Second)
	take(m, 2, "aa", 21*time.Second) // told twice
	take(m, 3, "aa", 30*time.Hour)
	take(s.put(start, "d@x.test"), 1, "aab", time.Minute)
	take(s.put(start, "e@x.test"), 1, "", time.Minute)
	s.reopen()
	want := []store.Spent{{Minute: start, Messages: 1, Recipients: 2}, {Minute: after(30 * time.Hour), Recipients: 1}}
	s.checkSpent("aa", start, want)
	s.checkSpent("aa", after(59*time.Second), want) // of a minute that it is in
	s.checkSpent("aa", after(time.Minute), want[1:])
	s.checkSpent("aab", time.Time{}, []store.Spent{{Minute: after(time.Minute), Messages: 1, Recipients: 1}})
	s.checkSpent("a", time.Time{}, nil)
	equal(s, "usage", len(all(s, s.Usage(s.ctx))), 2)
	take(s.put(start, "f@x.test"), 1, "aa", 51*time.Hour) // old minutes go
	s.checkSpent("aa", time.Time{}, []store.Spent{{Minute: after(30 * time.Hour), Recipients: 1}, {Minute: after(51 * time.Hour), Messages: 1, Recipients: 1}})
}

func (s *suite) checkSpent(credential string, since time.Time, want []store.Spent) {
	s.Helper()
	got, err := s.Spent(s.ctx, credential, since)
	s.ok(err)
	for i := range got {
		got[i].Minute = got[i].Minute.UTC()
	}
	equal(s, "spent by "+credential, got, want)
}

// providers keeps states over a restart, the last of each.
func providers(s *suite) {
	a := store.ProviderState{Credential: "aa", State: store.StateParked, Reason: "535", Since: start, LastError: "535 no"}
	b := store.ProviderState{Credential: "bb", State: store.StateHeld, Until: after(time.Hour)}
	s.ok(s.SaveProvider(s.ctx, b))
	s.ok(s.SaveProvider(s.ctx, store.ProviderState{Credential: "aa", State: store.StateOK}))
	s.ok(s.SaveProvider(s.ctx, a))
	s.reopen()
	got, err := s.Providers(s.ctx)
	s.ok(err)
	equal(s, "states", got, []store.ProviderState{a, b})
}

// events tries each field of an event filter, over more rows than a backend
// may read at a time.
func events(s *suite) {
	a, b := s.put(start, "a@x.test"), s.put(start, "b@x.test")
	const n = 600
	for i := range n {
		m := a
		if i%2 == 1 {
			m = b
		}
		s.record(mail.Event{Time: after(time.Duration(i+1) * time.Second), Kind: mail.KindOpen, Message: m.ID, Recipient: 1, Class: mail.Human})
	}
	everything := all(s, s.Events(s.ctx, store.EventFilter{}))
	if len(everything) != n+2 {
		s.Fatalf("%d events, want %d", len(everything), n+2)
	}
	for i := 1; i < len(everything); i++ {
		if everything[i].Time.Before(everything[i-1].Time) {
			s.Fatalf("event %d is older than the one before", i)
		}
	}
	count := func(what string, f store.EventFilter, want int) {
		s.Helper()
		equal(s, what, len(all(s, s.Events(s.ctx, f))), want)
	}
	count("of a message", store.EventFilter{Message: a.ID}, n/2+1)
	count("of a kind", store.EventFilter{Kind: mail.KindAccepted}, 2)
	count("since", store.EventFilter{Since: after(591 * time.Second)}, 10)
	count("since the last", store.EventFilter{Since: after(n * time.Second)}, 1)
	count("since later", store.EventFilter{Since: after(n*time.Second + 1)}, 0)
	count("of a message since", store.EventFilter{Message: a.ID, Since: after(591 * time.Second)}, 5)
	count("after the third", store.EventFilter{After: everything[2].Cursor}, n-1)
	count("after the last", store.EventFilter{After: everything[n+1].Cursor}, 0)
	count("of a message after the third", store.EventFilter{Message: a.ID, After: everything[2].Cursor}, n/2-1)
	count("after and since", store.EventFilter{After: everything[2].Cursor, Since: after(591 * time.Second)}, 10)
}

// lateEvents records what happened long ago: a follower sees it nevertheless.
func lateEvents(s *suite) {
	m := s.put(start, "a@x.test")
	s.sent(m.ID, 1, after(time.Hour))
	rows := all(s, s.Events(s.ctx, store.EventFilter{}))
	s.record(mail.Event{Time: after(time.Minute), Kind: mail.KindOpen, Message: m.ID, Recipient: 1, Class: mail.Human})
	late := all(s, s.Events(s.ctx, store.EventFilter{After: rows[len(rows)-1].Cursor}))
	if len(late) != 1 || late[0].Kind != mail.KindOpen || !late[0].Time.Equal(after(time.Minute)) {
		s.Errorf("recorded after: %+v", late)
	}
	equal(s, "since", len(all(s, s.Events(s.ctx, store.EventFilter{Since: after(time.Minute), Kind: mail.KindOpen}))), 1)
	equal(s, "since later", len(all(s, s.Events(s.ctx, store.EventFilter{Since: after(2 * time.Minute), Kind: mail.KindOpen}))), 0)
}

// watch expects a channel that fires with the next event and not before.
func watch(s *suite) {
	m := s.put(start, "a@x.test")
	c := s.Watch()
	s.ok(s.SaveProvider(s.ctx, store.ProviderState{Credential: "aa"}))
	select {
	case <-c:
		s.Error("fired without an event")
	default:
	}
	s.record(mail.Event{Time: start, Kind: mail.KindOpen, Message: m.ID, Recipient: 1})
	select {
	case <-c:
	default:
		s.Error("did not fire before Record returned")
	}
}

// cancelled uses a context that is over.
func cancelled(s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	m, ds := s.message(start, "a@x.test")
	if err := s.Put(ctx, m, ds, nil); !errors.Is(err, context.Canceled) {
		s.Errorf("put: %v", err)
	}
	if _, err := s.Claim(ctx, start, 1, time.Minute); !errors.Is(err, context.Canceled) {
		s.Errorf("claim: %v", err)
	}
	for _, err := range s.Messages(ctx, store.Filter{}) {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("messages: %v", err)
		}
	}
	equal(s, "messages", len(all(s, s.Messages(s.ctx, store.Filter{}))), 0)
}

// closed uses a store that is closed.
func closed(s *suite) {
	m := s.put(start, "a@x.test")
	s.ok(s.Close())
	s.ok(s.Close())
	o, ds := s.message(start, "a@x.test")
	if err := s.Put(s.ctx, o, ds, empty); !errors.Is(err, store.ErrClosed) {
		s.Errorf("put: %v", err)
	}
	if _, err := s.Message(s.ctx, m.ID); !errors.Is(err, store.ErrClosed) {
		s.Errorf("message: %v", err)
	}
	if err := s.Healthy(); !errors.Is(err, store.ErrClosed) {
		s.Errorf("healthy: %v", err)
	}
}
