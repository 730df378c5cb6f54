package rewrite

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io"
	"mime/quotedprintable"
	"regexp"
	"strings"
	"testing"

	"backstamp/mail"
)

// What follows judges copies without any code of the engine: its own way to
// find parts, the decoders of the standard library, and a comparison of the
// decoded bytes that forgives links, the pixel and opt-out attributes alone.

// An entity is one part as the checker sees it.
type entity struct {
	head, body []byte // head with the empty line
	media      string
	cte        string
	children   []*entity
	gaps       [][]byte // what lies before, between and behind the children
}

var (
	foldRE     = regexp.MustCompile(`\r?\n[ \t]+`)
	ctypeRE    = regexp.MustCompile(`(?im)^content-type[ \t]*:[ \t]*([^\s;]+)`)
	cteRE      = regexp.MustCompile(`(?im)^content-transfer-encoding[ \t]*:[ \t]*([^\s;]+)`)
	boundaryRE = regexp.MustCompile(`(?i);\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))`)
)

func readEntity(content []byte) *entity {
	e := &entity{head: content}
	if i := bytes.Index(content, []byte("\r\n\r\n")); bytes.HasPrefix(content, []byte("\r\n")) {
		e.head, e.body = content[:2], content[2:]
	} else if i >= 0 {
		e.head, e.body = content[:i+4], content[i+4:]
	}
	head := foldRE.ReplaceAll(e.head, []byte(" "))
	if m := ctypeRE.FindSubmatch(head); m != nil {
		e.media = strings.ToLower(string(m[1]))
	}
	if m := cteRE.FindSubmatch(head); m != nil {
		e.cte = strings.ToLower(string(m[1]))
	}
	if m := boundaryRE.FindSubmatch(head); m != nil && strings.HasPrefix(e.media, "multipart/") && len(m[1])+len(m[2]) < 300 {
		e.readChildren(string(m[1]) + string(m[2]))
	}
	return e
}

func (e *entity) readChildren(boundary string) {
	body := append([]byte("\r\n"), e.body...) // which ends the empty line
	line := regexp.MustCompile(`\r\n--` + regexp.QuoteMeta(boundary) + `(--)?[ \t]*(?:\r\n|$)`)
	begin, gap, last := -1, 0, false
	for at := 0; !last; {
		m := line.FindSubmatchIndex(body[at:])
		if m == nil {
			break
		}
		if begin >= 0 {
			e.children = append(e.children, readEntity(body[begin:max(begin, at+m[0])]))
			gap = max(begin, at+m[0])
		}
		e.gaps = append(e.gaps, body[gap:max(gap, at+m[1])])
		begin, last = at+m[1], m[2] >= 0
		at = max(begin-2, at+m[0]+1) // the line end may begin the next delimiter
	}
	if begin >= 0 && !last {
		e.children = append(e.children, readEntity(body[begin:]))
		gap = len(body)
	} else if begin >= 0 {
		gap = begin
	}
	e.gaps = append(e.gaps, body[min(gap, len(body)):])
}

// decoded undoes the transfer encoding with the standard library.
func (e *entity) decoded() ([]byte, error) {
	switch e.cte {
	case "quoted-printable":
		return io.ReadAll(quotedprintable.NewReader(bytes.NewReader(e.body)))
	case "base64":
		return io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(e.body)))
	}
	return e.body, nil
}

// A tally is what the checker saw in a copy.
type tally struct {
	original, copied *entity
	links            []string // destinations, in order
	pixels           int
}

// compare returns an error where copy differs from original by anything else
// than what may differ.
func compare(original, copied *entity, seen *tally) error {
	if len(original.children) != len(copied.children) || len(original.gaps) != len(copied.gaps) {
		return fmt.Errorf("%d parts became %d", len(original.children), len(copied.children))
	}
	if bytes.Equal(original.body, copied.body) && bytes.Equal(original.head, copied.head) {
		return nil
	}
	for i := range original.gaps {
		if !bytes.Equal(original.gaps[i], copied.gaps[i]) {
			return fmt.Errorf("bytes between parts changed: %q became %q", original.gaps[i], copied.gaps[i])
		}
	}
	for i := range original.children {
		if err := compare(original.children[i], copied.children[i], seen); err != nil {
			return err
		}
	}
	if err := compareHeads(original, copied); err != nil || original.children != nil {
		return err
	}
	if original.media != "text/html" {
		return fmt.Errorf("a part of type %q was edited", original.media)
	}
	a, err := original.decoded()
	if err != nil {
		return fmt.Errorf("a part that does not decode was edited: %w", err)
	}
	b, err := copied.decoded()
	if err != nil {
		return fmt.Errorf("edited part: %w", err)
	}
	if err := lineLengths(original, copied); err != nil {
		return err
	}
	return align(a, b, seen)
}

var (
	cteFieldRE   = regexp.MustCompile(`(?im)^content-transfer-encoding[ \t]*:.*\r\n([ \t].*\r\n)*`)
	stampFieldRE = regexp.MustCompile(`(?im)^x-backstamp[ \t]*:.*\r\n([ \t].*\r\n)*`)
)

func compareHeads(original, copied *entity) error {
	a, b := original.head, stampFieldRE.ReplaceAll(copied.head, nil)
	if original.cte != copied.cte {
		if copied.cte != "quoted-printable" {
			return fmt.Errorf("encoding %q became %q", original.cte, copied.cte)
		}
		a, b = cteFieldRE.ReplaceAll(a, nil), cteFieldRE.ReplaceAll(b, nil)
	}
	if a = stampFieldRE.ReplaceAll(a, nil); !bytes.Equal(a, b) {
		return fmt.Errorf("header changed:\n%q\n%q", a, b)
	}
	return nil
}

// lineLengths compares the longest line of an edited part with what its
// encoding allows, or with what came in.
func lineLengths(original, copied *entity) error {
	longest := func(b []byte) (n int) {
		for line := range bytes.SplitSeq(b, []byte("\r\n")) {
			n = max(n, len(line))
		}
		return n
	}
	limit := 998
	if copied.cte == "quoted-printable" {
		limit = 76
	}
	if got := longest(copied.body); got > max(limit, longest(original.body)) {
		return fmt.Errorf("%s line of %d bytes", copied.cte, got)
	}
	return nil
}

var (
	clickRE  = regexp.MustCompile(`^"?` + testBase + `/c/[A-Za-z0-9_-]{48}\.([A-Za-z0-9_/-]+)`)
	pixelRE  = regexp.MustCompile(`^<img src="` + testBase + `/o/[A-Za-z0-9_-]{48}\.gif" width="1" height="1" alt="" style="border:0">(\r\n$)?`)
	optOutRE = regexp.MustCompile(`(?i)^\s*(?:data-track|data-no-track|clicktracking|disable-tracking|data-pm-no-track|ses:no-track|data-msys-clicktrack|mc:disable-tracking)(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>"']+))?`)
	schemeRE = regexp.MustCompile(`(?i)^\+notrack`)
)

// beginnings is what links, the pixel and opt-outs begin with: looking for them
// everywhere is costly.
const beginnings = "\"h<+ \t\r\ndDcCsSmM"

// align walks through both texts. Where they differ the copy must have one of
// our links and the original its destination, or the copy the pixel, or the
// original an opt-out.
func align(a, b []byte, seen *tally) error {
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		if i < len(a) && j < len(b) && a[i] == b[j] && strings.IndexByte(beginnings, a[i]) < 0 {
			i, j = i+1, j+1
			continue
		}
		if m := match(clickRE, b[j:], testBase+"/c/", `"`+testBase+"/c/"); m != nil && !clickRE.Match(a[i:]) && !(b[j] == '"' && i < len(a) && a[i] == '"') {
			n, err := alignLink(a, i, m, seen)
			if err != nil {
				return fmt.Errorf("at %d: %w", i, err)
			}
			i, j = i+n, j+len(m[0])
			if m[0][0] == '"' { // the value had no quotes
				j++
			}
			continue
		}
		if m := match(pixelRE, b[j:], `<img src="`+testBase+"/o/"); m != nil && !pixelRE.Match(a[i:]) {
			seen.pixels++
			j += len(m[0])
			continue
		}
		if i < len(a) && j < len(b) && a[i] == b[j] && !removed(a[i:], b[j:]) {
			i, j = i+1, j+1
			continue
		}
		if m := optOutRE.Find(a[i:]); m != nil {
			i += len(m)
			continue
		}
		if m := schemeRE.Find(a[i:]); m != nil {
			i += len(m)
			continue
		}
		return fmt.Errorf("at %d of %d: %.60q became %.60q", i, len(a), a[min(i, len(a)):], b[min(j, len(b)):])
	}
	return nil
}

// match is re.FindSubmatch for expressions that begin with one of prefixes.
func match(re *regexp.Regexp, b []byte, prefixes ...string) [][]byte {
	for _, p := range prefixes {
		if bytes.HasPrefix(b, []byte(p)) {
			return re.FindSubmatch(b)
		}
	}
	return nil
}

// removed reports whether a begins with an opt-out, blanks before it, that b
// lacks.
func removed(a, b []byte) bool {
	name := 0
	for name < len(a) && isSpace(a[name]) {
		name++
	}
	if len(a) < name+5 || !strings.Contains("data- click disab ses:n mc:di DATA- CLICK DISAB SES:N MC:DI", string(a[name:name+5])) {
		return false // the rest is costly
	}
	m := optOutRE.Find(a)
	return m != nil && !optOutRE.Match(b) && len(a) > len(m) && a[len(m)] == b[0]
}

// alignLink compares the original value at a[i:] with a link of the copy and
// returns the value's length.
func alignLink(a []byte, i int, m [][]byte, seen *tally) (int, error) {
	end := " \t\r\n\f>"
	if m[0][0] != '"' {
		open := bytes.TrimRight(a[:i], " ")
		end = string(open[len(open)-1:])
	}
	a = a[i:]
	n := bytes.IndexAny(a, end)
	if n < 0 {
		return 0, errors.New("a link without an end")
	}
	value := bytes.TrimRight(a[:n], " ")
	got, err := mail.DecodeDestination(string(m[1]))
	if err != nil {
		return 0, err
	}
	if want := ascii(unescapeAttr(string(value))); got != want {
		return 0, fmt.Errorf("link leads to %q, want %q", got, want)
	}
	seen.links = append(seen.links, got)
	return len(value), nil
}

var entityRE = regexp.MustCompile(`&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z0-9]+(;|=?))`)

// unescapeAttr undoes entities by the rule for attribute values: one without
// its semicolon stays where = or a letter follows.
func unescapeAttr(s string) string {
	return entityRE.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasSuffix(m, "=") {
			return m
		}
		u := html.UnescapeString(m)
		if m[1] != '#' && !strings.HasSuffix(m, ";") && len([]rune(u)) > 1 {
			return m
		}
		return u
	})
}

func ascii(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] < 0x80 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// render returns the copy of a recipient and checks the size.
func render(p *Plan, content []byte, recipient int) ([]byte, error) {
	var body bytes.Buffer
	c := bytes.NewReader(content)
	if err := p.WriteBody(&body, c, fakeLinker{}, recipient); err != nil {
		return nil, fmt.Errorf("write body: %w", err)
	}
	if got := p.BodySize(c); got != int64(body.Len()) {
		return nil, fmt.Errorf("BodySize %d, wrote %d", got, body.Len())
	}
	header, err := p.Header(c)
	return append(header, body.Bytes()...), err
}

func rendered(t testing.TB, p *Plan, content []byte, recipient int) []byte {
	t.Helper()
	out, err := render(p, content, recipient)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// judgeCopy checks a copy against its original.
func judgeCopy(p *Plan, content, out []byte) (seen tally, err error) {
	seen.original = readEntity(content)
	seen.copied = seen.original
	switch {
	case p.Reason() == ReasonInternal:
		return seen, errors.New("the engine panicked")
	case !p.Edited() && !bytes.Equal(out, content):
		return seen, fmt.Errorf("untouched (%s), yet it changed", p.Reason())
	case !p.Edited():
		return seen, nil
	case bytes.HasSuffix(content, []byte("\r\n")) != bytes.HasSuffix(out, []byte("\r\n")):
		return seen, fmt.Errorf("the copy ends in %q", out[max(0, len(out)-10):])
	}
	seen.copied = readEntity(out)
	if err := compare(seen.original, seen.copied, &seen); err != nil {
		return seen, err
	}
	tracked := 0
	for _, l := range p.Links() {
		if l.Decision == mail.Tracked {
			tracked++
		}
	}
	if tracked != len(seen.links) {
		return seen, fmt.Errorf("%d links tracked, %d found in the copy", tracked, len(seen.links))
	}
	if seen.pixels > 1 {
		return seen, fmt.Errorf("%d pixels", seen.pixels)
	}
	return seen, nil
}

// checkCopy plans, renders and judges one message.
func checkCopy(t testing.TB, r *Rewriter, content []byte) (*Plan, []byte, tally) {
	t.Helper()
	p := r.Plan(request(content))
	out := rendered(t, p, content, 1)
	seen, err := judgeCopy(p, content, out)
	if err != nil {
		t.Fatal(err)
	}
	return p, out, seen
}
