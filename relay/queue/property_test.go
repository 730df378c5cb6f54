package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"backstamp/mail"
	"backstamp/store"
)

// A step is what happens next in a random life of the queue.
type step struct {
	what       string
	wait       time.Duration
	provider   string
	recipients int
	tracked    bool
	shared     bool
	poison     string
	which      int // of the messages so far
}

var somewhere = []string{main, "blog/main", "blog/other"}

func drawSteps(t *rapid.T) []step {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			what: rapid.SampledFrom([]string{
				"put", "put", "put", "put", "wait", "wait", "retry", "retry all", "hold", "drop", "move",
				"reload", "remove", "restart", "crash", "full disk", "mended disk",
			}).Draw(t, "what"),
			wait:       rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Second, time.Minute, 20 * time.Minute, 30 * time.Hour}).Draw(t, "wait"),
			provider:   rapid.SampledFrom(somewhere).Draw(t, "provider"),
			recipients: rapid.IntRange(1, 12).Draw(t, "recipients"),
			tracked:    rapid.Bool().Draw(t, "tracked"),
			shared:     rapid.Bool().Draw(t, "shared"),
			poison:     rapid.SampledFrom([]string{"", "", "", "", "panic", "error"}).Draw(t, "poison"),
			which:      rapid.IntRange(0, 50).Draw(t, "which"),
		}
	}), 1, 40).Draw(t, "steps")
}

// An upstream answers each recipient at random, and keeps book of what it took.
type upstream struct {
	mu      sync.Mutex
	answers []string
	n       int
	kind    bool // from now on it takes everything
	taken   map[key]int
}

var answers = []string{"ok", "ok", "ok", "later", "slow", "slow", "silence", "taken silence", "auth", "quota", "account", "throttle", "unknown", "panic", "short", "hang"}

func (u *upstream) next() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.kind {
		return "ok"
	}
	u.n++
	return u.answers[u.n%len(u.answers)]
}

func (u *upstream) take(m mail.ID, rcpt string) {
	var index int
	fmt.Sscanf(rcpt, "r%d@", &index)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.taken[key{m, index}]++
}

func (u *upstream) Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	if err := t.Started(ctx); err != nil {
		return forAll(t, mail.Attempt{Err: err, Class: mail.ClassTemporary})
	}
	var as []mail.Attempt
	for _, rcpt := range t.Recipients {
		a := later
		switch u.next() {
		case "ok":
			u.take(t.Message, rcpt)
			a = ok
		case "slow":
			select {
			case <-time.After(30 * time.Second):
				u.take(t.Message, rcpt)
				a = ok
			case <-ctx.Done():
			}
		case "hang":
			select {
			case <-time.After(time.Hour):
			case <-ctx.Done():
			}
		case "silence":
			a = silence
		case "taken silence":
			u.take(t.Message, rcpt)
			a = silence
		case "auth":
			a = refused
		case "quota":
			a = says(452, mail.ClassQuota, "4.5.3 enough")
		case "account":
			a = says(550, mail.ClassAccount, "5.7.1 blocked")
		case "throttle":
			a = says(421, mail.ClassThrottling, "4.7.0 try again in 90 seconds")
		case "unknown":
			a = says(550, mail.ClassRecipient, "5.1.1 unknown")
		case "panic":
			panic("bug")
		case "short":
			return as
		}
		as = append(as, a)
	}
	return as
}

// Whatever happens, every delivery ends as sent or failed once all is well
// again and a person has said retry, but for those that cannot be rendered,
// which are held. None is lost, and none taken twice without being called
// uncertain.
func TestNothingVanishes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		steps := drawSteps(r)
		u := &upstream{
			answers: rapid.SliceOfN(rapid.SampledFrom(answers), 1, 60).Draw(r, "answers"),
			taken:   map[key]int{},
		}
		var found error
		synctest.Test(t, func(t *testing.T) { found = live(t, steps, u) })
		if found != nil {
			r.Fatal(found)
		}
	})
}

func (u *upstream) routes(without string) Routes {
	r := Routes{Providers: map[string]Route{}, Renderer: plain{}}
	for i, name := range somewhere {
		if name != without { // the first two share a credential
			r.Providers[name] = Route{Provider: u, Credential: fmt.Sprint(i / 2), Connections: 2, MaxRecipients: 5}
		}
	}
	return r
}

func live(t *testing.T, steps []step, u *upstream) error {
	h := &house{t: t, store: newMemStore(), begin: time.Now()}
	h.open(Settings{Backlog: 20, Workers: 3})
	h.queue.SetRoutes(u.routes(""))
	synctest.Wait()
	var ids []mail.ID
	for _, s := range steps {
		ids = h.step(s, u, ids)
		wait(s.wait)
	}

	u.mu.Lock()
	u.kind = true
	u.mu.Unlock()
	h.store.setFail(nil)
	h.queue.SetRoutes(u.routes(""))
	wait(30 * time.Hour)
	if _, err := h.queue.Retry(t.Context()); err != nil {
		return err
	}
	wait(30 * time.Hour)
	h.end()
	if err := <-h.ended; err != nil {
		return err
	}
	return u.judge(h, ids)
}

func (h *house) step(s step, u *upstream, ids []mail.ID) []mail.ID {
	ctx := h.t.Context()
	var id mail.ID
	if len(ids) > 0 {
		id = ids[s.which%len(ids)]
	}
	switch s.what {
	case "put":
		m := h.message(s.provider, manyRecipients(s.recipients)...)
		m.Tracked, m.Shared, m.Subject = s.tracked, s.shared, s.poison
		if err := h.queue.Put(ctx, m, sheet("x")); err == nil {
			ids = append(ids, m.ID)
		}
	case "retry":
		h.limited(func(ctx context.Context) { h.queue.Retry(ctx, id) })
	case "retry all":
		h.limited(func(ctx context.Context) { h.queue.Retry(ctx) })
	case "hold":
		h.limited(func(ctx context.Context) { h.queue.Hold(ctx, id) })
	case "drop":
		h.limited(func(ctx context.Context) { h.queue.Drop(ctx, id) })
	case "move":
		h.limited(func(ctx context.Context) { h.queue.Move(ctx, s.provider, id) })
	case "reload":
		h.queue.SetRoutes(u.routes(""))
	case "remove":
		h.queue.SetRoutes(u.routes(s.provider))
	case "full disk":
		h.store.setFail(func(string, mail.ID) error { return store.ErrFull })
	case "mended disk":
		h.store.setFail(nil)
	case "crash": // nothing that happens from now on is recorded
		h.store.setFail(func(string, mail.ID) error { return errors.New("dead") })
		h.reopen(u)
	case "restart":
		h.reopen(u)
	}
	return ids
}

// limited keeps a command from waiting for a disk that is full.
func (h *house) limited(f func(context.Context)) {
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	f(ctx)
}

func (h *house) reopen(u *upstream) {
	h.end()
	<-h.ended
	h.store.setFail(nil)
	h.store.lose()
	h.open(Settings{Backlog: 20, Workers: 3})
	h.queue.SetRoutes(u.routes(""))
	synctest.Wait()
}

// judge looks at what became of every delivery.
func (u *upstream) judge(h *house, ids []mail.ID) error {
	for _, id := range ids {
		for i := range h.store.messages[id].Recipients {
			k := key{id, i + 1}
			d := h.store.rows[k]
			n := u.taken[k]
			switch {
			case d == nil:
				return fmt.Errorf("delivery %v vanished", k)
			case d.Status == mail.Held && d.Reason == mail.HoldDamaged && h.store.messages[id].Subject != "":
			case d.Status != mail.Sent && d.Status != mail.Failed:
				return fmt.Errorf("never ended: %+v", d)
			case d.Status == mail.Sent && n == 0:
				return fmt.Errorf("called sent, and nobody took it: %+v", d)
			case n > 1 && !d.Uncertain:
				return fmt.Errorf("taken %d times without being uncertain: %+v", n, d)
			case d.Status != mail.Sent && n > 0 && !d.Uncertain:
				return fmt.Errorf("taken, and not known to be: %+v", d)
			}
		}
	}
	return nil
}
