package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// day is a unit of retention.
const day = 24 * time.Hour

// expire deletes what is old and says how much is gone.
func (s *suite) expire(now time.Time, r store.Retention) string {
	s.Helper()
	gone, err := s.Expire(s.ctx, now, r)
	s.ok(err)
	return fmt.Sprintf("%d contents, %d events", gone.Contents, gone.Events)
}

// expireContent expects the content of old messages to go and everything that
// counts to stay; nothing of a message that still waits goes, however old.
func expireContent(s *suite) {
	put := func(at time.Time, size int) *mail.Message {
		m, ds := s.message(at, "a@x.test", "b@x.test")
		m.Tracked = true
		m.Detail = mail.Detail{Plan: []byte("plan"), Transcript: []string{"C: EHLO"}, Quirks: []string{"bare-lf"}}
		s.ok(s.Put(s.ctx, m, ds, bytes.NewReader(pattern(size))))
		return m
	}
	small, large, waits, young := put(start, 100), put(start, 100<<10), put(start, 100<<10), put(after(day), 100)
	for i := 1; i <= 2; i++ {
		s.sent(small.ID, i, after(time.Minute))
		s.sent(large.ID, i, after(time.Minute))
		s.sent(young.ID, i, after(day))
	}
	s.sent(waits.ID, 1, after(time.Minute))
	s.record(mail.Event{Time: after(time.Hour), Kind: mail.KindOpen, Message: small.ID, Recipient: 1, Class: mail.Human})

	keep := store.Retention{Content: 30 * day}
	equal(s, "a moment before", s.expire(after(30*day), keep), "0 contents, 0 events")
	equal(s, "when its time is over", s.expire(after(30*day+1), keep), "2 contents, 0 events")
	equal(s, "again", s.expire(after(30*day+1), keep), "0 contents, 0 events")
	for range 2 {
		for _, m := range []*mail.Message{small, large} {
			checkExpired(s, m)
		}
		for _, m := range []*mail.Message{waits, young} {
			row, err := s.Message(s.ctx, m.ID)
			s.ok(err)
			equal(s, "what is kept of it", fmt.Sprintf("%v %s %v", row.Message.Expired, row.Message.Detail.Plan, row.Message.Detail.Transcript), "false plan [C: EHLO]")
			s.content(m.ID)
		}
		s.reopen()
	}
	equal(s, "opens", s.delivery(small.ID, 1).Tally.Opens, 1)
	s.record(mail.Event{Time: after(40 * day), Kind: mail.KindOpen, Message: small.ID, Recipient: 1, Class: mail.Human})
	equal(s, "opens, with one that came later", s.delivery(small.ID, 1).Tally.Opens, 2)
	equal(s, "usage", fmt.Sprint(all(s, s.Usage(s.ctx))[0].Recipients), "5")

	s.conclude(mail.Outcome{Message: waits.ID, Index: 2, At: after(50 * day), Status: mail.Failed, Kind: mail.KindFailed})
	equal(s, "when it was over", s.expire(after(50*day), keep), "2 contents, 0 events")
	checkExpired(s, waits)
}

func checkExpired(s *suite, m *mail.Message) {
	s.Helper()
	if _, err := s.Content(s.ctx, m.ID); !errors.Is(err, store.ErrExpired) {
		s.Errorf("content: %v, want ErrExpired", err)
	}
	row, err := s.Message(s.ctx, m.ID)
	s.ok(err)
	g := row.Message
	equal(s, "what is left of it", fmt.Sprintf("%v %v %q %q %v %v", g.Expired, g.Tracked, g.Subject, g.Detail.Plan, g.Detail.Transcript, g.Detail.Quirks),
		fmt.Sprintf("true true %q \"\" [] [bare-lf]", m.Subject))
	equal(s, "deliveries", len(row.Deliveries), 2)
}

// expireEvents expects old events to go, those of messages that still wait
// excepted, and the log to go on.
func expireEvents(s *suite) {
	done, waits := s.put(start, "a@x.test"), s.put(start, "b@x.test")
	s.sent(done.ID, 1, after(time.Hour))
	s.record(mail.Event{Time: after(day), Kind: mail.KindOpen, Message: done.ID, Recipient: 1, Class: mail.Human})
	keep := store.Retention{Events: 400 * day}
	equal(s, "a moment before", s.expire(after(400*day), keep), "0 contents, 0 events")
	equal(s, "two", s.expire(after(400*day+2*time.Hour), keep), "0 contents, 2 events")
	equal(s, "left of it", s.kinds(done.ID), []mail.Kind{mail.KindOpen})
	equal(s, "left of what waits", s.kinds(waits.ID), []mail.Kind{mail.KindAccepted})
	equal(s, "the last", s.expire(after(999*day), keep), "0 contents, 1 events")
	equal(s, "counted", s.delivery(done.ID, 1).Tally.Opens, 1)
	equal(s, "content", len(s.content(done.ID)) > 0, true)
	s.record(mail.Event{Time: after(2 * day), Kind: mail.KindOpen, Message: done.ID, Recipient: 1, Class: mail.Human})
	equal(s, "the log goes on", s.kinds(done.ID), []mail.Kind{mail.KindOpen})
}

// expireNothing expects that zero keeps for ever.
func expireNothing(s *suite) {
	m := s.put(start, "a@x.test")
	s.sent(m.ID, 1, start)
	equal(s, "for ever", s.expire(after(99999*day), store.Retention{}), "0 contents, 0 events")
	equal(s, "content", len(s.content(m.ID)) > 0, true)
}

// expireMany deletes more than a backend may look at in a step, around many
// that stay, and lets mail in meanwhile.
func expireMany(s *suite) {
	const n = 600
	for i := range n {
		m := s.put(start, "a@x.test")
		if i%3 > 0 {
			s.sent(m.ID, 1, start)
		}
	}
	ended := make(chan error)
	go func() {
		for range 20 {
			m, ds := s.message(after(500*day), "b@x.test")
			if err := s.Put(s.ctx, m, ds, content(m)); err != nil {
				ended <- err
			}
		}
		close(ended)
	}()
	equal(s, "gone", s.expire(after(500*day), store.Retention{Content: day, Events: day}), fmt.Sprintf("%d contents, %d events", n/3*2, n/3*2*2))
	s.ok(<-ended)
	equal(s, "waiting", len(all(s, s.Unfinished(s.ctx))), n/3+20)
	for _, d := range all(s, s.Unfinished(s.ctx)) {
		s.content(d.Message)
	}
}
