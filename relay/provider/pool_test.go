package provider

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/internal/mailtest"
)

func TestReuse(t *testing.T) {
	for mode, extensions := range modes {
		t.Run(mode, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{Extensions: extensions})
			c := client(t, settings(p))
			for range 5 {
				expect(t, c, letterTo("b@y.test"), "taken")
			}
			c.Close()
			p.WaitHeard(t, "QUIT", 1)
			if p.Connections() != 1 || p.Heard("EHLO") != 1 || p.Heard("RSET") != 0 {
				t.Errorf("%d connections, %q", p.Connections(), p.Commands())
			}
		})
	}
}

func TestReuseEnds(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	c := client(t, settings(p))
	for range messagesMax + 1 {
		expect(t, c, letterTo("b@y.test"), "taken")
	}
	if p.Connections() != 2 || p.Heard("QUIT") != 1 {
		t.Errorf("%d connections, %d farewells", p.Connections(), p.Heard("QUIT"))
	}
}

func TestIdleConnectionLeaves(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	s := settings(p)
	s.Timeouts.Idle = 20 * time.Millisecond
	c := client(t, s)
	expect(t, c, letterTo("b@y.test"), "taken")
	p.WaitHeard(t, "QUIT", 1)
	p.WaitOpen(t, 0)
	expect(t, c, letterTo("b@y.test"), "taken")
}

func TestStaleConnection(t *testing.T) {
	for name, c := range map[string]struct {
		stage  mailtest.Stage
		action mailtest.Action
		want   string // of the second message
		conns  int
	}{
		"closes at MAIL":   {mailtest.Mail, mailtest.Close(), "taken", 2},
		"resets at MAIL":   {mailtest.Mail, mailtest.Reset(), "taken", 2},
		"421 at MAIL":      {mailtest.Mail, mailtest.ReplyClose("421 idle"), "taken", 2},
		"451 at MAIL":      {mailtest.Mail, mailtest.Reply("451 no"), "temporary", 1},
		"closes at RCPT":   {mailtest.Rcpt, mailtest.Close(), "temporary", 1},
		"closes after dot": {mailtest.Dot, mailtest.Close(), "temporary uncertain", 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{})
			p.On(c.stage, mailtest.Normal(), c.action, mailtest.Normal())
			cl := client(t, settings(p))
			expect(t, cl, letterTo("b@y.test"), "taken")
			expect(t, cl, letterTo("b@y.test"), c.want)
			if p.Connections() != c.conns {
				t.Errorf("%d connections, want %d", p.Connections(), c.conns)
			}
		})
	}
}

// Once is enough: a server that always closes at MAIL is not asked for ever.
func TestReconnectsOnce(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	p.On(mailtest.Mail, mailtest.Normal(), mailtest.Close())
	c := client(t, settings(p))
	expect(t, c, letterTo("b@y.test"), "taken")
	expect(t, c, letterTo("b@y.test"), "temporary")
	if p.Connections() != 2 {
		t.Errorf("%d connections", p.Connections())
	}
}

// A connection that the server ended while it was idle is not tried at all.
func TestDroppedWhileIdle(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	reg := prometheus.NewRegistry()
	s := settings(p)
	s.Reg = reg
	c := client(t, s)
	expect(t, c, letterTo("b@y.test"), "taken")
	p.Drop()
	p.WaitOpen(t, 0)
	expect(t, c, letterTo("b@y.test"), "taken")
	if p.Connections() != 2 {
		t.Errorf("%d connections", p.Connections())
	}
}

// What a server says unasked must not be taken for the next reply.
func TestUnaskedReply(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	p.On(mailtest.Dot, mailtest.Reply("250 Ok\n250 Ok, and you may send more"), mailtest.Normal())
	c := client(t, settings(p))
	expect(t, c, letterTo("b@y.test"), "taken")
	expect(t, c, letterTo("b@y.test"), "taken")
	if p.Connections() != 2 {
		t.Errorf("%d connections", p.Connections())
	}
}

func TestConnectionLimit(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	gate := make(chan struct{})
	p.On(mailtest.Dot, mailtest.After(gate, mailtest.Normal()))
	s := settings(p)
	s.Connections = 3
	c := client(t, s)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { expectTaken(t, c) })
	}
	for range 3 {
		p.Wait(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got := told(c.Deliver(ctx, letterTo("late@y.test"))); got != "temporary" {
		t.Errorf("without a connection: %q", got)
	}
	close(gate)
	wg.Wait()
	if p.Most() != 3 || p.Connections() != 3 {
		t.Errorf("%d connections, %d at once", p.Connections(), p.Most())
	}
}

func expectTaken(t *testing.T, c Client) {
	t.Helper()
	if got := told(c.Deliver(t.Context(), letterTo("b@y.test"))); got != "taken" {
		t.Errorf("got %q", got)
	}
}

// A copy that panics amid its content takes neither the right to a connection
// nor the connection with it, and its final dot does not go out.
func TestPanicLeavesTheSlot(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	c := client(t, settings(p))
	func() {
		defer func() { recover() }()
		tx := letterTo("b@y.test")
		tx.Copy = poison{text{from: "a@x.test", content: content}}
		c.Deliver(t.Context(), tx)
		t.Error("the panic was swallowed")
	}()
	p.WaitOpen(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if got := told(c.Deliver(ctx, letterTo("b@y.test"))); got != "taken" {
		t.Errorf("after a panic: %q", got)
	}
	for _, tx := range p.Transactions() {
		if tx.Complete && string(tx.Content) != content {
			t.Errorf("the peer got %q", tx.Content)
		}
	}
}

// poison is a Copy that panics after half of its content.
type poison struct{ text }

func (c poison) WriteTo(w io.Writer) (int64, error) {
	io.WriteString(w, c.content[:len(c.content)/2])
	panic("poison")
}

// Close does not break what runs, and what comes later still works.
func TestCloseWhileBusy(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	gate := make(chan struct{})
	p.On(mailtest.Dot, mailtest.After(gate, mailtest.Normal()), mailtest.Normal())
	c := client(t, settings(p))
	done := make(chan struct{})
	go func() { defer close(done); expectTaken(t, c) }()
	p.Wait(t)
	c.Close()
	close(gate)
	<-done
	p.WaitHeard(t, "QUIT", 1)
	expectTaken(t, c)
	p.WaitHeard(t, "QUIT", 2)
	p.WaitOpen(t, 0)
}

func TestMetrics(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	reg := prometheus.NewRegistry()
	s := settings(p)
	s.Reg = reg
	for range 2 { // a reload makes providers anew on one registry
		c := client(t, s)
		expect(t, c, letterTo("b@y.test"), "taken")
		c.Close()
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "backstamp_provider_") {
			t.Errorf("name %s", f.GetName())
		}
		for _, m := range f.GetMetric() {
			got[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"backstamp_provider_attempts_total": 2, "backstamp_provider_connections_total": 2, "backstamp_provider_open_connections": 0,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
