package storetest

import (
	"cmp"
	"slices"
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
				if err := s.Record(s.ctx, mail.Event{Time: start, Kind: mail.KindOpen, Message: id, Recipient: recipient, Class: mail.Proxy})[0]; err != nil {
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

// A holder is one claim of a delivery by one of the queues.
type holder struct {
	queue       int
	from, until time.Duration // of its lease, by the clock of the test
	died        bool          // it never said what became of it
}

// twoQueues has two queues work on one store, after a first that died for good
// with what it held; they too now and then never say what became of a claim.
// While a lease lives nobody else gets its delivery; when it has ended another
// takes over, and all is sent, each once.
func twoQueues(s *suite) {
	const n, lease = 60, 10 * time.Second
	for range n {
		s.put(start, "a@x.test")
	}
	var sent atomic.Int32
	var now time.Duration // moves while neither queue has anything in hand
	var hands sync.RWMutex
	var mu sync.Mutex
	held := map[mail.ID][]holder{}
	dead, err := s.Claim(s.ctx, start, 5, lease)
	s.ok(err)
	for _, d := range dead {
		held[d.Message] = []holder{{0, 0, lease, true}}
	}
	var work sync.WaitGroup
	for queue := 1; queue <= 2; queue++ {
		work.Go(func() {
			for claims := 0; sent.Load() < n; claims++ {
				hands.RLock()
				at := now
				ds, err := s.Claim(s.ctx, after(at), 4, lease)
				if err != nil || at > time.Hour {
					s.Errorf("%d of %d sent after %v: %v", sent.Load(), n, at, err)
					hands.RUnlock()
					return
				}
				died := claims%3 == 2
				for _, d := range ds {
					mu.Lock()
					held[d.Message] = append(held[d.Message], holder{queue, at, at + lease, died})
					mu.Unlock()
					if died {
						continue
					}
					err := s.Conclude(s.ctx, []mail.Outcome{{Message: d.Message, Index: 1, At: after(at), Status: mail.Sent, Attempted: true}})
					if err != nil {
						s.Error(err)
					}
					sent.Add(1)
				}
				hands.RUnlock()
				if len(ds) == 0 {
					hands.Lock()
					now += time.Second
					hands.Unlock()
				}
			}
		})
	}
	work.Wait()
	takenOver := 0
	for id, hs := range held {
		slices.SortFunc(hs, func(a, b holder) int { return cmp.Compare(a.from, b.from) })
		for i, h := range hs {
			if last := i == len(hs)-1; h.died == last {
				s.Errorf("delivery of %s: %+v", id, hs)
			}
			if i > 0 && h.from < hs[i-1].until {
				s.Errorf("delivery of %s was claimed while a lease on it lived: %+v", id, hs)
			}
			if i > 0 && h.queue != hs[i-1].queue {
				takenOver++
			}
		}
		equal(s, "attempts", s.delivery(id, 1).Attempts, 1)
	}
	equal(s, "deliveries that were held", len(held), n)
	equal(s, "sent", sent.Load(), n)
	if takenOver < 5 {
		s.Errorf("%d were taken over", takenOver)
	}
}
