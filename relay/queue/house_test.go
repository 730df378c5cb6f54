package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/store"
)

// A house is a queue with a store, providers that follow a script, and the
// time of a synctest bubble.
type house struct {
	t     *testing.T
	store *memStore
	queue *Queue
	log   *syncBuffer
	begin time.Time
	ids   mail.IDs
	end   context.CancelFunc
	ended chan error
}

// inHouse runs f in a bubble, with the queue at work and no routes yet.
func inHouse(t *testing.T, s Settings, f func(t *testing.T, h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, store: newMemStore(), begin: time.Now()}
		h.open(s)
		defer h.close()
		f(t, h)
	})
}

// open starts a queue on the store, as a new process would.
func (h *house) open(s Settings) {
	if s.Rand == nil {
		s.Rand = func() float64 { return 0.5 } // no jitter
	}
	h.log = &syncBuffer{}
	h.queue = New(h.store, s, clock.System{}, slog.New(slog.NewTextHandler(h.log, nil)), nil)
	h.start()
}

func (h *house) start() {
	ctx, cancel := context.WithCancel(h.t.Context())
	h.end, h.ended = cancel, make(chan error, 1)
	go func() { h.ended <- h.queue.Run(ctx) }()
	synctest.Wait()
}

func (h *house) close() {
	h.t.Helper()
	h.end()
	if err := <-h.ended; err != nil {
		h.t.Errorf("Run: %v", err)
	}
}

// routes sets providers by name, all with credentials of their own.
func (h *house) routes(providers map[string]Provider) {
	r := Routes{Providers: map[string]Route{}, Renderer: plain{}}
	for name, p := range providers {
		r.Providers[name] = Route{Provider: p}
	}
	h.queue.SetRoutes(r)
	synctest.Wait()
}

// wait lets time pass, and all settle.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// message returns one that is not tracked, so that its copies are equal.
func (h *house) message(provider string, recipients ...string) *mail.Message {
	now := time.Now()
	account, _, _ := strings.Cut(provider, "/")
	return &mail.Message{ID: h.ids.Next(now), Received: now, Account: account, Provider: provider, Recipients: recipients}
}

// put hands in a message and lets all settle.
func (h *house) put(m *mail.Message) mail.ID {
	h.t.Helper()
	if err := h.queue.Put(h.t.Context(), m, sheet("Subject: x\r\n\r\nhi\r\n")); err != nil {
		h.t.Fatalf("Put: %v", err)
	}
	synctest.Wait()
	return m.ID
}

func (h *house) delivery(id mail.ID, index int) mail.Delivery {
	h.t.Helper()
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	d := h.store.rows[key{id, index}]
	if d == nil {
		h.t.Fatalf("no delivery %d of %s", index, id)
	}
	return *d
}

// want checks how a delivery stands: its status, or status and reason.
func (h *house) want(id mail.ID, index int, status string) mail.Delivery {
	h.t.Helper()
	d := h.delivery(id, index)
	got := string(d.Status)
	if d.Reason != "" {
		got += " " + d.Reason
	}
	if got != status {
		h.t.Fatalf("after %v delivery %d is %q, want %q", time.Since(h.begin), index, got, status)
	}
	return d
}

// lastEvent returns the latest event of a delivery.
func (h *house) lastEvent(id mail.ID, index int) (last mail.Event) {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	for _, e := range h.store.events {
		if e.Message == id && e.Recipient == index {
			last = e
		}
	}
	return last
}

func (h *house) state(credential string) store.ProviderState {
	h.t.Helper()
	for _, st := range h.queue.States() {
		if st.Credential == credential {
			return st
		}
	}
	h.t.Fatalf("no state of %q in %v", credential, h.queue.States())
	return store.ProviderState{}
}

// A call is one transaction that a provider was asked for.
type call struct {
	after      time.Duration // since the script was made
	message    mail.ID
	recipients []string
	copy       string // what plain renders
}

// A script is a provider. Its calls are those so far.
type script struct {
	answer func(ctx context.Context, n int, t mail.Transaction) []mail.Attempt // n from 1
	begin  time.Time
	mu     sync.Mutex
	calls  []call
}

// answering returns a provider that gives every recipient the next of the
// attempts, and the last one again and again.
func answering(attempts ...mail.Attempt) *script {
	return scripted(func(_ context.Context, n int, t mail.Transaction) []mail.Attempt {
		return forAll(t, attempts[min(n, len(attempts))-1])
	})
}

func scripted(f func(ctx context.Context, n int, t mail.Transaction) []mail.Attempt) *script {
	return &script{answer: f, begin: time.Now()}
}

func forAll(t mail.Transaction, a mail.Attempt) []mail.Attempt {
	as := make([]mail.Attempt, len(t.Recipients))
	for i := range as {
		as[i] = a
	}
	return as
}

func (s *script) Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	var b bytes.Buffer
	t.Copy.WriteTo(&b)
	s.mu.Lock()
	s.calls = append(s.calls, call{time.Since(s.begin), t.Message, t.Recipients, b.String()})
	n := len(s.calls)
	s.mu.Unlock()
	if err := t.Started(ctx); err != nil {
		return forAll(t, mail.Attempt{Err: err, Class: mail.ClassTemporary})
	}
	return s.answer(ctx, n, t)
}

func (s *script) all() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]call(nil), s.calls...)
}

func (s *script) count() int { return len(s.all()) }

// times returns when the calls came, in minutes.
func (s *script) times() (ms []float64) {
	for _, c := range s.all() {
		ms = append(ms, c.after.Minutes())
	}
	return ms
}

// ok, and what a provider may say else.
var (
	ok      = mail.Attempt{Reply: mail.Reply{Code: 250, Lines: []string{"2.0.0 taken"}}, UpstreamID: "up1"}
	later   = says(451, mail.ClassTemporary, "4.3.0 later")
	refused = says(535, mail.ClassAuth, "5.7.8 bad login")
	silence = mail.Attempt{Err: errors.New("connection closed"), Class: mail.ClassTemporary, Uncertain: true}
)

func says(code int, class, line string) mail.Attempt {
	return mail.Attempt{Reply: mail.Reply{Code: code, Lines: []string{line}}, Class: class}
}

// hangs is a provider that answers only when it must.
func hangs() *script {
	return scripted(func(ctx context.Context, _ int, t mail.Transaction) []mail.Attempt {
		<-ctx.Done()
		return forAll(t, mail.Attempt{Err: ctx.Err()})
	})
}

// takes is a provider that needs a while for everything.
func takes(d time.Duration, a mail.Attempt) *script {
	return scripted(func(ctx context.Context, _ int, t mail.Transaction) []mail.Attempt {
		select {
		case <-time.After(d):
			return forAll(t, a)
		case <-ctx.Done():
			return forAll(t, mail.Attempt{Err: ctx.Err(), Class: mail.ClassTemporary})
		}
	})
}

// plain renders who a copy is for and through whom. A Subject of panic or
// error makes it fail.
type plain struct{}

func (plain) Render(m *mail.Message, _ mail.Content, recipient int, provider string) (mail.Copy, error) {
	switch m.Subject {
	case "panic":
		panic("poison")
	case "error":
		return nil, errors.New("poison")
	}
	return text(fmt.Sprintf("%d %s", recipient, provider)), nil
}

type text string

func (c text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(c))
	return int64(n), err
}
func (c text) Size() int64                  { return int64(len(c)) }
func (c text) MailFrom() string             { return "app@example.com" }
func (c text) EightBit() bool               { return false }
func (c text) UTF8() bool                   { return false }
func (c text) SevenBit() (mail.Copy, error) { return c, nil }

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
