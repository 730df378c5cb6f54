package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/relay/queue"
	"backstamp/store/bolt"
)

// upstream takes mail, but says later to the first try of every third
// recipient, and refuses those called nobody.
type upstream struct {
	mu    sync.Mutex
	tries map[string]int // by message and recipient
	taken map[string]int
}

func (u *upstream) Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	as := make([]mail.Attempt, len(t.Recipients))
	if err := t.Started(ctx); err != nil {
		for i := range as {
			as[i] = mail.Attempt{Err: err, Class: mail.ClassTemporary}
		}
		return as
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, rcpt := range t.Recipients {
		k := fmt.Sprint(t.Message, rcpt)
		u.tries[k]++
		switch {
		case rcpt == "nobody@x.test":
			as[i] = mail.Attempt{Reply: mail.Reply{Code: 550, Lines: []string{"5.1.1 no"}}, Class: mail.ClassRecipient}
		case len(u.tries)%3 == 0 && u.tries[k] == 1:
			as[i] = mail.Attempt{Reply: mail.Reply{Code: 451, Lines: []string{"4.3.0 later"}}, Class: mail.ClassTemporary}
		default:
			u.taken[k]++
			as[i] = mail.Attempt{Reply: mail.Reply{Code: 250}}
		}
	}
	return as
}

type same struct{}

func (same) Render(_ *mail.Message, content mail.Content, _ int, _ string) (mail.Copy, error) {
	b, err := io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
	return bytesCopy(b), err
}

type bytesCopy []byte

func (c bytesCopy) WriteTo(w io.Writer) (int64, error) { n, err := w.Write(c); return int64(n), err }
func (c bytesCopy) Size() int64                        { return int64(len(c)) }
func (c bytesCopy) MailFrom() string                   { return "" }
func (c bytesCopy) EightBit() bool                     { return false }
func (c bytesCopy) UTF8() bool                         { return false }
func (c bytesCopy) SevenBit() (mail.Copy, error)       { return c, nil }

// The queue on the store that it is used with, from many senders at once, over
// a restart, and with the operator asking for what was deferred.
func TestWithBolt(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	u := &upstream{tries: map[string]int{}, taken: map[string]int{}}
	routes := queue.Routes{Providers: map[string]queue.Route{"shop/main": {Provider: u}}, Renderer: same{}}
	open := func() (*bolt.Store, *queue.Queue, func()) {
		st, err := bolt.Open(dir, bolt.Options{Clock: clock.System{}, Log: log, Create: true})
		if err != nil {
			t.Fatal(err)
		}
		q := queue.New(st, queue.Settings{}, clock.System{}, log, nil)
		q.SetRoutes(routes)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- q.Run(ctx) }()
		return st, q, func() {
			end()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}
	}

	_, q, end := open()
	var ids mail.IDs
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for i := range 20 {
				now := time.Now()
				m := &mail.Message{
					ID: ids.Next(now), Received: now, Account: "shop", Provider: "shop/main", Tracked: i%2 == 0,
					Recipients: []string{"a@x.test", "b@x.test", "nobody@x.test"},
				}
				if err := q.Put(t.Context(), m, loose{bytes.NewReader([]byte("Subject: x\r\n\r\nhi\r\n"))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	end()

	st, q, end := open()
	defer func() { end() }()
	for {
		changed := st.Watch()
		if _, err := q.Retry(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := 0
		for d, err := range st.Unfinished(t.Context()) {
			if left++; err != nil {
				t.Fatal(err, d)
			}
		}
		if left == 0 {
			break
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d deliveries do not end", left)
		}
	}
	if len(u.tries) != 240 || len(u.taken) != 160 {
		t.Errorf("%d recipients tried and %d taken, want 240 and 160", len(u.tries), len(u.taken))
	}
	for k, n := range u.taken {
		if n != 1 {
			t.Errorf("%s was taken %d times", k, n)
		}
	}
}

// loose is content that nobody need let go of.
type loose struct{ *bytes.Reader }

func (loose) Close() error { return nil }
