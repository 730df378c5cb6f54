package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"backstamp/internal/mailtest"
)

// daily is relayConfig with a limit for a day.
func daily(upstream string, n int, extra string) string {
	return strings.Replace(relayConfig(upstream, extra), `["@shop.test"]`, fmt.Sprintf(`["@shop.test"], daily_limit: %d`, n), 1)
}

// A limit for a day holds what comes after, over a restart, and every surface
// says so.
func TestDailyLimit(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, daily(upstream.Addr, 2, ""))
	send := func() string { return in.send("app@shop.test", "reader@example.com", page) }
	in.status(send(), "sent")
	in.status(send(), "sent")
	id := send()
	check := func(when string) {
		t.Helper()
		d := in.status(id, "held")
		until, err := time.Parse(time.RFC3339, fmt.Sprint(d["next_attempt"]))
		if left := time.Until(until); err != nil || d["reason"] != "quota" || left < 23*time.Hour || left > 24*time.Hour+2*time.Minute || d["attempts"] != 0.0 {
			t.Errorf("%s: %v", when, d)
		}
		if x, _ := d["explain"].(map[string]any); x["id"] != "queue.daily-limit" || x["class"] != "quota" {
			t.Errorf("%s: explained by %v", when, d["explain"])
		}
		out, code := in.run("status", "--json")
		row := decodeRows(t, out)[0]
		if code != exitDegraded || row["state"] != "held" || row["reason"] != "quota" || row["sent_today"] != 2.0 || row["limit"] != 2.0 || row["until"] != d["next_attempt"] {
			t.Errorf("%s: exit %d, status %v", when, code, row)
		}
	}
	check("at once")
	if code := in.stop(); code != exitDone {
		t.Fatalf("exit %d", code)
	}
	check("with no server")
	in = startIn(t, in.dir, in.config)
	check("after a restart")
	if n := len(upstream.Transactions()); n != 2 {
		t.Errorf("%d went out", n)
	}
	if rows := in.rows("status", "--usage"); len(rows) == 0 || rows[0]["account"] != "shop" || rows[0]["provider"] != "main" {
		t.Errorf("usage %v", rows)
	}
}

// failing is relayConfig with a spare provider that follows, both local.
func failing(main, spare, senders string) string {
	host, port, _ := net.SplitHostPort(spare)
	return relayConfig(main, fmt.Sprintf(`      spare: {preset: generic, host: %q, port: %s, tls: "off", senders: [%q], after: main}
    default_provider: main
    failover: {unreachable: 1s, held: 1s}
`, host, port, senders))
}

// What main cannot take goes to spare, whatever keeps main from it; where the
// sender does not match it stays.
func TestFailover(t *testing.T) {
	gone := freeAddress(t)
	login := mailtest.Start(t, mailtest.Script{})
	login.On(mailtest.Mail, mailtest.Reply("530 5.7.0 Authentication required"))
	full := mailtest.Start(t, mailtest.Script{})
	full.On(mailtest.Dot, mailtest.Reply("550 5.4.5 Daily sending quota exceeded"))
	throttled := mailtest.Start(t, mailtest.Script{})
	throttled.On(mailtest.Mail, mailtest.Reply("454 4.7.0 Throttling failure: Maximum sending rate exceeded."))
	for _, c := range []struct{ what, main, senders, want string }{
		{"unreachable", gone, "@shop.test", "sent"},
		{"parked", login.Addr, "@shop.test", "sent"},
		{"held", full.Addr, "@shop.test", "sent"},
		{"throttled", throttled.Addr, "@shop.test", "deferred"},
		{"parked, another sender", login.Addr, "@other.test", "held"},
	} {
		t.Run(c.what, func(t *testing.T) {
			spare := mailtest.Start(t, mailtest.Script{})
			in := start(t, failing(c.main, spare.Addr, c.senders))
			id := in.send("app@shop.test", "reader@example.com", page)
			in.status(id, c.want)
			if n := len(spare.Transactions()); (n == 1) != (c.want == "sent") {
				t.Errorf("spare got %d", n)
			}
		})
	}
}
