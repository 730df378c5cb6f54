package stranger

import (
	"context"
	"net"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

func TestMain(m *testing.M) { mailtest.Main(m) }

func target(addr, tls string) Target {
	return Target{TLS: tls, Host: "relay.test", Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}
}

// TestOpen: a server that takes everything is found to be open in every form that
// it understands, whatever TLS it speaks.
func TestOpen(t *testing.T) {
	ca := mailtest.NewCA(t)
	for _, s := range []mailtest.Script{
		{},
		{TLS: ca.Valid()},
		{TLS: ca.Valid(), Implicit: true},
	} {
		mode := "off"
		switch {
		case s.Implicit:
			mode = "implicit"
		case s.TLS != nil:
			mode = "starttls"
		}
		peer := mailtest.Start(t, s)
		tries, err := Probe(t.Context(), target(peer.Addr, mode))
		if err != nil || len(tries) != len(forms("")) {
			t.Fatalf("%s: %d tries, %v", mode, len(tries), err)
		}
		for _, try := range tries {
			outOfStep := try.Form == "without a greeting" || try.Form == "PROXY" && mode == "implicit" // the peer cannot follow
			if !try.Open && !outOfStep {
				t.Errorf("%s: %s is closed: %s", mode, try.Form, try.Reply)
			}
		}
		if n := len(peer.Transactions()); n > 0 {
			t.Errorf("%s: %d messages were sent", mode, n)
		}
	}
}

// TestClosed: each kind of refusal is one, and the first is told.
func TestClosed(t *testing.T) {
	for name, at := range map[string]mailtest.Stage{"550 5.7.1 no client": mailtest.Mail, "454 4.7.0 not now": mailtest.Rcpt, "hung up": mailtest.EHLO} {
		answer := mailtest.Reply(name)
		if name == "hung up" {
			answer = mailtest.ReplyClose("250")
		}
		peer := mailtest.Start(t, mailtest.Script{})
		peer.On(at, answer)
		tries, err := Probe(t.Context(), target(peer.Addr, "off"))
		if err != nil {
			t.Fatal(err)
		}
		for _, try := range tries {
			if try.Form == "plain" && (try.Open || try.Reply != name) {
				t.Errorf("%s: %+v", name, try)
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if tries, err := Probe(t.Context(), target(l.Addr().String(), "off")); err == nil || len(tries) > 0 {
		t.Errorf("nobody listens: %v, %v", tries, err)
	}
	if names := forms("relay.test"); !strings.Contains(names[5].lines[1], "%relay-test.example@relay.test") {
		t.Errorf("forms %v", names)
	}
}
