package rewrite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

// splitAll takes a whole message apart.
func splitAll(content []byte) *part {
	top, _ := splitWithin(content)
	return top
}

// splitWithin is splitAll that also says whether the bounds were kept.
func splitWithin(content []byte) (top *part, ok bool) {
	s := splitter{window: look(bytes.NewReader(content))}
	defer s.close()
	top, _ = s.part(0, 0, "text/plain")
	s.split(top)
	return top, !s.limits
}

// What follows finds parts again by the book, one multipart within the other,
// with all of a message in memory.

// A section is one entity by that way.
type section struct {
	part
	children []*section
}

func readSection(content []byte, from, to, depth int, media string, count *int) (*section, bool) {
	h, end, body := mail.ParseHeader(content[from:to])
	s := &section{part: part{from: from, headEnd: from + end, body: from + body, end: to, media: media}}
	if *count++; depth > maxDepth || *count > maxParts || end > maxHeader {
		return s, false
	}
	if end == body && from+end < to || !s.describe(h) {
		s.blocked = ReasonHeaderBroken
		return s, true
	}
	if s.blocked = containerReason(&s.part); s.blocked != "" || !strings.HasPrefix(s.media, "multipart/") {
		return s, true
	}
	if s.boundary == "" {
		s.blocked = ReasonMIMEBroken
		return s, true
	}
	if len(s.boundary) > maxBoundary {
		return s, false
	}
	return s, s.readChildren(content, depth, count)
}

// readChildren goes through the lines of the body.
func (s *section) readChildren(content []byte, depth int, count *int) bool {
	media := "text/plain"
	if s.media == "multipart/digest" {
		media = "message/rfc822"
	}
	begin, last, ok := -1, false, true
	child := func(end int) {
		if begin >= 0 && ok {
			var c *section
			c, ok = readSection(content, begin, max(begin, end), depth+1, media, count)
			s.children = append(s.children, c)
		}
	}
	for at := s.body; at < s.end && !last && ok; {
		line := content[at:s.end]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		if rest, found := bytes.CutPrefix(line, []byte("--"+s.boundary)); found {
			rest = bytes.Trim(bytes.TrimSuffix(rest, []byte("\n")), " \t\r")
			if last = string(rest) == "--"; last || len(rest) == 0 {
				end := len(bytes.TrimSuffix(content[:at], []byte("\n")))
				if end < at {
					end = len(bytes.TrimSuffix(content[:end], []byte("\r")))
				}
				child(end)
				begin = at + len(line)
			}
		}
		at += len(line)
	}
	if !last {
		child(s.end)
	}
	if begin < 0 {
		s.blocked = ReasonMIMEBroken
	}
	return ok
}

// outline describes what was found, a line a part. Of a part without content it
// does not matter where exactly it lies, nor where a multipart ends.
func (p *part) outline(depth int) string {
	where := fmt.Sprint(p.headEnd, p.body, p.end)
	if p.from >= p.end {
		where = "empty"
	} else if p.boundary != "" {
		where = fmt.Sprint(p.headEnd, p.body)
	}
	return fmt.Sprintf("%*s%s %q %q %q %q %v %s\n", depth, "", p.media, p.charset, p.encoding, p.id, p.blocked, p.attached, where)
}

func outlineOf(p *part, depth int) string {
	out := p.outline(depth)
	for _, c := range p.children {
		out += outlineOf(c, depth+1)
	}
	return out
}

func (s *section) outlineAll(depth int) string {
	out := s.outline(depth)
	for _, c := range s.children {
		out += c.outlineAll(depth + 1)
	}
	return out
}

// sameSplit fails where the splitter finds other parts than the way by the book.
func sameSplit(t *testing.T, content []byte) {
	t.Helper()
	top, ok := splitWithin(content)
	want, wantOK := readSection(content, 0, len(content), 0, "text/plain", new(int))
	if ok != wantOK {
		t.Fatalf("within bounds %v, want %v", ok, wantOK)
	}
	if got, want := outlineOf(top, 0), want.outlineAll(0); ok && got != want {
		t.Fatalf("%.2000q\nis\n%s\nwant\n%s", content, got, want)
	}
}

// multiparts are those whose limits are easily mistaken.
var multiparts = []string{
	"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--\n",
	"Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b--\nepi\n--b\n\nno\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=bb\n\n--bb\nContent-Type: text/html\n\nx\n--bb--\n--bb\n\n--b\n\ny",
	"Content-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\nx\n--bb\n--b\n\ny\n--bb--\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nA: b\n--b\nContent-Type: text/html\n\n\n--b\nContent-Type: text/html\n\n--b--",
	"Content-Type: multipart/mixed; boundary=\"a:b\"\n\n--a:b\nA: b\n--a:b\nC: d\n--a:b--\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=\"b--\"\n\n--b----\n\nx\n--b--\n\ny\n",
	"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\n--b\nContent-Type: text/html\n\nx\n--b  --  \n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nno field\n\nx\n--b\nContent-Type: text/html\nContent-Type: text/plain\n\n--b\n\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/signed; boundary=c\n\n--c\nContent-Type: text/html\n\nx\n--c--\n--b\n--b\n\n",
	"Content-Type: multipart/mixed; boundary=b\n\n\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\nnone\n--b\nContent-Type: multipart/mixed\n\n--b--\n",
	"Content-Type: multipart/mixed; boundary=b\n\n--b--\n",
	"Content-Type: multipart/mixed; boundary*=us-ascii''b%0Ac\n\n--b\nc\n\nx\n",
	"Content-Type: multipart/mixed; boundary=b\n--b\n\nx\n--b--\n",
	"Content-Type: multipart/mixed; boundary=b",
}

func TestSplitByTheBook(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.eml")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		multiparts := append(slices.Clip(multiparts), string(raw))
		for _, m := range multiparts {
			sameSplit(t, wire([]byte(m)))
		}
	}
}

// TestSplitAcrossWindows has every delimiter, header and blank of a message come
// to lie on the edge of a window.
func TestSplitAcrossWindows(t *testing.T) {
	across := func(head, rest string, n int) {
		m := []byte(mailtest.CRLF(head + "\n\n\n" + rest))
		at := bytes.Index(m, []byte("\r\n\r\n")) + 4
		sameSplit(t, slices.Concat(m[:at], bytes.Repeat([]byte("x"), max(0, windowSize-at-n)), m[at:]))
	}
	for _, m := range multiparts {
		head, rest, _ := strings.Cut(m, "\n\n")
		for n := range len(rest) + 10 {
			across(head, rest, n)
		}
		rest = strings.Replace(rest, "b\n", "b"+strings.Repeat(" ", windowSize)+"\n", 1)
		for n := range 4 {
			across(head, rest, n)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, m := range multiparts {
		f.Add([]byte(m), uint16(0))
		f.Add([]byte(m), uint16(40))
	}
	f.Fuzz(func(t *testing.T, content []byte, edge uint16) {
		sameSplit(t, content)
		if head, rest, found := bytes.Cut(content, []byte("\n\n")); found && len(head) < windowSize {
			fill := bytes.Repeat([]byte("x"), max(0, windowSize-len(head)-int(edge)%(windowSize/2)))
			sameSplit(t, slices.Concat(head, []byte("\n\n"), fill, []byte("\n"), rest))
		}
	})
}

func TestCorpusSplit(t *testing.T) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	files := 0
	err := filepath.WalkDir(filepath.Join(root, "mail"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		sameSplit(t, content)
		sameSplit(t, wire(content))
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files of mail: %v", files, err)
	}
	t.Logf("%d files", files)
}

// failing is content that cannot be read from an offset on.
type failing struct {
	*bytes.Reader
	from int64
}

var errDisk = errors.New("disk is gone")

func (c failing) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) <= c.from {
		return c.Reader.ReadAt(p, at)
	}
	n, _ := c.Reader.ReadAt(p[:max(0, c.from-at)], at)
	return n, errDisk
}

// short is content that ends before its size.
type short struct{ failing }

func (c short) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.failing.ReadAt(p, at)
	if err == errDisk {
		err = io.EOF
	}
	return n, err
}

// A message that cannot be read is planned untouched, and fails to be written.
func TestUnreadable(t *testing.T) {
	r := newRewriter(t, nil)
	link := `<a href="https://example.com/">x</a>`
	for _, content := range [][]byte{
		htmlMail("", link),
		htmlMail("", strings.Repeat(link, 100)),
		wrapHTML([]byte(strings.Repeat(link, 100)), "base64"),
		wrapHTML([]byte(strings.Repeat(link, 100)), "quoted-printable"),
		mixed("Content-Type: text/html\n\n"+link, "\n"+strings.Repeat("x", 3*windowSize)),
	} {
		whole := r.Plan(request(content))
		for from := int64(0); from < int64(len(content)); from += max(1, int64(len(content))/100) {
			broken := failing{bytes.NewReader(content), from}
			for c, want := range map[mail.Content]error{broken: errDisk, short{broken}: io.ErrUnexpectedEOF} {
				req := request(content)
				req.Content = c
				p := r.Plan(req)
				if p.Reason() != ReasonInternal {
					t.Errorf("planned what cannot be read: %q", p.Reason())
				}
				if !bytes.Equal(rendered(t, p, content, 1), content) {
					t.Error("it changed")
				}
				if err := whole.WriteBody(io.Discard, c, fakeLinker{}, 1); !errors.Is(err, want) {
					t.Errorf("WriteBody: %v, want %v", err, want)
				}
			}
		}
	}
}

// TestSplitHostile: what a message costs is linear in its size.
func TestSplitHostile(t *testing.T) {
	repeat := func(s string, n int) string { return strings.Repeat(s, max(1, n/slowness)) }
	multipart := func(boundary, body string) string {
		return "Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\r\n\r\n--" + boundary + "\r\n" + body
	}
	long := strings.Repeat("b", maxBoundary-100)
	alike := "" // multiparts in each other whose boundaries differ at their ends
	for i := range maxDepth - 1 {
		alike += multipart(long+fmt.Sprint(i), "")
	}
	for name, content := range map[string]string{
		"a line":                           repeat("x", 25<<20),
		"a line in a part":                 multipart("b", repeat("x", 25<<20)),
		"a field":                          "A: " + repeat("x", 25<<20),
		"hyphens":                          repeat("--\r\n", 25<<18),
		"hyphens in a part":                multipart("b", "\r\n"+repeat("--\r\n", 25<<18)),
		"hyphens in 49 parts":              alike + "\r\n" + repeat("--\r\n", 25<<18),
		"nearly delimiters of 49 parts":    alike + "\r\n" + repeat("--"+long+"\r\n", 25<<10),
		"blanks behind delimiters":         alike + "\r\n" + repeat("--"+long+"0"+repeat(" ", 2<<20)+"x\r\n", 10),
		"parts without an end to headers":  multipart("a:b", repeat("--a:b\r\nA: b\r\n", 1<<20)),
		"parts of long headers":            multipart("b", repeat(strings.Repeat("A: b\r\n", 100_000)+"--b\r\n", 15)),
		"parts of a line that is no field": multipart("b", repeat(strings.Repeat("x", 1<<20)+"\r\n--b\r\n", 25)),
		"empty lines":                      multipart("b", repeat("\r\n", 12<<20)),
		"nothing but delimiters":           multipart("b", repeat("--b\r\n", 5<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			splitWithin([]byte(content))
			took := time.Since(start)
			t.Logf("%d KB: %v", len(content)>>10, took.Round(time.Millisecond))
			if took > hostileMax {
				t.Errorf("took %v", took)
			}
		})
	}
}
