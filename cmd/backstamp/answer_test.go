package main

import (
	"strings"
	"testing"
	"time"

	"backstamp/internal/mailtest"
)

const hears = "    reply: upstream\n"

// An app that waits for the provider hears its refusal, in its own words but
// for what is nobody's business, and gets no notice beside it.
func TestReplyUpstream(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{Extensions: everything})
	upstream.On(mailtest.RcptTo("gone@sink.test"), mailtest.Reply("550-5.1.1 gone@sink.test has moved,\n550 5.1.1 ask other@elsewhere.test or see /etc/mail/access"))
	in := start(t, relayConfig(upstream.Addr, hears))
	r := submit(t, in.smtp(), "app@shop.test", "", "gone@sink.test", "", koreanLetter)
	if !strings.HasPrefix(r, "550 5.1.1 ") || !strings.Contains(r, "gone@sink.test has moved") || strings.Contains(r, "other@") || strings.Contains(r, "/etc") {
		t.Errorf("reply %q", r)
	}
	if d := in.delivery("gone@sink.test"); d["status"] != "failed" || d["notice"] != "answered" || !strings.Contains(d["reply"].(string), "other@elsewhere.test") {
		t.Errorf("%v", d)
	}
	if rows := in.rows("messages"); len(rows) != 1 {
		t.Errorf("%d messages", len(rows))
	}
	if r := submit(t, in.smtp(), "app@shop.test", "", "kim@sink.test", "", koreanLetter); !strings.HasPrefix(r, "250 2.0.0 queued as ") {
		t.Errorf("reply %q", r)
	}
}

// One that is taken makes it 250, and the rest goes by notice.
func TestReplyUpstreamInPart(t *testing.T) {
	for _, letter := range []string{"plain", "tracked"} {
		upstream := mailtest.Start(t, mailtest.Script{Extensions: everything})
		upstream.On(mailtest.RcptTo("gone@sink.test"), mailtest.Reply("550 5.1.1 no such user"))
		in := start(t, relayConfig(upstream.Addr, hears))
		text := koreanLetter
		if letter == "tracked" { // a transaction for each
			text = "From: app@shop.test\nMIME-Version: 1.0\nContent-Type: text/html\n\n<a href=\"https://shop.example/\">x</a>\n"
		}
		if r := mailtest.SendMail(t, in.smtp(), "app@shop.test", []string{"gone@sink.test", "kim@sink.test"}, text); !strings.HasPrefix(r, "250 ") {
			t.Fatalf("%s: %s", letter, r)
		}
		in.until("the notice is sent", func() bool { return len(in.rows("messages", "--to", "app@shop.test", "--status", "sent")) == 1 })
		if rows := in.rows("messages"); len(rows) != 2 {
			t.Errorf("%s: %d messages", letter, len(rows))
		}
	}
}

// What may pass is 250: the message is safe. All refused is the reply of the
// first.
func TestReplyUpstreamLater(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{Extensions: without("8BITMIME", "SMTPUTF8")})
	upstream.On(mailtest.RcptTo("busy@sink.test"), mailtest.Reply("450 4.2.1 busy"))
	upstream.On(mailtest.RcptTo("a@sink.test"), mailtest.Reply("550 5.1.1 a"))
	upstream.On(mailtest.RcptTo("b@sink.test"), mailtest.Reply("553 5.1.3 b"))
	in := start(t, relayConfig(upstream.Addr, hears))
	begun := time.Now()
	if r := submit(t, in.smtp(), "app@shop.test", "", "busy@sink.test", "", koreanLetter); !strings.HasPrefix(r, "250 ") {
		t.Errorf("temporary: %s", r)
	}
	if r := mailtest.SendMail(t, in.smtp(), "app@shop.test", []string{"a@sink.test", "b@sink.test"}, koreanLetter); !strings.HasPrefix(r, "550 5.1.1 ") {
		t.Errorf("all refused: %s", r)
	}
	if r := submit(t, in.smtp(), "app@shop.test", "SMTPUTF8", "길동@sink.test", "", koreanLetter); !strings.HasPrefix(r, "553 5.6.7 ") {
		t.Errorf("SMTPUTF8: %s", r)
	}
	nowhere := start(t, relayConfig("127.0.0.1:1", hears))
	if r := submit(t, nowhere.smtp(), "app@shop.test", "", "kim@sink.test", "", koreanLetter); !strings.HasPrefix(r, "250 ") {
		t.Errorf("nobody there: %s", r)
	}
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}
