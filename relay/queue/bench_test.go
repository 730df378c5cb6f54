package queue_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/relay/queue"
	"backstamp/store/bolt"
)

// A sink takes everything at once.
type sink struct{ wg *sync.WaitGroup }

func (s sink) Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	t.Started(ctx)
	as := make([]mail.Attempt, len(t.Recipients))
	for i := range as {
		as[i] = mail.Attempt{Reply: mail.Reply{Code: 250}}
		s.wg.Done()
	}
	return as
}

// BenchmarkPutToSent is the queue and its store alone: 4 KiB messages from many
// senders to a provider that needs no time.
func BenchmarkPutToSent(b *testing.B) {
	st, err := bolt.Open(b.TempDir(), bolt.Options{Create: true})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	var wg sync.WaitGroup
	q := queue.New(st, queue.Settings{}, clock.System{}, slog.New(slog.DiscardHandler), nil)
	q.SetRoutes(queue.Routes{Providers: map[string]queue.Route{"shop/main": {Provider: sink{&wg}, Connections: 20}}, Renderer: same{}})
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- q.Run(ctx) }()
	content := loose{bytes.NewReader(make([]byte, 4096))}
	var ids mail.IDs
	wg.Add(b.N)
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := time.Now()
			m := &mail.Message{ID: ids.Next(now), Received: now, Account: "shop", Provider: "shop/main", Recipients: []string{"a@x.test"}}
			if err := q.Put(ctx, m, content); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sent/s")
	b.StopTimer()
	end()
	<-ended
}
