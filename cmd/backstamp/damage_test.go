package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"mime/quotedprintable"
	"net/textproto"
	"regexp"
	"strings"
)

// What follows judges whether a message was damaged on its way, without a line
// of the engine: it takes messages apart by itself, undoes what may have been
// done to them by what the tracking links themselves say, and compares bytes.

// A leaf is one part of a message that is no multipart.
type leaf struct {
	header textproto.MIMEHeader
	raw    []byte // encoded body
}

// html reports a text/html part.
func (l leaf) html() bool {
	t, _, _ := strings.Cut(l.header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(t), "text/html")
}

// decoded undoes the transfer encoding as forgivingly as readers' programs do.
func (l leaf) decoded() []byte {
	switch strings.ToLower(strings.Trim(l.header.Get("Content-Transfer-Encoding"), " \t;")) {
	case "quoted-printable":
		out, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(l.raw)))
		return out
	case "base64":
		clean := bytes.Map(func(r rune) rune {
			if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", r) {
				return r
			}
			return -1
		}, l.raw)
		out, _ := base64.RawStdEncoding.DecodeString(string(clean))
		return out
	}
	return l.raw
}

// boundaryParam finds the boundary however odd the rest of the field is.
var boundaryParam = regexp.MustCompile(`(?is)^\s*multipart/.*;\s*boundary\s*=\s*(?:"([^"]+)"|([^"\s;]+))`)

// leaves takes a message apart at its boundaries, as deep as they go.
func leaves(content []byte, depth int) []leaf {
	head, body := splitHeader(content)
	h := looseHeader(head)
	boundary := boundaryParam.FindStringSubmatch(h.Get("Content-Type"))
	if depth > 50 || boundary == nil {
		return []leaf{{h, body}}
	}
	var out []leaf
	delim := []byte("--" + strings.TrimSpace(boundary[1]+boundary[2]))
	var part []byte
	inside := false
	for _, line := range bytes.SplitAfter(body, []byte("\n")) {
		bare := bytes.TrimRight(line, " \t\r\n")
		end := bytes.Equal(bare, append(bytes.Clone(delim), "--"...))
		if end || bytes.Equal(bare, delim) {
			if inside {
				out = append(out, leaves(bytes.TrimSuffix(part, []byte("\r\n")), depth+1)...)
			}
			part, inside = nil, !end
			continue
		}
		part = append(part, line...)
	}
	if inside {
		out = append(out, leaves(part, depth+1)...)
	}
	return out
}

// fieldLine is a line that may stand in a header.
var fieldLine = regexp.MustCompile(`^(?:[!-9;-~]+[ \t]*:|[ \t]|From )`)

// splitHeader cuts at the first line that may not stand in a header, which
// should be the empty line; that one belongs to neither half.
func splitHeader(content []byte) (head, body []byte) {
	at := 0
	for line := range bytes.Lines(content) {
		if string(line) == "\r\n" {
			return content[:at], content[at+2:]
		}
		if !fieldLine.Match(line) {
			break
		}
		at += len(line)
	}
	return content[:at], content[at:]
}

// looseHeader reads what fields it can.
func looseHeader(head []byte) textproto.MIMEHeader {
	h := textproto.MIMEHeader{}
	var name string
	for _, line := range strings.Split(strings.TrimRight(string(head), "\r\n"), "\r\n") {
		if line != "" && (line[0] == ' ' || line[0] == '\t') {
			if v := h[name]; len(v) > 0 {
				v[len(v)-1] += line
			}
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(key))
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

// A tracker knows the links of one base URL.
type tracker struct {
	click, pixel, pixelLine *regexp.Regexp
}

func newTracker(base string) tracker {
	b := regexp.QuoteMeta(base)
	return tracker{
		click:     regexp.MustCompile(b + `/c/[A-Za-z0-9_-]{48}\.([A-Za-z0-9_/-]+)`),
		pixel:     regexp.MustCompile(`<img [^<>]*` + b + `/o/[A-Za-z0-9_-]{48}\.gif[^<>]*>`),
		pixelLine: regexp.MustCompile(`<img [^<>]*` + b + `/o/[A-Za-z0-9_-]{48}\.gif[^<>]*>\r\n`),
	}
}

// undo compares the HTML that arrived with the HTML that was sent: between
// tracking links and pixel it must be the same bytes, and each tracking link
// must stand where a link to the destination it carries stood. Attributes that
// spoke to other trackers may be gone. It returns how many links were tracked.
func (t tracker) undo(sent, arrived []byte) (links int, err error) {
	links, err = t.align(sent, t.pixel.ReplaceAll(arrived, nil))
	if err != nil { // the pixel may have brought a line end along
		if n, e := t.align(sent, t.pixelLine.ReplaceAll(arrived, nil)); e == nil {
			return n, nil
		}
	}
	return links, err
}

func (t tracker) align(sent, arrived []byte) (links int, err error) {
	rest := string(sent)
	last := 0
	for _, m := range t.click.FindAllSubmatchIndex(arrived, -1) {
		literal := string(arrived[last:m[0]])
		var ok bool
		if rest, ok = cutLiteral(rest, literal); !ok {
			return links, fmt.Errorf("bytes before link %d differ: %.80q, want %.80q", links+1, literal, rest)
		}
		destination, err := base64.RawURLEncoding.DecodeString(strings.ReplaceAll(string(arrived[m[2]:m[3]]), "/", ""))
		if err != nil {
			return links, err
		}
		n := valueLength(rest, string(destination))
		if n < 0 {
			return links, fmt.Errorf("link %d goes to %q, which does not stand at %.120q", links+1, destination, rest)
		}
		rest, last = rest[n:], m[1]
		links++
	}
	if tail, ok := cutLiteral(rest, string(arrived[last:])); !ok || strings.TrimSpace(tail) != "" {
		return links, fmt.Errorf("bytes after the last link differ: %.80q, want %.80q", arrived[last:], rest)
	}
	return links, nil
}

// foreign are the attributes that speak to other trackers.
var foreign = regexp.MustCompile(`(?i)\s+(data-no-track|data-track|clicktracking|disable-tracking|data-pm-no-track|ses:no-track|ses:tags|data-msys-clicktrack|mc:disable-tracking)(\s*=\s*("[^"]*"|'[^']*'|[^\s>]+))?`)

// cutLiteral takes literal off the front of s. Where it does not match as it
// is, it is tried again without the attributes of other trackers.
func cutLiteral(s, literal string) (rest string, ok bool) {
	if rest, ok := strings.CutPrefix(s, literal); ok {
		return rest, true
	}
	plain := foreign.ReplaceAllString(s, "")
	return strings.CutPrefix(plain, foreign.ReplaceAllString(literal, ""))
}

// valueLength returns how much of s, an attribute value and what follows,
// spells destination: -1 for none.
func valueLength(s, destination string) int {
	for n := 1; n <= len(s) && n < 8*len(destination)+64; n++ {
		if n < len(s) && !strings.ContainsRune("\"'> \t\r\n", rune(s[n])) {
			continue
		}
		if percent(strings.Trim(html.UnescapeString(s[:n]), " \t\r\n\f")) == destination || percent(html.UnescapeString(s[:n])) == destination {
			return n
		}
	}
	return -1
}

// percent writes bytes above 0x7f as browsers send them.
func percent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			fmt.Fprintf(&b, "%%%02X", s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// compare judges one message: what was sent, with its line ends put right, and
// what arrived. tracked is what the product says of it.
func (t tracker) compare(sent, arrived []byte, tracked bool) (links int, err error) {
	_, sentBody := splitHeader(sent)
	_, gotBody := splitHeader(arrived)
	if !tracked {
		if !sameBody(withEnd(gotBody), withEnd(sentBody)) {
			return 0, fmt.Errorf("untracked, yet its body differs: %s", difference(withEnd(gotBody), withEnd(sentBody)))
		}
		return 0, nil
	}
	was, is := leaves(sent, 0), leaves(arrived, 0)
	if len(was) != len(is) {
		return 0, fmt.Errorf("%d parts became %d", len(was), len(is))
	}
	for i := range was {
		if bytes.Equal(was[i].raw, is[i].raw) || bytes.Equal(withEnd(was[i].raw), withEnd(is[i].raw)) {
			continue
		}
		if !was[i].html() {
			return links, fmt.Errorf("part %d is no HTML, yet differs: %s", i, difference(is[i].raw, was[i].raw))
		}
		n, err := t.undo(was[i].decoded(), is[i].decoded())
		links += n
		if err != nil {
			return links, fmt.Errorf("part %d: %w", i, err)
		}
	}
	return links, nil
}

// sameBody compares the bodies of a message that was not edited. Where a header
// ends without an empty line, one was put in, and more may count as body.
func sameBody(got, want []byte) bool {
	if bytes.HasSuffix(got, want) {
		return true
	}
	for n := range min(len(got), len(want)) {
		if got[n] != want[n] {
			from := bytes.LastIndexByte(got[:n], '\n') + 1
			return bytes.HasPrefix(got[from:], []byte("\r\n")) && bytes.Equal(got[from+2:], want[from:])
		}
	}
	return false
}

// withEnd ends a body in CRLF, as it must on the wire.
func withEnd(b []byte) []byte {
	if len(b) == 0 || bytes.HasSuffix(b, []byte("\r\n")) {
		return b
	}
	return append(bytes.Clone(b), "\r\n"...)
}

// onTheWire puts line ends right and takes NUL away, as the relay does for
// clients on this machine. CRs that no LF follows are spaces in a header and a
// line end in a body.
func onTheWire(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte{0}, nil)
	var out []byte
	inHeader := true
	endLine := func() {
		out = append(out, "\r\n"...)
		inHeader = inHeader && len(out) > 2 && !bytes.HasSuffix(out, []byte("\r\n\r\n"))
	}
	for i := 0; i < len(b); i++ {
		crs := 0
		for i < len(b) && b[i] == '\r' {
			crs++
			i++
		}
		switch {
		case i < len(b) && b[i] == '\n':
			endLine()
			continue
		case crs > 0 && inHeader:
			out = append(out, strings.Repeat(" ", crs)...)
		case crs > 0:
			endLine()
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

// difference shows where two texts part.
func difference(got, want []byte) string {
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	from := max(0, n-20)
	return fmt.Sprintf("at octet %d of %d and %d: %q, want %q", n, len(got), len(want), got[from:min(len(got), n+40)], want[from:min(len(want), n+40)])
}
