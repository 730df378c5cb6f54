package sendmail

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"backstamp/internal/mailtest"
)

func TestMain(m *testing.M) { mailtest.Main(m) }

var now = time.Date(2026, 3, 5, 9, 30, 0, 0, time.FixedZone("", 9*60*60))

var host = Host{Domain: "web.test", User: "www-data", Now: now, Limit: 64 << 20}

func options(t *testing.T, args ...string) Options {
	t.Helper()
	o, err := Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func text(t *testing.T, l *Letter) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(l.Content, 0, l.Content.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// compose reads a message that has Date and Message-ID, and returns it and its
// envelope.
func compose(t *testing.T, message string, args ...string) (content, envelope string) {
	t.Helper()
	l, err := Compose(strings.NewReader(message), options(t, args...), host)
	if err != nil {
		t.Fatalf("%q: %v", message, err)
	}
	defer l.Close()
	return text(t, l), "<" + l.From + "> " + strings.Join(l.To, " ")
}

// stamps are the fields that every message here has.
const stamps = "Date: today\r\nMessage-ID: <1@app.test>\r\n"

func TestComposeEnvelope(t *testing.T) {
	head := "To: Kim <kim@b.test>, lee@b.test\nCc: undisclosed:;, root\nBcc: secret@b.test,\n other@b.test\nFrom: Shop <shop@b.test>\n"
	for _, c := range []struct {
		message string
		args    string
		want    string
	}{
		{head, "-t", "<shop@b.test> kim@b.test lee@b.test root@web.test secret@b.test other@b.test"},
		{head, "-t|x@y.test", "<shop@b.test> x@y.test kim@b.test lee@b.test root@web.test secret@b.test other@b.test"},
		{head, "x@y.test", "<shop@b.test> x@y.test"},
		{head, "-f|me@b.test|x@y.test", "<me@b.test> x@y.test"},
		{head, "-f||x@y.test", "<> x@y.test"},
		{head, "-f|me|x@y.test", "<me@web.test> x@y.test"},
		{"Subject: x\n", "x@y.test", "<www-data@web.test> x@y.test"},
		{"From: a@b.test, c@d.test\n", "x@y.test", "<www-data@web.test> x@y.test"},
		{"From: =?utf-8?B?6rmA?= <kim@b.test>\n", "x@y.test", "<kim@b.test> x@y.test"},
		{"Resent-To: now@b.test\nTo: then@b.test\n", "-t", "<www-data@web.test> now@b.test"},
	} {
		_, got := compose(t, c.message+"\nhello\n", strings.Split(c.args, "|")...)
		if got != c.want {
			t.Errorf("%q %s:\n got %s\nwant %s", c.message, c.args, got, c.want)
		}
	}
}

// TestComposeContent is what must leave for what came in: nothing is damaged,
// Bcc is gone.
func TestComposeContent(t *testing.T) {
	const to = "x@y.test"
	for _, c := range []struct{ name, in, want, args string }{
		{"LF", "Subject: x\n\nhello\n.dot\n\nbye\n", "Subject: x\r\n\r\nhello\r\n.dot\r\n\r\nbye\r\n", ""},
		{"CRLF", "Subject: x\r\n\r\nhello\r\n", "Subject: x\r\n\r\nhello\r\n", ""},
		{"CR CR LF", "Subject: x\r\r\n\r\r\nhello\r\r\n", "Subject: x\r\n\r\nhello\r\n", ""},
		{"mixed", "Subject: x\r\nX-A: 1\n\nhello\r\nbye\n", "Subject: x\r\nX-A: 1\r\n\r\nhello\r\nbye\r\n", ""},
		{"CR in the header", "Subject: x\rBcc: y\n\nhello\n", "Subject: x Bcc: y\r\n\r\nhello\r\n", ""},
		{"CR in the body", "Subject: x\n\na\rb\n", "Subject: x\r\n\r\na\r\nb\r\n", ""},
		{"no end of line", "Subject: x\n\nhello", "Subject: x\r\n\r\nhello\r\n", ""},
		{"CR at the end", "Subject: x\n\nhello\r", "Subject: x\r\n\r\nhello\r\n", ""},
		{"no body", "Subject: x\n", "Subject: x\r\n\r\n", ""},
		{"header without its end", "Subject: x", "Subject: x\r\n\r\n", ""},
		{"no header", "hello\nSubject: no\n", "\r\nhello\r\nSubject: no\r\n", ""},
		{"folded at once", " hello\n", "\r\n hello\r\n", ""},
		{"nothing", "", "\r\n", ""},
		{"a line that is no field", "Subject: x\nhello there\nbye\n", "Subject: x\r\n\r\nhello there\r\nbye\r\n", ""},
		{"mbox", "From app Mon Mar  2 09:00:00 2026\nSubject: x\n\nhello\n", "Subject: x\r\n\r\nhello\r\n", ""},
		{"lone dot", "Subject: x\n\nhello\n.\nmore\n", "Subject: x\r\n\r\nhello\r\n", ""},
		{"lone dot, CRLF", "Subject: x\r\n\r\nhello\r\n.\r\nmore\r\n", "Subject: x\r\n\r\nhello\r\n", ""},
		{"lone dot at the end", "Subject: x\n\nhello\n.", "Subject: x\r\n\r\nhello\r\n", ""},
		{"lone dot kept", "Subject: x\n\nhello\n.\nmore\n", "Subject: x\r\n\r\nhello\r\n.\r\nmore\r\n", "-i"},
		{"lone dot kept by -oi", "Subject: x\n\n.\n", "Subject: x\r\n\r\n.\r\n", "-oi"},
		{"dots", "Subject: x\n\n..\n. \nx.\n", "Subject: x\r\n\r\n..\r\n. \r\nx.\r\n", ""},
		{"Bcc", "Subject: x\nBCC: a@b.test,\n\tb@b.test\nX-A: 1\nbcc : c@d.test\nResent-Bcc: e@f.test\n\nBcc: stays\n", "Subject: x\r\nX-A: 1\r\n\r\nBcc: stays\r\n", ""},
		{"Bcc alone", "Bcc: a@b.test\n\nhello\n", "\r\nhello\r\n", ""},
		{"8-bit", "Subject: \xb1\xe8\n\n\xb0\xa1\r\xb0\xa2\n", "Subject: \xb1\xe8\r\n\r\n\xb0\xa1\r\n\xb0\xa2\r\n", ""},
	} {
		for _, slow := range []bool{false, true} {
			var in io.Reader = strings.NewReader("Date: today\nMessage-ID: <1@app.test>\n" + c.in)
			want := stamps + c.want
			if strings.HasPrefix(c.in, "From ") || strings.HasPrefix(c.in, "hello") || strings.HasPrefix(c.in, " ") || c.in == "" {
				in, want = strings.NewReader(c.in), c.want
			}
			if slow {
				in = iotest.OneByteReader(in)
			}
			args := append(strings.Fields(c.args), to)
			l, err := Compose(in, options(t, args...), host)
			if err != nil {
				t.Fatal(c.name, err)
			}
			got := text(t, l)
			if !strings.Contains(want, "Date: ") {
				_, got, _ = strings.Cut(got, ".sendmail@web.test>\r\n")
			}
			if got != want {
				t.Errorf("%s:\n got %q\nwant %q", c.name, got, want)
			}
			l.Close()
		}
	}
}

// TestComposeAdds adds what is missing, and -F and -f where there is no From.
func TestComposeAdds(t *testing.T) {
	got, _ := compose(t, "To: a@b.test\n\nhello\n", "-t", "-f", "me@b.test", "-F", "김\r\nBcc: x@y.test")
	for _, want := range []string{
		"Date: Thu, 05 Mar 2026 09:30:00 +0900\r\n", ".sendmail@web.test>\r\n", "From: =?utf-8?b?", "?= <me@b.test>\r\nTo: a@b.test\r\n\r\nhello\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%q", want, got)
		}
	}
	if strings.Contains(got, "\r\nBcc") {
		t.Errorf("a name became a field: %q", got)
	}
	if got, _ = compose(t, "To: a@b.test\n\nhello\n", "-t", "-F", "Shop"); strings.Contains(got, "From:") {
		t.Errorf("a From of nobody was added: %q", got)
	}
	got, _ = compose(t, "From: a@b.test\n\n", "-f", "me@b.test", "-F", "Shop", "x@y.test")
	if strings.Contains(got, "me@b.test") || strings.Contains(got, "Shop") {
		t.Errorf("From was changed: %q", got)
	}
	if got, _ = compose(t, "", "-f", "me@b.test", "-F", `A "B" C`, "x@y.test"); !strings.Contains(got, "From: \"A \\\"B\\\" C\" <me@b.test>\r\n") {
		t.Errorf("name: %q", got)
	}
}

func TestComposeRefuses(t *testing.T) {
	small := host
	small.Limit = 100
	for _, c := range []struct {
		name string
		in   io.Reader
		host Host
		args string
		code int
	}{
		{"no recipients", strings.NewReader("Subject: x\n\n"), host, "", ExUsage},
		{"none in the header", strings.NewReader("To: undisclosed:;\n\n"), host, "-t", ExDataErr},
		{"a malformed one in the header", strings.NewReader("To: a@b@c\n\n"), host, "-t", ExDataErr},
		{"too large", strings.NewReader("To: a@b.test\n\n" + strings.Repeat("x", 100)), small, "-t", ExUnavailable},
		{"a header without end", endless("X: "), host, "-t", ExDataErr},
		{"a body without end", io.MultiReader(strings.NewReader("To: a@b.test\n\n"), endless("")), small, "-t", ExUnavailable},
		{"a broken pipe", iotest.ErrReader(errors.New("gone")), host, "a@b.test", ExIOErr},
	} {
		var e *Error
		if _, err := Compose(c.in, options(t, strings.Fields(c.args)...), c.host); !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v, want code %d", c.name, err, c.code)
		}
	}
}

// endless is text, and then one line without end.
func endless(text string) io.Reader {
	return io.MultiReader(strings.NewReader(text), zeros{})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte{'0'}, len(p)))
	return len(p), nil
}

// TestComposeLarge makes sure that a large message comes out as it went in, and
// leaves no file behind.
func TestComposeLarge(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	line := strings.Repeat("x", 200_000) + "\xb0\xa1\r\n" // longer than any buffer
	body := strings.Repeat(line, 20)
	l, err := Compose(strings.NewReader(stamps+"\r\n"+body), options(t, "a@b.test"), host)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, l); got != stamps+"\r\n"+body || !l.high {
		t.Errorf("%d octets came out, want %d; high %v", len(got), len(stamps+body)+2, l.high)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
}

// FuzzCompose looks for input that makes a message of other lines than CRLF, or
// lets a Bcc field through.
func FuzzCompose(f *testing.F) {
	for _, s := range []string{"Subject: x\n\nhello\n", "Bcc: a@b\r\r\n\r\n.\r\n", "a\rb\r", "From x\nTo: y\r\n z\n"} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, keep bool) {
		o := Options{KeepDots: keep, Recipients: []string{"a@b.test"}}
		l, err := Compose(iotest.HalfReader(bytes.NewReader(in)), o, host)
		if err != nil {
			return
		}
		defer l.Close()
		got := text(t, l)
		rest := strings.ReplaceAll(got, "\r\n", "")
		if strings.ContainsAny(rest, "\r\n") || !strings.HasSuffix(got, "\r\n") {
			t.Errorf("%q became %q", in, got)
		}
		head, _, _ := strings.Cut("\r\n"+strings.ToLower(got), "\r\n\r\n")
		if strings.Contains(head, "\r\nbcc:") {
			t.Errorf("%q kept Bcc: %q", in, got)
		}
	})
}
