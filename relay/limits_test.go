package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/mail"
)

// TestConnectionLimits: beyond them there is a temporary answer, and a place
// that was left is free again.
func TestConnectionLimits(t *testing.T) {
	s := settings(t)
	s.Limits.Connections, s.Limits.ConnectionsPerClient = 6, 2
	r := start(t, s)
	var far []*mailtest.Client
	for range 2 {
		c := r.connectFrom("192.0.2.7")
		expect(t, c, "220 ")
		far = append(far, c)
	}
	c := r.connectFrom("192.0.2.7")
	expect(t, c, "421 4.7.0")
	expectClosed(t, c)
	expect(t, r.connectFrom("192.0.2.8"), "220 ")
	for range 3 {
		r.dial() // this machine is not counted
	}
	c = r.connect()
	expect(t, c, "421 4.7.0")

	far[0].Expect("QUIT", "221")
	expectClosed(t, far[0])
	waitFor(t, func() bool { r.server.mu.Lock(); defer r.server.mu.Unlock(); return len(r.server.fronts) == 5 })
	expect(t, r.connectFrom("192.0.2.7"), "220 ")
}

// TestClientsOfOneNetwork: an IPv6 client has a /64 to choose addresses from.
func TestClientsOfOneNetwork(t *testing.T) {
	r := start(t, settings(t))
	for i := range 4 {
		c := r.connectFrom(fmt.Sprintf("2001:db8::%d", i))
		expect(t, c, map[bool]string{true: "220 ", false: "421 "}[i < 3])
	}
	expect(t, r.connectFrom("2001:db8:0:1::1"), "220 ")
}

// waitFor waits for what another goroutine is about to do.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for i := 0; !ok(); i++ {
		if i > 1_000_000 {
			t.Fatal("it did not come")
		}
		runtime.Gosched()
	}
}

// TestLongLines: a line beyond the limit is refused without being kept, a
// shorter one is read.
func TestLongLines(t *testing.T) {
	p := newPolicy(t, settings(t))
	said, _ := recite(p, "127.0.0.1", strings.NewReader("NOOP "+strings.Repeat("x", lineMax-10)+"\r\nNOOP "+strings.Repeat("x", 1<<20)+"\r\nNOOP\r\n"))
	codes := ""
	for line := range strings.Lines(said) {
		codes += line[:4]
	}
	if codes != "220 250 500 250 " {
		t.Errorf("said %s", said)
	}
}

// TestBusyWork: a client that only keeps the server busy is sent away, however
// it does that.
func TestBusyWork(t *testing.T) {
	const envelope = "MAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\n"
	for name, round := range map[string]string{
		"nothing":           "RSET\r\nNOOP\r\nVRFY x\r\n",
		"no path":           "MAIL FROM:<a b>\r\n",
		"no such parameter": "MAIL FROM:<a@example.com> X=Y\r\n",
		"no such recipient": envelope + strings.Repeat("RCPT TO:<nobody@[1.2]>\r\n", 50) + "RSET\r\n",
		"no such login":     "AUTH NOTHING\r\nAUTH PLAIN\r\n*\r\n",
		"no content":        envelope + "BDAT 0\r\nBDAT 0\r\nRSET\r\n",
		"no transaction":    "BDAT 3\r\nabcRSET\r\n",
		"no sender":         envelope + "DATA\r\nFrom: a@elsewhere.test\r\n\r\n.\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			said, all := recite(newPolicy(t, settings(t)), "127.0.0.1", strings.NewReader("EHLO c\r\n"+strings.Repeat(round, 2*idleMax)))
			if n := strings.Count(said, "\n"); n > 5*idleMax || !strings.HasSuffix(said, "421 4.7.0 too many commands without a message\r\n") {
				t.Errorf("%d replies, the last %q", n, said[max(0, len(said)-80):])
			}
			if len(all) > 0 {
				t.Errorf("%d mails kept", len(all))
			}
		})
	}
}

// TestLongLists: a list of recipients that is too long is no reason to lose
// those that there was room for.
func TestLongLists(t *testing.T) {
	var list strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&list, "RCPT TO:<r%d@dest.test>\r\n", i)
	}
	text := "EHLO c\r\nMAIL FROM:<a@example.com>\r\n" + list.String() + "DATA\r\nFrom: a@example.com\r\n\r\n.\r\nQUIT\r\n"
	said, all := recite(newPolicy(t, settings(t)), "192.0.2.7", strings.NewReader(text))
	if n := strings.Count(said, "\n452 4.5.3"); n != 9_995 {
		t.Errorf("%d recipients refused", n)
	}
	if len(all) != 1 || len(all[0].m.Recipients) != 5 {
		t.Errorf("%d mails kept: %v", len(all), said[len(said)-200:])
	}
}

// TestConcurrentSenders: many clients at once, each mail kept once.
func TestConcurrentSenders(t *testing.T) {
	r := start(t, settings(t))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := mailtest.Dial(t, r.server.Addrs()[0].String())
			c.Expect("EHLO c", "250")
			for j := range 20 {
				body := strings.Repeat(fmt.Sprintf("%d %d\n", i, j), 1000)
				if got := c.SendMail("a@example.com", []string{fmt.Sprintf("r%d-%d@dest.test", i, j)}, "From: a@example.com\n\n"+body); !strings.HasPrefix(got, "250 2.0.0 queued as ") {
					t.Error(got)
				}
			}
			c.Expect("QUIT", "221")
		})
	}
	wg.Wait()
	ids, to := map[mail.ID]bool{}, map[string]bool{}
	for _, k := range r.queue.all() {
		ids[k.m.ID], to[k.m.Recipients[0]] = true, true
	}
	if len(ids) != 160 || len(to) != 160 {
		t.Errorf("%d messages for %d recipients", len(ids), len(to))
	}
}

// TestPanicInQueue: a fault ends its connection with a temporary answer, not
// the server.
func TestPanicInQueue(t *testing.T) {
	r := start(t, settings(t))
	r.server.queue = nil
	c := r.dial()
	c.Expect("EHLO c", "250")
	if got := c.SendMail("a@example.com", []string{"r@dest.test"}, "From: a@example.com\n\n"); !strings.HasPrefix(got, "421 ") {
		t.Errorf("got %q", got)
	}
	expectClosed(t, c)
	r.dial()
}

func TestListenAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := settings(t)
	s.Listeners = append(s.Listeners, s.Listeners[0])
	s.Listeners[1].Address = l.Addr().String()
	server := New(newPolicy(t, s), &shelf{}, clock.System{}, slog.New(slog.DiscardHandler), nil)
	err = server.Listen()
	var setting *mail.SettingError
	if !errors.As(err, &setting) || setting.Key != "listeners.1.address" || !strings.Contains(setting.Text, s.Listeners[1].Address) {
		t.Fatalf("got %v", err)
	}
	if c, err := net.Dial("tcp", server.Addrs()[0].String()); err == nil {
		c.Close()
		t.Error("the first listener was not freed")
	}
}

func TestSetPolicyKeepsListeners(t *testing.T) {
	server := New(newPolicy(t, settings(t)), &shelf{}, clock.System{}, slog.New(slog.DiscardHandler), nil)
	for key, change := range map[string]func(*Settings){
		"listeners.0.address": func(s *Settings) { s.Listeners[0].Address = "127.0.0.1:1" },
		"listeners.1.address": func(s *Settings) { s.Listeners = append(s.Listeners, s.Listeners[0]) },
	} {
		s := settings(t)
		change(&s)
		if got := keysOf(t, server.SetPolicy(newPolicy(t, s))); len(got) != 1 || got[0] != key {
			t.Errorf("got %v, want %s", got, key)
		}
	}
	if err := server.SetPolicy(newPolicy(t, settings(t))); err != nil {
		t.Error(err)
	}
}

// TestSecretsStayOut: no password reaches the log, in whatever way it came.
func TestSecretsStayOut(t *testing.T) {
	r := start(t, settings(t))
	c := r.dial()
	c.Expect("EHLO c", "250")
	c.Expect("AUTH PLAIN AHNob3AAaHVudGVyMg==", "535")
	c.Expect("aHVudGVyMg==", "500")
	c.Expect("AUTH LOGIN", "334")
	c.Expect("c2hvcA==", "334")
	c.Expect("aHVudGVyMg==", "535")
	if log := r.log.String(); !strings.Contains(log, "login refused") || strings.Contains(log, "hunter2") || strings.Contains(log, "aHVudGVyMg") {
		t.Errorf("log:\n%s", log)
	}
}
