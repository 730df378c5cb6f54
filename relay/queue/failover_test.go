package queue

import (
	"errors"
	"slices"
	"testing"
	"time"

	"backstamp/mail"
)

const (
	spare = "shop/spare"
	last  = "shop/last"
)

// away is a try that did not reach the provider.
var away = mail.Attempt{Err: errors.New("connection refused"), Class: mail.ClassTemporary}

// followed makes routes by which spare follows main and last follows spare, each
// for the mail that may.
func followed(providers map[string]Provider, may func(m *mail.Message, provider string) bool) Routes {
	r := Routes{Providers: map[string]Route{}, Renderer: plain{}, Failover: map[string]Failover{"shop": {}}}
	chain := []string{main, spare, last}
	for name, p := range providers {
		r.Providers[name] = Route{Provider: p, Followed: name != last}
	}
	r.Followers = func(m *mail.Message, provider string) []string {
		after := chain[slices.Index(chain, provider)+1:]
		return slices.DeleteFunc(slices.Clone(after), func(name string) bool {
			return providers[name] == nil || may != nil && !may(m, name)
		})
	}
	return r
}

func (h *house) via(id mail.ID, provider, status string) {
	h.t.Helper()
	if d := h.want(id, 1, status); d.Provider != provider {
		h.t.Errorf("after %v it is with %s, want %s", time.Since(h.begin), d.Provider, provider)
	}
}

// The mail of a parked provider goes to the one after it at once, and mail that
// comes later too. Once a reload has put it right new mail goes to it again.
func TestParkedFailsOver(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p, q := answering(refused, refused, ok), answering(ok)
		r := followed(map[string]Provider{main: p, spare: q}, nil)
		h.queue.SetRoutes(r)
		first := h.put(h.message(main, "a@x.test"))
		second := h.put(h.message(main, "a@x.test"))
		h.via(first, spare, "sent")
		h.via(second, spare, "sent")
		if e := h.lastEvent(first, 1); e.Kind != mail.KindSent || q.all()[0].copy != "0 "+spare {
			t.Errorf("%+v, rendered %q", e, q.all()[0].copy)
		}
		if d := h.delivery(first, 1); d.Attempts != 2 {
			t.Errorf("%d tries", d.Attempts)
		}
		h.queue.SetRoutes(r)
		h.via(h.put(h.message(main, "a@x.test")), spare, "sent") // still refused
		h.queue.SetRoutes(r)
		h.via(h.put(h.message(main, "a@x.test")), main, "sent")
	})
}

// A probe still finds out that a parked provider works again.
func TestParkedIsProbedThoughFollowed(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(refused, ok)
		h.queue.SetRoutes(followed(map[string]Provider{main: p, spare: answering(ok)}, nil))
		h.put(h.message(main, "a@x.test"))
		wait(probeEvery + time.Minute)
		h.via(h.put(h.message(main, "a@x.test")), main, "sent")
		h.via(h.put(h.message(main, "a@x.test")), main, "sent")
	})
}

func TestHeldFailsOver(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		r := followed(map[string]Provider{main: answering(ok), spare: answering(ok)}, nil)
		m := r.Providers[main]
		m.Limits = Limits{Daily: 1}
		r.Providers[main] = m
		h.queue.SetRoutes(r)
		h.put(h.message(main, "a@x.test"))
		id := h.put(h.message(main, "a@x.test"))
		wait(14 * time.Minute)
		h.via(id, main, "held quota")
		wait(2 * time.Minute)
		h.via(id, spare, "sent")
		h.via(h.put(h.message(main, "a@x.test")), spare, "sent")
		wait(24 * time.Hour)
		h.via(h.put(h.message(main, "a@x.test")), main, "sent")
	})
}

func TestUnreachableFailsOver(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p, q := answering(away, away, away, away, ok), answering(ok)
		h.queue.SetRoutes(followed(map[string]Provider{main: p, spare: q}, nil))
		first := h.put(h.message(main, "a@x.test")) // tried again after a minute, and five
		wait(4*time.Minute + 30*time.Second)
		h.via(first, main, "deferred")
		wait(time.Minute)
		h.via(first, spare, "sent")
		if n := p.count(); n != 2 {
			t.Errorf("%d tries before", n)
		}
		for range 3 { // the first is a probe
			h.put(h.message(main, "a@x.test"))
		}
		if n, m := p.count(), q.count(); n != 3 || m != 4 {
			t.Errorf("%d tries at main and %d at spare, want 3 and 4", n, m)
		}
		wait(2 * time.Minute)
		h.via(h.put(h.message(main, "a@x.test")), spare, "sent") // the next probe
		if n := p.count(); n != 4 {
			t.Errorf("%d tries at main, want a probe a minute", n)
		}
		wait(90 * time.Second)
		h.via(h.put(h.message(main, "a@x.test")), main, "sent") // and the next
		h.via(h.put(h.message(main, "a@x.test")), main, "sent")
	})
}

// A provider that answers is reached, whatever it says, and throttling moves
// nothing, however long it lasts.
func TestThrottlingMovesNothing(t *testing.T) {
	for _, a := range []mail.Attempt{later, says(454, mail.ClassThrottling, "4.7.0 slower"), says(421, mail.ClassThrottling, "4.7.0 too many")} {
		inHouse(t, Settings{}, func(t *testing.T, h *house) {
			h.queue.SetRoutes(followed(map[string]Provider{main: answering(away, a), spare: answering(ok)}, nil))
			id := h.put(h.message(main, "a@x.test"))
			wait(3 * time.Hour)
			h.via(id, main, "deferred")
		})
	}
}

// What may have been taken is not given to another.
func TestUncertainStays(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.queue.SetRoutes(followed(map[string]Provider{main: answering(silence, away), spare: answering(ok)}, nil))
		id := h.put(h.message(main, "a@x.test"))
		wait(3 * time.Hour)
		h.via(id, main, "deferred")
	})
}

// Only the followers that may take a message do.
func TestFollowersThatMayNot(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := map[string]Provider{main: answering(refused), spare: answering(ok), last: answering(ok)}
		h.queue.SetRoutes(followed(p, func(m *mail.Message, provider string) bool {
			return m.Subject == "any" || m.Subject == "last" && provider == last
		}))
		one, two, none := h.message(main, "a@x.test"), h.message(main, "a@x.test"), h.message(main, "a@x.test")
		one.Subject, two.Subject = "any", "last"
		h.via(h.put(one), spare, "sent")
		h.via(h.put(two), last, "sent")
		h.via(h.put(none), main, "held auth")
	})
}

// The chain goes on where a follower is in trouble for long enough too, and
// waits where it is not.
func TestChainGoesOn(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		quota := says(550, mail.ClassQuota, "5.4.5 limit")
		h.queue.SetRoutes(followed(map[string]Provider{main: answering(refused), spare: answering(quota), last: answering(ok)}, nil))
		id := h.put(h.message(main, "a@x.test")) // parks main, goes to spare
		h.via(id, spare, "held quota")
		second := h.put(h.message(main, "a@x.test"))
		h.via(second, main, "held auth") // spare is not held for long yet
		wait(16 * time.Minute)
		h.via(id, last, "sent")
		h.via(second, last, "sent")
		h.via(h.put(h.message(main, "a@x.test")), last, "sent")
	})
}
