package relay

import (
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
	"backstamp/relay/align"
	"backstamp/relay/quirk"
)

// hand hands one message in from this machine and returns what was kept of it
// and the reply.
func hand(t *testing.T, s Settings, mailFrom, content string) (kept, string) {
	t.Helper()
	said, all := recite(newPolicy(t, s), "127.0.0.1", strings.NewReader("EHLO app.test\r\nMAIL FROM:<"+mailFrom+">\r\nRCPT TO:<r@dest.test>\r\nDATA\r\n"+
		strings.ReplaceAll(content, "\n", "\r\n")+".\r\nQUIT\r\n"))
	if len(all) != 1 {
		t.Fatalf("%d mails kept:\n%s", len(all), said)
	}
	return all[0], said
}

const page = "MIME-Version: 1.0\nContent-Type: text/html\n\n<html><body><a href=\"https://shop.test/x\">x</a></body></html>\n"

func TestMissingFields(t *testing.T) {
	k, said := hand(t, settings(t), "a@example.com", "Content-Type: text/plain\nSubject: x\n\nhello\n")
	id := k.m.ID.String()
	want := []string{
		"Received: from app.test ([127.0.0.1])\r\n\tby relay.example.com with ESMTP id " + id + ";\r\n\tThu, 05 Mar 2026 09:30:00 +0900",
		"Date: Thu, 05 Mar 2026 09:30:00 +0900",
		"Message-ID: <" + id + "@relay.example.com>",
		"From: default@example.com",
		"MIME-Version: 1.0",
	}
	if !slices.Equal(k.m.Detail.Header.Add, want) {
		t.Errorf("added %q\nwant %q", k.m.Detail.Header.Add, want)
	}
	if !strings.Contains(said, "\r\n250 2.0.0 queued as "+id+"\r\n") {
		t.Errorf("said %s", said)
	}
	m := k.m
	if m.MessageID != "<"+id+"@relay.example.com>" || m.HeaderFrom != "default@example.com" || m.Detail.Alignment.Rule != "default_from" ||
		m.Account != "shop" || m.Provider != "shop/main" || m.Size != int64(len(k.content)) || !m.Received.Equal(now) {
		t.Errorf("message %+v", m)
	}
	if c := m.Detail.Client; c.Addr != "127.0.0.1:4321" || c.Helo != "app.test" || c.TLS != "" || c.User != "" {
		t.Errorf("client %+v", c)
	}
}

func TestFieldsThatAreThere(t *testing.T) {
	k, _ := hand(t, settings(t), "a@example.com", "date: yesterday\nmessage-id: <x@y>\nFROM: a@example.com\nBcc: secret@dest.test\nReturn-Path: <z@y>\nX-Track-Tag: spring\n\nhello\n")
	if len(k.m.Detail.Header.Add) != 1 {
		t.Errorf("added %q", k.m.Detail.Header.Add)
	}
	for _, name := range []string{"Bcc", "Return-Path", "X-Track-Tag"} {
		if !slices.ContainsFunc(k.m.Detail.Header.Remove, func(r string) bool { return strings.EqualFold(r, name) }) {
			t.Errorf("%s is not removed, only %q", name, k.m.Detail.Header.Remove)
		}
	}
	if k.m.MessageID != "<x@y>" || k.m.Tag != "spring" {
		t.Errorf("message id %q, tag %q", k.m.MessageID, k.m.Tag)
	}
}

// TestWhyNotTracked: what is decided before the rewriter looks has its reason.
func TestWhyNotTracked(t *testing.T) {
	from := "From: a@example.com\n"
	for _, tt := range []struct {
		name     string
		change   func(*Settings)
		mailFrom string
		fields   string
		want     string
	}{
		{"tracked", func(*Settings) {}, "a@example.com", "", ""},
		{"null sender", func(*Settings) {}, "", "", "null-sender"},
		{"privacy", func(s *Settings) { s.Tracking.Privacy = 0 }, "a@example.com", "", "privacy"},
		{"configured", func(s *Settings) { s.Tracking.Opens, s.Tracking.Clicks = false, false }, "a@example.com", "", "off"},
		{"client", func(s *Settings) {
			s.Clients = []Client{{Name: "us", Networks: networks("127.0.0.0/8"), Tracking: "off"}}
		}, "a@example.com", "X-Track: both\n", "off"},
		{"control", func(*Settings) {}, "a@example.com", "X-Track: off\n", "control"},
		{"most restrictive", func(s *Settings) { s.Tracking.Opens = false }, "a@example.com", "X-Track: opens\n", "control"},
		{"nobody could follow", func(s *Settings) { s.Tracking.Public = false }, "a@example.com", "", "no-base-url"},
		{"all stays here", func(s *Settings) {
			s.Tracking.Public, s.Accounts[0].Local = false, map[string]bool{"shop/main": true}
		}, "a@example.com", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := settings(t)
			tt.change(&s)
			k, _ := hand(t, s, tt.mailFrom, from+tt.fields+page)
			if k.m.Reason != tt.want || k.m.Tracked != (tt.want == "") || len(k.m.Detail.Plan) == 0 {
				t.Errorf("tracked %v, reason %q; want %q", k.m.Tracked, k.m.Reason, tt.want)
			}
			stamped := slices.ContainsFunc(k.m.Detail.Header.Add, func(f string) bool { return strings.HasPrefix(f, "X-Backstamp: ") })
			if stamped != k.m.Tracked {
				t.Errorf("added %q", k.m.Detail.Header.Add)
			}
		})
	}
}

// TestStaysLocal: one provider of the chain that leads away is enough.
func TestStaysLocal(t *testing.T) {
	a, err := align.NewAccount(align.Settings{Name: "shop", Mode: align.Warn, DefaultProvider: "lan", Providers: []align.Provider{
		{Name: "lan"}, {Name: "far", After: "lan"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	acc := &account{Account: Account{Align: a, Local: map[string]bool{"shop/lan": true}}}
	if acc.staysLocal("shop/lan", "a@example.com") {
		t.Error("lan stays here, though far may follow")
	}
	acc.Local["shop/far"] = true
	if !acc.staysLocal("shop/lan", "a@example.com") {
		t.Error("lan and far do not stay here")
	}
}

// TestTranscript: it tells the whole story but for secrets.
func TestTranscript(t *testing.T) {
	secrets := []string{"AHNob3AAc2VjcmV0", "c2hvcA==", "c2VjcmV0", "secret"}
	said, all := recite(newPolicy(t, settings(t)), "127.0.0.1", strings.NewReader("EHLO app.test\r\n"+
		"AUTH CRAM-MD5 c2VjcmV0\r\nc2VjcmV0\r\n"+ // refused; the rest comes as commands
		"AUTH LOGIN c2hvcA==\r\nd3Jvbmc=\r\n"+
		"AUTH PLAIN AHNob3AAc2VjcmV0\r\n"+
		"MAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\nDATA\r\nFrom: a@example.com\r\n\r\nsecret\r\n.\r\n"+
		"MAIL FROM:<b@example.com>\r\nRCPT TO:<r@dest.test>\r\nDATA\r\nFrom: a@example.com\r\n\r\n.\r\n"))
	if len(all) != 2 {
		t.Fatalf("%d mails kept:\n%s", len(all), said)
	}
	got := strings.Join(all[0].m.Detail.Transcript, "\n")
	for _, secret := range secrets {
		if strings.Contains(strings.ToUpper(got), strings.ToUpper(secret)) {
			t.Errorf("%q in\n%s", secret, got)
		}
	}
	for _, want := range []string{"S: 220 ", "C: EHLO app.test", "C: AUTH PLAIN ***", "S: 235 ", "C: MAIL FROM:<a@example.com>", "C: (content, 34 octets)", "S: 250 2.0.0 queued as " + all[0].m.ID.String()} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	second := strings.Join(all[1].m.Detail.Transcript, "\n")
	if strings.Contains(second, "a@example.com") || !strings.Contains(second, "b@example.com") {
		t.Errorf("the second transaction reads\n%s", second)
	}
}

func TestTranscriptIsBounded(t *testing.T) {
	var tr transcript
	for _, begun := range []bool{false, true} {
		if begun {
			tr.begin()
		}
		for range 10_000 {
			tr.client(strings.Repeat("x", 10_000))
		}
	}
	size := 0
	for _, l := range tr.lines() {
		size += len(l)
	}
	if size > 100_000 {
		t.Errorf("%d octets", size)
	}
}

func TestSubject(t *testing.T) {
	for _, tt := range []struct{ name, header, want string }{
		{"plain", "Subject: hello", "hello"},
		{"none", "From: x", ""},
		{"folded", "Subject: hello\r\n world", "hello world"},
		{"UTF-8 word", "Subject: =?UTF-8?B?7JWI64WV?= =?UTF-8?Q?=ED=95=98?=", "안녕하"},
		{"EUC-KR word", "Subject: =?euc-kr?B?vsiz5w==?=", "안녕"},
		{"CP949 word", "Subject: =?CP949?B?vsiz5w==?=", "안녕"},
		{"ks_c_5601 word", "Subject: =?ks_c_5601-1987?B?vsiz5w==?=", "안녕"},
		{"unknown charset", "Subject: =?x-none?B?vsiz5w==?=", "=?x-none?B?vsiz5w==?="},
		{"raw UTF-8", "Subject: 안녕", "안녕"},
		{"raw EUC-KR", "Subject: \xbe\xc8\xb3\xe7", "안녕"},
		{"raw by its body", "Subject: \x82\xb1\x82\xf1\r\nContent-Type: text/plain; charset=shift_jis", "こん"},
		{"line end in a word", "Subject: =?UTF-8?Q?a=0D=0AX-Evil:_b?=", "a X-Evil: b"},
		{"broken word", "Subject: =?UTF-8?B?!!!?=", "=?UTF-8?B?!!!?="},
	} {
		h, _, _ := mail.ParseHeader([]byte(tt.header + "\r\n\r\n"))
		changes, _ := quirk.Mender{}.Header(h)
		if got := subject(h.Change(changes)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	h, _, _ := mail.ParseHeader([]byte("Subject: " + strings.Repeat("한", 100_000) + "\r\n\r\n"))
	if n := len(subject(h)); n > subjectKept || n < subjectKept-4 {
		t.Errorf("a subject of %d octets", n)
	}
}

func TestHeloName(t *testing.T) {
	for s, want := range map[string]string{"": "unknown", "a.b": "a.b", "[10.0.0.1]": "[10.0.0.1]", "x)\r\n(y 한": "x????y??", strings.Repeat("a", 999): strings.Repeat("a", 255)} {
		if got := heloName(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

// TestOwnLoop: a message that comes back goes round a few times and no more; one
// that others passed on is none of that.
func TestOwnLoop(t *testing.T) {
	for host, want := range map[string]int{"relay.example.com": passesMax, "other.example.com": passesMax + 3} {
		content, rounds := "From: a@example.com\n\n", 0
		for ; rounds < passesMax+3; rounds++ {
			said, all := recite(newPolicy(t, settings(t)), "127.0.0.1", strings.NewReader("EHLO app.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\nDATA\r\n"+
				strings.ReplaceAll(content, "\n", "\r\n")+".\r\n"))
			if len(all) == 0 {
				if !strings.Contains(said, "\r\n554 5.4.6 mail loop") {
					t.Fatalf("said %s", said)
				}
				break
			}
			trace := strings.ReplaceAll(all[0].m.Detail.Header.Add[0], "relay.example.com", host)
			content = strings.ReplaceAll(trace, "\r\n", "\n") + "\n" + content
		}
		if rounds != want {
			t.Errorf("by %s: %d rounds, want %d", host, rounds, want)
		}
	}
}
