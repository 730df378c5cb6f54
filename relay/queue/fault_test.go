package queue

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/store"
)

func TestDamagedContent(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(later, ok)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		h.store.setFail(func(op string, of mail.ID) error {
			if op == "content" && of == id {
				return store.ErrCorrupt
			}
			return nil
		})
		wait(time.Minute)
		if d := h.want(id, 1, "held damaged"); !d.NextAttempt.IsZero() || d.Attempts != 1 || d.Explain == nil || d.Explain.ID != "queue.damaged" {
			t.Errorf("%+v", d)
		}
		if text := h.lastEvent(id, 1).Text; !strings.Contains(text, "corrupt") {
			t.Errorf("event %q", text)
		}
		h.want(h.put(h.message(main, "b@x.test")), 1, "sent")
		h.store.setFail(nil) // a person has mended it
		if n, err := h.queue.Retry(t.Context(), id); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		synctest.Wait()
		h.want(id, 1, "sent")
	})
}

func TestUnreadableForAWhile(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(later, ok)})
		id := h.put(h.message(main, "a@x.test"))
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "content" {
				return errors.New("input/output error")
			}
			return nil
		})
		wait(10 * time.Minute)
		if d := h.want(id, 1, "deferred"); d.Attempts != 1 || d.Reply != "451 4.3.0 later" {
			t.Errorf("%+v", d)
		}
		h.store.setFail(nil)
		wait(time.Minute)
		h.want(id, 1, "sent")
	})
}

func TestPoisonStopsNobody(t *testing.T) {
	for _, kind := range []string{"panic", "error"} {
		inHouse(t, Settings{}, func(t *testing.T, h *house) {
			p := answering(ok)
			h.queue.SetRoutes(one(1, map[string]Provider{main: p}))
			m := h.message(main, "a@x.test")
			m.Subject = kind
			id := h.put(m)
			h.want(h.put(h.message(main, "b@x.test")), 1, "sent")
			wait(time.Minute)
			h.want(id, 1, "deferred")
			wait(5 * time.Minute)
			d := h.want(id, 1, "held damaged")
			if d.Attempts != 3 || d.Uncertain || d.Explain == nil || d.Explain.ID != "queue.crash" {
				t.Errorf("%s: %+v", kind, d)
			}
			wait(100 * time.Hour)
			h.want(id, 1, "held damaged")
			h.want(h.put(h.message(main, "c@x.test")), 1, "sent")
		})
	}
}

// A provider's client that panics amid the content may have sent it.
func TestPanicInDeliver(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := scripted(func(_ context.Context, n int, t mail.Transaction) []mail.Attempt {
			if n == 1 {
				panic("bug")
			}
			return forAll(t, ok)
		})
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		if d := h.want(id, 1, "deferred"); !d.Uncertain {
			t.Errorf("%+v", d)
		}
		wait(time.Minute)
		h.want(id, 1, "sent")
	})
}

func TestOutcomeIsKeptUntilRecorded(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.queue.SetRoutes(one(1, map[string]Provider{main: p}))
		synctest.Wait()
		var full atomic.Bool
		full.Store(true)
		h.store.setFail(func(op string, _ mail.ID) error {
			if full.Load() && (op == "conclude" || op == "save" || op == "claim") {
				return store.ErrFull
			}
			return nil
		})
		var ids []mail.ID
		for range 4 {
			ids = append(ids, h.put(h.message(main, "a@x.test")))
		}
		wait(3 * time.Hour)
		if p.count() != 2 { // one whose slot was lent, and one that has it
			t.Fatalf("%d tries while nothing could be recorded, want 2", p.count())
		}
		full.Store(false)
		wait(time.Minute)
		for _, id := range ids {
			h.want(id, 1, "sent")
		}
		if p.count() != 4 {
			t.Errorf("%d tries for 4 messages", p.count())
		}
	})
}

// A connection need not wait for the disk: while what it took is recorded, the
// next message goes out. What was not taken may concern the lane, and is heard
// of first.
func TestNextTryWhileRecording(t *testing.T) {
	for _, tt := range []struct {
		first mail.Attempt
		tries int
	}{{ok, 2}, {later, 1}, {refused, 1}} {
		inHouse(t, Settings{}, func(t *testing.T, h *house) {
			p := answering(tt.first, ok)
			h.queue.SetRoutes(one(1, map[string]Provider{main: p}))
			synctest.Wait()
			disk := make(chan struct{})
			h.store.setFail(func(op string, _ mail.ID) error {
				if op == "conclude" {
					<-disk
				}
				return nil
			})
			h.put(h.message(main, "a@x.test"))
			b := h.put(h.message(main, "b@x.test"))
			if p.count() != tt.tries {
				t.Errorf("%d tries while %+v is being recorded, want %d", p.count(), tt.first, tt.tries)
			}
			close(disk)
			wait(20 * time.Minute)
			h.want(b, 1, "sent")
			if !h.queue.gate.idle() {
				t.Error("slots are not given back")
			}
		})
	}
}

// A try longer than its lease is not begun again beside it.
func TestTryLongerThanItsLease(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		slow := takes(3*lease, ok)
		p := scripted(func(ctx context.Context, n int, tx mail.Transaction) []mail.Attempt {
			if n == 1 {
				return forAll(tx, later)
			}
			return slow.answer(ctx, n, tx)
		})
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		for range 20 {
			wait(lease / 5)
			h.put(h.message("shop/none", "b@x.test")) // makes it claim
		}
		h.want(id, 1, "sent")
		if p.count() != 2 {
			t.Errorf("%d tries", p.count())
		}
	})
}

func TestMessageThatIsGone(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(later)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		h.store.mu.Lock()
		delete(h.store.messages, id)
		h.store.mu.Unlock()
		wait(time.Minute)
		h.store.mu.Lock()
		delete(h.store.rows, key{id, 1})
		h.store.mu.Unlock()
		wait(100 * time.Hour)
		if p.count() != 1 {
			t.Errorf("%d tries", p.count())
		}
	})
}

func TestDrainLetsTriesEnd(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := takes(10*time.Second, ok)
		h.queue.SetRoutes(one(1, map[string]Provider{main: p}))
		synctest.Wait()
		a := h.put(h.message(main, "a@x.test"))
		b := h.put(h.message(main, "b@x.test"))
		wait(time.Second)
		h.end()
		synctest.Wait()
		late := h.put(h.message(main, "c@x.test")) // a session that still ends
		if err := <-h.ended; err != nil {
			t.Fatal(err)
		}
		if got := time.Since(h.begin); got != 10*time.Second {
			t.Errorf("Run ended after %v, want 10s", got)
		}
		h.want(a, 1, "sent")
		for _, id := range []mail.ID{b, late} {
			if d := h.want(id, 1, "queued"); !d.Started.IsZero() || d.NextAttempt.IsZero() {
				t.Errorf("left behind: %+v", d)
			}
		}
		if len(h.store.leases) > 0 {
			t.Errorf("leases were kept: %v", h.store.leases)
		}
		if _, err := h.queue.Retry(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("Retry after the end: %v", err)
		}
		h.start() // for close
	})
}

func TestDrainHasAnEnd(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := hangs()
		h.routes(map[string]Provider{main: p})
		m := h.message(main, "a@x.test", "b@x.test")
		m.Tracked = true
		id := h.put(m)
		h.end()
		if err := <-h.ended; err != nil {
			t.Fatal(err)
		}
		if got := time.Since(h.begin); got != 25*time.Second {
			t.Errorf("Run ended after %v, want 25s", got)
		}
		for i := range 2 {
			if d := h.want(id, i+1, "deferred"); !d.NextAttempt.Equal(time.Now()) || !d.Started.IsZero() {
				t.Errorf("cut short: %+v, want due at once", d)
			}
		}
		h.start()
	})
}

// Even when a provider's client and the store do not listen.
func TestDrainNeverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, store: newMemStore(), begin: time.Now()}
		h.open(Settings{})
		deaf := make(chan struct{})
		h.routes(map[string]Provider{main: scripted(func(_ context.Context, _ int, tx mail.Transaction) []mail.Attempt {
			<-deaf
			return forAll(tx, ok)
		})})
		h.put(h.message(main, "a@x.test"))
		h.end()
		if err := <-h.ended; err == nil {
			t.Error("Run does not tell of tries that did not end")
		}
		if got := time.Since(h.begin); got > 30*time.Second {
			t.Errorf("Run ended after %v", got)
		}
		close(deaf)
	})
}

func TestDrainDuringPut(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(ok)})
		commit := make(chan struct{})
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "put" {
				<-commit
			}
			return nil
		})
		m := h.message(main, "a@x.test")
		put := make(chan error, 1)
		go func() { put <- h.queue.Put(h.t.Context(), m, sheet("x")) }()
		synctest.Wait()
		h.end()
		synctest.Wait()
		close(commit)
		if err := <-put; err != nil {
			t.Fatal(err)
		}
		if err := <-h.ended; err != nil {
			t.Fatal(err)
		}
		h.want(m.ID, 1, "sent") // it was marked as begun
		h.start()
	})
}

func TestStartThatFails(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(later, ok)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "start" {
				return store.ErrFull
			}
			return nil
		})
		wait(time.Minute)
		if d := h.want(id, 1, "deferred"); d.Uncertain {
			t.Errorf("%+v", d)
		}
		h.store.setFail(nil)
		wait(5 * time.Minute)
		h.want(id, 1, "sent")
		if got := p.times(); !slices.Equal(got, []float64{0, 1, 6}) {
			t.Errorf("tries at %v", got)
		}
	})
}

// A first try is marked in the commit of its acceptance, and not once more.
func TestFirstTryNeedsNoStart(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(ok)})
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "start" {
				return store.ErrFull
			}
			return nil
		})
		h.want(h.put(h.message(main, "a@x.test")), 1, "sent")
	})
}

// The message was erased while it was being tried.
func TestOutcomeOfNothing(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.queue.SetRoutes(one(1, map[string]Provider{main: answering(ok)}))
		synctest.Wait()
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "conclude" {
				return store.ErrNotFound
			}
			return nil
		})
		h.put(h.message(main, "a@x.test"))
		h.store.setFail(nil)
		h.want(h.put(h.message(main, "b@x.test")), 1, "sent") // its slot is free
	})
}

func TestDrainEndsATurn(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := scripted(func(_ context.Context, n int, t mail.Transaction) []mail.Attempt {
			if n <= 4 {
				return forAll(t, later)
			}
			<-time.After(10 * time.Second)
			return forAll(t, ok)
		})
		h.queue.SetRoutes(one(1, map[string]Provider{main: p, "blog/main": answering(ok)}))
		synctest.Wait()
		m := h.message(main, manyRecipients(4)...)
		m.Tracked = true
		h.put(m)
		wait(time.Minute + time.Second)
		h.end()
		if err := <-h.ended; err != nil {
			t.Fatal(err)
		}
		h.want(m.ID, 1, "sent")
		for i := range 3 {
			h.want(m.ID, i+2, "deferred")
		}
		if len(h.store.leases) > 0 || p.count() != 5 {
			t.Errorf("%d leases, %d tries; want none and 5", len(h.store.leases), p.count())
		}
		h.start()
	})
}

func TestNothingBeginsInTheDrain(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := takes(10*time.Second, refused)
		h.routes(map[string]Provider{main: p})
		h.put(h.message(main, "a@x.test"))
		h.end()
		synctest.Wait()
		late := h.put(h.message(main, "b@x.test"))
		if d := h.want(late, 1, "queued"); !d.Started.IsZero() {
			t.Errorf("began in the drain: %+v", d)
		}
		<-h.ended
		if st := h.store.states[main]; st.State != store.StateParked {
			t.Errorf("what was learnt in the drain is not saved: %+v", st)
		}
		h.start()
	})
}

// A stepper is a clock that goes on while one looks at it, as clocks do.
type stepper struct {
	clock.System
	now time.Time
}

func (s *stepper) Now() time.Time {
	s.now = s.now.Add(time.Millisecond)
	return s.now
}

// Something becomes due just after Claim has looked.
func TestDueWhileClaiming(t *testing.T) {
	clk, st := &stepper{now: time.Now()}, newMemStore()
	st.clock = clk
	m := &mail.Message{ID: mail.ID{1}, Received: clk.now, Provider: main, Recipients: []string{"a@x.test"}}
	if err := st.Put(t.Context(), m, deliveries(m, clk.now.Add(2*time.Millisecond)), strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	claims := 0
	st.setFail(func(op string, _ mail.ID) error {
		if claims++; claims > 10 {
			return errors.New("it claims for ever")
		}
		return nil
	})
	q := New(st, Settings{}, clk, slog.New(slog.DiscardHandler), nil)
	s := &scheduler{Queue: q, stopping: t.Context(), lanes: map[string]*lane{}, busy: map[key]hand{}, due: true}
	s.setRoutes(one(1, map[string]Provider{main: nil}))
	s.claim()
	if s.busy[key{m.ID, 1}].use != waiting {
		t.Errorf("after %d claims it is not claimed", claims)
	}
}
