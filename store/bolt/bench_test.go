package bolt

import (
	"fmt"
	"sync"
	"testing"

	"backstamp/mail"
)

// BenchmarkPut puts messages of 10 KiB.
func BenchmarkPut(b *testing.B) {
	for _, producers := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			s := opened(b, b.TempDir(), Options{Create: true})
			var ids mail.IDs
			plan := make([]byte, 500)
			spread(b, producers, func() error {
				m, ds := aMessage(&ids)
				m.Detail.Plan = plan
				return s.Put(b.Context(), m, ds, octets(10<<10))
			})
		})
	}
}

// BenchmarkRecord records opens of one message each.
func BenchmarkRecord(b *testing.B) {
	for _, producers := range []int{1, 50} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			s := opened(b, b.TempDir(), Options{Create: true})
			m, ds := aMessage(new(mail.IDs))
			if err := s.Put(b.Context(), m, ds, octets(0)); err != nil {
				b.Fatal(err)
			}
			spread(b, producers, func() error {
				return s.Record(b.Context(), mail.Event{Time: begin, Kind: mail.KindOpen, Message: m.ID, Recipient: 1, Class: mail.Human})[0]
			})
		})
	}
}

// BenchmarkJourney puts, claims, starts and concludes.
func BenchmarkJourney(b *testing.B) {
	s := opened(b, b.TempDir(), Options{Create: true})
	var ids mail.IDs
	spread(b, 50, func() error {
		m, ds := aMessage(&ids)
		ds[0].Started = begin
		if err := s.Put(b.Context(), m, ds, octets(10<<10)); err != nil {
			return err
		}
		return s.Conclude(b.Context(), []mail.Outcome{{Message: m.ID, Index: 1, At: begin, Status: mail.Sent,
			Attempted: true, Reply: "250 ok", Kind: mail.KindSent, Text: "250 ok"}})
	})
}

// spread runs f b.N times in all, from several goroutines.
func spread(b *testing.B, producers int, f func() error) {
	b.Helper()
	work := make(chan struct{})
	var wait sync.WaitGroup
	for range producers {
		wait.Go(func() {
			for range work {
				if err := f(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ResetTimer()
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	wait.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}
