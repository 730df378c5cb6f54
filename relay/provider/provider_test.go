package provider

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
)

func TestMain(m *testing.M) { mailtest.Main(m) }

// A text is a Copy for tests.
type text struct {
	from, content string
	eightBit      bool
	fail          error // after the content
	size          int64 // what Size claims; 0: the truth
}

func (c text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, c.content)
	return int64(n), cmp.Or(err, c.fail)
}
func (c text) Size() int64      { return cmp.Or(c.size, int64(len(c.content))) }
func (c text) MailFrom() string { return c.from }
func (c text) EightBit() bool   { return c.eightBit }
func (c text) UTF8() bool       { return false }
func (c text) SevenBit() (mail.Copy, error) {
	return nil, mail.ErrEightBit
}

const content = "Subject: hi\r\n\r\n.dot\r\nend\r\n"

func letterTo(to ...string) mail.Transaction {
	return mail.Transaction{Recipients: to, Copy: text{from: "a@x.test", content: content}}
}

// settings reach a peer in the clear, with patience.
func settings(p *mailtest.Peer) Settings {
	const long = 10 * time.Second
	return Settings{
		Name: "shop/main", Key: "accounts.shop.providers.main", Preset: "generic",
		Host: p.Host, Port: p.Port, TLS: "off", Hostname: "relay.test", Connections: 1,
		Timeouts: Timeouts{Connect: long, Greeting: long, Command: long, Content: long, Dot: long, Idle: long},
	}
}

func client(t testing.TB, s Settings) Client {
	t.Helper()
	c, err := New(s, clock.System{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// told writes attempts as a table has them.
func told(attempts []mail.Attempt) string {
	var all []string
	for _, a := range attempts {
		words := cmp.Or(a.Class, "taken")
		if a.Unreachable {
			words += " unreachable"
		}
		if a.Uncertain {
			words += " uncertain"
		}
		all = append(all, words)
	}
	return strings.Join(all, ", ")
}

// deliver checks what is true of every attempt and returns them as told.
func deliver(t *testing.T, c Client, tx mail.Transaction) string {
	t.Helper()
	attempts := c.Deliver(t.Context(), tx)
	if len(attempts) != len(tx.Recipients) {
		t.Fatalf("%d attempts for %d recipients", len(attempts), len(tx.Recipients))
	}
	for i, a := range attempts {
		switch {
		case a.Taken() && !a.Reply.Positive():
			t.Errorf("%d: taken with %q", i, a.Reply)
		case !a.Taken() && a.Reply.IsZero() && a.Err == nil:
			t.Errorf("%d: neither reply nor cause", i)
		case !a.Taken() && (a.Explain == nil || a.Explain.Class != a.Class || len(catalogue.Shown(a.Explain, "en").Steps) == 0):
			t.Errorf("%d: %s explained as %+v", i, a.Class, a.Explain)
		}
	}
	return told(attempts)
}

func expect(t *testing.T, c Client, tx mail.Transaction, want string) {
	t.Helper()
	if got := deliver(t, c, tx); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// modes are the two manners of a server.
var modes = map[string][]string{
	"pipelining": nil,
	"lock-step":  {"SIZE 1000000", "8BITMIME", "STARTTLS", "AUTH PLAIN LOGIN"},
}

func TestMatrix(t *testing.T) {
	const cut, hung = "temporary unreachable", "temporary"
	three := func(s string) string { return s + ", " + s + ", " + s }
	rows := []struct {
		stage          mailtest.Stage
		soft, hard     string // replies
		softly, hardly string // what they come to
		trouble        string // what everything else comes to
	}{
		{mailtest.Banner, "450 later", "554 no", three(cut), three(cut), three(cut)},
		{mailtest.EHLO, "450 later", "554 no", three(cut), three(cut), three(cut)},
		{mailtest.STARTTLS, "454 later", "554 no", three(cut), three(cut), three(cut)},
		{mailtest.Auth, "454 later", "535 no", three("throttling"), three("auth"), three(hung)},
		{mailtest.Mail, "451 later", "550 no", three("temporary"), three("sender"), three(hung)},
		{mailtest.RcptNo(2), "451 later", "550 no", "taken, temporary, taken", "taken, recipient, taken", three(hung)},
		{mailtest.Data, "451 later", "554 no", three("temporary"), three("content"), three(hung)},
		{mailtest.Dot, "451 later", "554 no", three("temporary"), three("content"), three("temporary uncertain")},
		{mailtest.RSET, "451 later", "500 no", three("taken"), three("taken"), three("taken")},
		{mailtest.QUIT, "451 later", "500 no", three("taken"), three("taken"), three("taken")},
	}
	ca := mailtest.NewCA(t)
	for mode, extensions := range modes {
		for _, row := range rows {
			for name, b := range map[string]struct {
				action mailtest.Action
				want   string
			}{
				"4xx":     {mailtest.Reply(row.soft), row.softly},
				"5xx":     {mailtest.Reply(row.hard), row.hardly},
				"garbage": {mailtest.Garbage(), row.trouble},
				"close":   {mailtest.Close(), row.trouble},
				"reset":   {mailtest.Reset(), row.trouble},
				"huge":    {mailtest.Huge(), "taken, taken, taken"},
				"endless": {mailtest.Endless(), row.trouble},
				"hang":    {mailtest.Hang(), row.trouble},
				"slow":    {mailtest.Slow("250-so slow that it will never end", 100*time.Millisecond), row.trouble},
			} {
				t.Run(mode+"/"+string(row.stage)+"/"+name, func(t *testing.T) {
					t.Parallel()
					p := mailtest.Start(t, mailtest.Script{
						Extensions: extensions, TLS: ca.Valid(), Username: "joe", Password: "sesam",
						On: map[mailtest.Stage][]mailtest.Action{row.stage: {b.action}},
					})
					s := settings(p)
					s.TLS, s.RootCAs, s.Username, s.Password = "starttls", ca.Pool(), "joe", "sesam"
					if name == "hang" || name == "slow" {
						hurry(&s.Timeouts, row.stage)
					}
					c := client(t, s)
					if row.stage == mailtest.RSET {
						p.On(mailtest.Rcpt, mailtest.Reply("550 nobody"), mailtest.Normal())
						expect(t, c, letterTo("x@y.test"), "recipient")
					}
					expect(t, c, letterTo("1@y.test", "2@y.test", "3@y.test"), b.want)
					c.Close()
					whole(t, p, strings.Count(b.want, "taken"), strings.Contains(b.want, "uncertain") || row.stage == mailtest.Dot)
				})
			}
		}
	}
}

// hurry shortens the one timeout that cuts trouble at a stage.
func hurry(t *Timeouts, stage mailtest.Stage) {
	const short = 400 * time.Millisecond
	switch stage {
	case mailtest.Banner:
		t.Greeting = short
	case mailtest.Dot:
		t.Dot = short
	default:
		t.Command = short
	}
}

// whole checks that exactly the recipients who were told so got the message,
// all of it, and that no part of it went to anybody else.
func whole(t *testing.T, p *mailtest.Peer, taken int, sent bool) {
	t.Helper()
	got := 0
	for _, tx := range p.Transactions() {
		if !tx.Complete {
			continue // broken off: a server throws that away
		}
		if len(tx.Recipients) > 0 && string(tx.Content) != content {
			t.Errorf("the peer got %q", tx.Content)
		}
		got += len(tx.Recipients)
		if !tx.TLS {
			t.Error("a message in the clear")
		}
	}
	if !sent && got != taken {
		t.Errorf("%d recipients got it, %d were told so", got, taken)
	}
}

func TestNoPasswordInTheClear(t *testing.T) {
	ca := mailtest.NewCA(t)
	old := ca.Valid()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for _, c := range []struct {
		name   string
		script mailtest.Script
		on     mailtest.Action // at STARTTLS
		topic  string
	}{
		{"expired", mailtest.Script{TLS: ca.Expired()}, nil, "certificate-expired"},
		{"wrong host", mailtest.Script{TLS: ca.WrongHost()}, nil, "certificate-name"},
		{"self-signed", mailtest.Script{TLS: mailtest.SelfSigned(t)}, nil, "certificate"},
		{"old TLS", mailtest.Script{TLS: old}, nil, "unreachable"},
		{"STARTTLS stripped", mailtest.Script{TLS: ca.Valid(), Extensions: []string{"PIPELINING", "AUTH PLAIN"}}, nil, "no-starttls"},
		{"injected reply", mailtest.Script{TLS: ca.Valid()}, mailtest.Reply("220 go\n250-peer\n250 AUTH PLAIN"), "unreachable"},
		{"STARTTLS refused", mailtest.Script{TLS: ca.Valid()}, mailtest.Reply("502 no"), "turned-away"},
		{"no TLS after consent", mailtest.Script{TLS: ca.Valid()}, mailtest.Reply("220 go\nxxxxx"), "unreachable"},
	} {
		for _, mode := range []string{"starttls", "implicit"} {
			if mode == "implicit" && !strings.HasPrefix(c.topic, "certificate") {
				continue
			}
			t.Run(c.name+"/"+mode, func(t *testing.T) {
				c.script.Implicit = mode == "implicit"
				c.script.Username, c.script.Password = "joe", "sesam"
				p := mailtest.Start(t, c.script)
				if c.on != nil {
					p.On(mailtest.STARTTLS, c.on)
				}
				s := settings(p)
				s.TLS, s.RootCAs, s.Username, s.Password = mode, ca.Pool(), "joe", "sesam"
				a := client(t, s).Deliver(t.Context(), letterTo("b@y.test"))[0]
				if a.Class != mail.ClassTemporary || !a.Unreachable || a.Explain.ID != "generic."+c.topic {
					t.Errorf("got %+v, %+v", a, a.Explain)
				}
				if n := p.Heard("AUTH") + p.Heard("MAIL"); n != 0 {
					t.Errorf("the peer heard %q", p.Commands())
				}
			})
		}
	}
}

func TestTLS(t *testing.T) {
	ca := mailtest.NewCA(t)
	for _, mode := range []string{"starttls", "implicit"} {
		t.Run(mode, func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{TLS: ca.Valid(), Implicit: mode == "implicit", Username: "joe", Password: "sesam"})
			s := settings(p)
			s.TLS, s.RootCAs, s.Username, s.Password = mode, ca.Pool(), "joe", "sesam"
			c := client(t, s)
			for range 3 { // the idle listener must leave TLS as it was
				expect(t, c, letterTo("b@y.test"), "taken")
				if tx := p.Wait(t); !tx.TLS || tx.User != "joe" || tx.Helo != "relay.test" || tx.Connection != 1 {
					t.Errorf("got %+v", tx)
				}
			}
		})
	}
}

// A server that is too busy to talk was reached: its mail stays with it.
func TestBusyAtTheDoor(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	for _, stage := range []mailtest.Stage{mailtest.Banner, mailtest.EHLO} {
		p.On(stage, mailtest.ReplyClose("421 4.7.0 too many connections"), mailtest.Normal())
		c := client(t, settings(p))
		expect(t, c, letterTo("b@y.test"), "throttling")
		expect(t, c, letterTo("b@y.test"), "taken")
	}
}

func TestNobodyThere(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	s := settings(p)
	p.Close()
	expect(t, client(t, s), letterTo("b@y.test", "c@y.test"), "temporary unreachable, temporary unreachable")
	s.Host = "nothing.invalid"
	a := client(t, s).Deliver(t.Context(), letterTo("b@y.test"))[0]
	if told([]mail.Attempt{a}) != "temporary unreachable" || a.Explain.ID != "generic.name" {
		t.Errorf("got %+v", a)
	}
}

// Name servers that do not answer are no reason to stop; a name that is gone is.
func TestAddressesAreRemembered(t *testing.T) {
	addrs, fail := []netip.Addr{netip.MustParseAddr("192.0.2.1")}, error(nil)
	b := &addressBook{lookup: func(context.Context, string, string) ([]netip.Addr, error) {
		if fail != nil {
			return nil, fail
		}
		return addrs, nil
	}}
	for _, c := range []struct {
		name string
		fail error
		want int
	}{
		{"nothing known", &net.DNSError{IsTimeout: true}, 0},
		{"found", nil, 1},
		{"no answer", &net.DNSError{IsTimeout: true}, 1},
		{"server failure", &net.DNSError{IsTemporary: true}, 1},
		{"gone", &net.DNSError{IsNotFound: true}, 0},
	} {
		fail = c.fail
		got, err := b.find(t.Context(), "mail.test")
		if len(got) != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: got %v, %v", c.name, got, err)
		}
	}
}

func TestStarted(t *testing.T) {
	p := mailtest.Start(t, mailtest.Script{})
	c := client(t, settings(p))
	tx := letterTo("b@y.test", "c@y.test")
	calls := 0
	tx.Started = func(context.Context) error {
		calls++
		if n := len(p.Transactions()); n != 0 {
			t.Errorf("called after %d messages had come", n)
		}
		return nil
	}
	expect(t, c, tx, "taken, taken")
	if calls != 1 {
		t.Errorf("called %d times", calls)
	}

	p.On(mailtest.Rcpt, mailtest.Reply("550 no"))
	expect(t, c, tx, "recipient, recipient")
	if calls != 1 {
		t.Error("called though there was nothing to send")
	}

	p.On(mailtest.Rcpt)
	p.Wait(t)
	tx.Started = func(context.Context) error { return errors.New("disk full") }
	expect(t, c, tx, "temporary, temporary")
	p.WaitOpen(t, 0)
	for _, tx := range p.Transactions()[1:] {
		if tx.Complete {
			t.Errorf("the peer got %q", tx.Raw)
		}
	}
}

func TestCancel(t *testing.T) {
	for stage, want := range map[mailtest.Stage]string{
		mailtest.Banner: "temporary", mailtest.Auth: "temporary", mailtest.Mail: "temporary",
		mailtest.Data: "temporary", mailtest.Dot: "temporary uncertain",
	} {
		t.Run(string(stage), func(t *testing.T) {
			p := mailtest.Start(t, mailtest.Script{Username: "joe", Password: "sesam",
				On: map[mailtest.Stage][]mailtest.Action{stage: {mailtest.Hang()}}})
			s := settings(p)
			s.Username, s.Password = "joe", "sesam"
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan []mail.Attempt, 1)
			c := client(t, s)
			go func() { done <- c.Deliver(ctx, letterTo("b@y.test")) }()
			switch stage {
			case mailtest.Banner:
				p.WaitOpen(t, 1)
			case mailtest.Dot:
				p.Wait(t)
			default:
				p.WaitHeard(t, string(stage), 1)
			}
			cancel()
			var a []mail.Attempt
			select {
			case a = <-done:
			case <-time.After(5 * time.Second):
				t.Fatal("goes on")
			}
			if got := told(a); got != want || !errors.Is(a[0].Err, context.Canceled) {
				t.Errorf("got %q, %v", got, a[0].Err)
			}
		})
	}
}

func TestCapture(t *testing.T) {
	c := client(t, Settings{Name: "shop/here", Key: "k", Preset: "capture"})
	a := c.Deliver(t.Context(), letterTo("b@y.test", "c@y.test"))
	if told(a) != "taken, taken" || a[0].UpstreamID != "captured" {
		t.Errorf("got %+v", a)
	}
	for name, copy := range map[string]text{
		"error": {content: content, fail: errors.New("no part 3")},
		"short": {content: content, size: 1000},
	} {
		tx := letterTo("b@y.test")
		tx.Copy = copy
		if got := deliver(t, c, tx); got != "temporary" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
