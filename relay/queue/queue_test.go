package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

const main = "shop/main"

func TestPutReturnsAfterTheCommit(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.routes(map[string]Provider{main: p})
		commit := make(chan error)
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "put" {
				return <-commit
			}
			return nil
		})
		returned := make(chan error, 1)
		m := h.message(main, "a@x.test")
		go func() { returned <- h.queue.Put(t.Context(), m, sheet("x")) }()
		synctest.Wait()
		if len(returned) > 0 || p.count() > 0 {
			t.Fatal("Put returned, or a try began, before the commit")
		}
		commit <- nil
		if err := <-returned; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h.want(m.ID, 1, "sent")
	})
}

func TestPutThatFailsLeavesNothing(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.queue.SetRoutes(Routes{Providers: map[string]Route{main: {Provider: p, Connections: 1}}, Renderer: plain{}})
		synctest.Wait()
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "put" {
				return store.ErrFull
			}
			return nil
		})
		err := h.queue.Put(t.Context(), h.message(main, "a@x.test"), sheet(""))
		if !errors.Is(err, store.ErrFull) {
			t.Fatalf("Put: %v, want ErrFull", err)
		}
		synctest.Wait()
		h.store.setFail(nil)
		id := h.put(h.message(main, "b@x.test"))
		h.want(id, 1, "sent") // the one slot is free again
		if p.count() != 1 {
			t.Errorf("%d tries, want only the one that was kept", p.count())
		}
	})
}

func TestFirstTryStartsAtOnce(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := takes(time.Second, ok)
		h.queue.SetRoutes(Routes{Providers: map[string]Route{main: {Provider: p, Connections: 2}}, Renderer: plain{}})
		synctest.Wait()
		var ids []mail.ID
		for range 3 {
			ids = append(ids, h.put(h.message(main, "a@x.test")))
		}
		for i, started := range []bool{true, true, false} {
			if d := h.delivery(ids[i], 1); d.Started.IsZero() == started || d.Status != mail.Queued {
				t.Errorf("message %d: %+v, want started %v", i, d, started)
			}
		}
		wait(2 * time.Second)
		if h.store.reads != 0 {
			t.Errorf("%d contents were read back, though there was room for them in memory", h.store.reads)
		}
		d := h.want(ids[2], 1, "sent")
		if d.Attempts != 1 || d.Reply != "250 2.0.0 taken" || d.UpstreamID != "up1" || d.Uncertain || !d.NextAttempt.IsZero() {
			t.Errorf("sent: %+v", d)
		}
		if got := p.times(); !slices.Equal(got, []float64{0, 0, 1. / 60}) {
			t.Errorf("tries at %v minutes", got)
		}
		if e := h.lastEvent(ids[0], 1); e.Kind != mail.KindSent || e.Text != "250 2.0.0 taken" {
			t.Errorf("event %+v", e)
		}
	})
}

func TestPutBeforeRunWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, store: newMemStore(), begin: time.Now()}
		h.open(Settings{})
		h.close()
		p := answering(ok)
		id := h.put(h.message(main, "a@x.test")) // nobody runs
		if d := h.want(id, 1, "queued"); !d.Started.IsZero() {
			t.Fatalf("marked as begun though nothing runs: %+v", d)
		}
		h.open(Settings{})
		h.routes(map[string]Provider{main: p})
		h.want(id, 1, "sent")
		h.close()
	})
}

func TestScheduleUntilGivenUp(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(later)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		d := h.want(id, 1, "deferred")
		if got := d.NextAttempt.Sub(h.begin); got != time.Minute {
			t.Errorf("first retry after %v, want 1m", got)
		}
		wait(96*time.Hour - time.Nanosecond)
		h.want(id, 1, "deferred")
		wait(time.Nanosecond)
		d = h.want(id, 1, "failed")

		want := []float64{0, 1, 6, 21, 51, 111}
		for at := 231.; at < 96*60; at += 120 {
			want = append(want, at)
		}
		want = append(want, 96*60) // the last one at the end of its time
		if got := p.times(); !slices.Equal(got, want) {
			t.Errorf("tries after\n%v minutes, want\n%v", got, want)
		}
		if d.Attempts != len(want) || d.Reply != "451 4.3.0 later" || !d.NextAttempt.IsZero() {
			t.Errorf("failed: %+v", d)
		}
		e := h.lastEvent(id, 1)
		for _, part := range []string{"given up after 96h0m0s", fmt.Sprintf("%d tries through shop/main", len(want)),
			"Final-Recipient: rfc822; a@x.test", "Action: failed", "Status: 4.4.7", "Diagnostic-Code: smtp; 451 4.3.0 later"} {
			if !strings.Contains(e.Text, part) {
				t.Errorf("the record does not say %q:\n%s", part, e.Text)
			}
		}
		if e.Kind != mail.KindFailed {
			t.Errorf("event kind %s", e.Kind)
		}
	})
}

func TestExpiryOfTheAccount(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(later)
		h.queue.SetRoutes(Routes{
			Providers: map[string]Route{main: {Provider: p}}, Renderer: plain{},
			Expire: map[string]time.Duration{"shop": 10 * time.Minute},
		})
		id := h.put(h.message(main, "a@x.test"))
		wait(10 * time.Minute)
		h.want(id, 1, "failed")
		if got := p.times(); !slices.Equal(got, []float64{0, 1, 6, 10}) {
			t.Errorf("tries at %v", got)
		}
	})
}

func TestHeldTimeDoesNotExpire(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(later)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		if n, err := h.queue.Hold(t.Context(), id); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		d := h.want(id, 1, "held operator")
		if !d.NextAttempt.IsZero() {
			t.Errorf("held with a next attempt: %+v", d)
		}
		wait(200 * time.Hour)
		h.want(id, 1, "held operator")
		if p.count() != 1 {
			t.Fatalf("%d tries while held", p.count())
		}
		if n, err := h.queue.Retry(t.Context(), id); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		synctest.Wait()
		h.want(id, 1, "deferred")
		wait(96*time.Hour - time.Second)
		h.want(id, 1, "deferred")
		wait(time.Second)
		h.want(id, 1, "failed")
	})
}

func TestReplyThatNamesATime(t *testing.T) {
	inHouse(t, Settings{Rand: func() float64 { return 0 }}, func(t *testing.T, h *house) {
		p := answering(says(451, mail.ClassTemporary, "4.7.1 Greylisted, try again in 300 seconds"), ok)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		wait(300*time.Second - 1)
		h.want(id, 1, "deferred")
		wait(1)
		h.want(id, 1, "sent")
	})
}

func TestDelay(t *testing.T) {
	for _, c := range []struct {
		tries  int
		asked  time.Duration
		random float64
		want   time.Duration
	}{
		{1, 0, 0.5, time.Minute},
		{1, 0, 0, 54 * time.Second},
		{2, 0, 1, 330 * time.Second},
		{3, 0, 0.5, 15 * time.Minute},
		{4, 0, 0.5, 30 * time.Minute},
		{5, 0, 0.5, time.Hour},
		{6, 0, 0.5, 2 * time.Hour},
		{40, 0, 0.5, 2 * time.Hour},
		{1, 5 * time.Second, 0, 5 * time.Second},
		{1, time.Hour, 1, 66 * time.Minute},
		{6, 5 * time.Second, 0.5, 2 * time.Hour}, // it says so for ever
		{6, 3 * time.Hour, 0, 3 * time.Hour},
	} {
		if got := delay(c.tries, c.asked, c.random); got != c.want {
			t.Errorf("delay(%d, %v, %v) = %v, want %v", c.tries, c.asked, c.random, got, c.want)
		}
	}
}

func TestOutcomesByClass(t *testing.T) {
	for _, c := range []struct {
		attempt mail.Attempt
		want    string
		next    time.Duration // 0: none
	}{
		{ok, "sent", 0},
		{later, "deferred", time.Minute},
		{says(421, mail.ClassThrottling, "4.7.0 slow down"), "deferred", time.Minute},
		{mail.Attempt{Err: errors.New("no route to host"), Class: mail.ClassTemporary, Unreachable: true}, "deferred", time.Minute},
		{mail.Attempt{Err: errors.New("strange")}, "deferred", time.Minute},
		{mail.Attempt{}, "deferred", time.Minute}, // nobody said that it was taken
		{refused, "held auth", 0},
		{says(550, mail.ClassQuota, "5.4.5 daily limit"), "held quota", 24 * time.Hour},
		{says(550, mail.ClassAccount, "5.7.1 blocked"), "held account", 0},
		{says(550, mail.ClassRecipient, "5.1.1 unknown"), "failed", 0},
		{says(553, mail.ClassSender, "5.1.8 not yours"), "failed", 0},
		{says(554, mail.ClassContent, "5.7.1 spam"), "failed", 0},
		{mail.Attempt{Err: errors.New("no SMTPUTF8"), Class: mail.ClassRecipient}, "failed", 0},
		{says(450, mail.ClassRecipient, "4.2.1 busy"), "deferred", time.Minute},
		{says(599, "", "what"), "failed", 0},
	} {
		inHouse(t, Settings{}, func(t *testing.T, h *house) {
			h.routes(map[string]Provider{main: answering(c.attempt)})
			id := h.put(h.message(main, "a@x.test"))
			d := h.want(id, 1, c.want)
			if d.Attempts != 1 || d.Reply != c.attempt.Reply.String() {
				t.Errorf("%+v: attempts %d, reply %q", c.attempt, d.Attempts, d.Reply)
			}
			if c.next == 0 && !d.NextAttempt.IsZero() || c.next > 0 && !d.NextAttempt.Equal(h.begin.Add(c.next)) {
				t.Errorf("%+v: next attempt %v", c.attempt, d.NextAttempt)
			}
			if e := h.lastEvent(id, 1); string(e.Kind) != string(d.Status) || e.Text == "" && c.attempt.Err != nil {
				t.Errorf("%+v: event %+v", c.attempt, e)
			}
			if d.Reply == "" && d.Explain == nil {
				t.Errorf("%+v: neither reply nor explanation", c.attempt)
			}
		})
	}
}

func TestRecipientsEndAlone(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := scripted(func(_ context.Context, n int, t mail.Transaction) []mail.Attempt {
			if n == 1 {
				return []mail.Attempt{ok, says(550, mail.ClassRecipient, "5.1.1 unknown"), later}
			}
			return forAll(t, ok)
		})
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test", "b@x.test", "c@x.test"))
		h.want(id, 1, "sent")
		h.want(id, 2, "failed")
		h.want(id, 3, "deferred")
		wait(time.Minute)
		h.want(id, 3, "sent")
		if c := p.all()[1]; !slices.Equal(c.recipients, []string{"c@x.test"}) {
			t.Errorf("tried again for %v", c.recipients)
		}
		if text := h.lastEvent(id, 2).Text; !strings.Contains(text, "Status: 5.1.1\n") {
			t.Errorf("record of the failure:\n%s", text)
		}
	})
}

func TestUncertain(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(silence, ok)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		if d := h.want(id, 1, "deferred"); !d.Uncertain || d.Explain == nil {
			t.Errorf("no reply after the content: %+v", d)
		}
		wait(time.Minute)
		if d := h.want(id, 1, "sent"); !d.Uncertain {
			t.Error("forgot that it may have been sent twice")
		}
	})
}

// A process that died in a try left a mark.
func TestUncertainAfterDeath(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		m := h.message(main, "a@x.test", "b@x.test")
		ds := deliveries(m, time.Now())
		ds[0].Started = time.Now()
		if err := h.store.Put(t.Context(), m, ds, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		h.store.lose()
		h.routes(map[string]Provider{main: answering(ok)})
		if a, b := h.want(m.ID, 1, "sent"), h.want(m.ID, 2, "sent"); !a.Uncertain || b.Uncertain {
			t.Errorf("uncertain: %v and %v, want the first alone", a.Uncertain, b.Uncertain)
		}
	})
}

// A delivery whose mail was opened before its retry has arrived.
func TestOpenedWhileDeferred(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(silence)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		h.store.mu.Lock()
		h.store.rows[key{id, 1}].Hit(mail.Event{Kind: mail.KindOpen, Time: time.Now(), Class: mail.Human})
		h.store.mu.Unlock()
		wait(time.Hour)
		if d := h.want(id, 1, "opened"); !d.NextAttempt.IsZero() || p.count() != 1 {
			t.Errorf("after it was opened: %d tries, %+v", p.count(), d)
		}
	})
}

func TestTransactions(t *testing.T) {
	m := &mail.Message{Recipients: make([]string, 5)}
	ds := deliveries(m, time.Now())
	ds[1].Attempts = 1
	indexes := func(m *mail.Message, most int) (txs [][]int) {
		for _, tx := range transactions(m, ds, most) {
			var is []int
			for _, d := range tx {
				is = append(is, d.Index)
			}
			txs = append(txs, is)
		}
		return txs
	}
	for _, c := range []struct {
		name            string
		tracked, shared bool
		most            int
		want            string
	}{
		{"equal copies", false, false, 100, "[[1 3 4 5] [2]]"},
		{"in chunks", false, false, 3, "[[1 3 4] [5] [2]]"},
		{"one token", true, true, 2, "[[1 3] [4 5] [2]]"},
		{"copies differ", true, false, 100, "[[1] [3] [4] [5] [2]]"},
	} {
		got := fmt.Sprint(indexes(&mail.Message{Tracked: c.tracked, Shared: c.shared}, c.most))
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestCopiesForRecipients(t *testing.T) {
	many := make([]string, 250)
	for i := range many {
		many[i] = fmt.Sprintf("r%d@x.test", i+1)
	}
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok)
		h.queue.SetRoutes(Routes{Providers: map[string]Route{main: {Provider: p, Connections: 2, MaxRecipients: 100}}, Renderer: plain{}})
		synctest.Wait()
		h.put(h.message(main, many...))
		var sizes []int
		for _, c := range p.all() {
			sizes = append(sizes, len(c.recipients))
			if c.copy != "0 shop/main" {
				t.Errorf("shared copy %q", c.copy)
			}
		}
		slices.Sort(sizes)
		if !slices.Equal(sizes, []int{50, 100, 100}) {
			t.Errorf("transactions of %v recipients", sizes)
		}

		split := h.message(main, many...)
		split.Tracked = true
		h.put(split)
		copies := map[string]string{}
		for _, c := range p.all()[3:] {
			copies[strings.Join(c.recipients, " ")] = c.copy
		}
		for i, rcpt := range many {
			if want := fmt.Sprintf("%d shop/main", i+1); copies[rcpt] != want {
				t.Errorf("%s got copy %q, want %q", rcpt, copies[rcpt], want)
			}
			h.want(split.ID, i+1, "sent")
		}
		if n := p.count(); n != 253 {
			t.Errorf("%d transactions, want 253", n)
		}
	})
}
