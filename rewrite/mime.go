package rewrite

import (
	"bytes"
	"mime"
	"regexp"
	"strings"

	"backstamp/mail"
)

// Bounds of what is taken apart. Beyond one the whole message stays untouched.
const (
	maxDepth    = 50
	maxParts    = 10_000
	maxHeader   = 1 << 20
	maxBoundary = 1000
)

// A part is one entity of RFC 2045 in place: offsets into the message.
type part struct {
	header   mail.Header
	headEnd  int // after the last header field
	body     int // after the empty line
	end      int
	media    string // lower case, "text/plain" where nothing else is said
	params   map[string]string
	encoding string // lower case, "" where nothing is said
	attached bool
	blocked  string // why nothing in it is edited
	children []*part
	page     *page // of an HTML part that can be edited
	codec    codec // of its transfer encoding
	lines    []mark
}

// A splitter takes a message apart without copying it.
type splitter struct {
	content []byte
	parts   int
	limits  bool // a bound was passed
}

// split reads the entity at content[from:to].
func (s *splitter) split(from, to, depth int, media string) *part {
	s.parts++
	p := &part{end: to, media: media}
	var end, body int
	p.header, end, body = mail.ParseHeader(s.content[from:to])
	p.headEnd, p.body = from+end, from+body
	if depth > maxDepth || s.parts > maxParts || end > maxHeader {
		s.limits = true
		return p
	}
	if !p.describe(body == end && from+end < to) {
		p.blocked = ReasonHeaderBroken
		return p
	}
	p.blocked = containerReason(p)
	if p.blocked == "" && strings.HasPrefix(p.media, "multipart/") {
		s.splitMultipart(p, depth)
	}
	return p
}

// describe fills in what the header says; ok is false where software would
// read it in different ways: noEmptyLine, or a field twice that may stand once.
func (p *part) describe(noEmptyLine bool) (ok bool) {
	if noEmptyLine {
		return false
	}
	for _, name := range []string{"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"} {
		if len(p.header.All(name)) > 1 {
			return false
		}
	}
	if v := p.header.Get("Content-Type"); v != "" {
		p.media, p.params = contentType(v)
	}
	p.encoding = strings.ToLower(strings.Trim(stripComments(p.header.Get("Content-Transfer-Encoding")), " \t;"))
	disposition, _ := contentType(p.header.Get("Content-Disposition"))
	p.attached = disposition != "" && disposition != "inline" ||
		isNamed(p.header.Get("Content-Disposition")) || isNamed(p.header.Get("Content-Type"))
	return true
}

// fileName finds a parameter that names a file, in pieces or encoded (RFC 2231)
// as it may be: package mime drops one in a charset that it does not know.
var fileName = regexp.MustCompile(`(?i);\s*(?:file)?name\s*(?:\*[\d*]*\s*)?=\s*"?[^\s;"]`)

func isNamed(field string) bool { return fileName.MatchString(stripComments(field)) }

// containerReason says why nothing inside p is edited, whatever is in it.
func containerReason(p *part) string {
	switch {
	case p.media == "multipart/signed":
		return ReasonSigned
	case p.media == "multipart/encrypted", strings.HasSuffix(p.media, "pkcs7-mime"), p.media == "application/pgp-encrypted":
		return ReasonEncrypted
	case p.media == "multipart/report":
		return ReasonReport
	case strings.HasPrefix(p.media, "message/"):
		return ReasonForwarded
	case p.attached && strings.HasPrefix(p.media, "multipart/"):
		return ReasonAttachment
	}
	return ""
}

// splitMultipart finds the delimiter lines of p (RFC 2046 section 5.1.1). The
// line end before a delimiter belongs to it. A missing last one is forgiven.
func (s *splitter) splitMultipart(p *part, depth int) {
	boundary := strings.TrimRight(p.params["boundary"], " \t")
	if boundary == "" {
		p.blocked = ReasonMIMEBroken
		return
	}
	if len(boundary) > maxBoundary {
		s.limits = true
		return
	}
	media := "text/plain"
	if p.media == "multipart/digest" {
		media = "message/rfc822"
	}
	start, closed := -1, false
	for d := range delimiters(s.content[p.body:p.end], "--"+boundary) {
		if start >= 0 {
			p.children = append(p.children, s.split(start, max(start, p.body+d.before), depth+1, media))
		}
		start = p.body + d.after
		if closed = d.last; closed || s.limits {
			break
		}
	}
	if start >= 0 && !closed && !s.limits {
		p.children = append(p.children, s.split(start, p.end, depth+1, media))
	}
	if start < 0 {
		p.blocked = ReasonMIMEBroken
	}
}

// A delimiter is one boundary line: the part before it ends at before, the
// next begins at after.
type delimiter struct {
	before, after int
	last          bool
}

// delimiters yields the boundary lines of body in order.
func delimiters(body []byte, mark string) func(yield func(delimiter) bool) {
	return func(yield func(delimiter) bool) {
		for at := 0; at < len(body); {
			i := bytes.Index(body[at:], []byte(mark))
			if i < 0 {
				return
			}
			i += at
			at = i + len(mark)
			if i > 0 && body[i-1] != '\n' {
				continue
			}
			d := delimiter{before: max(0, i-1), after: len(body)}
			if d.before > 0 && body[d.before-1] == '\r' {
				d.before--
			}
			line := body[at:]
			if n := bytes.IndexByte(line, '\n'); n >= 0 {
				line, d.after = line[:n], at+n+1
			}
			rest := bytes.Trim(line, " \t\r") // a boundary that ends in blanks may have lost them
			if d.last = string(rest) == "--"; !d.last && len(rest) > 0 {
				continue // a longer boundary that begins alike
			}
			at = d.after
			if !yield(d) {
				return
			}
		}
	}
}

// contentType reads a field of the form value; name=value (RFC 2045 section
// 5.1), as broken as mail has it. Both kinds of names come in lower case.
func contentType(field string) (media string, params map[string]string) {
	field = stripComments(field)
	media, params, err := mime.ParseMediaType(field)
	if err == nil {
		return media, params
	}
	media, rest, _ := strings.Cut(field, ";")
	return strings.ToLower(strings.TrimSpace(media)), looseParams(rest)
}

// looseParams reads parameters whose values lack their quotes, whose names
// come twice (the first counts), or that have other things between them.
func looseParams(s string) map[string]string {
	params := map[string]string{}
	for s != "" {
		name, rest, found := strings.Cut(s, "=")
		if !found {
			break
		}
		if i := strings.LastIndexByte(name, ';'); i >= 0 {
			name = name[i+1:]
		}
		name = strings.ToLower(strings.TrimSpace(name))
		var value string
		value, s = looseValue(strings.TrimLeft(rest, " \t"))
		if _, twice := params[name]; !twice {
			params[name] = value
		}
	}
	return params
}

// looseValue cuts a quoted string, or what stands up to the next semicolon.
func looseValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimSpace(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// stripComments removes comments (RFC 5322 section 3.2.2) outside quotes.
func stripComments(s string) string {
	if !strings.ContainsRune(s, '(') {
		return s
	}
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (quoted || depth > 0):
			if depth == 0 {
				b.WriteString(s[i : i+2])
			}
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			depth--
			continue
		}
		if depth == 0 {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
