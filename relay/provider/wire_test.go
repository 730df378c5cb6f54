package provider

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func read(text string) (r string, lines int, err error) {
	reply, err := readReply(bufio.NewReaderSize(strings.NewReader(text), replyLineMax), nil)
	return reply.String(), len(reply.Lines), err
}

func TestReadReply(t *testing.T) {
	for _, c := range []struct {
		text, want string
		err        error
	}{
		{"250 Ok\r\n", "250 Ok", nil},
		{"250 Ok\n", "250 Ok", nil},
		{"250\r\n", "250 ", nil},
		{"250 \r\n", "250 ", nil},
		{"250-a\r\n250-b\r\n250 c\r\n", "250-a\n250-b\n250 c", nil},
		{"250-a\r\n250\r\n", "250-a\n250 ", nil},
		{"550 a\x1b[2J\xff\r\n", `550 a\x1b[2J\xff`, nil},
		{"", "", io.EOF},
		{"250 Ok", "", io.ErrUnexpectedEOF},
		{"250-a\r\n", "", io.ErrUnexpectedEOF},
		{"250-a\r\n550 b\r\n", "", errNoReply},
		{"\r\n", "", errNoReply},
		{"25\r\n", "", errNoReply},
		{"150 a\r\n", "", errNoReply},
		{"650 a\r\n", "", errNoReply},
		{"25a a\r\n", "", errNoReply},
		{"2500 a\r\n", "", errNoReply},
		{"250_a\r\n", "", errNoReply},
		{"SSH-2.0-x\r\n", "", errNoReply},
		{"250 " + strings.Repeat("x", replyLineMax-6) + "\r\n", "250 " + strings.Repeat("x", replyLineMax-6), nil},
		{"250 " + strings.Repeat("x", replyLineMax) + "\r\n", "250 " + strings.Repeat("x", replyLineMax-4), nil},
		{"550-" + strings.Repeat("x", 1<<20) + "\r\n550 y\n", "550-" + strings.Repeat("x", replyLineMax-4), nil},
		{"550 " + strings.Repeat("x", 1<<20), "", io.ErrUnexpectedEOF},
		{"550 " + strings.Repeat("x", replyMax) + "\r\n", "", errNoReply},
		{strings.Repeat("x", 1<<20) + "\r\n", "", errNoReply},
		{strings.Repeat("250-a\r\n", replyLinesMax-1) + "250 a\r\n", strings.Repeat("250-a\n", replyLinesMax-1) + "250 a", nil},
		{strings.Repeat("554-a\r\n", 3*replyLinesMax) + "554 b\r\n", strings.Repeat("554-a\n", replyLinesMax-1) + "554 a", nil},
		{strings.Repeat("250-"+strings.Repeat("x", 4000)+"\r\n", replyMax/4000) + "250 a\r\n", "", errNoReply},
	} {
		got, _, err := read(c.text)
		if got != c.want || !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%.60q: got %.60q, %v, want %.60q, %v", c.text, got, err, c.want, c.err)
		}
	}
	if _, _, err := read("HTTP \x1b[2J\xff\u202e\r\n"); err == nil || !strings.HasSuffix(err.Error(), `: "HTTP \x1b[2J\xff\u202e\r\n"`) {
		t.Errorf("what is no reply is told as %v", err)
	}
}

// What is read as a reply is one, within its limits, and nothing after it is
// touched.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"220 peer ESMTP\r\n", "250-a\r\n250 b\r\nrest", "250-\r\n250\r\n", "421\n", "", "\r\n", "250-a\r\n251 b\r\n",
		"550 5.7.1 \xea\xb0\x80\x1b[0m\r\n", "999 x\r\n", strings.Repeat("250-a\r\n", 150), strings.Repeat("2", 5000),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(data), replyLineMax)
		reply, err := readReply(r, nil)
		if err != nil {
			if !reply.IsZero() || len(reply.Lines) != 0 {
				t.Fatalf("%+v beside %v", reply, err)
			}
			return
		}
		if reply.Code < 200 || reply.Code > 599 || len(reply.Lines) == 0 || len(reply.Lines) > replyLinesMax {
			t.Fatalf("got %+v", reply)
		}
		rest, _ := io.ReadAll(r)
		read := data[:len(data)-len(rest)]
		if n := bytes.Count(read, []byte("\n")); n != len(reply.Lines) || !bytes.HasSuffix(read, []byte("\n")) {
			t.Fatalf("%d lines from %q", len(reply.Lines), read)
		}
		if len(read) > replyMax+replyLineMax {
			t.Fatalf("read %d octets", len(read))
		}
		for i, line := range bytes.Split(bytes.TrimSuffix(read, []byte("\n")), []byte("\n")) {
			if !bytes.Contains(line, []byte(reply.Lines[i])) {
				t.Fatalf("line %d is %q in %q", i, reply.Lines[i], line)
			}
		}
		upstreamID(reply)
		for _, stage := range []string{"greeting", "AUTH", "MAIL", "RCPT", "message"} {
			if e := (&conn{set: &Settings{}}).refusal(stage, reply); e.Class == "" || e.Explain() == nil {
				t.Fatalf("%s: %+v", stage, e)
			}
		}
	})
}

// stuffed writes pieces through a dotWriter and returns what went out.
func stuffed(t *testing.T, pieces ...string) string {
	t.Helper()
	var out bytes.Buffer
	d := &dotWriter{w: bufio.NewWriter(&out)}
	n := 0
	for _, p := range pieces {
		n += len(p)
		if m, err := io.WriteString(d, p); err != nil || m != len(p) {
			t.Fatalf("wrote %d of %d: %v", m, len(p), err)
		}
	}
	if err := d.Close(); err != nil || d.n != int64(n) {
		t.Fatalf("%d octets, %v", d.n, err)
	}
	return out.String()
}

func TestDotWriter(t *testing.T) {
	for in, want := range map[string]string{
		"":                 ".\r\n",
		"a\r\n":            "a\r\n.\r\n",
		"a":                "a\r\n.\r\n",
		".\r\n":            "..\r\n.\r\n",
		"..a\r\n.b\r\nc.d": "...a\r\n..b\r\nc.d\r\n.\r\n",
		"a\n.b\n":          "a\r\n..b\r\n.\r\n",
		"a\r.\r\n":         "a\r\n..\r\n.\r\n",
		"a\n.\r\n":         "a\r\n..\r\n.\r\n",
		"a\r\r\n":          "a\r\n\r\n.\r\n",
		"a\rb\n":           "a\r\nb\r\n.\r\n",
		"a\r":              "a\r\n.\r\n",
		"\r\n\r\n":         "\r\n\r\n.\r\n",
		"\n":               "\r\n.\r\n",
	} {
		if got := stuffed(t, in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if got := stuffed(t, strings.Split(in, "")...); got != want {
			t.Errorf("%q by octets: got %q, want %q", in, got, want)
		}
	}
}

// However content is cut, it comes out whole and nothing in it ends the
// message.
func FuzzDots(f *testing.F) {
	f.Add("a\r\n.\r\nb", uint8(3))
	f.Add("a\r.\r\n\n.\n\r", uint8(1))
	f.Add("0\r0\n", uint8(0))
	f.Fuzz(func(t *testing.T, in string, size uint8) {
		var pieces []string
		for p := range slices.Chunk([]byte(in), int(size)+1) {
			pieces = append(pieces, string(p))
		}
		out := stuffed(t, pieces...)
		if out != stuffed(t, in) {
			t.Fatal("cutting matters")
		}
		body, ok := strings.CutSuffix(out, ".\r\n")
		if !ok || strings.HasPrefix(body, ".\r\n") || strings.Contains(body, "\r\n.\r\n") {
			t.Fatalf("ends early: %q", out)
		}
		left := strings.ReplaceAll(body, "\r\n", "")
		if strings.ContainsAny(left, "\r\n") {
			t.Fatalf("bare line end in %q", out)
		}
		lines := strings.Split(body, "\r\n")
		for i, line := range lines {
			if strings.HasPrefix(line, ".") {
				lines[i] = line[1:]
			}
		}
		want := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(in)
		if got := strings.Join(lines, "\r\n"); got != want && got != want+"\r\n" {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
