package rewrite

import (
	"bytes"
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
	from     int
	headEnd  int // after the last header field
	body     int // after the empty line
	end      int
	media    string // lower case, "text/plain" where nothing else is said
	boundary string // of a multipart
	start    string // of multipart/related: the id of the child that is shown
	charset  string
	id       string // Content-ID without its <>
	encoding string // lower case, "" where nothing is said
	field    span   // where Content-Transfer-Encoding stands, or would
	attached bool
	blocked  string // why nothing in it is edited
	children []*part
	page     *page      // of an HTML part that can be edited
	codec    codec      // of its transfer encoding
	form     base64Form // of codecBase64
}

// finish ends p where the line end lies that belongs to the next delimiter: it
// may be the one of its empty line, or of its last field.
func (p *part) finish(end int) {
	p.end = max(p.from, end)
	p.body, p.headEnd = min(p.body, p.end), min(p.headEnd, p.end)
}

// A splitter takes a message apart in one pass. What is not a header is only
// searched for the delimiters of the multiparts around it.
type splitter struct {
	window
	open   []level // outermost first: an outer delimiter ends all within
	head   []byte  // the header being read
	parts  int
	limits bool // a bound was passed
}

// A level is a multipart that is being read.
type level struct {
	part  *part
	mark  []byte // what its delimiter lines begin with
	media string // of children that do not say
	child *part  // the one being read, nil before the first
}

// split reads the parts within top.
func (s *splitter) split(top *part) {
	s.enter(top)
	at := top.body
	for !s.limits {
		d, found := s.next(at)
		if !found {
			break
		}
		s.leave(d.level+1, d.before)
		l := &s.open[d.level]
		if l.child != nil {
			l.child.finish(d.before)
		}
		at = d.after
		if d.last {
			s.open = s.open[:d.level]
			continue
		}
		l.child, _ = s.part(d.after, d.level+1, l.media)
		l.part.children = append(l.part.children, l.child)
		at = l.child.body
		s.enter(l.child)
	}
	s.leave(0, s.size)
	top.finish(s.size)
}

// part reads the header of the part at an offset. The header is good until the
// next call.
func (s *splitter) part(at, depth int, media string) (*part, mail.Header) {
	s.parts++
	p := &part{from: at, media: media}
	text := s.header(at)
	h, end, body := mail.ParseHeader(text)
	p.headEnd, p.body = at+end, at+body
	if depth > maxDepth || s.parts > maxParts || end > maxHeader {
		s.limits = true
	}
	noEmptyLine := body == end && end < len(text)
	if noEmptyLine || !p.describe(h) {
		p.blocked = ReasonHeaderBroken
		return p, h
	}
	p.blocked = containerReason(p)
	return p, h
}

// header reads whole lines up to an empty one, which it includes, to a
// delimiter, or to where the header is too long.
func (s *splitter) header(at int) []byte {
	s.head = s.head[:0]
	for line := 0; len(s.head) <= maxHeader; {
		if line == len(s.head) {
			if _, found := s.match(at); found {
				break
			}
		}
		text := s.view(at, 1)
		if len(text) == 0 {
			break
		}
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[:i+1]
		}
		s.head = append(s.head, text...)
		at += len(text)
		if text[len(text)-1] == '\n' {
			if len(bytes.TrimRight(s.head[line:], "\r\n")) == 0 {
				break
			}
			line = len(s.head)
		}
	}
	return s.head
}

// describe fills in what the header says; ok is false where software would
// read it in different ways: a field twice that may stand once.
func (p *part) describe(h mail.Header) (ok bool) {
	for _, name := range []string{"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"} {
		if len(h.All(name)) > 1 {
			return false
		}
	}
	p.field = span{p.headEnd, p.headEnd}
	at := p.from
	for _, f := range h {
		if f.Is("Content-Transfer-Encoding") {
			p.field = span{at, at + len(f.Raw)}
		}
		at += len(f.Raw)
	}
	if v := h.Get("Content-Type"); v != "" {
		var params map[string]string
		p.media, params = ContentType(v)
		p.boundary = strings.TrimRight(params["boundary"], " \t")
		p.charset, p.start = params["charset"], contentID(params["start"])
	}
	p.id = contentID(h.Get("Content-ID"))
	p.encoding = TransferEncoding(h.Get("Content-Transfer-Encoding"))
	disposition, _ := ContentType(h.Get("Content-Disposition"))
	p.attached = disposition != "" && disposition != "inline" ||
		isNamed(h.Get("Content-Disposition")) || isNamed(h.Get("Content-Type"))
	return true
}

// contentID takes the angle brackets off (RFC 2392).
func contentID(s string) string { return strings.Trim(s, " \t<>") }

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

// enter opens p if it is a multipart that may be looked into.
func (s *splitter) enter(p *part) {
	switch {
	case p.blocked != "" || !strings.HasPrefix(p.media, "multipart/"):
	case p.boundary == "", strings.Contains(p.boundary, "\n"): // which no line is
		p.blocked = ReasonMIMEBroken
	case len(p.boundary) > maxBoundary:
		s.limits = true
	default:
		media := "text/plain"
		if p.media == "multipart/digest" {
			media = "message/rfc822"
		}
		s.open = append(s.open, level{part: p, mark: []byte("--" + p.boundary), media: media})
	}
}

// leave ends the levels from n on, whose last delimiter is missing. That is
// forgiven, but not that all are.
func (s *splitter) leave(n, end int) {
	for _, l := range s.open[n:] {
		if l.child == nil {
			l.part.blocked = ReasonMIMEBroken
		} else {
			l.child.finish(end)
		}
	}
	s.open = s.open[:n]
}

// A delimiter is one boundary line (RFC 2046 section 5.1.1): the part before it
// ends at before, the next begins at after.
type delimiter struct {
	level         int
	before, after int
	last          bool
}

// next finds the first delimiter from an offset on where a line begins.
func (s *splitter) next(at int) (d delimiter, found bool) {
	if len(s.open) == 0 {
		return d, false
	}
	d, found = s.match(at)
	for !found {
		text := s.view(at, 3)
		switch i := bytes.Index(text, []byte("\n--")); {
		case i >= 0:
			at += i + 1
			d, found = s.match(at)
		case at+len(text) >= s.size:
			return d, false
		default:
			at += len(text) - 2
		}
	}
	return d, true
}

// match reports whether the line at an offset is a delimiter. The line end
// before it belongs to it.
func (s *splitter) match(at int) (d delimiter, found bool) {
	line := s.lineStart(at)
	if !bytes.HasPrefix(line, []byte("--")) {
		return d, false
	}
	for i := range s.open {
		mark := s.open[i].mark
		if !bytes.HasPrefix(line, mark) {
			continue
		}
		if d.after, d.last, found = s.delimiterEnd(at + len(mark)); found {
			d.level, d.before = i, s.lineBefore(at)
			return d, true
		}
		line = s.lineStart(at) // what was seen before may have moved
	}
	return d, false
}

// lineStart returns as much of the line at an offset as a delimiter may have
// before its blanks.
func (s *splitter) lineStart(at int) []byte {
	text := s.view(at, maxBoundary+2)
	line, _, _ := bytes.Cut(text[:min(len(text), maxBoundary+2)], []byte("\n"))
	return line
}

// lineBefore returns where the line end before an offset lies.
func (s *splitter) lineBefore(at int) int {
	at = max(0, at-1)
	if at > 0 && bytes.HasPrefix(s.view(at-1, 1), []byte("\r")) {
		at--
	}
	return at
}

// delimiterEnd reads what follows a boundary: blanks, and two hyphens for the
// last. Anything else makes it the beginning of a longer one.
func (s *splitter) delimiterEnd(at int) (after int, last, ok bool) {
	at = s.skipBlanks(at) // a boundary that ends in blanks may have lost them
	if last = bytes.HasPrefix(s.view(at, 2), []byte("--")); last {
		at = s.skipBlanks(at + 2)
	}
	switch text := s.view(at, 1); {
	case len(text) == 0:
		return at, last, true
	case text[0] == '\n':
		return at + 1, last, true
	}
	return 0, false, false
}

func (s *splitter) skipBlanks(at int) int {
	for {
		text := s.view(at, 1)
		blanks := len(text) - len(bytes.TrimLeft(text, " \t\r"))
		at += blanks
		if blanks < len(text) || len(text) == 0 {
			return at
		}
	}
}
