package queue

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// deadlyRenderer is a renderer on which the program ends, for messages of that subject:
// seen from outside, it never comes back.
type deadlyRenderer struct {
	plain
	begun chan struct{}
	end   chan struct{}
}

func (r deadlyRenderer) Render(m *mail.Message, c mail.Content, recipient int, provider string) (mail.Copy, error) {
	if m.Subject == "deadly" {
		r.begun <- struct{}{}
		<-r.end
	}
	return r.plain.Render(m, c, recipient, provider)
}

// life runs the program on what the last life left, until it ends on a message
// or has nothing more to do. Nothing that it does in the end counts.
func (h *house) life(notes string, p Provider, put func()) (died bool) {
	r := deadlyRenderer{begun: make(chan struct{}, 10), end: make(chan struct{})}
	h.queue = New(h.store, Settings{Notes: notes, Rand: func() float64 { return 0.5 }}, clock.System{}, slog.New(slog.DiscardHandler), nil)
	h.start()
	h.queue.SetRoutes(Routes{Renderer: r, Providers: map[string]Route{main: {Provider: p}}})
	synctest.Wait()
	put()
	wait(10 * time.Minute)
	died = len(r.begun) > 0
	left, _ := os.ReadFile(notes)
	saved := h.store.image()
	close(r.end)
	h.close()
	if died {
		os.WriteFile(notes, left, 0o600)
		h.store.restore(saved)
	}
	h.store.lose()
	return died
}

// A message on which the program ends stops the others three times at most.
func TestDeadlyMessageIsIsolated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, store: newMemStore(), begin: time.Now()}
		notes := filepath.Join(t.TempDir(), "notes")
		p := answering(ok)
		bad, good := h.message(main, "a@x.test", "b@x.test"), h.message(main, "a@y.test")
		bad.Subject = "deadly"
		put := func() {
			for _, m := range []*mail.Message{bad, good} {
				if err := h.queue.Put(t.Context(), m, sheet("x")); err != nil {
					t.Fatal(err)
				}
			}
		}
		for life := 1; life <= mostCrash; life++ {
			if !h.life(notes, p, put) {
				t.Fatalf("life %d did not end on the message", life)
			}
			h.want(good.ID, 1, "sent")
			put = func() {}
		}
		if h.life(notes, p, put) {
			t.Fatal("one more life ended on the message")
		}
		for i := range 2 {
			if d := h.want(bad.ID, i+1, "held damaged"); d.Explain == nil || d.Explain.ID != "queue.deadly" || d.Attempts != 0 {
				t.Errorf("held as %+v", d)
			}
		}
		retry := func() {
			if n, err := h.queue.Retry(t.Context(), bad.ID); n != 2 || err != nil {
				t.Errorf("Retry = %d, %v", n, err)
			}
		}
		if !h.life(notes, p, retry) {
			t.Error("a person could not have it tried again")
		}
	})
}

// Who is rendered when the program ends again and again is no suspect for it.
func TestBystandersAreCleared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	var ids mail.IDs
	bystander, other := ids.Next(time.Now()), ids.Next(time.Now())
	for life := range 5 {
		n, err := openNotes(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(max(life-1, 0), 1); n.died(bystander) != want || n.died(other) != 0 {
			t.Fatalf("life %d: %d deaths, and %d of another", life, n.died(bystander), n.died(other))
		}
		n.during(bystander, func() error { return nil })
		n.clear(bystander)
		n.during(other, func() error { return nil })
		n.during(bystander, func() error { // this life ends here
			left, _ := os.ReadFile(path)
			return os.WriteFile(path+".left", left, 0o600)
		})
		n.close()
		if err := os.Rename(path+".left", path); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := openNotes(path); n != nil { // one that ends as it should
		n.close()
	}
	if n, err := openNotes(path); err != nil || n.on {
		t.Errorf("notes are taken after an orderly end: %v", err)
	} else {
		n.during(other, func() error {
			if left, _ := os.ReadFile(path); bytes.Contains(left, other[:]) {
				t.Error("what needs no note has one")
			}
			return nil
		})
		n.close()
	}
	if os.WriteFile(path, []byte(strings.Repeat("\xff", 1000)), 0o600) != nil {
		t.Fatal()
	}
	if n, err := openNotes(path); err != nil || len(n.deaths) != 0 {
		t.Errorf("notes of rubbish: %+v, %v", n, err)
	} else {
		n.close()
	}
}
