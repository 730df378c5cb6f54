package queue_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/relay/queue"
	"backstamp/store/bolt"
)

// A tap is an upstream that is down until it is opened.
type tap struct {
	open  chan struct{}
	taken atomic.Int64
}

func (u *tap) Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	as := make([]mail.Attempt, len(t.Recipients))
	select {
	case <-u.open:
	case <-ctx.Done():
		for i := range as {
			as[i] = mail.Attempt{Err: ctx.Err(), Class: mail.ClassTemporary}
		}
		return as
	}
	t.Started(ctx)
	for i := range as {
		as[i] = mail.Attempt{Reply: mail.Reply{Code: 250}}
	}
	u.taken.Add(int64(len(as)))
	return as
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// drained is how many messages of a long queue are waited for.
const drained = 20_000

// A long queue for a provider that is down costs neither memory nor speed, holds
// nobody else up, and drains when the provider is back: of a very long one, the
// first part is waited for. BACKSTAMP_TEST_QUEUE sets how long it is.
func TestLongQueue(t *testing.T) {
	messages := 3200
	if n, err := strconv.Atoi(os.Getenv("BACKSTAMP_TEST_QUEUE")); err == nil {
		messages = n
	}
	log := slog.New(slog.DiscardHandler)
	st, err := bolt.Open(t.TempDir(), bolt.Options{Log: log, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	down, up := &tap{open: make(chan struct{})}, &tap{open: make(chan struct{})}
	close(up.open)
	q := queue.New(st, queue.Settings{Backlog: 2000}, clock.System{}, log, nil)
	q.SetRoutes(queue.Routes{Renderer: same{}, Providers: map[string]queue.Route{
		"shop/main": {Provider: down, Connections: 20}, "blog/main": {Provider: up},
	}})
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- q.Run(ctx) }()

	var ids mail.IDs
	content := loose{bytes.NewReader(make([]byte, 2048))}
	put := func(provider string) {
		now := time.Now()
		m := &mail.Message{ID: ids.Next(now), Received: now, Account: "shop", Provider: provider, Recipients: []string{"a@x.test"}}
		if err := q.Put(ctx, m, content); err != nil {
			t.Error(err)
		}
	}
	fill := func(n int) (perSecond float64) {
		begin := time.Now()
		var senders sync.WaitGroup
		for range 32 {
			senders.Go(func() {
				for range n / 32 {
					put("shop/main")
				}
			})
		}
		senders.Wait()
		return float64(n) / time.Since(begin).Seconds()
	}
	first := fill(messages / 10)
	before := heap()
	var last float64
	for range 9 {
		last = fill(messages / 10)
	}
	grown := heap() - before
	begin := time.Now()
	put("blog/main")
	for up.taken.Load() == 0 && time.Since(begin) < 10*time.Second {
		runtime.Gosched()
	}
	other := time.Since(begin)
	begin = time.Now()
	close(down.open)
	total := int64(messages / 10 / 32 * 32 * 10)
	part := min(total, drained)
	for stuck := time.After(5 * time.Minute); ; {
		changed := st.Watch()
		if down.taken.Load() >= part {
			break
		}
		select {
		case <-changed:
		case <-stuck:
			t.Fatalf("%d of %d came", down.taken.Load(), part)
		}
	}
	t.Logf("%d messages: accepted at %.0f/s, then at %.0f/s; heap grew by %d KiB; another provider's mail took %v; the first %d drained at %.0f/s",
		total, first, last, grown>>10, other, part, float64(part)/time.Since(begin).Seconds())
	if grown > 16<<20 { // a million leave bbolt a list of free pages of 10 MiB
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	if other > 5*time.Second {
		t.Errorf("mail for another provider took %v", other)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
