package storetest

import (
	"slices"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// pace is the timing of the tests.
var pace = mail.Timing{First: 5 * time.Second, Within: 2 * time.Second, Links: 3}

// tracked puts a message with n tracked links that was sent at start.
func (s *suite) tracked(n int, to ...string) *mail.Message {
	s.Helper()
	m, ds := s.message(start, to...)
	m.Links, m.Tag = n, "autumn"
	s.ok(s.Put(s.ctx, m, ds, empty))
	for i := range to {
		s.sent(m.ID, i+1, start)
	}
	return m
}

// hit records a hit of the first recipient, on link 0 an open.
func (s *suite) hit(m *mail.Message, after time.Duration, link int, class mail.Class) {
	s.Helper()
	e := mail.Event{Time: start.Add(after), Kind: mail.KindClick, Message: m.ID, Recipient: 1, Link: link, Class: class, Rule: "first", IP: "192.0.2.0/24"}
	if link == 0 {
		e.Kind = mail.KindOpen
	}
	s.record(e)
}

// classes are those of the hits of a message, in order.
func (s *suite) classes(m *mail.Message) (classes []mail.Class) {
	s.Helper()
	for _, e := range all(s, s.Events(s.ctx, store.EventFilter{Message: m.ID})) {
		if e.IsHit() {
			classes = append(classes, e.Class)
		}
	}
	return classes
}

// reclassify judges all hits again.
func (s *suite) reclassify(judge func(mail.Event) mail.Class, timing mail.Timing) store.Reclassified {
	s.Helper()
	sum, err := s.Reclassify(s.ctx, func(e mail.Event) (mail.Class, string) { return judge(e), "second" }, timing)
	s.ok(err)
	return sum
}

func always(c mail.Class) func(mail.Event) mail.Class {
	return func(mail.Event) mail.Class { return c }
}

// usageOfHits counts hits by provider and tag, on the days on which they were.
func usageOfHits(s *suite) {
	m := s.tracked(1, "a@x.test", "b@x.test")
	s.hit(m, time.Minute, 0, mail.Human)
	s.hit(m, time.Minute, 0, mail.Proxy)
	s.hit(m, time.Minute, 0, mail.Self)
	s.hit(m, 20*time.Hour, 1, mail.Human)
	s.hit(m, 20*time.Hour, 1, mail.Scanner)
	want := []store.Usage{
		{Account: "shop", Provider: "shop/main", Day: "2026-03-01", Messages: 1, Recipients: 2, Sums: mail.Sums{Opens: 2, UniqueOpens: 1}},
		{Account: "shop", Provider: "shop/main", Day: "2026-03-02", Sums: mail.Sums{Clicks: 1, MachineClicks: 1, UniqueClicks: 1}},
	}
	s.reopen()
	equal(s, "usage", all(s, s.Usage(s.ctx)), want)
	for i := range want {
		want[i].Provider, want[i].Tag = "", "autumn"
	}
	equal(s, "usage of the tag", all(s, s.Tags(s.ctx)), want)
}

// timing clicks all links at once: the click that completes them is a
// machine's, and what follows while it lasts.
func timing(s *suite) {
	s.SetTiming(pace)
	m := s.tracked(3, "a@x.test", "b@x.test")
	s.hit(m, 1*time.Second, 0, mail.Human)
	s.hit(m, 1*time.Second, 1, mail.Human)
	s.record(mail.Event{Time: after(time.Second), Kind: mail.KindClick, Message: m.ID, Recipient: 2, Link: 3, Class: mail.Human}) // another's
	s.hit(m, 2*time.Second, 2, mail.Unknown)
	s.hit(m, 3*time.Second, 3, mail.Human)
	s.hit(m, 3*time.Second, 0, mail.Human)
	s.hit(m, 3*time.Second, 0, mail.Proxy)
	s.hit(m, 6*time.Second, 1, mail.Human)
	h, u, x, p := mail.Human, mail.Unknown, mail.Scanner, mail.Proxy
	equal(s, "classes", s.classes(m), []mail.Class{h, h, h, u, x, x, p, h})
	events := all(s, s.Events(s.ctx, store.EventFilter{Message: m.ID}))
	i := slices.IndexFunc(events, func(e store.EventRow) bool { return e.Class == x })
	equal(s, "rule", events[i].Rule, "timing")
	t := s.delivery(m.ID, 1).Tally
	if t.Clicks != 3 || t.MachineClicks != 1 || t.MachineOpens != 1 || t.Opens != 2 {
		s.Errorf("tally: %+v", t)
	}

	m = s.tracked(3, "a@x.test") // fast, though its reader is not there from the first
	s.hit(m, 1*time.Second, 1, mail.Scanner)
	for link := 1; link <= 3; link++ {
		s.hit(m, time.Minute+time.Duration(link), link, mail.Human)
	}
	equal(s, "an early scanner, and later all links", s.classes(m), []mail.Class{x, h, h, x})

	for name, hurry := range map[string][3]time.Duration{"late": {6, 7, 7}, "slow": {1, 2, 4}} {
		m = s.tracked(3, "a@x.test")
		for i, at := range hurry {
			s.hit(m, at*time.Second, i+1, mail.Human)
		}
		equal(s, name, s.classes(m), []mail.Class{h, h, h})
	}
	s.SetTiming(mail.Timing{})
	m = s.tracked(3, "a@x.test")
	for link := 1; link <= 3; link++ {
		s.hit(m, time.Second, link, mail.Human)
	}
	equal(s, "no timing", s.classes(m), []mail.Class{h, h, h})
}

// timingShared clicks all links of a copy that nobody has alone, while its last
// recipient's try still runs.
func timingShared(s *suite) {
	s.SetTiming(pace)
	m, ds := s.message(start, "a@x.test", "b@x.test")
	m.Links, m.Shared = 3, true
	s.ok(s.Put(s.ctx, m, ds, empty))
	s.ok(s.Start(s.ctx, start, s.claim(start, 2)))
	for link := 1; link <= 3; link++ {
		s.hit(m, time.Second, link, mail.Human)
	}
	equal(s, "classes", s.classes(m), []mail.Class{mail.Human, mail.Human, mail.Scanner})
	equal(s, "sums", s.row(m).Message.Tally.MachineClicks, 1)
}

// timingFlood keeps what can be looked at small: hits without end do not make
// each take longer.
func timingFlood(s *suite) {
	s.SetTiming(pace)
	m := s.tracked(3, "a@x.test")
	const n = 300
	for i := range n {
		s.record(mail.Event{Time: start.Add(time.Second), Kind: mail.KindClick, Message: m.ID, Recipient: 1, Link: i/(n-1) + 1, Class: mail.Human, Referer: time.Duration(i).String()})
	}
	s.hit(m, time.Second, 3, mail.Human)
	equal(s, "the last", s.classes(m)[n], mail.Human)
	s.reclassify(always(mail.Human), pace)
	equal(s, "judged again", s.classes(m)[n], mail.Scanner)
}

// sums are the numbers of the first recipient.
func (s *suite) sums(m *mail.Message) mail.Sums {
	s.Helper()
	d := s.delivery(m.ID, 1)
	return d.Tally.Sums()
}

func (s *suite) row(m *mail.Message) store.Row {
	s.Helper()
	row, err := s.Message(s.ctx, m.ID)
	s.ok(err)
	return row
}

// reclassify makes people of machines and machines of people: counters, usage
// and status follow, down to sent.
func reclassify(s *suite) {
	m := s.tracked(1, "a@x.test")
	s.hit(m, time.Minute, 0, mail.Human)
	s.hit(m, time.Minute, 1, mail.Human)
	s.hit(m, 20*time.Hour, 1, mail.Human)
	s.hit(m, 20*time.Hour, 0, mail.Self)
	before := s.delivery(m.ID, 1)
	check := func(what string, status mail.Status, basis mail.Basis, want ...mail.Sums) {
		s.Helper()
		d := s.delivery(m.ID, 1)
		if d.Status != status || d.Basis != basis || !d.Tally.LastEvent.Equal(before.Tally.LastEvent) {
			s.Errorf("%s: status %s, basis %q", what, d.Status, d.Basis)
		}
		equal(s, what, []mail.Sums{all(s, s.Usage(s.ctx))[0].Sums, all(s, s.Tags(s.ctx))[1].Sums, d.Tally.Sums()}, want)
	}
	sum := s.reclassify(always(mail.Scanner), mail.Timing{})
	equal(s, "sum", sum, store.Reclassified{Messages: 1, Hits: 4, Changed: 4})
	check("scanner", mail.Sent, "", mail.Sums{MachineOpens: 1, MachineClicks: 1}, mail.Sums{MachineOpens: 1, MachineClicks: 1}, mail.Sums{MachineOpens: 2, MachineClicks: 2})
	s.reclassify(always(mail.Prefetch), mail.Timing{})
	check("prefetch", mail.Delivered, mail.BasisOpen, mail.Sums{MachineOpens: 1, MachineClicks: 1}, mail.Sums{MachineOpens: 1, MachineClicks: 1}, mail.Sums{MachineOpens: 2, MachineClicks: 2})
	s.reopen()
	s.reclassify(func(e mail.Event) mail.Class {
		if e.Time.Before(after(time.Hour)) {
			return mail.Human
		}
		return mail.Self
	}, mail.Timing{})
	check("human and self", mail.Clicked, mail.BasisClick, mail.Sums{Opens: 1, Clicks: 1, UniqueOpens: 1, UniqueClicks: 1}, mail.Sums{}, mail.Sums{Opens: 1, Clicks: 1, UniqueOpens: 1, UniqueClicks: 1})
	d := s.delivery(m.ID, 1)
	if !d.Tally.FirstOpen.Equal(after(time.Minute)) || !d.Tally.LastOpen.Equal(after(time.Minute)) {
		s.Errorf("open from %v to %v", d.Tally.FirstOpen, d.Tally.LastOpen)
	}
}

// reclassifyNothing changes nothing where the rules say what they said.
func reclassifyNothing(s *suite) {
	m := s.tracked(1, "a@x.test")
	s.hit(m, time.Minute, 1, mail.Human)
	before := all(s, s.Events(s.ctx, store.EventFilter{}))
	sum, err := s.Reclassify(s.ctx, func(e mail.Event) (mail.Class, string) { return e.Class, e.Rule }, pace)
	s.ok(err)
	equal(s, "sum", sum, store.Reclassified{Messages: 1, Hits: 1})
	equal(s, "events", all(s, s.Events(s.ctx, store.EventFilter{})), before)
}

// reclassifyImplied follows the open that a click tells of.
func reclassifyImplied(s *suite) {
	m := s.tracked(2, "a@x.test")
	s.hit(m, time.Minute, 1, mail.Human)
	s.hit(m, time.Hour, 2, mail.Human)
	implied := func() (opens []mail.Event) {
		for _, e := range all(s, s.Events(s.ctx, store.EventFilter{Message: m.ID, Kind: mail.KindOpen})) {
			opens = append(opens, e.Event)
		}
		return opens
	}
	s.reclassify(func(e mail.Event) mail.Class {
		if e.Link == 1 {
			return mail.Scanner
		}
		return mail.Human
	}, mail.Timing{})
	if opens := implied(); len(opens) != 1 || !opens[0].Time.Equal(after(time.Hour)) || opens[0].Rule != "second" || opens[0].Basis != mail.BasisClick {
		s.Errorf("told by the second click: %+v", opens)
	}
	equal(s, "first open", s.delivery(m.ID, 1).Tally.FirstOpen.Equal(after(time.Hour)), true)
	s.reclassify(always(mail.Scanner), mail.Timing{})
	equal(s, "told by nobody", len(implied()), 0)
	equal(s, "status", s.delivery(m.ID, 1).Status, mail.Sent)
	s.reclassify(always(mail.Human), mail.Timing{})
	if opens := implied(); len(opens) != 1 || !opens[0].Time.Equal(after(time.Minute)) {
		s.Errorf("told by the first click again: %+v", opens)
	}
	equal(s, "sums", s.sums(m), mail.Sums{Clicks: 2, UniqueOpens: 1, UniqueClicks: 2})
	equal(s, "since", len(all(s, s.Events(s.ctx, store.EventFilter{Since: after(time.Minute), Kind: mail.KindOpen}))), 1)
}

// reclassifyTiming marks the hits that came before the pace was known.
func reclassifyTiming(s *suite) {
	s.SetTiming(pace)
	m := s.tracked(3, "a@x.test")
	for link := 1; link <= 3; link++ {
		s.hit(m, time.Second, link, mail.Human)
	}
	s.hit(m, time.Hour, 1, mail.Human)
	equal(s, "counted", s.delivery(m.ID, 1).Tally.Clicks, 3)
	s.reclassify(always(mail.Human), pace)
	h, x := mail.Human, mail.Scanner
	equal(s, "classes", s.classes(m), []mail.Class{x, x, x, h})
	equal(s, "sums", s.sums(m), mail.Sums{Clicks: 1, MachineClicks: 3, UniqueOpens: 1, UniqueClicks: 1})
	s.reclassify(always(mail.Human), mail.Timing{})
	equal(s, "without timing", s.classes(m), []mail.Class{h, h, h, h})
}

// reclassifyShared changes what is counted for all recipients together.
func reclassifyShared(s *suite) {
	m, ds := s.message(start, "a@x.test", "b@x.test")
	m.Shared = true
	s.ok(s.Put(s.ctx, m, ds, empty))
	s.sent(m.ID, 1, start)
	s.hit(m, time.Minute, 1, mail.Human)
	s.reclassify(always(mail.Prefetch), mail.Timing{})
	equal(s, "sums", s.row(m).Message.Tally.MachineClicks, 1)
	equal(s, "status", s.delivery(m.ID, 1).Status, mail.Sent)
	equal(s, "usage", all(s, s.Usage(s.ctx))[0].Sums, mail.Sums{MachineClicks: 1})
}

// reclassifyKeeps leaves alone what hits did not decide.
func reclassifyKeeps(s *suite) {
	m := s.tracked(1, "a@x.test", "b@x.test")
	early, ds := s.message(start, "a@x.test")
	s.ok(s.Put(s.ctx, early, ds, empty))
	s.hit(early, 0, 1, mail.Human)
	s.hit(m, time.Minute, 0, mail.Human)
	s.conclude(mail.Outcome{Message: early.ID, Index: 1, At: start, Status: mail.Failed, Attempted: true})
	s.reclassify(always(mail.Human), pace)
	equal(s, "before it was sent", s.classes(early), []mail.Class{mail.Scanner})
	equal(s, "failed", s.delivery(early.ID, 1).Status, mail.Failed)
	s.reclassify(always(mail.Self), pace)
	equal(s, "the operator", s.classes(early), []mail.Class{mail.Self})
	equal(s, "nobody's", s.delivery(m.ID, 2).Status, mail.Sent)
	equal(s, "sums", s.sums(m), mail.Sums{})

	m, ds = s.message(start, "a@x.test") // a try whose reply was lost: it is not tried again
	s.ok(s.Put(s.ctx, m, ds, empty))
	s.conclude(mail.Outcome{Message: m.ID, Index: 1, At: start, Status: mail.Deferred, Attempted: true, Uncertain: true, Next: after(time.Hour)})
	s.hit(m, time.Minute, 0, mail.Human)
	s.reclassify(always(mail.Scanner), pace)
	equal(s, "uncertain", s.delivery(m.ID, 1).Status, mail.Sent)
	equal(s, "not tried again", len(s.claim(after(240*time.Hour), 9)), 0)
}

// reclassifyExpired leaves a message alone whose hits are gone in part.
func reclassifyExpired(s *suite) {
	m := s.tracked(1, "a@x.test")
	s.hit(m, time.Minute, 0, mail.Human)
	s.hit(m, 100*time.Hour, 0, mail.Human)
	_, err := s.Expire(s.ctx, after(101*time.Hour), store.Retention{Events: 50 * time.Hour})
	s.ok(err)
	sum := s.reclassify(always(mail.Scanner), pace)
	equal(s, "sum", sum, store.Reclassified{Messages: 1, Hits: 1, Left: 1})
	equal(s, "sums", s.sums(m), mail.Sums{Opens: 2, UniqueOpens: 1})
}

// reclassifyMany judges more messages than a step takes, and gets the same
// numbers as counting does.
func reclassifyMany(s *suite) {
	const n = 150
	for range n {
		m := s.tracked(1, "a@x.test")
		s.hit(m, time.Minute, 0, mail.Human)
		s.hit(m, time.Minute, 1, mail.Human)
	}
	want := all(s, s.Usage(s.ctx))
	sum := s.reclassify(always(mail.Scanner), pace)
	equal(s, "sum", sum, store.Reclassified{Messages: n, Hits: 2 * n, Changed: 2 * n})
	equal(s, "machines", all(s, s.Usage(s.ctx))[0].Sums, mail.Sums{MachineOpens: n, MachineClicks: n})
	s.reclassify(always(mail.Human), pace)
	equal(s, "as before", all(s, s.Usage(s.ctx)), want)
}
