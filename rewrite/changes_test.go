package rewrite

import (
	"bytes"
	"errors"
	"html"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"backstamp/mail"
)

// TestEdits has the changes of a message, put together, be what the parts say
// before and after, and each of them the whole of one link, attribute or pixel.
func TestEdits(t *testing.T) {
	r := newRewriter(t, nil)
	files, _ := filepath.Glob("testdata/*.eml")
	if root := os.Getenv("BACKSTAMP_CORPUS"); root != "" {
		filepath.WalkDir(filepath.Join(root, "mail"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		})
	}
	if len(files) == 0 {
		t.Fatal("no messages")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			checkEdits(t, r, wire(raw))
		})
	}
}

var attribute = regexp.MustCompile(`^\s*[\w:-]+(\s*=\s*("[^"]*"|'[^']*'|\S+))?$|^\+notrack$`)

// checkEdits compares the edits of a message with its parts, which the judge of
// damage finds and decodes by itself.
func checkEdits(t testing.TB, r *Rewriter, content []byte) {
	t.Helper()
	p, _, seen := checkCopy(t, r, content)
	n := 0
	var added []string
	for e, err := range p.Edits(bytes.NewReader(content), fakeLinker{}, 1) {
		if err != nil || n == len(seen.Edited) {
			t.Fatalf("edit %d of %d: %v", n+1, len(seen.Edited), err)
		}
		var before, after strings.Builder
		for _, c := range e.Changes {
			before.WriteString(c.Kept + c.Removed)
			after.WriteString(c.Kept + c.Added)
			switch {
			case c.Added != "":
				added = append(added, c.Removed, c.Added)
			case c.Removed != "" && !attribute.MatchString(c.Removed):
				t.Errorf("part %s: took out %q, which is no attribute", e.Part, c.Removed)
			}
		}
		d := changeReader{charset: decoderOf(e.Charset)}
		if got, want := before.String(), d.text(seen.Edited[n].Before); got != want {
			t.Errorf("part %s before:\n%q\nwant\n%q", e.Part, got, want)
		}
		if got, want := after.String(), d.text(seen.Edited[n].After); got != want {
			t.Errorf("part %s after:\n%q\nwant\n%q", e.Part, got, want)
		}
		n++
	}
	if n != len(seen.Edited) {
		t.Errorf("%d edits, %d parts differ", n, len(seen.Edited))
	}
	checkAdded(t, p, added)
}

// checkAdded expects what was put in, each behind what it replaces: the
// tracking links in order, and the pixel somewhere.
func checkAdded(t testing.TB, p *Plan, added []string) {
	t.Helper()
	for _, l := range p.Links() {
		url, err := p.ClickURL(fakeLinker{}, l.Index, 1)
		if err != nil {
			continue // left alone
		}
		if len(added) > 0 && strings.HasPrefix(added[1], "<img ") {
			added = added[2:]
		}
		if len(added) == 0 || strings.Trim(added[1], `"`) != url {
			t.Fatalf("link %d: put in %q, want %s", l.Index, added, url)
		}
		if was := strings.TrimSpace(html.UnescapeString(added[0])); isASCII(was+l.URL) && !strings.Contains(l.URL, "%") && was != l.URL {
			t.Errorf("link %d: took out %q, which is not %s", l.Index, was, l.URL)
		}
		added = added[2:]
	}
	if len(added) > 0 && (len(added) > 2 || added[0] != "" || !strings.HasPrefix(added[1], "<img ") || strings.TrimSpace(added[1])[len(strings.TrimSpace(added[1]))-1] != '>') {
		t.Errorf("besides the links: %q", added)
	}
}

// TestEditsInQuotedPrintable moves changes over every column, with soft breaks
// and without, since near the end of a line the characters around one are
// written anew.
func TestEditsInQuotedPrintable(t *testing.T) {
	top, bottom := newRewriter(t, func(s *Settings) { s.PixelTop = true }), newRewriter(t, nil)
	unbroken := strings.NewReplacer("=\r\n", "")
	for _, filler := range []string{"x", " ", ".", "가"} {
		for n := range 80 {
			page := strings.Repeat(filler, n) + `<body>..<a href='https://example.com/?a=1'>` + strings.Repeat(".", n) +
				`</a><a href=https://example.com/` + strings.Repeat("-", n) + ` data-track="off">x</a>` + filler + "</body>"
			content := wrapHTML([]byte(page), "quoted-printable")
			checkEdits(t, top, content)
			checkEdits(t, bottom, []byte(unbroken.Replace(string(content))))
			if t.Failed() {
				t.Fatalf("%d times %q", n, filler)
			}
		}
	}
}

func TestEditsNameParts(t *testing.T) {
	r := newRewriter(t, nil)
	long := "<!--" + strings.Repeat("x", 900) + `--><a href="https://example.com/` + strings.Repeat("y", 60) + `">x</a>`
	content := wire([]byte(head + `Content-Type: multipart/mixed; boundary=a

--a
Content-Type: multipart/alternative; boundary=b

--b

text
--b
Content-Type: text/html; charset=EUC-KR
Content-Transfer-Encoding: Base64

PGEgaHJlZj0iaHR0cHM6Ly9leGFtcGxlLmNvbS8iPr7Gx8w8L2E+
--b--
--a
Content-Type: text/html

` + long + `
--a--
`))
	p := r.Plan(request(content))
	var got []string
	for e, err := range p.Edits(bytes.NewReader(content), fakeLinker{}, 1) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Join([]string{e.Part, e.Charset, e.Encoding, e.Became}, " "))
	}
	if want := "1.2 euc-kr base64 base64|2   quoted-printable"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", got, want)
	}
	checkEdits(t, r, content)
}

func TestEditsEnd(t *testing.T) {
	r := newRewriter(t, nil)
	content := htmlMail("", `<a href="https://example.com/">x</a>`)
	p := r.Plan(request(content))
	for name, tt := range map[string]struct {
		content   mail.Content
		linker    Linker
		recipient int
	}{
		"other content": {strings.NewReader("x"), fakeLinker{}, 1},
		"no recipient":  {bytes.NewReader(content), fakeLinker{}, 3},
		"no key":        {bytes.NewReader(content), keyless{}, 1},
	} {
		n, failed := 0, errors.New("")
		for _, err := range p.Edits(tt.content, tt.linker, tt.recipient) {
			n, failed = n+1, err
		}
		if n != 1 || failed == nil {
			t.Errorf("%s: %d edits, %v", name, n, failed)
		}
	}
	untouched := htmlMail("Content-Disposition: attachment\n", "x")
	for range r.Plan(request(untouched)).Edits(bytes.NewReader(untouched), fakeLinker{}, 1) {
		t.Error("an untouched message has an edit")
	}
}

// keyless is a linker whose keys are gone.
type keyless struct{ fakeLinker }

func (keyless) AppendToken(dst []byte, _ mail.Token) ([]byte, error) {
	return dst, errors.New("no such key")
}
