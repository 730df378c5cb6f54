package queue

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
	"backstamp/store"
)

func TestRetry(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(later, later, says(550, mail.ClassAccount, "5.7.1 blocked"), ok)
		h.routes(map[string]Provider{main: p})
		if n, err := h.queue.Retry(t.Context()); n != 0 || err != nil {
			t.Errorf("Retry of nothing = %d, %v", n, err)
		}
		a, b, c := h.put(h.message(main, "a@x.test")), h.put(h.message(main, "b@x.test")), h.put(h.message(main, "c@x.test"))
		h.want(c, 1, "held account")
		if n, err := h.queue.Retry(t.Context(), a); n != 1 || err != nil {
			t.Errorf("Retry = %d, %v", n, err)
		}
		synctest.Wait()
		h.want(a, 1, "sent")
		h.want(b, 1, "deferred")
		if n, err := h.queue.Retry(t.Context()); n != 2 || err != nil {
			t.Errorf("Retry of all = %d, %v", n, err)
		}
		synctest.Wait()
		h.want(b, 1, "sent")
		h.want(c, 1, "sent")
		if n, err := h.queue.Retry(t.Context(), a); n != 0 || err != nil {
			t.Errorf("Retry of what was sent = %d, %v", n, err)
		}
		if _, err := h.queue.Retry(t.Context(), mail.ID{1}); !errors.Is(err, mail.ErrNotFound) {
			t.Errorf("Retry of an unknown message: %v", err)
		}
	})
}

// A person who sees a delivery deferred may retry it at once, though the worker
// of the last try is still to report to the scheduler.
func TestRetryOfWhatWasJustTried(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(later, ok)})
		h.store.recorded = func() {
			if n, err := h.queue.Retry(context.Background()); n != 1 || err != nil {
				t.Errorf("Retry = %d, %v", n, err)
			}
		}
		id := h.put(h.message(main, "a@x.test"))
		synctest.Wait()
		h.want(id, 1, "sent")
	})
}

// What a person made due may be claimed before the scheduler hears that the
// change is recorded. It is tried all the same.
func TestClaimedWhileItChanges(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.queue.SetRoutes(one(1, map[string]Provider{main: answering(later, ok)}))
		synctest.Wait()
		id := h.put(h.message(main, "a@x.test"))
		h.store.recorded = func() { // two: the second has to be claimed
			h.put(h.message(main, "b@x.test", "c@x.test"))
			h.put(h.message("shop/none", "b@x.test"))
		}
		if n, err := h.queue.Retry(t.Context(), id); n != 1 || err != nil {
			t.Errorf("Retry = %d, %v", n, err)
		}
		synctest.Wait()
		h.want(id, 1, "sent")
	})
}

func TestDrop(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(later)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test", "b@x.test"))
		if n, err := h.queue.Drop(t.Context(), id); n != 2 || err != nil {
			t.Errorf("Drop = %d, %v", n, err)
		}
		d := h.want(id, 1, "failed")
		if e := h.lastEvent(id, 2); d.Reply != "451 4.3.0 later" || !strings.Contains(e.Text, "by the operator") || e.Kind != mail.KindFailed {
			t.Errorf("dropped: %+v, %+v", d, e)
		}
		if n, err := h.queue.Drop(t.Context(), id); n != 0 || err != nil {
			t.Errorf("Drop again = %d, %v", n, err)
		}
		if n, err := h.queue.Hold(t.Context(), id); n != 0 || err != nil {
			t.Errorf("Hold of what is finished = %d, %v", n, err)
		}
		wait(time.Hour)
		if p.count() != 1 {
			t.Errorf("%d tries", p.count())
		}
	})
}

func TestMove(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p, spare := answering(refused), answering(ok)
		h.routes(map[string]Provider{main: p, "shop/spare": spare})
		a, b := h.put(h.message(main, "a@x.test")), h.put(h.message(main, "b@x.test"))
		if _, err := h.queue.Move(t.Context(), "shop/none", a); !errors.Is(err, ErrNoProvider) {
			t.Errorf("Move to nowhere: %v", err)
		}
		if n, err := h.queue.Move(t.Context(), "shop/spare", a, b); n != 2 || err != nil {
			t.Errorf("Move = %d, %v", n, err)
		}
		synctest.Wait()
		for _, id := range []mail.ID{a, b} {
			if d := h.want(id, 1, "sent"); d.Provider != "shop/spare" {
				t.Errorf("sent through %s", d.Provider)
			}
		}
		for _, c := range spare.all() {
			if c.copy != "0 shop/spare" {
				t.Errorf("copy %q", c.copy)
			}
		}
	})
}

// What a person was promised for the end of a try holds in the drain, too.
func TestDropInTheDrain(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: takes(time.Second, later)})
		id := h.put(h.message(main, "a@x.test"))
		if n, err := h.queue.Drop(t.Context(), id); n != 1 || err != nil {
			t.Errorf("Drop = %d, %v", n, err)
		}
		h.close()
		h.want(id, 1, "failed")
		h.open(Settings{})
	})
}

// What waits for its turn at one provider when it is moved goes through the
// other, though the first has room before.
func TestMoveOutOfTheBacklog(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p, spare := takes(time.Hour, ok), takes(2*time.Hour, ok)
		r := Routes{Renderer: plain{}, Providers: map[string]Route{
			main: {Provider: p, Connections: 1}, "shop/spare": {Provider: spare, Connections: 1},
		}}
		h.queue.SetRoutes(r)
		synctest.Wait()
		h.put(h.message(main, "a@x.test"))
		h.put(h.message("shop/spare", "b@x.test"))
		id := h.put(h.message(main, "c@x.test"))
		if n, err := h.queue.Move(t.Context(), "shop/spare", id); n != 1 || err != nil {
			t.Errorf("Move = %d, %v", n, err)
		}
		wait(5 * time.Hour)
		h.want(id, 1, "sent")
		if p.count() != 1 || spare.count() != 2 {
			t.Errorf("%d through the old provider, %d through the new one", p.count(), spare.count())
		}
	})
}

// What a person says about a delivery that is being tried counts once the try
// has ended.
func TestChangesWaitForTheTry(t *testing.T) {
	for _, c := range []struct {
		answer mail.Attempt
		do     func(t *testing.T, h *house, id mail.ID) (int, error)
		want   string
	}{
		{later, func(t *testing.T, h *house, id mail.ID) (int, error) { return h.queue.Hold(t.Context(), id) }, "held operator"},
		{later, func(t *testing.T, h *house, id mail.ID) (int, error) { return h.queue.Drop(t.Context(), id) }, "failed"},
		{ok, func(t *testing.T, h *house, id mail.ID) (int, error) { return h.queue.Hold(t.Context(), id) }, "sent"},
		{ok, func(t *testing.T, h *house, id mail.ID) (int, error) { return h.queue.Drop(t.Context(), id) }, "sent"},
		{later, func(t *testing.T, h *house, id mail.ID) (int, error) {
			h.queue.Hold(t.Context(), id)
			return h.queue.Move(t.Context(), "shop/spare", id)
		}, "sent"},
	} {
		inHouse(t, Settings{}, func(t *testing.T, h *house) {
			p := takes(10*time.Second, c.answer)
			h.routes(map[string]Provider{main: p, "shop/spare": answering(ok)})
			id := h.put(h.message(main, "a@x.test"))
			wait(time.Second)
			if n, err := c.do(t, h, id); n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			h.want(id, 1, "queued")
			wait(10 * time.Second)
			h.want(id, 1, c.want)
			wait(time.Hour)
			h.want(id, 1, c.want)
			if p.count() != 1 {
				t.Errorf("%d tries", p.count())
			}
		})
	}
}

// A delivery that waits for a connection can be held and does not go out.
func TestHoldInTheBacklog(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := takes(10*time.Second, ok)
		h.queue.SetRoutes(one(1, map[string]Provider{main: p}))
		synctest.Wait()
		h.put(h.message(main, "a@x.test"))
		id := h.put(h.message(main, "b@x.test"))
		if n, err := h.queue.Hold(t.Context(), id); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		wait(time.Minute)
		h.want(id, 1, "held operator")
		if p.count() != 1 {
			t.Errorf("%d tries", p.count())
		}
		if n, err := h.queue.Retry(t.Context(), id); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		wait(10 * time.Second)
		h.want(id, 1, "sent")
	})
}

// What a person did to a delivery is what explains it, not the try before.
func TestExplainedByTheOperator(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		tried := later
		tried.Explain = &mail.Explain{ID: "generic.temporary"}
		h.routes(map[string]Provider{main: answering(tried), "shop/spare": hangs()})
		id := h.put(h.message(main, "a@x.test"))
		for _, c := range []struct {
			id string
			do func() (int, error)
		}{
			{"generic.temporary", func() (int, error) { return 1, nil }},
			{"queue.operator", func() (int, error) { return h.queue.Hold(t.Context(), id) }},
			{"generic.temporary", func() (int, error) { return h.queue.Retry(t.Context(), id) }},
			{"queue.operator", func() (int, error) { return h.queue.Hold(t.Context(), id) }},
			{"queue.moved", func() (int, error) { return h.queue.Move(t.Context(), "shop/spare", id) }},
		} {
			n, err := c.do()
			synctest.Wait()
			if x := h.delivery(id, 1).Explain; n != 1 || err != nil || x == nil || x.ID != c.id || catalogue.Shown(x, "en").Title == "" {
				t.Errorf("%d, %v, explained by %+v, want %s", n, err, x, c.id)
			}
		}
		m := h.put(h.message(main, "a@x.test"))
		if n, err := h.queue.Drop(t.Context(), m); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if x := h.delivery(m, 1).Explain; x == nil || x.ID != "queue.dropped" {
			t.Errorf("dropped, and explained by %+v", x)
		}
		if row, err := h.store.Message(t.Context(), id); err != nil || row.Message.Provider != main {
			t.Errorf("the message is bound to %q, %v", row.Message.Provider, err)
		}
	})
}

// While nothing can be recorded a person is told so, and what was asked for is
// done once it can.
func TestCommandsWhileTheDiskIsFull(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(later, ok)})
		id := h.put(h.message(main, "a@x.test"))
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "conclude" {
				return store.ErrFull
			}
			return nil
		})
		if _, err := h.queue.Hold(t.Context(), id); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "not recorded yet") {
			t.Errorf("Hold says %v", err)
		}
		h.want(id, 1, "deferred")
		h.store.setFail(nil)
		wait(mostPause)
		h.want(id, 1, "held operator")
	})
}

func TestNoRoomNoPut(t *testing.T) {
	full := false
	room := func() error {
		if full {
			return store.ErrFull
		}
		return nil
	}
	inHouse(t, Settings{Room: room}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(ok)})
		full = true
		m := h.message(main, "a@x.test")
		if err := h.queue.Put(t.Context(), m, sheet("x")); !errors.Is(err, store.ErrFull) || len(h.store.messages) != 0 {
			t.Errorf("Put without room: %v, %d kept", err, len(h.store.messages))
		}
		full = false
		h.want(h.put(m), 1, "sent")
	})
}
