package bolt

import (
	"fmt"
	"testing"
	"time"

	"backstamp/mail"
)

// BenchmarkClaim leases the 16 deliveries that are due first, and gives them
// back, from queues of different lengths.
func BenchmarkClaim(b *testing.B) {
	for _, queued := range []int{100, 2000} {
		b.Run(fmt.Sprintf("queued=%d", queued), func(b *testing.B) {
			s := opened(b, filled(b, queued), Options{})
			b.ReportAllocs()
			for b.Loop() {
				ds, err := s.Claim(b.Context(), begin.Add(time.Hour), 16, time.Minute)
				if err != nil || len(ds) != 16 {
					b.Fatal(len(ds), err)
				}
				s.Release(ds)
			}
		})
	}
}

// BenchmarkConclude starts and concludes deliveries that were put before, as a
// worker does, without the cost of Put.
func BenchmarkConclude(b *testing.B) {
	for _, workers := range []int{1, 50} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			s := opened(b, b.TempDir(), Options{Create: true})
			var ids mail.IDs
			waiting := make(chan mail.Delivery, b.N)
			spread(b, 50, func() error {
				m, ds := aMessage(&ids)
				waiting <- ds[0]
				return s.Put(b.Context(), m, ds, octets(100))
			})
			spread(b, workers, func() error {
				d := <-waiting
				if err := s.Start(b.Context(), begin, []mail.Delivery{d}); err != nil {
					return err
				}
				return s.Conclude(b.Context(), []mail.Outcome{{Message: d.Message, Index: d.Index, At: begin, Status: mail.Sent,
					Attempted: true, Reply: "250 ok", Kind: mail.KindSent, Text: "250 ok"}})
			})
		})
	}
}
