package relay

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
)

// A burglar tries passwords for a while, as fast as it is let.
func (g *guesses) burgle(addr, user string, now time.Time, tries int) (looked int, end time.Time) {
	a := netip.MustParseAddr(addr)
	for range tries {
		if wait, ok := g.turn(a, user, now); ok {
			now = now.Add(wait)
			g.learn(a, user, false, now)
			looked++
		}
	}
	return looked, now
}

func newGuesses() *guesses { return &guesses{known: map[guesser]*guessing{}} }

// TestGuessesSlowDown: what an address, or the many that try one name, get to
// know in an hour is little.
func TestGuessesSlowDown(t *testing.T) {
	for name, who := range map[string]func(i int) (addr, user string){
		"one address":        func(i int) (string, string) { return "192.0.2.7", fmt.Sprint("user", i) },
		"one name":           func(i int) (string, string) { return fmt.Sprintf("198.51.%d.%d", i/256, i%256), "shop" },
		"one IPv6 client":    func(i int) (string, string) { return fmt.Sprintf("2001:db8::%x", i), fmt.Sprint("user", i) },
		"one name from here": func(i int) (string, string) { return "127.0.0.1", "shop" },
	} {
		t.Run(name, func(t *testing.T) {
			g, at, looked := newGuesses(), now, 0
			for i := 0; at.Before(now.Add(time.Hour)) && i < 50_000; i++ {
				addr, user := who(i % 60_000)
				n, end := g.burgle(addr, user, at, 1)
				looked += n
				if at = end; n == 0 {
					at = at.Add(time.Second)
				}
			}
			if looked > 90 || looked < 10 {
				t.Errorf("%d passwords were looked at in %v", looked, at.Sub(now))
			}
		})
	}
}

// TestGuessesOfNeighbours: who gave the right password is kept waiting neither
// by neighbours behind its address nor by strangers who try its name; who did
// not yet has its turn once they rest.
func TestGuessesOfNeighbours(t *testing.T) {
	g, home := newGuesses(), netip.MustParseAddr("192.0.2.7")
	g.learn(home, "shop", true, now)
	for i := range 100 {
		g.burgle("192.0.2.7", fmt.Sprint("user", i), now, 3)
		g.burgle(fmt.Sprintf("198.51.100.%d", i), "shop", now, 3)
	}
	for range 20 {
		if wait, ok := g.turn(home, "shop", now); wait != 0 || !ok {
			t.Fatalf("the owner waits %v, %v", wait, ok)
		}
	}
	if _, ok := g.turn(home, "erp", now); ok {
		t.Error("a stranger from the same address does not wait")
	}
	if wait, ok := g.turn(home, "erp", now.Add(guessWaitMax)); !ok || wait > guessKept {
		t.Errorf("a minute later it waits %v, %v", wait, ok)
	}
	later := now.Add((guessesWorst + 1) * guessForgive)
	for range guessesFree {
		if wait, _ := g.turn(home, "erp", later); wait != 0 {
			t.Errorf("nothing is forgiven: %v", wait)
		}
	}
}

// TestGuessersAreBounded: an attacker with many addresses takes no memory, and
// makes no owner a stranger.
func TestGuessersAreBounded(t *testing.T) {
	g, home := newGuesses(), netip.MustParseAddr("192.0.2.7")
	g.learn(home, "shop", true, now)
	for i := range 3 * guessersMax {
		g.burgle(fmt.Sprintf("2001:db8:%x:%x::1", i>>8, i&0xff), fmt.Sprint("user", i), now, 1)
		if len(g.known) > guessersMax {
			t.Fatalf("%d are remembered", len(g.known))
		}
	}
	own, _ := answerable(home, "shop")
	if k := g.known[own]; k == nil || !k.owner {
		t.Error("the owner was forgotten")
	}
}

// TestLoginsSlowDown: the delay is the server's, whatever connection the next
// password comes on, and the right one does for who has waited.
func TestLoginsSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(t)
		s.Limits.LoginFailures = 2
		server := New(newPolicy(t, s), &shelf{}, clock.System{}, slog.New(slog.DiscardHandler), nil)
		login := func(password string) (string, time.Duration) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			server.take(0, farConn{theirs, "192.0.2.7"})
			c := mailtest.NewClient(t, ours)
			expect(t, c, "220 ")
			c.Expect("EHLO c", "250")
			began := time.Now()
			return c.Cmd("AUTH PLAIN " + plainOf("shop", password))[:3], time.Since(began)
		}
		var codes []string
		var longest time.Duration
		for range guessesFree + 7 {
			code, took := login("wrong")
			codes, longest = append(codes, code), max(longest, took)
		}
		if got := strings.Join(codes, " "); !strings.HasPrefix(got, strings.Repeat("535 ", guessesFree+6)+"454") || longest != 16*time.Second {
			t.Errorf("got %s, the slowest after %v", got, longest)
		}
		if code, _ := login("secret"); code != "454" {
			t.Errorf("got %s while others wait", code)
		}
		time.Sleep(guessWaitMax)
		if code, _ := login("secret"); code != "235" {
			t.Errorf("got %s after a minute", code)
		}
		if code, took := login("secret"); code != "235" || took != 0 {
			t.Errorf("got %s after %v from the owner", code, took)
		}
		server.stop()
		server.conns.Wait()
	})
}

// TestWaitingLoginEnds: a server that ends keeps nobody waiting for a turn.
func TestWaitingLoginEnds(t *testing.T) {
	onStage(t, settings(t), "192.0.2.7", func(st *stage) {
		for range guessesFree + 5 {
			st.server.guesses.learn(netip.MustParseAddr("192.0.2.7"), "shop", false, time.Now())
		}
		st.server.guesses.turn(netip.MustParseAddr("192.0.2.7"), "shop", time.Now().Add(-guessWaitMax/2))
		ctx, stop := context.WithCancel(st.t.Context())
		served := make(chan struct{})
		go func() { st.server.Serve(ctx); close(served) }()
		st.send("EHLO c\r\n")
		st.expect("250-Hello c")
		st.send("AUTH PLAIN " + plainOf("shop", "secret") + "\r\n")
		st.expect("")
		stop()
		<-served
		st.expectEnd()
	})
}

func plainOf(username, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + username + "\x00" + password))
}
