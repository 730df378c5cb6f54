package rewrite

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// corpus calls f with each file below $BACKSTAMP_CORPUS/folder.
func corpus(t *testing.T, folder string, f func(t *testing.T, content []byte)) {
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		t.Skip("BACKSTAMP_CORPUS is not set")
	}
	files := 0
	err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		name, _ := filepath.Rel(root, path)
		t.Run(name, func(t *testing.T) { f(t, content) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatalf("no files below %s", filepath.Join(root, folder))
	}
}

// wire puts line ends right and drops NUL, as the relay does.
func wire(content []byte) []byte {
	content = bytes.ReplaceAll(content, []byte{0}, nil)
	content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
	content = bytes.ReplaceAll(content, []byte("\r"), []byte("\n"))
	return bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))
}

func TestCorpusMail(t *testing.T) {
	r := newRewriter(t, nil)
	var all coverage
	reasons := map[string]int{}
	corpus(t, "mail", func(t *testing.T, content []byte) {
		content = wire(content)
		p, out, seen := checkCopy(t, r, content)
		reasons[p.Reason()]++
		for _, l := range p.Links() {
			reasons["link "+l.Reason]++
		}
		all.message(t, content, seen, p)
		again := r.Plan(request(stamped(p, out)))
		if p.Edited() && !bytes.HasPrefix(content, []byte("From ")) && again.Reason() != ReasonRewritten {
			t.Errorf("the copy is not known again: %q", again.Reason())
		}
	})
	t.Logf("reasons: %v", reasons)
	all.want(t, 0.95)
}

// stamped returns a copy with the field that the relay adds.
func stamped(p *Plan, out []byte) []byte {
	return append([]byte("X-Backstamp: "+p.Stamp()+"\r\n"), out...)
}

func TestCorpusHTML(t *testing.T) {
	r := newRewriter(t, nil)
	var all coverage
	corpus(t, "html", func(t *testing.T, page []byte) {
		page = wire(page)
		if strings.Contains(t.Name(), ".") && !regexp.MustCompile(`(?i)<(?:a|table|body|p|div)\b`).Match(page) {
			t.Skip("no HTML")
		}
		for _, cte := range []string{"8bit", "quoted-printable", "base64"} {
			content := wrapHTML(page, cte)
			p, _, seen := checkCopy(t, r, content)
			if !p.Edited() {
				t.Fatalf("%s: not edited: %s", cte, p.Reason())
			}
			if seen.pixels != 1 {
				t.Errorf("%s: %d pixels, want 1", cte, seen.pixels)
			}
			if cte == "8bit" { // the page is the same in all three
				all.message(t, content, seen, p)
			}
		}
	})
	all.want(t, 0.95)
}

func wrapHTML(page []byte, cte string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: a@example.com\r\nTo: b@example.com\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n", cte)
	switch cte {
	case "quoted-printable":
		w := quotedprintable.NewWriter(&b)
		w.Write(page)
		w.Close()
	case "base64":
		for text := base64.StdEncoding.EncodeToString(page); text != ""; {
			n := min(76, len(text))
			b.WriteString(text[:n] + "\r\n")
			text = text[n:]
		}
	default:
		b.Write(page)
	}
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// A coverage counts, with a parser that is not the engine's, the http(s)
// links that are neither on the list of those left alone nor in a part that is
// never edited.
type coverage struct{ plain, tracked int }

var leftRE = regexp.MustCompile(`(?i)\{\{|\{%|<%|\*\||\$\{|\[\[|%%|%recipient|unsub|opt-?out|reset|verif|confirm|activat|token=|[?&]key=|magic|signin|login|invit|^https?:/*$`)
var webRE = regexp.MustCompile(`^\s*https?://[^/]`)
var leftTextRE = regexp.MustCompile(`(?i)unsubscri|opt[ -]?out|수신\s*거부`)

func (c *coverage) message(t *testing.T, content []byte, seen tally, p *Plan) {
	if _, err := netmail.ReadMessage(bytes.NewReader(content)); err != nil {
		return // no mail at all
	}
	c.entity(t, seen.original, seen.copied, p)
}

func (c *coverage) entity(t *testing.T, a, b *entity, p *Plan) {
	switch {
	case a.media == "multipart/signed", a.media == "multipart/encrypted", a.media == "multipart/report", strings.HasPrefix(a.media, "message/"):
		return
	case len(a.children) == len(b.children) && len(a.children) > 0:
		for i := range a.children {
			c.entity(t, a.children[i], b.children[i], p)
		}
		return
	case a.media != "text/html", bytes.Contains(bytes.ToLower(a.head), []byte("attachment")), bytes.Contains(bytes.ToLower(a.head), []byte("name=")):
		return
	}
	before, err := a.decoded()
	if err != nil {
		return // never edited: does not decode
	}
	after, err := b.decoded()
	if err != nil {
		t.Error(err)
		return
	}
	c.count(t, p, before, after)
}

func (c *coverage) count(t *testing.T, p *Plan, before, after []byte) {
	x, y := hrefs(before), hrefs(after)
	if len(x) != len(y) {
		t.Errorf("%d links before, %d behind", len(x), len(y))
		return
	}
	for i := range x {
		if !plain(x[i]) {
			continue
		}
		c.plain++
		if strings.HasPrefix(y[i].AttrOr("href", ""), testBase+"/c/") {
			c.tracked++
		} else {
			t.Logf("not tracked (%s): %q %q", p.Reason(), x[i].AttrOr("href", ""), strings.TrimSpace(x[i].Text()))
		}
	}
}

func hrefs(page []byte) (out []*goquery.Selection) {
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(page))
	if err != nil {
		return nil
	}
	doc.Find("a[href], area[href]").Each(func(_ int, s *goquery.Selection) { out = append(out, s) })
	return out
}

func plain(s *goquery.Selection) bool {
	href := strings.ToLower(s.AttrOr("href", ""))
	return webRE.MatchString(href) && !leftRE.MatchString(href) && !strings.ContainsAny(href, "\r\n\t") &&
		!leftTextRE.MatchString(s.Text()) && !leftTextRE.MatchString(s.Parent().Text())
}

func (c *coverage) want(t *testing.T, share float64) {
	got := float64(c.tracked) / float64(max(1, c.plain))
	t.Logf("%d of %d plain links tracked: %.1f %%", c.tracked, c.plain, 100*got)
	if c.plain == 0 || got < share {
		t.Errorf("%.3f of the links tracked, want %.2f", got, share)
	}
}
