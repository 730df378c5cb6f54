package queue

import (
	"context"
	"fmt"
	"testing"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// limited makes a route to main that keeps limits.
func limited(l Limits, p Provider) Routes {
	return Routes{Providers: map[string]Route{main: {Provider: p, Credential: "login", Limits: l}}, Renderer: plain{}}
}

// atMost checks that no more than n of the calls came within any span, counting
// what each is worth.
func atMost(t *testing.T, p *script, n int, span time.Duration, worth func(call) int) {
	t.Helper()
	calls := p.all()
	for i := range calls {
		sum := 0
		for _, c := range calls[i:] {
			if c.after-calls[i].after < span {
				sum += worth(c)
			}
		}
		if sum > n {
			t.Errorf("%d went within %v from %v on, want %d at most", sum, span, calls[i].after, n)
		}
	}
}

func once(call) int { return 1 }

func TestDailyLimitHolds(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.queue.SetRoutes(limited(Limits{Daily: 3}, p))
		var ids []mail.ID
		for range 5 {
			ids = append(ids, h.put(h.message(main, "a@x.test")))
			wait(time.Hour)
		}
		for i, id := range ids {
			if i < 3 {
				h.want(id, 1, "sent")
				continue
			}
			d := h.want(id, 1, "held quota")
			if until := d.NextAttempt.Sub(h.begin); until < 24*time.Hour || until > 24*time.Hour+2*time.Minute {
				t.Errorf("held until %v, want a day after the first", until)
			}
			if d.Explain == nil || d.Explain.ID != "queue.daily-limit" || d.Attempts != 0 {
				t.Errorf("held as %+v after %d tries", d.Explain, d.Attempts)
			}
		}
		if st := h.state("login"); st.State != store.StateHeld || st.Reason != mail.HoldQuota || st.LastError != "the limit of 3 messages a day is met" {
			t.Errorf("state %+v", st)
		}
		h.close()
		h.store.lose()
		wait(time.Hour)
		h.open(Settings{})
		h.queue.SetRoutes(limited(Limits{Daily: 3}, p))
		wait(17 * time.Hour) // within a day of the first
		h.want(ids[3], 1, "held quota")
		wait(2 * time.Hour) // room for one, and for another an hour later
		h.want(ids[3], 1, "sent")
		wait(2 * time.Hour)
		h.want(ids[4], 1, "sent")
		atMost(t, p, 3, 24*time.Hour, once)
	})
}

// A new process knows what the last one sent, and nothing goes while it cannot
// be told.
func TestDailyLimitOutlivesTheProcess(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.queue.SetRoutes(limited(Limits{Daily: 2}, p))
		h.put(h.message(main, "a@x.test"))
		h.close()
		h.store.lose()
		h.open(Settings{})
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "spent" {
				return store.ErrFull
			}
			return nil
		})
		h.queue.SetRoutes(limited(Limits{Daily: 2}, p))
		second, third := h.put(h.message(main, "a@x.test")), h.put(h.message(main, "a@x.test"))
		wait(time.Minute)
		h.want(second, 1, "queued")
		h.store.setFail(nil)
		wait(time.Minute)
		h.want(second, 1, "sent")
		h.want(third, 1, "held quota")
	})
}

func TestDayEndsAtMidnightInItsZone(t *testing.T) {
	seoul := time.FixedZone("KST", 9*3600)
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.queue.SetRoutes(limited(Limits{Daily: 1, Zone: seoul}, p))
		h.put(h.message(main, "a@x.test"))
		id := h.put(h.message(main, "a@x.test"))
		d := h.want(id, 1, "held quota")
		if at := d.NextAttempt.In(seoul).Format("15:04:05"); at != "00:00:00" || d.NextAttempt.Sub(h.begin) > 24*time.Hour {
			t.Errorf("held until %s after %v", at, d.NextAttempt.Sub(h.begin))
		}
		wait(d.NextAttempt.Sub(h.begin) + time.Minute)
		h.want(id, 1, "sent")
	})
}

// A quota that the provider speaks of ends when its day does.
func TestQuotaEndsWithTheDay(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.queue.SetRoutes(limited(Limits{Daily: 100, Zone: time.UTC}, answering(says(550, mail.ClassQuota, "5.4.5 limit"), ok)))
		wait(20 * time.Hour)
		id := h.put(h.message(main, "a@x.test"))
		if d := h.want(id, 1, "held quota"); d.NextAttempt.Sub(h.begin) != 24*time.Hour {
			t.Errorf("held until %v", d.NextAttempt)
		}
		wait(4*time.Hour + time.Minute)
		h.want(id, 1, "sent")
	})
}

func TestCopiesCountOnce(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.queue.SetRoutes(limited(Limits{Daily: 2}, p))
		m := h.message(main, "a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test", "f@x.test")
		m.Tracked = true
		h.put(m)
		second, third := h.put(h.message(main, "a@x.test", "b@x.test")), h.put(h.message(main, "a@x.test"))
		wait(time.Minute)
		for i := range m.Recipients {
			h.want(m.ID, i+1, "sent")
		}
		h.want(second, 2, "sent")
		h.want(third, 1, "held quota")
	})
}

// Where recipients count, a message goes to as many as the day has room for.
func TestRecipientsCount(t *testing.T) {
	for _, tracked := range []bool{false, true} {
		inHouse(t, Settings{}, func(t *testing.T, h *house) {
			p := answering(ok)
			h.queue.SetRoutes(limited(Limits{Daily: 4, Recipients: true}, p))
			h.put(h.message(main, "z@x.test"))
			m := h.message(main, "a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test")
			m.Tracked = tracked
			h.put(m)
			wait(time.Minute)
			sent := 0
			for i := range m.Recipients {
				if d := h.delivery(m.ID, i+1); d.Status == mail.Sent {
					sent++
				} else {
					h.want(m.ID, i+1, "held quota")
				}
			}
			if sent != 3 {
				t.Errorf("%d recipients got it, want the 3 that there was room for", sent)
			}
			wait(25 * time.Hour)
			for i := range m.Recipients {
				h.want(m.ID, i+1, "sent")
			}
			atMost(t, p, 4, 24*time.Hour, func(c call) int { return len(c.recipients) })
		})
	}
}

// What the provider did not take counts for nothing, what it may have does.
func TestOnlyWhatWasTakenCounts(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		no := says(550, mail.ClassRecipient, "5.1.1 unknown")
		h.queue.SetRoutes(limited(Limits{Daily: 2}, answering(no, later, silence, ok)))
		h.put(h.message(main, "a@x.test"))
		h.put(h.message(main, "a@x.test")) // again in a minute
		h.put(h.message(main, "a@x.test")) // may have been taken
		id, last := h.put(h.message(main, "a@x.test")), h.put(h.message(main, "a@x.test"))
		h.want(id, 1, "sent")
		h.want(last, 1, "held quota")
	})
}

// Whatever the rate and however the mail comes, no span sees more, and all of it
// goes in little more than the time that it must take.
func TestRate(t *testing.T) {
	for _, c := range []struct {
		rates []Rate
		n     int
		most  time.Duration
	}{
		{[]Rate{{10, time.Minute}}, 45, 5 * time.Minute},
		{[]Rate{{1, time.Second}}, 20, 23 * time.Second},
		{[]Rate{{5, time.Second}, {20, time.Minute}}, 50, 160 * time.Second},
		{[]Rate{{300, time.Minute}}, 500, 70 * time.Second},
	} {
		t.Run(fmt.Sprint(c.rates), func(t *testing.T) {
			inHouse(t, Settings{}, func(t *testing.T, h *house) {
				p := answering(ok)
				h.queue.SetRoutes(limited(Limits{Rates: c.rates}, p))
				for i := range c.n / 2 {
					h.put(h.message(main, "a@x.test"))
					if i%3 == 0 {
						wait(300 * time.Millisecond)
					}
				}
				m := h.message(main)
				for i := range c.n - c.n/2 {
					m.Recipients = append(m.Recipients, fmt.Sprintf("r%d@x.test", i))
				}
				m.Tracked = true // copies differ: a transaction for each
				h.put(m)
				wait(c.most)
				if p.count() != c.n {
					t.Errorf("%d of %d went in %v", p.count(), c.n, c.most)
				}
				for _, r := range c.rates {
					atMost(t, p, r.Count, r.Per, once)
				}
			})
		})
	}
}

// Limits belong to the credential: all entries with it keep the closest.
func TestLimitsAreShared(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		r := limited(Limits{Daily: 5}, p)
		r.Providers["blog/main"] = Route{Provider: p, Credential: "login", Limits: Limits{Daily: 2}}
		r.Providers["blog/free"] = Route{Provider: p}
		h.queue.SetRoutes(r)
		h.want(h.put(h.message(main, "a@x.test")), 1, "sent")
		h.want(h.put(h.message("blog/main", "a@x.test")), 1, "sent")
		h.want(h.put(h.message(main, "a@x.test")), 1, "held quota")
		h.want(h.put(h.message("blog/free", "a@x.test")), 1, "sent")
	})
}

// A reload may raise the limit: what was sent still counts, and what waited goes.
func TestLimitIsRaised(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.queue.SetRoutes(limited(Limits{Daily: 1}, p))
		h.put(h.message(main, "a@x.test"))
		second, third := h.put(h.message(main, "a@x.test")), h.put(h.message(main, "a@x.test"))
		h.want(second, 1, "held quota")
		h.queue.SetRoutes(limited(Limits{Daily: 2}, p))
		wait(time.Minute)
		h.want(second, 1, "sent")
		h.want(third, 1, "held quota")
	})
}

// An operator who asks for a try gets told again that the day is full.
func TestRetryKeepsTheLimit(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.queue.SetRoutes(limited(Limits{Daily: 1}, p))
		h.put(h.message(main, "a@x.test"))
		id := h.put(h.message(main, "a@x.test"))
		if _, err := h.queue.Retry(context.Background(), id); err != nil {
			t.Fatal(err)
		}
		wait(time.Minute)
		h.want(id, 1, "held quota")
		atMost(t, p, 1, 24*time.Hour, once)
	})
}
