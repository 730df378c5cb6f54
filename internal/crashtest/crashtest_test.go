//go:build unix

package crashtest

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A toy is a little relay within the test, as good or as bad as it is told. It
// answers through a Sink of its own and forwards as a sender does.
type toy struct {
	upstream string
	volatile bool // forgets at a kill what it has not sent
	lazy     int  // how many messages it leaves waiting
	spoil    func(n int, content []byte) [][]byte

	n    atomic.Int64
	in   *Sink
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	waiting []letter
}

type letter struct {
	rcpts   []string
	content []byte
}

func (r *toy) Start(context.Context, string) (string, <-chan struct{}, error) {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	in, err := Listen("127.0.0.1:0", Flaky{}, func(rcpts []string, content []byte, _ bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.waiting = append(r.waiting, letter{rcpts, content})
	})
	if err != nil {
		return "", nil, err
	}
	r.in = in
	r.work.Go(func() { r.forward(ctx) })
	return in.Addr(), nil, nil
}

// forward sends what waits, oldest first, until it is ended.
func (r *toy) forward(ctx context.Context) {
	for !wait(ctx, nil, time.Millisecond) && ctx.Err() == nil {
		c, err := dial(ctx, r.upstream)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		for r.next(ctx, c) {
		}
		stop()
		c.Close()
	}
}

// next sends one message, if there is one, and reports whether the connection
// still works.
func (r *toy) next(ctx context.Context, c *client) bool {
	r.mu.Lock()
	waiting := r.waiting
	r.mu.Unlock()
	if len(waiting) <= r.lazy {
		wait(ctx, nil, time.Millisecond)
		return ctx.Err() == nil
	}
	return r.deliver(c, waiting[0])
}

func (r *toy) deliver(c *client, l letter) bool {
	copies := [][]byte{l.content}
	if r.spoil != nil {
		copies = r.spoil(int(r.n.Add(1)), l.content)
	}
	for _, content := range copies {
		if reply, err := c.send("app@shop.test", l.rcpts, content); err != nil || reply[0] != '2' {
			return err == nil
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = r.waiting[1:]
	return true
}

func (r *toy) Kill() error {
	r.in.Close()
	r.stop()
	r.work.Wait()
	if r.volatile {
		r.waiting = nil
	}
	return nil
}

func (r *toy) Stop() error { return r.Kill() }

// tried runs a few cycles on a toy.
func tried(t *testing.T, r *toy, f Flaky) Report {
	t.Helper()
	l, err := OpenLedger(t.TempDir(), Form{Envelope: Envelope{"app@shop.test", "example.com"}, HTML: 0.5, Base: "https://track.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := Listen("127.0.0.1:0", f, l.Take)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r.upstream = s.Addr()
	rep, err := Run(t.Context(), Options{
		Relay: r, Sink: s, Ledger: l, Cycles: 3, Senders: 3, Load: 60 * time.Millisecond, Rate: 1000, Quiet: 300 * time.Millisecond, Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	rep.Text(&text)
	t.Log(text.String())
	return rep
}

// every returns a spoiler that spoils the first message and each nth after it.
func every(n int, spoil func([]byte) [][]byte) func(int, []byte) [][]byte {
	return func(i int, content []byte) [][]byte {
		if i%n == 1 {
			return spoil(content)
		}
		return [][]byte{content}
	}
}

// A relay that keeps its promises is found to.
func TestGoodRelay(t *testing.T) {
	for name, f := range map[string]Flaky{"good sink": {}, "flaky sink": {Refuse: 0.1, Before: 0.05, After: 0.05, Delay: 0.05, Seed: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := tried(t, &toy{}, f); !r.OK() || r.Cycles != 3 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Each way of breaking the promises is found; otherwise a run proves nothing.
func TestBadRelays(t *testing.T) {
	for name, c := range map[string]struct {
		relay *toy
		found func(Report) int
	}{
		"forgets at a kill": {&toy{volatile: true, lazy: 3}, func(r Report) int { return r.Lost }},
		"loses":             {&toy{spoil: every(5, func([]byte) [][]byte { return nil })}, func(r Report) int { return r.Lost }},
		"sends twice":       {&toy{spoil: every(2, func(b []byte) [][]byte { return [][]byte{b, b} })}, func(r Report) int { return r.Duplicates }},
		"changes a byte": {&toy{spoil: every(5, func(b []byte) [][]byte {
			b = bytes.Clone(b)
			b[len(b)-20] ^= 1
			return [][]byte{b}
		})}, func(r Report) int { return r.Damaged }},
		"cuts the end":  {&toy{spoil: every(5, func(b []byte) [][]byte { return [][]byte{b[:len(b)-72]} })}, func(r Report) int { return r.Damaged }},
		"drops a field": {&toy{spoil: every(5, func(b []byte) [][]byte { return [][]byte{without(b, "Date: ")} })}, func(r Report) int { return r.Damaged }},
		"mixes up": {&toy{spoil: every(5, func(b []byte) [][]byte {
			return [][]byte{bytes.Replace(b, []byte("Subject: crashtest c"), []byte("Subject: crashtest c9"), 1)}
		})}, func(r Report) int { return r.Damaged }},
		"sends of its own": {&toy{spoil: every(5, func(b []byte) [][]byte { return [][]byte{[]byte("Subject: sorry\r\n\r\n"), b} })}, func(r Report) int { return r.Foreign }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := tried(t, c.relay, Flaky{}); c.found(r) == 0 || r.OK() {
				t.Errorf("not found: %+v", r)
			}
		})
	}
}

// without leaves out the line that starts with prefix.
func without(content []byte, prefix string) []byte {
	i := bytes.Index(content, []byte("\r\n"+prefix))
	j := i + 2 + bytes.Index(content[i+2:], []byte("\r\n"))
	return append(bytes.Clone(content[:i]), content[j:]...)
}

// What a relay that tracks declares is undone before copies are compared, and
// nothing else is.
func TestTrackedCopy(t *testing.T) {
	f := Form{Envelope: Envelope{"app@shop.test", "example.com"}, HTML: 1, Base: "https://track.test"}
	content, _ := f.Message("c1s1n1")
	// The destination is https://shop.example/second.
	tracked := bytes.Replace(content, []byte("https://shop.example/second"), []byte("https://track.test/c/token.aHR0cHM6Ly9zaG9wLmV4YW1w/bGUvc2Vjb25k"), 1)
	tracked = bytes.Replace(tracked, []byte("</body>"), []byte(`<img src="https://track.test/o/token.gif" width="1" height="1" alt=""></body>`), 1)
	if wrong := f.Judge("c1s1n1", append([]byte("Received: by relay\r\n"), tracked...)); wrong != "" {
		t.Error(wrong)
	}
	elsewhere := bytes.Replace(tracked, []byte("bGUvc2Vjb25k"), []byte("bGUvc2Vjb25l"), 1)
	if f.Judge("c1s1n1", elsewhere) == "" {
		t.Error("a link that leads elsewhere was not found")
	}
}

// A run that was stopped goes on from its ledger.
func TestLedgerGoesOn(t *testing.T) {
	f := Form{Envelope: Envelope{"app@shop.test", "example.com"}}
	dir := t.TempDir()
	l, err := OpenLedger(dir, f)
	if err != nil {
		t.Fatal(err)
	}
	content, rcpts := f.Message("c1s1n1")
	l.Answered("c1s1n1", "250 ok")
	l.Answered("c1s1n2", "250 ok")
	l.Answered("c1s1n3", "452 full")
	l.Take(rcpts, content, true)
	l.Killed(Kill{Cycle: 1, Point: "after-commit", Reached: true, Broken: 2})
	l.Take(rcpts, content, true)
	want := l.Report()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = OpenLedger(dir, f); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := l.Report()
	if got.Accepted != 2 || got.Lost == 0 || got.Duplicates == 0 || got.Points["after-commit"] != want.Points["after-commit"] || got.Replies["452"] != 1 || l.Cycle() != 1 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The processes of a relay are started, found by what they announce, and
// killed with all their children.
func TestProcess(t *testing.T) {
	out, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &Process{Command: []string{"sh", "-c", "sleep 1000 & echo SMTP 127.0.0.1:1; wait"}, Announce: regexp.MustCompile(`^SMTP (\S+)$`), Log: out}
	addr, ended, err := p.Start(t.Context(), "here:3")
	if err != nil || addr != "127.0.0.1:1" {
		t.Fatal(addr, err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended // waits for the child as well, since that holds the output
	if _, _, err := (&Process{Command: []string{"false"}, Addr: "127.0.0.1:1"}).Start(t.Context(), ""); err == nil {
		t.Error("a relay that ends at once was started")
	}
}
