package render

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

// written renders and returns the copy with its bytes, after checking what
// holds for every copy.
func written(t testing.TB, r *Renderer, m *mail.Message, content, provider string) (mail.Copy, string) {
	t.Helper()
	c, err := r.Render(m, strings.NewReader(content), 1, provider)
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if n, err := c.WriteTo(b); err != nil || n != int64(b.Len()) || n != c.Size() {
			t.Fatalf("wrote %d octets, said %d, measured %d, %v", b.Len(), n, c.Size(), err)
		}
	}
	text := first.String()
	if second.String() != text {
		t.Fatal("a second WriteTo writes other bytes")
	}
	if !strings.HasSuffix(text, "\r\n") {
		t.Fatalf("the last line has no end: %q", text)
	}
	if c.EightBit() != strings.ContainsFunc(text, func(c rune) bool { return c >= 0x80 }) {
		t.Fatalf("EightBit is %v for %q", c.EightBit(), text)
	}
	return c, text
}

// message is one that was accepted for shop/main.
func message(add ...string) *mail.Message {
	m := &mail.Message{Account: "shop", Provider: "shop/main", MailFrom: "www@web1.local"}
	m.Detail.Alignment = mail.Alignment{Rule: "from", From: "kim@example.com", Identity: "kim@example.com", Action: mail.ActionNone}
	m.Detail.Header.Add = add
	return m
}

func rewritten(identity string) *mail.Message {
	m := message("Received: x")
	m.Detail.Alignment.Action, m.Detail.Alignment.Identity = mail.ActionRewritten, identity
	m.Detail.Header.Remove = []string{"Sender"}
	return m
}

func TestRender(t *testing.T) {
	removing := func(names ...string) *mail.Message {
		m := message("Received: from a\r\n\tby b", "Date: now")
		m.Detail.Header.Remove = names
		return m
	}
	for name, tt := range map[string]struct {
		message  *mail.Message
		settings Provider
		content  string
		want     string
	}{
		"nothing to do":  {message(), Provider{}, "From: a@b\r\nX:y\r\n\r\nbody\r\n", "From: a@b\r\nX:y\r\n\r\nbody\r\n"},
		"added on top":   {removing(), Provider{}, "From: a@b\r\n\r\nbody\r\n", "Received: from a\r\n\tby b\r\nDate: now\r\nFrom: a@b\r\n\r\nbody\r\n"},
		"removed":        {removing("x-track"), Provider{}, "A: 1\r\nX-Track: a\r\n b\r\nX-TRACK: c\r\nX-Tracker: d\r\n\r\n", "Received: from a\r\n\tby b\r\nDate: now\r\nA: 1\r\nX-Tracker: d\r\n\r\n"},
		"never sent":     {message(), Provider{}, "bcc: c@d\r\nReturn-Path: <x@y>\r\nBcc : e@f,\r\n g@h\r\nTo: a@b\r\n\r\n", "To: a@b\r\n\r\n"},
		"added stays":    {removing("Date"), Provider{}, "Date: old\r\n\r\n", "Received: from a\r\n\tby b\r\nDate: now\r\n\r\n"},
		"order, spacing": {message(), Provider{}, "b : 1\r\nA:2\r\nb: \t3\r\n\r\n\r\n\r\n", "b : 1\r\nA:2\r\nb: \t3\r\n\r\n\r\n\r\n"},
		"no last line":   {message(), Provider{}, "A: 1\r\n\r\nbody", "A: 1\r\n\r\nbody\r\n"},
		"no body":        {message(), Provider{}, "A: 1\r\n", "A: 1\r\n\r\n"},
		"header cut off": {message(), Provider{}, "A: 1\r\nB: 2", "A: 1\r\nB: 2\r\n\r\n"},
		"empty":          {message("Received: x"), Provider{}, "", "Received: x\r\n\r\n"},
		"only a body":    {message("Received: x"), Provider{}, "\r\nhello\r\n", "Received: x\r\n\r\nhello\r\n"},
		"no separator": {message("Received: x"), Provider{}, "From: a@b\r\nhello\r\nFrom: evil@c\r\n\r\nx\r\n",
			"Received: x\r\nFrom: a@b\r\n\r\nhello\r\nFrom: evil@c\r\n\r\nx\r\n"},
		"a continuation of nothing": {message("Received: x"), Provider{}, " From: evil@c\r\n\r\nx\r\n", "Received: x\r\n\r\n From: evil@c\r\n\r\nx\r\n"},
		"mbox line":                 {message("Received: x"), Provider{}, "From a@b Thu Jan  1\r\nA: 1\r\n\r\nx\r\n", "Received: x\r\nA: 1\r\n\r\nx\r\n"},
		"damaged addition":          {message("Received: x\r\nBcc: evil@c\nY: z\r\n"), Provider{}, "A: 1\r\n\r\n", "Received: x  Bcc: evil@c Y: z\r\nA: 1\r\n\r\n"},

		"rewritten": {rewritten("shop@example.org"), Provider{},
			"To: x@y\r\nSender: s@t\r\nFrom: \"Kim, \xb0\xa1\" <kim@example.com> (Seoul)\r\nX-Original-From: forged\r\nSubject: s\r\nx-original-from: again\r\n\r\nbody\r\n",
			"Received: x\r\nX-Original-From: \"Kim, \xb0\xa1\" <kim@example.com> (Seoul)\r\nReply-To: \"Kim, \xb0\xa1\" <kim@example.com> (Seoul)\r\n" +
				"To: x@y\r\nFrom: \"Kim, \xb0\xa1\" <shop@example.org> (Seoul)\r\nSubject: s\r\n\r\nbody\r\n"},
		"rewritten, folded": {rewritten("shop@example.org"), Provider{}, "From:\r\n =?utf-8?B?6rCA?=\r\n\t<kim@example.com>\r\nReply-To: r@s\r\n\r\n",
			"Received: x\r\nX-Original-From:\r\n =?utf-8?B?6rCA?=\r\n\t<kim@example.com>\r\nFrom:\r\n =?utf-8?B?6rCA?=\r\n\t<shop@example.org>\r\nReply-To: r@s\r\n\r\n"},
		"rewritten, bare": {rewritten("shop@example.org"), Provider{}, "From : kim@example.com (Kim)\r\n\r\n",
			"Received: x\r\nX-Original-From: kim@example.com (Kim)\r\nReply-To: kim@example.com (Kim)\r\nFrom : shop@example.org (Kim)\r\n\r\n"},
		"rewritten, added From": {func() *mail.Message {
			m := rewritten("shop@example.org")
			m.Detail.Header.Add = []string{"Received: x", "From: kim@example.com"}
			return m
		}(), Provider{}, "To: x@y\r\n\r\n", "Received: x\r\nFrom: shop@example.org\r\nX-Original-From: kim@example.com\r\nReply-To: kim@example.com\r\nTo: x@y\r\n\r\n"},

		"switched off": {message(), Provider{SwitchOff: []string{"X-PM-TrackLinks: None", "X-Mailjet-TrackOpen: 0"}}, "A: 1\r\n\r\n",
			"X-PM-TrackLinks: None\r\nX-Mailjet-TrackOpen: 0\r\nA: 1\r\n\r\n"},
		"switched on by the app": {message(), Provider{SwitchOff: []string{"X-PM-TrackLinks: None"}}, "x-pm-tracklinks: HtmlOnly\r\n\r\n", "x-pm-tracklinks: HtmlOnly\r\n\r\n"},
		"merged": {message(), Provider{SwitchOff: []string{`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":0}},"opentrack":{"settings":{"enable":0}}}}`}},
			"A: 1\r\nx-smtpapi: {\"category\": \"<a&b>\",\r\n \"n\":12345678901234567890,\"filters\":{\"opentrack\":{\"settings\":{\"enable\":1,\"replace\":\"%o%\"}}}}\r\nB: 2\r\n\r\n",
			"A: 1\r\nX-SMTPAPI: {\r\n \"category\": \"<a&b>\",\r\n \"filters\": {\r\n \"clicktrack\": {\r\n \"settings\": {\r\n \"enable\": 0\r\n }\r\n },\r\n \"opentrack\": {\r\n \"settings\": {\r\n \"enable\": 1,\r\n \"replace\": \"%o%\"\r\n }\r\n }\r\n },\r\n \"n\": 12345678901234567890\r\n }\r\nB: 2\r\n\r\n"},
		"nothing to merge": {message(), Provider{SwitchOff: []string{`X-MSYS-API: {"options":{"open_tracking":false}}`}},
			"X-MSYS-API: { \"options\":\r\n {\"open_tracking\":true}}\r\n\r\n", "X-MSYS-API: { \"options\":\r\n {\"open_tracking\":true}}\r\n\r\n"},
		"no JSON to merge": {message(), Provider{SwitchOff: []string{`X-MSYS-API: {"options":{"open_tracking":false}}`}}, "X-MSYS-API: {broken\r\n\r\n", "X-MSYS-API: {broken\r\n\r\n"},
		"null to merge":    {message(), Provider{SwitchOff: []string{`X-MSYS-API: {"options":{"open_tracking":false}}`}}, "X-MSYS-API: null\r\n\r\n", "X-MSYS-API: null\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(Settings{Providers: map[string]Provider{"shop/main": tt.settings}}, nil)
			if _, got := written(t, r, tt.message, tt.content, "shop/main"); got != tt.want {
				t.Errorf("got\n%q\nwant\n%q", got, tt.want)
			}
		})
	}
}

// moves is an account that rewrites From at shop/spare alone.
type moves struct{}

func (moves) Align(provider, from, mailFrom string) (mail.Alignment, bool) {
	switch provider {
	case "shop/spare":
		return mail.Alignment{From: from, Identity: "spare@example.net", Action: mail.ActionRewritten}, true
	case "shop/own":
		return mail.Alignment{From: from, Action: mail.ActionNone}, true
	}
	return mail.Alignment{}, false
}

func TestMailFrom(t *testing.T) {
	r := New(Settings{
		Accounts:  map[string]Aligner{"shop": moves{}},
		Providers: map[string]Provider{"shop/ses": {NullSender: NullReplace}, "shop/main": {}},
	}, nil)
	for _, tt := range []struct {
		name, action, mailFrom, provider string
		want, wantFrom                   string
	}{
		{"as it came", mail.ActionNone, "kim@example.com", "shop/main", "kim@example.com", "kim@example.com"},
		{"envelope", mail.ActionEnvelope, "www@web1.local", "shop/main", "kim@example.com", "kim@example.com"},
		{"rewritten", mail.ActionRewritten, "www@web1.local", "shop/main", "shop@example.org", "shop@example.org"},
		{"warned", mail.ActionWarned, "www@web1.local", "shop/main", "www@web1.local", "kim@example.com"},
		{"null", mail.ActionNone, "", "shop/main", "", "kim@example.com"},
		{"null rewritten", mail.ActionRewritten, "", "shop/main", "", "shop@example.org"},
		{"null replaced", mail.ActionEnvelope, "", "shop/ses", "kim@example.com", "kim@example.com"},
		{"moved and rewritten", mail.ActionNone, "kim@example.com", "shop/spare", "spare@example.net", "spare@example.net"},
		{"moved, nobody knows where", mail.ActionEnvelope, "www@web1.local", "shop/gone", "kim@example.com", "kim@example.com"},
		{"moved back to what it may", mail.ActionRewritten, "kim@example.com", "shop/own", "kim@example.com", "kim@example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := message()
			m.MailFrom, m.Detail.Alignment.Action = tt.mailFrom, tt.action
			if tt.action == mail.ActionRewritten {
				m.Detail.Alignment.Identity = "shop@example.org"
			}
			c, text := written(t, r, m, "From: Kim <kim@example.com>\r\n\r\nx\r\n", tt.provider)
			if c.MailFrom() != tt.want {
				t.Errorf("MAIL FROM %q, want %q", c.MailFrom(), tt.want)
			}
			if want := "From: Kim <" + tt.wantFrom + ">\r\n"; !strings.Contains(text, want) {
				t.Errorf("got\n%s\nwant %s", text, want)
			}
		})
	}
}

// now is an account as a reload left it.
type now mail.Alignment

func (n now) Align(string, string, string) (mail.Alignment, bool) { return mail.Alignment(n), true }

// What was accepted before a reload that gave its provider another login goes
// out under the new one; nothing that was to be rewritten goes out as it came.
func TestIdentityAfterAReload(t *testing.T) {
	for name, tt := range map[string]struct {
		account now
		was     string
		want    string
	}{
		"another login":            {now{Identity: "new@example.org", Action: mail.ActionRewritten}, mail.ActionRewritten, "new@example.org"},
		"no longer a sender":       {now{Identity: "new@example.org", Action: mail.ActionRewritten}, mail.ActionNone, "new@example.org"},
		"no identity any more":     {now{Action: mail.ActionRewritten}, mail.ActionRewritten, "old@example.org"},
		"rewrites no more":         {now{Action: mail.ActionNone}, mail.ActionRewritten, "old@example.org"},
		"lets through with a word": {now{Action: mail.ActionWarned}, mail.ActionEnvelope, "kim@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			m := rewritten("old@example.org")
			m.MailFrom, m.Detail.Alignment.Action = "www@web1.local", tt.was
			r := New(Settings{Accounts: map[string]Aligner{m.Account: tt.account}}, nil)
			c, text := written(t, r, m, "From: Kim <kim@example.com>\r\n\r\nx\r\n", m.Provider)
			if c.MailFrom() != tt.want || !strings.Contains(text, "From: Kim <"+tt.want+">\r\n") {
				t.Errorf("from %s\n%s\nwant %s", c.MailFrom(), text, tt.want)
			}
		})
	}
}

// TestHeaderInjection: whatever stands in fields and settings, a copy has the
// fields that came in and those that were declared.
func TestHeaderInjection(t *testing.T) {
	for _, evil := range []string{
		"=?utf-8?q?x=0D=0ABcc:_evil@c?=", "=?utf-8?B?DQpCY2M6IGV2aWxAYw==?=", "a\r\n Bcc: evil@c", "a\r\n\tBcc: evil@c\r\n b",
		`"a\` + "\r\n" + ` Bcc: evil@c"`, "(a\r\n Bcc: evil@c)",
	} {
		content := "From: " + evil + " <kim@example.com>\r\nSubject: " + evil + "\r\nList-Unsubscribe: <https://x/" + evil + ">\r\n\r\nbody\r\n"
		for _, m := range []*mail.Message{message("Received: from "+evil+"\r\nBcc: a", "Date: now\nBcc: b\rBcc: c"), rewritten("shop@example.org")} {
			r := New(Settings{Providers: map[string]Provider{"shop/main": {SwitchOff: []string{"X-Off: " + evil + "\r\n\r\nBcc: evil@c"}}}}, nil)
			_, text := written(t, r, m, content, "shop/main")
			h, _, body := mail.ParseHeader([]byte(text))
			want := 3 + len(m.Detail.Header.Add) + 1
			if m.Detail.Alignment.Action == mail.ActionRewritten {
				want += 2
			}
			if len(h) != want || text[body:] != "body\r\n" || h.Has("Bcc") {
				t.Errorf("%q: %d fields, want %d:\n%s", evil, len(h), want, text)
			}
		}
	}
}

// undo takes away what the header edits of m declare to have been added.
func undo(t testing.TB, m *mail.Message, text string) string {
	t.Helper()
	for _, add := range m.Detail.Header.Add {
		rest, ok := strings.CutPrefix(text, add+"\r\n")
		if !ok {
			t.Fatalf("%q is not on top of\n%.300q", add, text)
		}
		text = rest
	}
	return text
}

// expected is what stays of content when what never leaves is taken away.
func expected(content string, remove ...string) string {
	remove = append(remove, "", "Bcc", "Return-Path")
	h, end, body := mail.ParseHeader([]byte(content))
	var b strings.Builder
	for _, f := range h {
		if !slices.ContainsFunc(remove, f.Is) {
			b.WriteString(strings.TrimSuffix(string(f.Raw), "\r\n") + "\r\n")
		}
	}
	if end == body {
		b.WriteString("\r\n")
	}
	b.WriteString(content[end:])
	if len(content) > end && !strings.HasSuffix(content, "\r\n") {
		b.WriteString("\r\n")
	}
	return b.String()
}

// normalised is content as the store holds it.
func normalised(content []byte) string {
	s := strings.ReplaceAll(string(content), "\x00", "")
	s = strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(s)
	return s
}

func TestCorpus(t *testing.T) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	n := 0
	r := New(Settings{DKIM: testKeys(t)}, nil)
	err := filepath.WalkDir(filepath.Join(root, "mail"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		content := normalised(raw)
		m := message("Received: from a\r\n\tby b", "X-Added: now")
		_, text := written(t, New(Settings{}, nil), m, content, "shop/main")
		if got, want := undo(t, m, text), expected(content); got != want {
			t.Errorf("%s: damaged\n got %.400q\nwant %.400q", path, got, want)
		}
		m = rewritten("shop@example.org")
		_, text = written(t, r, m, content, "shop/main")
		verify(t, path, text, 2)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 500 {
		t.Errorf("only %d files in the corpus", n)
	}
}

// FuzzRender: what is not declared stays as it was, whatever the content.
func FuzzRender(f *testing.F) {
	for _, seed := range []string{"", "A: 1\r\n\r\nx", "From x\r\nA: 1\r\n", " x\r\n", "A: 1\r\nbad\r\nFrom: a@b\r\n\r\n", "Bcc: x\r\n y\r\n\r\n", "\r\n",
		"From: Kim <kim@example.com>\r\nSubject: s\r\nDKIM-Signature: v=1; h=from:subject\r\n\r\n"} {
		f.Add([]byte(seed), "X-Track")
	}
	keys := testKeys(f)[1:]
	f.Fuzz(func(t *testing.T, raw []byte, remove string) {
		content := normalised(raw)
		m := message("Received: from a\r\n\tby b")
		m.Detail.Header.Remove = []string{remove}
		if !strings.EqualFold(remove, "DKIM-Signature") && !strings.Contains(strings.ToLower(content), "dkim-signature") {
			_, text := written(t, New(Settings{}, nil), m, content, "shop/main")
			if got, want := undo(t, m, text), expected(content, remove); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		}
		_, text := written(t, New(Settings{DKIM: keys}, nil), rewritten("shop@example.org"), content, "shop/main")
		verify(t, "fuzz", text, 1)
	})
}

// TestMemory: a copy takes a small part of the memory of its content.
func TestMemory(t *testing.T) {
	content := []byte("From: kim@example.com\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 400_000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := New(Settings{}, nil).Render(message(), bytes.NewReader(content), 1, "shop/main")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo(discard{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d octets for a message of %d", used, len(content))
	}
}

// TestWriteFails: what cannot be written whole is an error, for whoever sends
// it must not end it with a dot.
func TestWriteFails(t *testing.T) {
	content := "From: kim@example.com\r\n\r\n" + strings.Repeat("x", 100_000)
	c, text := written(t, New(Settings{}, nil), message("Received: x"), content, "shop/main")
	for _, n := range []int{0, 10, blockSize, len(text) - 1} {
		if _, err := c.WriteTo(&narrow{n}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("after %d octets: %v", n, err)
		}
	}
	shrunk := *c.(*copied)
	shrunk.body = func(w io.Writer) error { return nil }
	if _, err := shrunk.WriteTo(discard{}); err == nil {
		t.Error("a copy of another size is no error")
	}
}

// narrow is a writer that takes n octets.
type narrow struct{ n int }

func (w *narrow) Write(p []byte) (int, error) {
	n := min(w.n, len(p))
	w.n -= n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// discard is a writer that implements nothing else.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestGolden(t *testing.T) {
	content := mailtest.CRLF(`Received: from app by web
From: "김 가게" <kim@example.com>
To: reader@example.net
Cc: other@example.net
Bcc: hidden@example.net
Subject: =?utf-8?B?7JWI64WV?=
DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=x; h=from:to;
 bh=AAAA; b=BBBB
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit
X-Track: off

안녕하세요
.
`)
	m := rewritten("shop@example.org")
	m.Detail.Header = mail.HeaderEdits{
		Add:    []string{"Received: from web\r\n\tby relay", "Date: Sun, 22 Nov 2026 12:00:00 +0900", "MIME-Version: 1.0"},
		Remove: []string{"X-Track"},
	}
	r := New(Settings{DKIM: testKeys(t), Providers: map[string]Provider{"shop/main": {SwitchOff: []string{"X-Mailgun-Track: no"}}}}, nil)
	_, text := written(t, r, m, content, "shop/main")
	verify(t, "golden", text, 2)
	mailtest.Golden(t, "testdata/rewritten.golden", []byte(maskSignatures(text)))
}

func TestMain(m *testing.M) { mailtest.Main(m) }
