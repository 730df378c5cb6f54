package storetest

import (
	"sync"
	"sync/atomic"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// concurrent lets everybody work at once and then counts.
func concurrent(s *suite) {
	const putters, each = 8, 20
	ids := make(chan mail.ID, putters*each)
	var work sync.WaitGroup
	for range putters {
		work.Go(func() {
			for range each {
				m, ds := s.message(start, "a@x.test", "b@x.test")
				if err := s.Put(s.ctx, m, ds, content(m)); err != nil {
					s.Error(err)
				}
				ids <- m.ID
			}
		})
	}
	for range 3 {
		work.Go(func() {
			for range each {
				for _, err := range s.Messages(s.ctx, store.Filter{Limit: 10}) {
					if err != nil {
						s.Error(err)
					}
				}
			}
		})
	}
	work.Go(func() {
		for range putters * each {
			id := <-ids
			for recipient := 1; recipient <= 2; recipient++ {
				if err := s.Conclude(s.ctx, []mail.Outcome{{Message: id, Index: recipient, At: start, Status: mail.Sent}}); err != nil {
					s.Error(err)
				}
				if err := s.Record(s.ctx, mail.Event{Time: start, Kind: mail.KindOpen, Message: id, Recipient: recipient, Class: mail.Proxy}); err != nil {
					s.Error(err)
				}
			}
		}
	})
	work.Wait()
	rows := all(s, s.Messages(s.ctx, store.Filter{Status: mail.Opened}))
	equal(s, "messages", len(rows), putters*each)
	equal(s, "opens", len(all(s, s.Events(s.ctx, store.EventFilter{Kind: mail.KindOpen}))), putters*each*2)
	for _, r := range rows {
		equal(s, "content", string(s.content(r.Message.ID)), text(r.Message))
	}
}

// claimRace lets several claim and conclude: nothing is tried by two at a time,
// and nothing after it was sent.
func claimRace(s *suite) {
	const n = 120
	for range n {
		s.put(start, "a@x.test")
	}
	var held sync.Map
	var sent atomic.Int32
	var work sync.WaitGroup
	for range 6 {
		work.Go(func() {
			for {
				ds, err := s.Claim(s.ctx, after(time.Minute), 3, time.Hour)
				if err != nil {
					s.Error(err)
				}
				if len(ds) == 0 {
					return
				}
				for _, d := range ds {
					if _, twice := held.LoadOrStore(d.Message, true); twice {
						s.Errorf("delivery of %s was claimed twice", d.Message)
					}
					err := s.Conclude(s.ctx, []mail.Outcome{{Message: d.Message, Index: 1, At: start, Status: mail.Sent, Attempted: true}})
					if err != nil {
						s.Error(err)
					}
					sent.Add(1)
				}
			}
		})
	}
	work.Wait()
	equal(s, "sent", sent.Load(), n)
}
