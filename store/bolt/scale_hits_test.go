package bolt

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"backstamp/mail"
	"backstamp/store"
)

// TestScaleOfHits fills a store with sent messages, each with an open and two
// clicks, 10 times as many in each round: what messages, show and status read
// takes no longer because of them. BACKSTAMP_TEST_MESSAGES is how many there are
// in the last round; the default is 10000.
func TestScaleOfHits(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures")
	}
	most := 10_000
	if n, err := strconv.Atoi(os.Getenv("BACKSTAMP_TEST_MESSAGES")); err == nil {
		most = n
	}
	s := opened(t, t.TempDir(), Options{Create: true})
	sc := &scale{ctx: t.Context(), took: map[string][]time.Duration{}}
	var last mail.ID
	size := func() (used int64) { // but free pages
		err := s.db.View(func(t *bbolt.Tx) error {
			used = t.Size() - int64(s.db.Stats().FreePageN+s.db.Stats().PendingPageN)*int64(s.db.Info().PageSize)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return used
	}
	for have, want := 0, 1000; want <= most; have, want = want, want*10 {
		before := size()
		ids := make([]mail.ID, want-have)
		spreadOver(ids, func(i int) error {
			m, ds := aMessage(&sc.ids)
			ids[i] = m.ID
			if err := s.Put(sc.ctx, m, ds, bytes.NewReader(smallBody)); err != nil {
				return err
			}
			return s.Conclude(sc.ctx, []mail.Outcome{{Message: m.ID, Index: 1, At: begin, Status: mail.Sent, Kind: mail.KindSent, Text: "250 ok"}})
		}, t)
		filled := size()
		spreadOver(ids, func(i int) error {
			e := mail.Event{Time: begin, Kind: mail.KindOpen, Message: ids[i], Recipient: 1, Class: mail.Human, Rule: "browser", Method: "GET", IP: "203.0.113.0/24",
				UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"}
			err := s.Record(sc.ctx, e)[0]
			for e.Link = 1; e.Link <= 2 && err == nil; e.Link++ {
				e.Kind = mail.KindClick
				err = s.Record(sc.ctx, e)[0]
			}
			return err
		}, t)
		last = ids[len(ids)-1]
		n := int64(want - have)
		text := fmt.Sprintf("%7d messages: %d MiB used, %d octets a message, %d a hit;", want, size()>>20, (filled-before)/n, (size()-filled)/(3*n))
		for name, read := range map[string]func() error{
			"messages": func() (err error) {
				for _, err = range s.Messages(sc.ctx, store.Filter{Limit: 100}) {
				}
				return err
			},
			"show": func() error {
				_, err := s.Message(sc.ctx, last)
				for _, e := range s.Events(sc.ctx, store.EventFilter{Message: last}) {
					err = e
				}
				return err
			},
			"status": func() (err error) {
				for _, err = range s.Usage(sc.ctx) {
				}
				return err
			},
		} {
			best := time.Hour
			for range 15 {
				start := time.Now()
				if err := read(); err != nil {
					t.Fatal(err)
				}
				best = min(best, time.Since(start))
			}
			sc.took[name] = append(sc.took[name], best)
			text += fmt.Sprintf(" %s %v", name, best.Round(time.Microsecond))
		}
		t.Log(text)
	}
	for name, all := range sc.took {
		if first := all[0]; all[len(all)-1] > 5*first && all[len(all)-1] > 20*time.Millisecond {
			t.Errorf("%s: %v, flat is %v", name, all, first)
		}
	}
}

// spreadOver calls f with each index, from many goroutines.
func spreadOver(ids []mail.ID, f func(i int) error, t *testing.T) {
	t.Helper()
	work := make(chan int)
	var wait sync.WaitGroup
	for range 256 {
		wait.Go(func() {
			for i := range work {
				if err := f(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range ids {
		work <- i
	}
	close(work)
	wait.Wait()
}
