package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// A diary is a VisitorBook in memory.
type diary struct {
	mu    sync.Mutex
	kept  map[string]mail.Visitor
	saves int
	err   error
}

func (d *diary) Visitors(context.Context) (all []mail.Visitor, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range d.kept {
		all = append(all, v)
	}
	return all, d.err
}

func (d *diary) SaveVisitors(_ context.Context, changed []mail.Visitor, gone []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	d.saves++
	for _, v := range changed {
		d.kept[v.Addr] = v
	}
	for _, addr := range gone {
		delete(d.kept, addr)
	}
	return nil
}

// look returns what is kept of an address, how many are, and in how many commits.
func (d *diary) look(addr string) (v mail.Visitor, kept, saves int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept[addr], len(d.kept), d.saves
}

func (d *diary) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func newDiary(kept ...mail.Visitor) *diary {
	d := &diary{kept: map[string]mail.Visitor{}}
	d.SaveVisitors(context.Background(), kept, nil)
	d.saves = 0
	return d
}

// visit runs an account of visitors until the test, or stop, ends it.
func visit(t *testing.T, book VisitorBook, clk clock.Clock) (v *Visitors, stop func()) {
	v = NewVisitors(book, clk, slog.New(slog.DiscardHandler), nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); v.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return v, stop
}

// TestVisitors: an administrator sees who connected, how each spoke, and who was
// turned away.
func TestVisitors(t *testing.T) {
	s := settings(t)
	s.Listeners[0].Legacy = true
	s.Clients = []Client{{Name: "printers", Networks: networks("192.0.2.0/24")}}
	r := start(t, s)
	book := newDiary()
	v, stop := visit(t, book, r.server.clock)
	r.server.SetVisitors(v)

	c := r.connectFrom("192.0.2.7")
	expect(t, c, "220")
	c.Expect("EHLO ricoh\x1b[2J", "501")
	c.Expect("EHLO ricoh", "250")
	c.Expect("MAIL FROM:a@example.com", "250")
	c.Expect("RCPT TO:<b@example.org>", "250")
	c.Expect("RCPT TO:<b@@example.org>", "501")
	c.Expect("DATA", "354")
	c.Send("From: a@example.com\n\nhello\r\n.\r\n")
	expect(t, c, "250")
	c.Expect("QUIT", "221")
	expectClosed(t, c)

	c = r.connectFrom("203.0.113.9")
	expect(t, c, "220")
	c.Expect("EHLO stranger", "250")
	c.Expect("AUTH PLAIN AGEAYg==", "538")
	c.Expect("MAIL FROM:<a@example.com>", "530")
	c.Expect("QUIT", "221")
	expectClosed(t, c)

	c = r.dial()
	c.Expect("EHLO app", "250")
	c.Expect("AUTH PLAIN AHNob3AAd3Jvbmc=", "535")
	c.Expect("AUTH PLAIN AHNob3AAc2VjcmV0", "235")
	c.SendMail("a@other.test", []string{"b@example.org"}, "From: a@other.test\n\nx\n")
	c.Expect("QUIT", "221")
	expectClosed(t, c)
	r.close()

	all, err := v.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range all {
		got[v.Addr] = fmt.Sprintf("%s %s %q %d %d %d %q %v", v.Name, v.Helo, v.User, v.Connections, v.Messages, v.Refused, v.Refusal[:min(9, len(v.Refusal))], v.Quirks)
		if !v.First.Equal(now) || !v.Last.Equal(now) || v.Listener != "127.0.0.1:0" {
			t.Errorf("%+v", v)
		}
	}
	for addr, want := range map[string]string{
		"192.0.2.7":   `printers ricoh "" 1 1 1 "501 5.1.3" map[bare-lf:1 no-date:1 no-message-id:1 no-tls:1 path-without-brackets:1]`,
		"203.0.113.9": ` stranger "" 1 0 1 "530 5.7.0" map[]`,
		"127.0.0.1":   ` app "shop" 1 0 2 "550 5.7.1" map[]`,
	} {
		if got[addr] != want {
			t.Errorf("%s:\n got %s\nwant %s", addr, got[addr], want)
		}
	}
	stop()
	if len(book.kept) != 3 || book.saves != 1 {
		t.Errorf("%d kept in %d commits", len(book.kept), book.saves)
	}
	if after, err := v.All(t.Context()); err != nil || len(after) != 3 {
		t.Errorf("after its end: %v, %v", after, err)
	}
}

// TestVisitorsKept: what was counted is kept within a minute, in one commit, and
// goes on from there; trouble of the book loses nothing.
func TestVisitorsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newDiary(mail.Visitor{Addr: "10.0.5.1", Connections: 5, Quirks: map[string]int{"nul": 1}})
		v, stop := visit(t, book, clock.System{})
		see := func() {
			for range 10 {
				v.note(sighting{Visitor: mail.Visitor{Addr: "10.0.5.1", Last: time.Now(), Messages: 1}, quirks: []string{"nul"}})
				v.note(sighting{Visitor: mail.Visitor{Addr: "10.0.5.2", Last: time.Now(), Connections: 1}})
			}
			synctest.Wait()
		}
		see()
		time.Sleep(visitorsEvery + time.Second)
		if k, _, saves := book.look("10.0.5.1"); saves != 1 || k.Messages != 10 || k.Connections != 5 || k.Quirks["nul"] != 11 {
			t.Errorf("%d commits, %+v", saves, k)
		}
		time.Sleep(3 * visitorsEvery)
		if _, _, saves := book.look(""); saves != 1 {
			t.Errorf("%d commits though nobody came", saves)
		}
		book.fail(errors.New("full"))
		see()
		time.Sleep(visitorsEvery)
		book.fail(nil)
		stop()
		if k, _, _ := book.look("10.0.5.2"); k.Connections != 20 {
			t.Errorf("%+v", k)
		}
	})
}

// TestVisitorsBound: strangers without number push out no client of ours.
func TestVisitorsBound(t *testing.T) {
	book := newDiary()
	v, stop := visit(t, book, clock.NewFake(now))
	v.asked <- make(chan []mail.Visitor, 1) // it runs
	ours := mail.Visitor{Addr: "10.0.5.1", Last: now.Add(-time.Hour), Messages: 1}
	v.sightings <- sighting{Visitor: ours}
	for i := range 3 * visitorsMax {
		v.sightings <- sighting{Visitor: mail.Visitor{Addr: fmt.Sprintf("203.0.%d.%d", i/250, i%250), Last: now.Add(time.Duration(i)), Refused: 1}}
	}
	all, err := v.All(t.Context())
	if err != nil || len(all) != visitorsMax || !slices.ContainsFunc(all, func(v mail.Visitor) bool { return v.Addr == ours.Addr }) {
		t.Errorf("%d known, %v", len(all), err)
	}
	stop()
	if len(book.kept) != visitorsMax {
		t.Errorf("%d kept", len(book.kept))
	}
}

// TestVisitorsNeverWait: nobody who hands in mail waits for the account.
func TestVisitorsNeverWait(t *testing.T) {
	v := NewVisitors(newDiary(), clock.NewFake(now), slog.New(slog.DiscardHandler), nil)
	for range 2 * sightingsMax { // Run does not run
		v.note(sighting{})
	}
	if len(v.sightings) != sightingsMax {
		t.Errorf("%d wait", len(v.sightings))
	}
}

func TestRates(t *testing.T) {
	r := rates{buckets: map[netip.Prefix]*bucket{}}
	at := now
	take := func(n int, rate Rate) time.Duration {
		return r.take(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 32), rate, at)
	}
	two := Rate{2, time.Second}
	for i, want := range []time.Duration{0, 0, 500 * time.Millisecond, 500 * time.Millisecond} {
		if got := take(1, two); got != want {
			t.Errorf("message %d: %v, want %v", i, got, want)
		}
	}
	if take(2, two) != 0 {
		t.Error("one client's haste slows another")
	}
	at = at.Add(500 * time.Millisecond)
	if take(1, two) != 0 || take(1, two) == 0 {
		t.Error("not one message after half a second")
	}
	at = at.Add(time.Hour)
	if take(1, two)+take(1, two) != 0 || take(1, two) == 0 {
		t.Error("more or fewer than two after an hour")
	}
	at = at.Add(-time.Hour)
	if got := take(1, two); got != 500*time.Millisecond {
		t.Errorf("the clock was put back: %v", got)
	}
	at = at.Add(2 * time.Hour)
	for i := range 3 * bucketsMax {
		r.take(netip.PrefixFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 32), two, at)
	}
	if len(r.buckets) > bucketsMax {
		t.Errorf("%d buckets", len(r.buckets))
	}
}

// paced are settings with a rate for all.
func paced(t *testing.T, rate Rate) Settings {
	s := settings(t)
	s.Clients = []Client{{Name: "all", Networks: networks("0.0.0.0/0"), Rate: rate}}
	return s
}

// TestRateFar: who is too fast is told to try again, and hung up on when not
// listening; nobody is refused for good.
func TestRateFar(t *testing.T) {
	r := start(t, paced(t, Rate{2, time.Minute}))
	c := r.connectFrom("192.0.2.7")
	expect(t, c, "220")
	c.Expect("EHLO app", "250")
	send := func() string {
		return c.SendMail("a@example.com", []string{"b@example.org"}, "From: a@example.com\n\nx\n")
	}
	for range 2 {
		if got := send(); !strings.HasPrefix(got, "250") {
			t.Fatal(got)
		}
	}
	if got := send(); got != "451 4.7.1 too much mail at a time; try again in 30 s" {
		t.Errorf("too fast: %q", got)
	}
	r.server.clock.(*clock.Fake).Advance(30 * time.Second)
	if got := send(); !strings.HasPrefix(got, "250") {
		t.Errorf("in time: %q", got)
	}
	for range tooFastMax - 2 {
		if got := send(); !strings.HasPrefix(got, "451") {
			t.Fatal(got)
		}
	}
	if got := send(); !strings.HasPrefix(got, "421 4.7.1") {
		t.Errorf("does not listen: %q", got)
	}
	expectClosed(t, c)
	if n := len(r.queue.all()); n != 3 {
		t.Errorf("%d kept", n)
	}
}

// TestRateHere: a program on this machine is kept waiting, not refused, as long
// as that is short.
func TestRateHere(t *testing.T) {
	r := start(t, paced(t, Rate{1, 5 * time.Second}))
	fake := r.server.clock.(*clock.Fake)
	c := r.dial()
	c.Expect("EHLO app", "250")
	for range 3 {
		c.Send("MAIL FROM:<a@example.com>\r\n")
		done := make(chan string)
		go func() {
			reply, _ := c.Read()
			done <- reply
		}()
		var reply string
		for reply == "" {
			select {
			case reply = <-done:
			default:
				fake.Advance(time.Second)
			}
		}
		if !strings.HasPrefix(reply, "250") {
			t.Errorf("got %q", reply)
		}
		c.Expect("RSET", "250")
	}
	slow := start(t, paced(t, Rate{1, time.Hour}))
	c = slow.dial()
	c.Expect("EHLO app", "250")
	c.Expect("MAIL FROM:<a@example.com>", "250")
	c.Expect("RSET", "250")
	c.Expect("MAIL FROM:<a@example.com>", "451 4.7.1")
}

// TestRateEnds: the end of the server does not wait for who waits for a turn.
func TestRateEnds(t *testing.T) {
	r := start(t, paced(t, Rate{1, 5 * time.Second}))
	c := r.dial()
	c.Expect("EHLO app", "250")
	c.Expect("MAIL FROM:<a@example.com>", "250")
	c.Expect("RSET", "250")
	c.Send("MAIL FROM:<a@example.com>\r\n")
	for r.server.clock.(*clock.Fake).Timers() == 0 {
	}
	r.stop()
	r.server.stop()
	if reply, _ := c.Read(); !strings.HasPrefix(reply, "421") {
		t.Errorf("got %q", reply)
	}
}
