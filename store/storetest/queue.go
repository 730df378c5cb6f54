package storetest

import (
	"errors"
	"fmt"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// claimOrder expects the earliest due first, and nothing that is not due.
func claimOrder(s *suite) {
	third := s.put(after(3*time.Second), "third@x.test")
	s.put(after(time.Second), "first@x.test", "second@x.test")
	m, ds := s.message(start, "later@x.test")
	ds[0].Status, ds[0].NextAttempt = mail.Deferred, after(time.Hour)
	s.ok(s.Put(s.ctx, m, ds, empty))

	equal(s, "before anything is due", len(s.claim(start, 9)), 0)
	equal(s, "two", recipients(s.claim(after(time.Minute), 2)), []string{"first@x.test", "second@x.test"})
	equal(s, "the rest", recipients(s.claim(after(time.Minute), 9)), []string{"third@x.test"})
	s.conclude(mail.Outcome{Message: third.ID, Index: 1, At: after(time.Minute), Status: mail.Deferred, Attempted: true,
		Next: after(2 * time.Hour), Kind: mail.KindDeferred})
	equal(s, "when leases have ended", recipients(s.claim(after(time.Hour), 9)), []string{"first@x.test", "second@x.test", "later@x.test"})
	equal(s, "deferred", recipients(s.claim(after(2*time.Hour), 1)), []string{"first@x.test"})
	equal(s, "deferred, in its turn", recipients(s.claim(after(2*time.Hour), 9)), []string{"second@x.test", "later@x.test", "third@x.test"})
}

// claimOnce expects a leased delivery to be nobody else's.
func claimOnce(s *suite) {
	s.put(start, "a@x.test", "b@x.test")
	ds := s.claim(start, 1)
	equal(s, "the other", recipients(s.claim(start, 9)), []string{"b@x.test"})
	equal(s, "none left", len(s.claim(after(time.Minute), 9)), 0)
	s.Release(ds)
	equal(s, "given back", recipients(s.claim(start, 9)), []string{"a@x.test"})
	for _, d := range ds {
		equal(s, "nothing was tried", s.delivery(d.Message, d.Index).Attempts, 0)
	}
}

// claimExcept leaves out providers: what is due of them, however much and
// however long, hides nobody else's.
func claimExcept(s *suite) {
	for i := range 50 {
		s.put(after(time.Duration(i)), "full@x.test")
	}
	for i, provider := range []string{"shop/spare", "lab/main", "shop/spare"} {
		m, ds := s.message(after(time.Minute), fmt.Sprint(i, "@x.test"))
		ds[0].Provider = provider
		s.ok(s.Put(s.ctx, m, ds, empty))
	}
	claim := func(what string, n int, want []string, except ...string) {
		s.Helper()
		ds, err := s.Claim(s.ctx, after(time.Minute), n, time.Hour, except...)
		s.ok(err)
		equal(s, what, recipients(ds), want)
	}
	next := func(what string, want time.Time, except ...string) {
		s.Helper()
		got, err := s.NextDue(s.ctx, except...)
		s.ok(err)
		if !got.Equal(want) {
			s.Errorf("%s: due %v, want %v", what, got, want)
		}
	}
	next("all", start)
	next("without the full one", after(time.Minute), "shop/main")
	next("without any", time.Time{}, "shop/main", "shop/spare", "lab/main", "who/knows")
	claim("without two", 9, []string{"1@x.test"}, "shop/main", "shop/spare")
	claim("without one", 9, []string{"0@x.test", "2@x.test"}, "shop/main")
	claim("without all that is left", 9, nil, "shop/main")
	next("the full one alone is left", time.Time{}, "shop/main")
	claim("the full one", 2, []string{"full@x.test", "full@x.test"}, "shop/spare")
}

// leaseEnds expects a lease to end at its time, and by Conclude.
func leaseEnds(s *suite) {
	m := s.put(start, "a@x.test")
	s.claim(start, 1)
	equal(s, "held", len(s.claim(after(10*time.Minute-1), 1)), 0)
	equal(s, "ended", len(s.claim(after(10*time.Minute), 1)), 1)
	s.conclude(mail.Outcome{Message: m.ID, Index: 1, At: start, Status: mail.Deferred, Attempted: true, Next: after(time.Second)})
	equal(s, "concluded", len(s.claim(after(time.Second), 1)), 1)
}

// putStarted puts a delivery whose first try begins at once: it is its putter's.
func putStarted(s *suite) {
	m, ds := s.message(start, "a@x.test", "b@x.test")
	ds[0].Started = start
	s.ok(s.Put(s.ctx, m, ds, empty))
	equal(s, "claimed", recipients(s.claim(after(240*time.Hour), 9)), []string{"b@x.test"})
	s.sent(m.ID, 1, after(time.Second))
	if d := s.delivery(m.ID, 1); d.Uncertain || d.Attempts != 1 {
		s.Errorf("sent: %+v", d)
	}
	s.reopen()
	if d := s.delivery(m.ID, 1); d.Uncertain || d.Status != mail.Sent {
		s.Errorf("sent, after a restart: %+v", d)
	}
}

// putHeld keeps a delivery from being claimed from before it is put, until it is
// released or its process ends; nothing about it is uncertain.
func putHeld(s *suite) {
	for _, end := range []func([]mail.Delivery){s.Release, func([]mail.Delivery) { s.reopen() }} {
		m, ds := s.message(start, "a@x.test", "b@x.test")
		s.Hold(ds[:1])
		s.ok(s.Put(s.ctx, m, ds, empty))
		equal(s, "claimed", recipients(s.claim(after(240*time.Hour), 9)), []string{"b@x.test"})
		s.sent(m.ID, 2, after(time.Second))
		end(ds[:1])
		got := s.claim(start, 9)
		if len(got) != 1 || got[0].Index != 1 || got[0].Uncertain {
			s.Errorf("claimed once nobody holds it: %+v", got)
		}
		s.sent(m.ID, 1, after(time.Second))
	}
}

// releaseStarted gives back a delivery that was put as begun and was not: it is
// not uncertain.
func releaseStarted(s *suite) {
	m, ds := s.message(start, "a@x.test")
	ds[0].Started = start
	s.ok(s.Put(s.ctx, m, ds, empty))
	s.Release(ds)
	s.reopen() // waits for what Release may do behind its caller
	got := s.claim(start, 1)
	if len(got) != 1 || got[0].Uncertain || !got[0].Started.IsZero() {
		s.Errorf("claimed %+v", got)
	}
}

// uncertain restarts while tries run.
func uncertain(s *suite) {
	m, ds := s.message(start, "a@x.test", "b@x.test", "c@x.test")
	ds[0].Started = start
	s.ok(s.Put(s.ctx, m, ds, empty))
	claimed := s.claim(start, 1)
	equal(s, "claimed", recipients(claimed), []string{"b@x.test"})
	s.ok(s.Start(s.ctx, start, claimed))
	s.claim(start, 1) // c: claimed, not begun

	s.reopen()
	got := s.claim(start, 9)
	equal(s, "all come back", len(got), 3)
	for _, d := range got {
		if d.Uncertain != (d.Recipient != "c@x.test") || !d.Started.IsZero() {
			s.Errorf("after a restart: %+v", d)
		}
	}
	s.ok(s.Start(s.ctx, after(time.Minute), got[:1]))
	for _, d := range got {
		s.sent(d.Message, d.Index, after(time.Hour))
	}
	for i := 1; i <= 3; i++ {
		equal(s, "uncertain for good", s.delivery(m.ID, i).Uncertain, i < 3)
	}
}

// startEnded begins a try of what has ended meanwhile: nothing may be sent.
func startEnded(s *suite) {
	m := s.put(start, "a@x.test", "b@x.test")
	ds := s.claim(start, 2)
	s.conclude(mail.Outcome{Message: m.ID, Index: 2, At: start, Status: mail.Failed, Kind: mail.KindFailed, Text: "dropped"})
	if err := s.Start(s.ctx, start, ds); err == nil {
		s.Error("started a delivery that was dropped")
	}
	if d := s.delivery(m.ID, 1); !d.Started.IsZero() {
		s.Errorf("its neighbour was marked: %+v", d)
	}
}

// held holds deliveries with and without a time.
func held(s *suite) {
	m := s.put(start, "a@x.test", "b@x.test", "c@x.test", "d@x.test")
	ds := s.claim(start, 4)
	equal(s, "claimed", len(ds), 4)
	hold := func(index int, reason string, next time.Time) {
		s.Helper()
		s.conclude(mail.Outcome{Message: m.ID, Index: index, At: start, Status: mail.Held, Reason: reason, Next: next, Kind: mail.KindHeld, Text: reason})
	}
	hold(1, mail.HoldOperator, time.Time{})
	hold(2, mail.HoldQuota, after(2*time.Hour))
	hold(3, mail.HoldAuth, time.Time{})
	s.conclude(mail.Outcome{Message: m.ID, Index: 4, At: start, Status: mail.Deferred, Attempted: true, Next: after(time.Hour)})

	equal(s, "queue", recipients(all(s, s.Unfinished(s.ctx))), []string{"d@x.test", "b@x.test", "a@x.test", "c@x.test"})
	d := s.delivery(m.ID, 1)
	if d.Status != mail.Held || d.Reason != mail.HoldOperator || !d.NextAttempt.IsZero() || !d.HeldSince.Equal(start) {
		s.Errorf("held: %+v", d)
	}
	equal(s, "due for ever", recipients(s.claim(after(9999*time.Hour), 9)), []string{"d@x.test", "b@x.test"})

	s.reopen()
	s.conclude(mail.Outcome{Message: m.ID, Index: 3, At: after(time.Minute), Status: mail.Queued, Next: after(time.Minute)})
	s.conclude(mail.Outcome{Message: m.ID, Index: 1, At: after(2 * time.Minute), Status: mail.Queued}) // at once, though no time is given
	equal(s, "let go", recipients(s.claim(after(2*time.Minute), 9)), []string{"c@x.test", "a@x.test"})
	if d := s.delivery(m.ID, 1); d.HeldFor != 2*time.Minute || d.Reason != "" {
		s.Errorf("let go: %+v", d)
	}
}

// nextDue expects the first time at which there is something to claim.
func nextDue(s *suite) {
	want := func(what string, want time.Time) {
		s.Helper()
		got, err := s.NextDue(s.ctx)
		s.ok(err)
		if !got.Equal(want) {
			s.Errorf("%s: due %v, want %v", what, got, want)
		}
	}
	want("empty", time.Time{})
	m := s.put(start, "a@x.test", "b@x.test")
	want("queued", start)
	ds := s.claim(start, 1)
	want("one claimed", start)
	s.conclude(mail.Outcome{Message: m.ID, Index: 2, At: start, Status: mail.Deferred, Attempted: true, Next: after(time.Hour)})
	want("one claimed, one later", after(time.Hour))
	s.Release(ds)
	want("released", start)
	s.sent(m.ID, 1, start)
	want("sent", after(time.Hour))
	s.conclude(mail.Outcome{Message: m.ID, Index: 2, At: start, Status: mail.Held, Reason: mail.HoldOperator})
	want("held", time.Time{})
}

// concludeAllOrNone concludes several of which one is not there.
func concludeAllOrNone(s *suite) {
	m := s.put(start, "a@x.test")
	err := s.Conclude(s.ctx, []mail.Outcome{
		{Message: m.ID, Index: 1, At: start, Status: mail.Sent, Kind: mail.KindSent},
		{Message: m.ID, Index: 2, At: start, Status: mail.Sent, Kind: mail.KindSent},
	})
	if err == nil {
		s.Error("concluded a delivery that is not there")
	}
	equal(s, "status", s.delivery(m.ID, 1).Status, mail.Queued)
	equal(s, "events", s.kinds(m.ID), []mail.Kind{mail.KindAccepted})
	equal(s, "usage", len(all(s, s.Usage(s.ctx))), 0)
	s.ok(s.Conclude(s.ctx, nil))
}

// concludeLetters puts notices with the outcomes that they are about, once.
func concludeLetters(s *suite) {
	m := s.put(start, "a@x.test")
	about := func(to ...string) mail.Letter {
		n, _ := s.message(start, to...)
		return mail.Letter{Message: n, Content: []byte("Subject: notice\r\n\r\n")}
	}
	letter := about("sender@x.test")
	failed := mail.Outcome{Message: m.ID, Index: 1, At: start, Status: mail.Failed, Kind: mail.KindFailed, Notice: letter.Message.ID.String()}
	gone, _ := s.message(start, "x@x.test")
	if err := s.Conclude(s.ctx, []mail.Outcome{failed, {Message: gone.ID, Index: 1, At: start}}, letter); err == nil {
		s.Error("concluded a delivery that is not there")
	}
	if _, err := s.Message(s.ctx, letter.Message.ID); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("a notice of nothing: %v", err)
	}
	s.claim(start, 10)
	for range 2 { // as when nobody knows whether the first was done
		s.ok(s.Conclude(s.ctx, []mail.Outcome{failed}, letter))
	}
	equal(s, "notice", s.delivery(m.ID, 1).Notice, letter.Message.ID)
	equal(s, "due", recipients(s.claim(start, 10)), []string{"sender@x.test"})
	equal(s, "content", string(s.content(letter.Message.ID)), string(letter.Content))
	equal(s, "events", s.kinds(letter.Message.ID), []mail.Kind{mail.KindAccepted})
}

// reopen expects everything to outlive a restart.
func reopen(s *suite) {
	m := s.put(start, "a@x.test", "b@x.test")
	s.claim(start, 2)
	s.sent(m.ID, 1, start)
	s.conclude(mail.Outcome{Message: m.ID, Index: 2, At: start, Status: mail.Deferred, Attempted: true, Reply: "450 busy",
		Next: after(time.Minute), Kind: mail.KindDeferred, Text: "450 busy"})
	s.record(mail.Event{Time: after(time.Second), Kind: mail.KindOpen, Message: m.ID, Recipient: 1, Class: mail.Proxy})
	before, err := s.Message(s.ctx, m.ID)
	s.ok(err)
	events := all(s, s.Events(s.ctx, store.EventFilter{}))
	s.reopen()
	row, err := s.Message(s.ctx, m.ID)
	s.ok(err)
	equal(s, "message", fmt.Sprintf("%+v %+v", *row.Message, row.Deliveries), fmt.Sprintf("%+v %+v", *before.Message, before.Deliveries))
	equal(s, "events", all(s, s.Events(s.ctx, store.EventFilter{})), events)
	equal(s, "due", recipients(s.claim(after(time.Minute), 9)), []string{"b@x.test"})
	s.ok(s.Healthy())
}

// isolation mixes bad operations among good ones that share commits.
func isolation(s *suite) {
	known := s.put(start, "a@x.test")
	s.sent(known.ID, 1, start)
	type result struct {
		good bool
		err  error
	}
	const n = 200
	results := make(chan result, n)
	for i := range n {
		m, ds := s.message(start, "a@x.test")
		go func() {
			switch i % 4 {
			case 0:
				results <- result{true, s.Put(s.ctx, m, ds, content(m))}
			case 1:
				results <- result{true, s.Record(s.ctx, mail.Event{Time: start, Kind: mail.KindOpen, Message: known.ID, Recipient: 1})[0]}
			case 2:
				results <- result{false, s.Conclude(s.ctx, []mail.Outcome{{Message: known.ID, Index: 1, At: start, Status: mail.Sent}, {Message: m.ID, Index: 1}})}
			case 3:
				m.ID, ds[0].Message = known.ID, known.ID
				results <- result{false, s.Put(s.ctx, m, ds, empty)}
			}
		}()
	}
	for range n {
		if r := <-results; r.good != (r.err == nil) {
			s.Errorf("good %v: %v", r.good, r.err)
		}
	}
	equal(s, "messages", len(all(s, s.Messages(s.ctx, store.Filter{}))), 1+n/4)
	d := s.delivery(known.ID, 1)
	equal(s, "opens", d.Tally.Opens, n/4)
	equal(s, "status", d.Status, mail.Opened)
	s.ok(s.Healthy())
}
