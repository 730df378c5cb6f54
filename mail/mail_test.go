package mail

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIDsRise(t *testing.T) {
	now := time.UnixMilli(1_760_000_000_123)
	var ids IDs
	var last ID
	for i := range 10_000 {
		at := now.Add(time.Duration(i%3-1) * time.Millisecond) // the clock goes back and forth
		id := ids.Next(at)
		if bytes.Compare(id[:], last[:]) <= 0 {
			t.Fatalf("id %s does not rise over %s", id, last)
		}
		if id.String() <= last.String() && i > 0 {
			t.Fatalf("text %s does not rise over %s", id, last)
		}
		back, err := ParseID(id.String())
		if err != nil || back != id {
			t.Fatalf("ParseID(%s) = %v, %v", id, back, err)
		}
		last = id
	}
	if got := last.Time(); got.Sub(now).Abs() > time.Second {
		t.Errorf("time of the id is %v, want about %v", got, now)
	}
	for _, bad := range []string{"", "abc", strings.Repeat("u", 16), strings.Repeat("0", 17), "0000000000000/00"} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) accepted", bad)
		}
	}
}

func TestStatusAdvance(t *testing.T) {
	for _, c := range []struct{ from, to, want Status }{
		{Queued, Deferred, Deferred},
		{Deferred, Held, Held},
		{Held, Deferred, Deferred},
		{Deferred, Queued, Deferred},
		{Held, Sent, Sent},
		{Sent, Deferred, Sent},
		{Sent, Delivered, Delivered},
		{Clicked, Opened, Clicked},
		{Opened, Sent, Opened},
		{Deferred, Opened, Opened},
		{Sent, Bounced, Bounced},
		{Delivered, Bounced, Bounced},
		{Opened, Bounced, Opened},
		{Queued, Bounced, Queued},
		{Deferred, Failed, Failed},
		{Sent, Failed, Sent},
		{Opened, Failed, Opened},
		{Failed, Clicked, Failed},
		{Suppressed, Sent, Suppressed},
		{Bounced, Opened, Bounced},
		{Sent, "", Sent},
	} {
		if got := c.from.Advance(c.to); got != c.want {
			t.Errorf("%s.Advance(%s) = %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

// Whatever order news come in, a status never falls in rank once it was sent.
func TestStatusNeverFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Queued
		for range rapid.IntRange(1, 20).Draw(t, "n") {
			next := s.Advance(rapid.SampledFrom(Statuses).Draw(t, "to"))
			if s.rank() >= Sent.rank() && next.rank() < s.rank() && next != Bounced {
				t.Fatalf("%s fell to %s", s, next)
			}
			if s.Ended() && next != s {
				t.Fatalf("%s had ended and became %s", s, next)
			}
			s = next
		}
	})
}

func TestDeliveryHits(t *testing.T) {
	at := time.Unix(1_760_000_000, 0)
	hit := func(k Kind, c Class, link int) Event {
		at = at.Add(time.Second)
		return Event{Time: at, Kind: k, Class: c, Link: link}
	}
	d := Delivery{Status: Sent}
	steps := []struct {
		hit     Event
		status  Status
		basis   Basis
		implied bool
	}{
		{hit(KindOpen, Scanner, 0), Sent, "", false},
		{hit(KindOpen, Self, 0), Sent, "", false},
		{hit(KindOpen, Prefetch, 0), Delivered, BasisOpen, false},
		{hit(KindClick, Scanner, 1), Delivered, BasisOpen, false},
		{hit(KindClick, Human, 1), Clicked, BasisClick, true},
		{hit(KindClick, Unknown, 1), Clicked, BasisClick, false},
		{hit(KindClick, Human, 2), Clicked, BasisClick, false},
		{hit(KindOpen, Proxy, 0), Clicked, BasisClick, false},
	}
	for i, s := range steps {
		if got := d.Hit(s.hit); got != s.implied {
			t.Errorf("step %d: implied = %v", i, got)
		}
		if d.Status != s.status || d.Basis != s.basis {
			t.Errorf("step %d: %s by %q, want %s by %q", i, d.Status, d.Basis, s.status, s.basis)
		}
	}
	y := d.Tally
	if y.Opens != 1 || y.Clicks != 3 || y.MachineOpens != 2 || y.MachineClicks != 1 || y.UniqueOpens != 1 || y.UniqueClicks() != 2 {
		t.Errorf("tally %+v", y)
	}
	if !y.FirstOpen.Equal(steps[4].hit.Time) {
		t.Errorf("first open %v, want that of the first click", y.FirstOpen)
	}
}

// Whoever follows a link that was never sent is no reader, and must not keep
// the mail from being sent.
func TestHitsBeforeSending(t *testing.T) {
	at := time.Unix(1_760_000_000, 0)
	click := Event{Time: at, Kind: KindClick, Class: Human, Rule: "browser", Link: 1}
	for _, status := range []Status{Queued, Deferred, Held} {
		d := Delivery{Status: status, NextAttempt: at, Reason: "why"}
		e := d.Judge(click)
		if d.Hit(e); e.Class != Scanner || e.Rule != "unsent" || d.Status != status || d.NextAttempt.IsZero() || d.Tally.MachineClicks != 1 {
			t.Errorf("%s: judged %s by %s, then %+v", status, e.Class, e.Rule, d)
		}
	}

	d := Delivery{Status: Queued, Started: at} // the content may just be going out
	e := d.Judge(click)
	if d.Hit(e); e.Class != Human || d.Status != Queued {
		t.Errorf("while a try runs: judged %s, then %+v", e.Class, d)
	}
	failed := d
	failed.Conclude(Outcome{At: at, Status: Deferred, Attempted: true, Next: at.Add(time.Minute)})
	if failed.Status != Deferred || failed.NextAttempt.IsZero() {
		t.Errorf("the try failed: %+v", failed)
	}
	if d.Conclude(Outcome{At: at, Status: Sent, Attempted: true}); d.Status != Clicked || d.Basis != BasisClick {
		t.Errorf("the try succeeded: %+v", d)
	}

	d = Delivery{Status: Deferred, Uncertain: true, NextAttempt: at} // it may have arrived, and did
	e = d.Judge(click)
	if d.Hit(e); e.Class != Human || d.Status != Clicked {
		t.Errorf("uncertain: judged %s, then %+v", e.Class, d)
	}
}

func TestDeliveryConclude(t *testing.T) {
	t0 := time.Unix(1_760_000_000, 0)
	d := Delivery{Status: Queued, Started: t0}
	d.Conclude(Outcome{At: t0, Status: Deferred, Attempted: true, Reply: "451 later", Next: t0.Add(time.Minute)})
	if d.Status != Deferred || d.Attempts != 1 || !d.Started.IsZero() || !d.NextAttempt.Equal(t0.Add(time.Minute)) {
		t.Fatalf("after a temporary failure: %+v", d)
	}
	d.Conclude(Outcome{At: t0, Status: Held, Reason: HoldOperator})
	if d.Status != Held || d.Reason != HoldOperator || !d.NextAttempt.IsZero() || d.Reply != "451 later" {
		t.Fatalf("after a hold: %+v", d)
	}
	d.Conclude(Outcome{At: t0.Add(time.Hour), Status: Queued, Next: t0.Add(time.Hour)})
	if d.Status != Deferred || d.HeldFor != time.Hour || d.Reason != "" {
		t.Fatalf("after a retry: %+v", d)
	}
	d.Conclude(Outcome{At: t0.Add(2 * time.Hour), Status: Sent, Attempted: true, Reply: "250 ok", UpstreamID: "x"})
	if d.Status != Sent || d.Attempts != 2 || !d.NextAttempt.IsZero() || d.UpstreamID != "x" {
		t.Fatalf("after 250: %+v", d)
	}
}

// A delivery whose link was clicked while a try without a reply ran has
// arrived: nothing may make it due again.
// A clock that was put back takes nothing from the time that mail has.
func TestConcludeWithTheClockPutBack(t *testing.T) {
	t0 := time.Unix(1_700_000_000, 0)
	d := Delivery{Status: Held, HeldSince: t0}
	d.Conclude(Outcome{At: t0.AddDate(-1, 0, 0), Status: Queued})
	if d.HeldFor != 0 {
		t.Errorf("held for %v", d.HeldFor)
	}
}

func TestConcludeAfterProof(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for _, status := range []Status{Queued, Deferred, Held} {
		d := Delivery{Status: Opened}
		d.Conclude(Outcome{At: at, Status: status, Reason: HoldAuth, Next: at})
		if d.Status != Opened || !d.NextAttempt.IsZero() || !d.HeldSince.IsZero() || d.Reason != "" {
			t.Errorf("%s after opened: %+v", status, d)
		}
	}
}

func TestDestination(t *testing.T) {
	for _, n := range []int{1, 2, 3, 179, 180, 181, 360, 361, 2000, DestinationMax} {
		url := strings.Repeat("u", n)
		text := EncodeDestination(url)
		if EncodedDestinationLen(n) != len(text) {
			t.Errorf("%d bytes: length %d, said %d", n, len(text), EncodedDestinationLen(n))
		}
		for i, seg := range strings.Split(text, "/") {
			if len(seg) == 0 || len(seg) > 240 {
				t.Errorf("%d bytes: segment %d has %d characters", n, i, len(seg))
			}
		}
		back, err := DecodeDestination(text)
		if err != nil || back != url {
			t.Errorf("%d bytes do not come back: %v", n, err)
		}
	}
	full := EncodeDestination(strings.Repeat("u", 400))
	for name, bad := range map[string]string{
		"empty":           "",
		"padding":         "aHR0cA==",
		"unused bits":     "aHR0cB",
		"line break":      "aHR0\ncA",
		"slash at end":    full + "/",
		"slash too early": full[:100] + "/" + full[100:],
		"slash missing":   strings.Replace(full, "/", "", 1),
		"slash doubled":   strings.Replace(full, "/", "//", 1),
		"standard":        "+/+/",
		"too long":        strings.Repeat("A", 3*DestinationMax),
	} {
		if got, err := DecodeDestination(bad); err == nil {
			t.Errorf("%s: accepted as %q", name, got)
		}
	}
}

func TestParseHeader(t *testing.T) {
	for _, c := range []struct {
		name, in string
		names    []string
		body     string
	}{
		{"plain", "A: 1\r\nB: 2\r\n\r\nbody", []string{"A", "B"}, "body"},
		{"folded", "A: 1\r\n  2\r\n\t3\r\nB : x\r\n\r\n", []string{"A", "B"}, ""},
		{"bare LF", "A: 1\n\nbody\n", []string{"A"}, "body\n"},
		{"no empty line", "A: 1\r\nthis is text\r\n", []string{"A"}, "this is text\r\n"},
		{"no header", "\r\nbody", nil, "body"},
		{"mbox line", "From a@b Mon\r\nA: 1\r\n\r\nx", []string{"", "A"}, "x"},
		{"cut", "A: 1", []string{"A"}, ""},
		{"nothing", "", nil, ""},
		{"fold first", " x\r\nA: 1\r\n\r\n", nil, " x\r\nA: 1\r\n\r\n"},
	} {
		h, end, body := ParseHeader([]byte(c.in))
		var names []string
		var raw []byte
		for _, f := range h {
			names = append(names, f.Name)
			raw = append(raw, f.Raw...)
		}
		if !slices.Equal(names, c.names) || c.in[body:] != c.body {
			t.Errorf("%s: names %q body %q", c.name, names, c.in[body:])
		}
		if string(raw) != c.in[:end] {
			t.Errorf("%s: fields are %q, header is %q", c.name, raw, c.in[:end])
		}
	}
	h, _, _ := ParseHeader([]byte("Subject: a\r\n b\r\nsubject: c\r\n\r\n"))
	if h.Get("SUBJECT") != "a b" || len(h.All("Subject")) != 2 || h.Has("To") {
		t.Errorf("Get %q", h.Get("SUBJECT"))
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"a@example.com":             "a@example.com",
		`"a b"@example.com`:         `"a b"@example.com`,
		`"a"@example.com`:           "a@example.com",
		`"a\"b"@example.com`:        `"a\"b"@example.com`,
		"a+t@EXAMPLE.com":           "a+t@EXAMPLE.com",
		"a@[127.0.0.1]":             "a@[127.0.0.1]",
		"a@[IPv6:::1]":              "a@[IPv6:::1]",
		"홍길동@예시.한국":                 "홍길동@예시.한국",
		`"v@other> NOTIFY=X "@ok.t`: `"v@other> NOTIFY=X "@ok.t`,
		"a@local_host":              "a@local_host",
	} {
		a, err := ParseAddress(in)
		if err != nil || a.String() != want {
			t.Errorf("ParseAddress(%q) = %q, %v", in, a, err)
		}
	}
	for _, bad := range []string{
		"", "a", "@b", "a@", "a@b@c", "a b@c", "a..b@c", ".a@c", "a@b..c", "a@b c", "a@b>", "a\x00@b", "a@b\r\n",
		"\"a\rb\"@c", "\xff@b", "a@\xff", `"a@b`, `"a"b@c`, "a@[1.2.3]", "a@[::1]", "a@[IPv6:1.2.3.4]", "a@-b\u202e",
		strings.Repeat("a", 65) + "@b", "a@" + strings.Repeat("b.", 128) + "c",
	} {
		if a, err := ParseAddress(bad); err == nil {
			t.Errorf("ParseAddress(%q) accepted as %q", bad, a)
		}
	}
}

// What is accepted is spelled so that it reads back as the same address.
func FuzzParseAddress(f *testing.F) {
	f.Add("a@b.c")
	f.Add(`"a\" b"@[127.0.0.1]`)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		text := a.String()
		if strings.ContainsAny(text, "\r\n\x00") {
			t.Fatalf("control character in %q", text)
		}
		back, err := ParseAddress(text)
		if err != nil || back != a {
			t.Fatalf("%q spelled %q reads as %q, %v", s, text, back, err)
		}
	})
}

func TestReplyString(t *testing.T) {
	r := Reply{Code: 550, Lines: []string{"5.1.1 no\x1b[31m such", "user \xff"}}
	if got, want := r.String(), "550-5.1.1 no\\x1b[31m such\n550 user \\xff"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	if r.Enhanced() != "5.1.1" || !r.Permanent() || r.Temporary() {
		t.Errorf("enhanced %q", r.Enhanced())
	}
	if (Reply{}).String() != "" {
		t.Error("the zero reply has text")
	}
	long := Reply{Code: 250, Lines: []string{strings.Repeat("한", 5000)}}
	if s := long.String(); len(s) > replyMax || !strings.HasSuffix(s, "한") {
		t.Errorf("long reply is %d octets and ends in %q", len(s), s[len(s)-3:])
	}
	for _, bad := range []string{"5.1", "9.1.1 x", "5.1.x", "hello"} {
		if got := (Reply{Code: 550, Lines: []string{bad}}).Enhanced(); got != "" {
			t.Errorf("Enhanced of %q = %q", bad, got)
		}
	}
}
