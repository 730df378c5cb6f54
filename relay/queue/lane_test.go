package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/store"
)

// one makes routes where several providers share the credential "login".
func one(connections int, providers map[string]Provider) Routes {
	r := Routes{Providers: map[string]Route{}, Renderer: plain{}}
	for name, p := range providers {
		r.Providers[name] = Route{Provider: p, Credential: "login", Connections: connections}
	}
	return r
}

func TestRefusedLoginParks(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p, other := answering(refused, refused, refused, ok), answering(ok)
		r := one(4, map[string]Provider{main: p, "blog/main": p})
		r.Providers["blog/other"] = Route{Provider: other}
		h.queue.SetRoutes(r)
		first := h.put(h.message(main, "a@x.test"))
		d := h.want(first, 1, "held auth")
		if !d.NextAttempt.IsZero() || d.Reply != "535 5.7.8 bad login" {
			t.Errorf("parked: %+v", d)
		}
		second := h.put(h.message("blog/main", "a@x.test", "b@x.test"))
		h.want(second, 1, "held auth")
		h.want(second, 2, "held auth")
		if text := h.lastEvent(second, 1).Text; text != "provider blog/main is parked: 535 5.7.8 bad login" {
			t.Errorf("the event says %q", text)
		}
		third := h.put(h.message("blog/other", "a@x.test"))
		h.want(third, 1, "sent")

		st := h.state("login")
		if st.State != store.StateParked || st.Reason != "auth" || st.LastError != "535 5.7.8 bad login" || !st.Since.Equal(h.begin) {
			t.Errorf("state %+v", st)
		}
		if h.store.states["login"] != st {
			t.Errorf("the store knows %+v", h.store.states["login"])
		}
		if n := strings.Count(h.log.String(), "provider parked"); n != 1 || !strings.Contains(h.log.String(), "provider=shop/main") {
			t.Errorf("%d lines say parked:\n%s", n, h.log)
		}

		wait(15 * time.Minute) // one probe, refused
		h.want(first, 1, "held auth")
		wait(15 * time.Minute) // another
		h.want(second, 1, "held auth")
		if got := p.times(); !slices.Equal(got, []float64{0, 15, 30}) {
			t.Fatalf("tries at %v minutes, want one probe each 15", got)
		}
		wait(15 * time.Minute) // which gets through
		for i, id := range []mail.ID{first, second, second} {
			h.want(id, max(1, i), "sent")
		}
		if st := h.state("login"); st.State != store.StateOK || h.store.states["login"].State != store.StateOK {
			t.Errorf("state %+v", st)
		}
	})
}

// What waits for its retry is held when the login is refused, and comes back
// with it.
func TestParkingHoldsTheDeferred(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(later, refused, ok)
		h.routes(map[string]Provider{main: p})
		deferred := h.put(h.message(main, "a@x.test"))
		h.want(deferred, 1, "deferred")
		h.put(h.message(main, "b@x.test"))
		if d := h.want(deferred, 1, "held auth"); d.Explain == nil || !strings.Contains(d.Explain.Detail, "5.7.8 bad login") {
			t.Errorf("explained as %+v", d.Explain)
		}
		h.routes(map[string]Provider{main: p}) // a reload
		h.want(deferred, 1, "sent")
	})
}

func TestParkedOverARestart(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(refused, ok)
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		h.close()
		h.store.lose()

		h.open(Settings{})
		h.routes(map[string]Provider{main: p})
		h.want(id, 1, "held auth")
		if st := h.state(main); st.State != store.StateParked {
			t.Errorf("state after the restart %+v", st)
		}
		next := h.put(h.message(main, "b@x.test"))
		h.want(next, 1, "held auth")
		wait(15*time.Minute - 1)
		if p.count() != 1 {
			t.Fatal("tried before the probe was due")
		}
		wait(1)
		h.want(id, 1, "sent")
		h.want(next, 1, "sent")
	})
}

func TestRetryProbesOnce(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(refused, refused, ok)
		h.routes(map[string]Provider{main: p})
		var ids []mail.ID
		for range 5 {
			ids = append(ids, h.put(h.message(main, "a@x.test")))
		}
		for want := 2; want <= 3; want++ {
			if n, err := h.queue.Retry(t.Context()); n != 1 || err != nil {
				t.Fatalf("Retry = %d, %v, want one probe", n, err)
			}
			synctest.Wait()
			if want == 2 && p.count() != 2 {
				t.Fatalf("%d tries, want one probe", p.count())
			}
		}
		for _, id := range ids {
			h.want(id, 1, "sent")
		}
	})
}

// A probe that gets no answer proves nothing.
func TestProbeWithoutAnswer(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(refused, mail.Attempt{Err: context.DeadlineExceeded, Class: mail.ClassTemporary, Unreachable: true}, ok)
		h.routes(map[string]Provider{main: p})
		a := h.put(h.message(main, "a@x.test"))
		b := h.put(h.message(main, "b@x.test"))
		wait(29 * time.Minute)
		if st := h.state(main); st.State != store.StateParked || p.count() != 2 {
			t.Fatalf("after %d tries %+v", p.count(), st)
		}
		wait(time.Minute)
		h.want(a, 1, "sent")
		h.want(b, 1, "sent")
	})
}

// A probe that takes long is not joined by another one, nor waited for in a
// circle: what is made due meanwhile is held again.
func TestSlowProbe(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		slow := takes(20*time.Minute, ok)
		h.routes(map[string]Provider{main: scripted(func(ctx context.Context, n int, t mail.Transaction) []mail.Attempt {
			if n == 1 {
				return forAll(t, refused)
			}
			return slow.answer(ctx, n, t)
		})})
		a := h.put(h.message(main, "a@x.test"))
		b := h.put(h.message(main, "b@x.test"))
		var claims atomic.Int32
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "claim" && claims.Add(1) > 100 {
				return store.ErrFull // which makes it pause
			}
			return nil
		})
		wait(36 * time.Minute)
		h.want(a, 1, "sent")
		if n := claims.Load(); n > 100 {
			t.Errorf("%d claims", n)
		}
		wait(20 * time.Minute)
		h.want(b, 1, "sent")
	})
}

// The tries that were under way when a reload brought a new password say
// nothing about it.
func TestStaleRefusal(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: takes(time.Minute, refused)})
		slow := h.put(h.message(main, "a@x.test"))
		wait(30 * time.Second)
		fast := h.put(h.message(main, "b@x.test"))
		wait(30 * time.Second) // the first parks it
		if st := h.state(main); st.State != store.StateParked {
			t.Fatalf("state %+v", st)
		}
		h.routes(map[string]Provider{main: answering(ok)})
		h.want(slow, 1, "sent")
		wait(30 * time.Second) // the second is refused for the old password
		h.want(fast, 1, "sent")
		if st := h.state(main); st.State != store.StateOK {
			t.Errorf("parked by an old password: %+v", st)
		}
	})
}

// A login that was refused before the password was put right says nothing
// about the new one, also where the old one had not parked the provider yet.
func TestRefusalBeforeAReload(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: takes(time.Minute, refused)})
		id := h.put(h.message(main, "a@x.test"))
		h.routes(map[string]Provider{main: answering(ok)})
		wait(time.Minute)
		h.want(id, 1, "sent")
		if st := h.state(main); st.State != store.StateOK {
			t.Errorf("parked by an old password: %+v", st)
		}
	})
}

func TestQuotaHoldsTheProvider(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(ok, says(550, mail.ClassQuota, "5.4.5 daily limit exceeded"), ok)
		h.routes(map[string]Provider{main: p})
		h.put(h.message(main, "a@x.test"))
		a := h.put(h.message(main, "b@x.test"))
		b := h.put(h.message(main, "c@x.test"))
		until := h.begin.Add(24 * time.Hour)
		for _, id := range []mail.ID{a, b} {
			if d := h.want(id, 1, "held quota"); !d.NextAttempt.Equal(until) {
				t.Errorf("held until %v, want %v", d.NextAttempt, until)
			}
		}
		if st := h.state(main); st.State != store.StateHeld || !st.Until.Equal(until) {
			t.Errorf("state %+v", st)
		}
		h.close() // the window outlives a restart
		h.open(Settings{})
		h.routes(map[string]Provider{main: p})
		wait(24*time.Hour - 1)
		if p.count() != 2 {
			t.Fatalf("%d tries within the window", p.count())
		}
		wait(1)
		h.want(a, 1, "sent")
		h.want(b, 1, "sent")
		if st := h.state(main); st.State != store.StateOK {
			t.Errorf("state %+v", st)
		}
	})
}

func TestProviderGone(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p, spare := answering(later, ok), answering(ok)
		h.routes(map[string]Provider{main: p, "shop/spare": spare})
		id := h.put(h.message(main, "a@x.test"))
		h.routes(map[string]Provider{"shop/spare": spare})
		if d := h.want(id, 1, "held provider-gone"); !d.NextAttempt.IsZero() || d.Explain == nil || !strings.Contains(d.Explain.Detail, main) {
			t.Errorf("%+v", d)
		}
		late := h.put(h.message(main, "b@x.test")) // bound before the reload
		h.want(late, 1, "held provider-gone")
		if n, err := h.queue.Retry(t.Context()); n != 0 || err != nil {
			t.Errorf("Retry = %d, %v, want nothing to do", n, err)
		}
		wait(200 * time.Hour)
		h.want(id, 1, "held provider-gone")
		h.routes(map[string]Provider{main: p, "shop/spare": spare})
		h.want(id, 1, "sent")
		h.want(late, 1, "sent")
	})
}

func TestHangingProviderStopsNobody(t *testing.T) {
	inHouse(t, Settings{Workers: 4, Backlog: 50}, func(t *testing.T, h *house) {
		bad, good := hangs(), answering(later, ok)
		h.routes(map[string]Provider{main: bad, "blog/main": good})
		for range 200 { // more than the backlog holds
			h.put(h.message(main, "a@x.test"))
		}
		deferred := h.put(h.message("blog/main", "a@x.test"))
		h.want(deferred, 1, "deferred")
		h.want(h.put(h.message("blog/main", "b@x.test")), 1, "sent")
		wait(time.Minute)
		h.want(deferred, 1, "sent")
		if bad.count() != 4 {
			t.Errorf("%d tries at once with a provider of 4 connections", bad.count())
		}
		if h.queue.gate.slots["blog/main"].running != 0 {
			t.Error("slots are not given back")
		}
	})
}

// What finds the backlog full stays in the store, where nothing changes about
// it, and follows at once when there is room.
func TestFullBacklogLeavesTheRest(t *testing.T) {
	inHouse(t, Settings{Backlog: 50}, func(t *testing.T, h *house) {
		p := takes(time.Second, ok)
		h.routes(map[string]Provider{main: p, "blog/main": answering(ok)})
		m := h.message(main, manyRecipients(3000)...)
		m.Tracked = true
		h.put(m)
		h.want(h.put(h.message("blog/main", "b@x.test")), 1, "sent")
		h.want(m.ID, 3000, "queued")
		h.store.mu.Lock()
		if n := len(h.store.leases); n > 50+claimBatch+4 {
			t.Errorf("%d are claimed", n)
		}
		h.store.mu.Unlock()
		wait(800 * time.Second) // 4 at once, a second each
		for i := range 3000 {
			h.want(m.ID, i+1, "sent")
		}
	})
}

func manyRecipients(n int) (rcpts []string) {
	for i := range n {
		rcpts = append(rcpts, fmt.Sprintf("r%d@x.test", i+1))
	}
	return rcpts
}

// Accounts that share a credential take turns.
func TestFairWithinACredential(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := takes(time.Second, ok)
		h.queue.SetRoutes(one(1, map[string]Provider{main: p, "blog/main": p}))
		synctest.Wait()
		for range 50 {
			h.put(h.message(main, "a@x.test"))
		}
		big := h.message(main, manyRecipients(100)...)
		big.Tracked = true
		h.put(big)
		id := h.put(h.message("blog/main", "b@x.test"))
		wait(4 * time.Second)
		h.want(id, 1, "sent")
	})
}

// A message to many gives up its connection after a few of them.
func TestFairBetweenMessages(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := takes(time.Second, ok)
		h.queue.SetRoutes(one(1, map[string]Provider{main: p}))
		synctest.Wait()
		big := h.message(main, manyRecipients(1000)...)
		big.Tracked = true
		h.put(big)
		id := h.put(h.message(main, "b@x.test"))
		wait((2*turn + 2) * time.Second)
		h.want(id, 1, "sent")
		wait(1000 * time.Second)
		h.want(big.ID, 1000, "sent")
	})
}

// Put does not overtake what waits.
func TestNobodyOvertakes(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := takes(time.Second, ok)
		h.queue.SetRoutes(one(1, map[string]Provider{main: p}))
		synctest.Wait()
		var want []mail.ID
		for range 10 {
			want = append(want, h.put(h.message(main, "a@x.test")))
			wait(500 * time.Millisecond)
		}
		wait(time.Minute)
		var got []mail.ID
		for _, c := range p.all() {
			got = append(got, c.message)
		}
		if !slices.Equal(got, want) {
			t.Errorf("sent in the order %v, put in %v", got, want)
		}
	})
}

func TestThrottlingSlowsDown(t *testing.T) {
	clk := clock.NewFake(time.Now())
	g := newGate(100, clk)
	g.setRoutes(one(8, map[string]Provider{main: nil}))
	take := func() (n int) {
		clk.Advance(longestRest)
		j := jobs("login", 1)[0]
		for g.take("login", j, 1).n > 0 {
			n++
		}
		for range n {
			g.give(j, 1)
		}
		return n
	}
	if n := take(); n != 8 {
		t.Fatalf("%d at once, want 8", n)
	}
	for _, want := range []int{4, 2, 1, 1} {
		if g.pace("login", true); take() != want {
			t.Errorf("%d at once after throttling, want %d", take(), want)
		}
	}
	for _, want := range []int{2, 3, 4, 5, 6, 7, 8, 8} {
		if g.pace("login", false); take() != want {
			t.Errorf("%d at once after a success, want %d", take(), want)
		}
	}
}

// jobs are of one recipient each.
func jobs(credential string, n int) (js []*job) {
	for i := range n {
		js = append(js, &job{id: mail.ID{byte(i)}, indexes: []int{1}, way: way{Route: Route{Credential: credential}}})
	}
	return js
}

// A provider that asks for less gets nothing for a while, longer each time.
func TestThrottlingRests(t *testing.T) {
	clk := clock.NewFake(time.Now())
	g := newGate(100, clk)
	g.setRoutes(one(8, map[string]Provider{main: nil}))
	j := jobs("login", 1)[0]
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		g.pace("login", true)
		a := g.take("login", j, 1)
		if rest := a.at.Sub(clk.Now()); a.n != 0 || rest != want*time.Second {
			t.Errorf("%d may go, else after %v, want %v", a.n, rest, want*time.Second)
		}
		clk.Advance(want * time.Second)
		if g.take("login", j, 1).n != 1 {
			t.Error("nothing goes after the rest")
		}
		g.give(j, 0)
	}
	g.pace("login", false)
	g.pace("login", true)
	if a := g.take("login", j, 1); a.at.Sub(clk.Now()) != time.Second {
		t.Errorf("after a success it rests until %v", a.at)
	}
}

func TestGateKeepsTheLine(t *testing.T) {
	g := newGate(100, clock.System{})
	g.setRoutes(one(2, map[string]Provider{main: nil}))
	const size = aheadOctets / 2 // there is room for two
	reserve := func(want, slots, ahead int, inLine bool, when string) {
		t.Helper()
		if n, m, line := g.reserve("login", jobs("login", want), size); n != slots || m != ahead || line != inLine {
			t.Errorf("%d slots, %d places ahead, in line %v %s", n, m, line, when)
		}
	}
	g.setOpen(true)
	reserve(1, 0, 0, true, "before the scheduler has looked")
	g.came("login")
	g.mark("login", false, false)
	reserve(1, 1, 0, false, "with free slots")
	g.give(jobs("login", 1)[0], 1)
	reserve(3, 2, 1, false, "with fewer free slots than are needed")
	g.give(jobs("login", 1)[0], 1)
	reserve(1, 0, 1, false, "with a free slot, and one who waits for it")
	reserve(1, 0, 0, true, "with no place left")
	g.came("login")
	g.leave("login", size)
	reserve(1, 0, 1, false, "with a place again")
	g.leave("login", size)
	g.mark("login", false, true)
	reserve(1, 0, 0, true, "while others wait")
	g.came("login")
	g.mark("login", false, false)
	reserve(3, 0, 1, true, "with a place for one of three")
	g.leave("login", size)
	g.leave("login", size)
	reserve(1, 0, 0, true, "while the scheduler does not know yet who waits")
	g.came("login")
	g.came("login")
	g.mark("login", false, false)
	reserve(1, 1, 0, false, "with nobody left in line")
}

func TestGateKeepsOneForEach(t *testing.T) {
	g := newGate(2, clock.System{})
	g.setRoutes(Routes{Providers: map[string]Route{"a": {}, "b": {}, "c": {}}})
	g.setOpen(true)
	for _, name := range []string{"a", "b", "c"} {
		g.mark(name, false, false)
	}
	if n, _, _ := g.reserve("a", jobs("a", 9), 1); n != 2 {
		t.Errorf("a got %d of 2", n)
	}
	for _, name := range []string{"b", "c"} {
		if n, _, _ := g.reserve(name, jobs(name, 9), 1); n != 1 {
			t.Errorf("%s got %d, want the one that is always there", name, n)
		}
		if n, _, _ := g.reserve(name, jobs(name, 1), 1); n != 0 {
			t.Errorf("%s got another one in front of those who wait", name)
		}
	}
}

// The clock was ahead when a retry, or the end of a hold, was planned.
func TestClockThatWasWrong(t *testing.T) {
	v := &view{of: map[string]standing{main: {ProviderState: store.ProviderState{State: store.StateOK}}}}
	now := time.Now()
	for _, c := range []struct {
		status mail.Status
		reason string
		ahead  time.Duration
		want   bool
	}{
		{mail.Deferred, "", 2 * time.Hour, false},
		{mail.Deferred, "", 24 * time.Hour, true},
		{mail.Held, mail.HoldQuota, 24 * time.Hour, false},
		{mail.Held, mail.HoldQuota, 27 * time.Hour, true},
		{mail.Held, mail.HoldThrottling, 27 * time.Hour, true},
		{mail.Held, mail.HoldOperator, 25 * time.Hour, false},
	} {
		d := mail.Delivery{Provider: main, Status: c.status, Reason: c.reason, NextAttempt: now.Add(c.ahead)}
		if _, ok := v.fit(d, now); ok != c.want {
			t.Errorf("%s %s, due in %v: made due now %v, want %v", c.status, c.reason, c.ahead, ok, c.want)
		}
	}
}

// A sweep that follows the parking of a provider leaves the delivery alone that
// somebody made due meanwhile, to be the probe.
func TestSweepLeavesTheProbe(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		ready bool
		ahead time.Duration
		want  bool
	}{{false, 0, true}, {true, 0, false}, {true, time.Minute, true}} {
		v := &view{of: map[string]standing{main: {ProviderState: store.ProviderState{State: store.StateParked}, ready: c.ready}}}
		d := mail.Delivery{Provider: main, Status: mail.Deferred, NextAttempt: now.Add(c.ahead)}
		if _, ok := v.fit(d, now); ok != c.want {
			t.Errorf("ready %v, due in %v: held %v, want %v", c.ready, c.ahead, ok, c.want)
		}
	}
}

// The clock was a year ahead when the provider said that its quota was used up.
func TestHeldByAClockThatWasWrong(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.close()
		st := store.ProviderState{Credential: main, State: store.StateHeld, Reason: mail.HoldQuota, Until: time.Now().AddDate(1, 0, 0)}
		if err := h.store.SaveProvider(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		h.open(Settings{})
		h.routes(map[string]Provider{main: answering(ok)})
		id := h.put(h.message(main, "a@x.test"))
		wait(longestNap)
		h.want(id, 1, "sent")
	})
}

// One record that cannot be read keeps nothing else from being held, brought
// back or retried.
func TestUnreadableRecordStopsNobody(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(later, later, ok, later)})
		bad, id := h.put(h.message(main, "a@x.test")), h.put(h.message(main, "b@x.test"))
		h.store.setFail(func(op string, id mail.ID) error {
			if op == "unfinished" && id == bad {
				return store.ErrCorrupt
			}
			return nil
		})
		if n, err := h.queue.Retry(t.Context()); n != 1 || err != nil {
			t.Errorf("Retry of all = %d, %v", n, err)
		}
		synctest.Wait()
		h.want(id, 1, "sent")
		id = h.put(h.message(main, "c@x.test"))
		h.routes(nil)
		h.want(id, 1, "held provider-gone")
		h.want(bad, 1, "deferred")
		h.routes(map[string]Provider{main: answering(ok)})
		h.want(id, 1, "sent")
	})
}

// A message to many does not knock once for each recipient at a provider that
// refuses the login.
func TestRefusalEndsTheTurn(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := scripted(func(_ context.Context, n int, t mail.Transaction) []mail.Attempt {
			if n <= 6 {
				return forAll(t, later)
			}
			return forAll(t, refused)
		})
		h.queue.SetRoutes(one(1, map[string]Provider{main: p}))
		synctest.Wait()
		m := h.message(main, manyRecipients(6)...)
		m.Tracked = true
		h.put(m)
		wait(time.Minute)
		if p.count() != 7 {
			t.Errorf("%d tries, want 6 and one that was refused", p.count())
		}
		for i := range 6 {
			h.want(m.ID, i+1, "held auth")
		}
	})
}

// What was claimed before the login was refused does not knock any more.
func TestRefusalEndsTheBacklog(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := takes(time.Second, refused)
		h.queue.SetRoutes(one(1, map[string]Provider{main: p}))
		synctest.Wait()
		var ids []mail.ID
		for range 5 {
			ids = append(ids, h.put(h.message(main, "a@x.test")))
		}
		wait(time.Minute)
		for _, id := range ids {
			h.want(id, 1, "held auth")
		}
		if p.count() != 1 {
			t.Errorf("%d tries, want 1", p.count())
		}
	})
}

// A reload comes while mail of a parked provider is being held.
func TestUnparkedWhileHolding(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(refused)})
		h.put(h.message(main, "a@x.test"))
		read := make(chan struct{})
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "delivery" {
				<-read
			}
			return nil
		})
		id := h.put(h.message(main, "b@x.test"))
		h.routes(map[string]Provider{main: answering(ok)})
		close(read)
		synctest.Wait()
		h.want(id, 1, "sent")
	})
}

// The store cannot be read just when mail of a parked provider is to be held.
func TestHoldingThatFails(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(refused)})
		h.put(h.message(main, "a@x.test"))
		h.store.setFail(func(op string, _ mail.ID) error {
			if op == "delivery" {
				return store.ErrCorrupt
			}
			return nil
		})
		id := h.put(h.message(main, "b@x.test"))
		h.want(id, 1, "queued")
		h.store.setFail(nil)
		wait(storePause)
		h.want(id, 1, "held auth")
	})
}

func TestLastError(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		h.routes(map[string]Provider{main: answering(later, says(550, mail.ClassRecipient, "5.1.1 unknown"))})
		h.put(h.message(main, "a@x.test"))
		h.put(h.message(main, "b@x.test")) // about the recipient, not the provider
		if st := h.state(main); st.State != store.StateOK || st.LastError != "451 4.3.0 later" {
			t.Errorf("%+v", st)
		}
	})
}

// What only a person can mend is told after a restart too.
func TestLastErrorOverARestart(t *testing.T) {
	inHouse(t, Settings{}, func(t *testing.T, h *house) {
		p := answering(says(554, mail.ClassAccount, "5.7.1 blocked"))
		h.routes(map[string]Provider{main: p})
		id := h.put(h.message(main, "a@x.test"))
		h.want(id, 1, "held account")
		h.close()
		h.store.lose()

		h.open(Settings{})
		h.routes(map[string]Provider{main: p})
		if st := h.state(main); st.State != store.StateOK || st.LastError != "554 5.7.1 blocked" {
			t.Errorf("%+v", st)
		}
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	for _, a := range []mail.Attempt{ok, ok, refused, {Err: context.Canceled}} {
		m.attempt(main, a)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, sample := range f.GetMetric() {
			if f.GetName() == "backstamp_queue_attempts_total" {
				got[sample.GetLabel()[0].GetValue()] = sample.GetCounter().GetValue()
			}
		}
	}
	if want := map[string]float64{"taken": 2, "auth": 1, "none": 1}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}
