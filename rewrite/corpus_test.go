package rewrite_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/damage"
	"backstamp/mail"
	"backstamp/rewrite"
)

// A file of the corpus.
type file struct {
	name    string
	content []byte
}

// corpus returns what lies below $BACKSTAMP_CORPUS/folder, or where that is
// not set, what the project holds.
func corpus(t testing.TB, folder string) (files []file) {
	t.Helper()
	root := os.Getenv("BACKSTAMP_CORPUS")
	if root == "" {
		root, folder = "testdata", ""
	}
	err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || folder == "" && filepath.Ext(path) != ".eml" {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		files = append(files, file{name, content})
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files below %s, %v", len(files), filepath.Join(root, folder), err)
	}
	return files
}

// TestCorpusMail proves for all real mail, as it lies and as it goes over the
// wire, that it is not damaged and that what can be tracked is.
func TestCorpusMail(t *testing.T) {
	v := newProver(t)
	atRest, onWire := newCensus(), newCensus()
	for _, f := range corpus(t, "mail") {
		p, err := v.prove(f.content)
		atRest.count(t, f.name, p, err)
		p, err = v.prove(damage.Wire(f.content))
		onWire.count(t, f.name, p, err)
	}
	atRest.report(t, "mail as it lies")
	onWire.report(t, "mail on the wire")
	onWire.wantShare(t, 0.99)
}

// TestCorpusHTML makes mail of all real pages in every encoding and proves that
// it is not damaged.
func TestCorpusHTML(t *testing.T) {
	v := newProver(t)
	censuses := map[string]census{}
	for _, f := range pageFiles(t) {
		for _, encoding := range []string{"8bit", "quoted-printable", "base64"} {
			for shape, wrap := range map[string]func([]byte, string, string) []byte{"alone": damage.Mail, "nested": damage.Nested} {
				name := shape + ", " + encoding
				if censuses[name].reasons == nil {
					censuses[name] = newCensus()
				}
				p, err := v.prove(wrap(damage.Wire(f.content), "utf-8", encoding))
				if err == nil && (!p.plan.Edited() || p.seen.Pixels != 1) {
					t.Errorf("%s, %s: reason %q, %d pixels", f.name, name, p.plan.Reason(), p.seen.Pixels)
				}
				c := censuses[name]
				c.count(t, f.name, p, err)
				censuses[name] = c
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(censuses)) {
		c := censuses[name]
		c.report(t, "HTML "+name)
		c.wantShare(t, 0.99)
	}
}

var htmlTag = regexp.MustCompile(`(?i)<(?:a|table|body|p|div)\b`)

// pageFiles are the files with HTML of the corpus, or where there is none, the
// pages of the mail that the project holds.
func pageFiles(t testing.TB) (pages []file) {
	t.Helper()
	if os.Getenv("BACKSTAMP_CORPUS") == "" {
		return mailPages(t)
	}
	return slices.DeleteFunc(corpus(t, "html"), func(f file) bool { return !htmlTag.Match(f.content) })
}

// mailPages are the HTML parts of the mail in the corpus that are UTF-8.
func mailPages(t testing.TB) (pages []file) {
	t.Helper()
	for _, f := range corpus(t, "mail") {
		for leaf := range damage.Split(damage.Wire(f.content)).Leaves() {
			page, err := leaf.Decoded()
			if err == nil && leaf.Media() == "text/html" && htmlTag.Match(page) && !bytes.ContainsAny(page, "\x00\x1b\x0e") {
				pages = append(pages, file{f.name, page})
			}
		}
	}
	return pages
}

// A census counts what became of messages, and of the http(s) links that an
// independent parser finds in them.
type census struct {
	files, damaged int
	parts, edited  int
	links, pixels  int
	again          int            // links tracked only when a copy without its stamp is sent anew
	reasons        map[string]int // why messages are untouched
	hrefs, tracked int
	closed, listed map[string]int // hrefs on the design's two lists: never edited, left alone
	others         map[string]int // hrefs that are left for other reasons
}

func newCensus() census {
	return census{reasons: map[string]int{}, closed: map[string]int{}, listed: map[string]int{}, others: map[string]int{}}
}

func (c *census) count(t *testing.T, name string, p proof, err error) {
	t.Helper()
	c.files++
	if err != nil {
		c.damaged++
		t.Errorf("%s: %v", name, err)
		return
	}
	c.parts += p.seen.Parts
	c.edited += len(p.seen.Edited)
	c.links += len(p.seen.Links)
	c.pixels += p.seen.Pixels
	c.again += len(p.again)
	if !p.plan.Edited() {
		c.reasons[p.plan.Reason()]++
	}
	c.pages(t, name, p, damage.Split(p.original), damage.Split(p.copied), "")
}

func (c *census) report(t *testing.T, class string) {
	t.Logf("%s: %d files, %d parts, %d parts edited, %d damaged; untouched: %v", class, c.files, c.parts, c.edited, c.damaged, c.reasons)
	t.Logf("  %d links tracked, %d pixels; %d links tracked only anew, their opt-out gone", c.links, c.pixels, c.again)
	t.Logf("  http(s) hrefs: %d, tracked %d; in what is never edited: %v; on the list of those left alone: %v; else: %v", c.hrefs, c.tracked, c.closed, c.listed, c.others)
}

// wantShare wants that share of the links outside the design's two lists, of
// real mail: what the project holds is made of exceptions.
func (c *census) wantShare(t *testing.T, share float64) {
	t.Helper()
	others := 0
	for _, n := range c.others {
		others += n
	}
	got := float64(c.tracked) / float64(max(1, c.tracked+others))
	t.Logf("  tracked outside the two lists: %d of %d, %.2f %%", c.tracked, c.tracked+others, 100*got)
	if got < share && os.Getenv("BACKSTAMP_CORPUS") != "" {
		t.Errorf("%.4f of the links tracked, want %.2f", got, share)
	}
}

// pages counts the links of the HTML parts below a, whose copy is b. closed
// says why nothing there may be edited.
func (c *census) pages(t *testing.T, name string, p proof, a, b *damage.Part, closed string) {
	if why := neverEdited(a); closed == "" {
		closed = why
	}
	for i := range a.Children {
		c.pages(t, name, p, a.Children[i], b.Children[i], closed)
	}
	if a.Gaps != nil || a.Media() != "text/html" {
		return
	}
	before, err := a.Decoded()
	after, err2 := b.Decoded()
	if err != nil || err2 != nil {
		closed = "does not decode"
	}
	x, y := damage.Hrefs(before), damage.Hrefs(after)
	for i := range x {
		if x[i].Web() {
			c.href(t, name, p, x[i], y[i], closed)
		}
	}
}

func (c *census) href(t *testing.T, name string, p proof, x, y damage.Href, closed string) {
	c.hrefs++
	why := leftAlone(x, damage.Split(p.original))
	switch {
	case x.URL != y.URL && strings.HasPrefix(y.URL, base+mail.PathClick):
		c.tracked++
	case closed != "":
		c.closed[closed]++
	case why != "":
		c.listed[why]++
	default:
		reason := reasonFor(p.plan, x.URL)
		c.others[reason]++
		t.Logf("%s: left, %s: %q %q", name, reason, x.URL, x.Label)
	}
}

// reasonFor returns why the engine left a link.
func reasonFor(p *rewrite.Plan, url string) string {
	for _, l := range p.Links() {
		if l.Reason != "" && (l.URL == strings.Trim(url, " ") || strings.Contains(l.URL, "\uFFFD")) {
			return l.Reason
		}
	}
	return "message: " + p.Reason()
}

var attachedField = regexp.MustCompile(`(?i)^\s*attachment|name\*?\d?\*?\s*=`)

// neverEdited says why a part is on the design's list of those never edited.
func neverEdited(p *damage.Part) string {
	media := p.Media()
	switch {
	case media == "multipart/signed", media == "multipart/encrypted", media == "multipart/report", strings.HasSuffix(media, "pkcs7-mime"):
		return media
	case strings.HasPrefix(media, "message/"):
		return "attached message"
	case attachedField.MatchString(p.Header().Get("Content-Disposition")), attachedField.MatchString(p.Header().Get("Content-Type")):
		return "attachment"
	}
	return ""
}

var (
	placeholder = regexp.MustCompile(`\{\{|\}\}|\{%|<%|\*\||\|\*|[$#]\{|\[\[|%%|\[%|%recipient|##`)
	unsubURL    = regexp.MustCompile(`(?i)unsub|opt[-_]?out|list[-_]?remove`)
	unsubText   = regexp.MustCompile(`(?i)unsubscri|opt[ -]?out|수신\s*거부|구독\s*(?:취소|해지)|manage (?:your )?subscription`)
	vague       = regexp.MustCompile(`(?i)^\W*(?:(?:click|tap) )?(?:here|this link|link|여기|hier|ici)\W*$`)
	oneTime     = regexp.MustCompile(`(?i)(?:reset|verif|confirm|activat|magic|sign-?in|log-?in|invit|passw|token|otp|unlock).*[\w.~%-]{16,}|wp-login\.php\?.*(?:action|key)=`)
	noHost      = regexp.MustCompile(`^\s*https?:/*\s*$`)
)

// leftAlone says why a link is on the design's list of those left alone.
func leftAlone(h damage.Href, message *damage.Part) string {
	switch {
	case placeholder.MatchString(h.URL):
		return "placeholder"
	case unsubURL.MatchString(h.URL), unsubText.MatchString(h.Label), vague.MatchString(h.Label) && unsubText.MatchString(h.Around),
		strings.Contains(message.Header().Get("List-Unsubscribe"), "<"+h.URL+">"):
		return "unsubscribe"
	case oneTime.MatchString(h.URL):
		return "one-time"
	case strings.HasPrefix(h.URL, base+"/"):
		return "ours"
	case h.OptOut:
		return "opt-out"
	case len(base)+60+len(h.URL)*4/3 > 2000:
		return "too long"
	case noHost.MatchString(h.URL):
		return "empty"
	}
	return ""
}
