package rewrite

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Bounds of what is looked into. Beyond one the message stays untouched. Real
// newsletters stay below a hundredth of them.
const (
	maxHTML    = 16 << 20 // octets of one part, its transfer encoding undone
	maxNodes   = 500_000  // of the trees of all parts
	maxAnchors = 10_000   // links, and as many opt-outs, of all parts; a token has two bytes for the number of a link
	maxTag     = 8 << 20  // octets; an image may lie in a tag, as data:
	maxAttrs   = 1000     // of one tag
	maxURLs    = 4 << 20  // octets of all addresses that patterns run over
)

// A budget is how much of a message may still be taken in.
type budget struct{ nodes, anchors, optOuts, urls int }

func newBudget() budget { return budget{maxNodes, maxAnchors, maxAnchors, maxURLs} }

// scanPage finds in text what decisions and splices need, at the cost of left.
// ok is false beyond a bound.
func scanPage(text, mask []byte, c charset, left *budget) (p *page, ok bool) {
	if len(text) > maxHTML {
		return nil, false
	}
	p = newPage(text, mask, c)
	s := scanner{walker: walker{lexer: lexer{html: mask}}, page: p, left: left, label: caption{of: -1}}
	for s.next() {
		if !s.onToken() {
			return nil, false
		}
	}
	s.endLabel()
	p.unfinished = s.raw != "" || s.open
	return p, true
}

// A scanner fills a page.
type scanner struct {
	walker
	page  *page
	left  *budget
	label caption
}

// onToken takes the current token in. ok is false beyond a bound.
func (s *scanner) onToken() (ok bool) {
	switch s.kind {
	case tokenText:
		s.onText()
	case tokenStart:
		return s.onStart()
	case tokenEnd:
		return s.to-s.from <= maxTag && s.onEnd()
	case tokenCut:
		return s.to-s.from <= maxTag
	case tokenLeave:
		if s.label.of >= 0 && s.label.depth > len(s.outer) {
			s.endLabel()
		}
	}
	return true
}

func (s *scanner) onText() {
	if s.page.content < 0 && s.element == "" && len(s.outer) == 0 {
		if text := afterSignature(s.in(s.page.text)); len(bytes.TrimSpace(text)) > 0 {
			s.page.content = s.to - len(text)
		}
	}
	if s.label.of >= 0 && s.element != "style" && s.element != "script" {
		s.label.text = s.page.appendText(s.label.text, s.span)
	}
}

// afterSignature returns text without what must stay the first thing in a page
// and is no content: a byte order mark, a designator of ISO-2022-KR or -CN.
func afterSignature(text []byte) []byte {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(text) >= 4 && bytes.HasPrefix(text, []byte("\x1b$)")) {
		text = text[4:]
	}
	return text
}

func (s *scanner) onStart() (ok bool) {
	if s.to-s.from > maxTag || len(s.attrs) > maxAttrs {
		return false
	}
	t := tagOf(s.name.in(s.html))
	if s.page.content < 0 && len(s.outer) == 0 {
		s.notePlace(t)
	}
	s.noteForLabel(t)
	optsOut := s.noteOptOuts()
	linked := (t == tagA || t == tagArea || t == tagVML) && s.noteAnchor(t, optsOut)
	s.page.holds = s.page.holds || optsOut && (!linked || t == tagVML)
	return s.left.anchors >= 0 && s.left.optOuts >= 0
}

func (s *scanner) onEnd() (ok bool) {
	t := tagOf(s.name.in(s.html))
	if len(s.outer) == 0 {
		switch {
		case t == tagHead && sameName(s.name.in(s.html), []byte("head")) && s.page.bodyStart < 0:
			s.page.bodyStart = s.to
		case t == tagBody:
			s.page.bodyEnd = s.from
		case t == tagHTML:
			s.page.htmlEnd = s.from
		}
	}
	if s.label.of >= 0 && s.label.endedBy(t, s.name.in(s.html)) {
		s.endLabel()
	}
	return true
}

// notePlace remembers where a pixel could go to the top.
func (s *scanner) notePlace(t tag) {
	switch t {
	case tagBody:
		s.page.bodyStart = s.to
	case tagHTML, tagHead:
	default:
		s.page.content = s.from
	}
}

// noteOptOuts remembers the attributes of the current tag that are to go, and
// reports whether one opts out. The blanks before one go with it, unless the
// tag would then read differently.
func (s *scanner) noteOptOuts() (out bool) {
	for _, a := range s.attrs {
		name := a.name.in(s.html)
		if len(name) < len("ses:tags") || !mayOptOut[name[0]] {
			continue
		}
		key, value := strings.ToLower(string(name)), string(a.value.in(s.page.text))
		out = out || optsOut(key, value)
		foreign, found := isOptOut(key, value)
		if !found {
			continue
		}
		cut := a.span
		if next := s.html[cut.to]; isSpace(next) || next == '>' {
			for isSpace(s.html[cut.from-1]) {
				cut.from--
			}
		}
		s.page.optOuts = append(s.page.optOuts, optOut{cut, foreign})
		s.left.optOuts--
	}
	return out
}

// mayOptOut holds the letters that names of opt-outs begin with.
var mayOptOut = byteSet("dcsmDCSM")

// noteAnchor remembers the href of the current tag, if it has one.
func (s *scanner) noteAnchor(t tag, optsOut bool) (found bool) {
	href := s.attr("href")
	if href == nil {
		return false
	}
	if s.label.of >= 0 { // a link of Outlook in another one
		optsOut = optsOut || s.page.anchors[s.label.of].optsOut
		s.endLabel()
	}
	s.label.begin(len(s.page.anchors), t, s.name.in(s.html), len(s.outer))
	s.label.title = s.firstValue("alt", "title")
	s.page.anchors = append(s.page.anchors, anchor{
		tag: s.from, value: href.value, quote: href.quote, optsOut: optsOut,
		href: attrValue(s.in(s.html), "href", href.value.in(s.html)),
	})
	s.left.anchors--
	if t == tagArea || s.selfClosing && t == tagVML {
		s.endLabel()
	}
	return true
}

// attr returns the attribute of that name of the current tag, nil where it has
// none. The first of several counts.
func (s *scanner) attr(name string) *attr {
	for i := range s.attrs {
		if n := s.attrs[i].name; n.to-n.from == len(name) && sameName(n.in(s.html), []byte(name)) {
			return &s.attrs[i]
		}
	}
	return nil
}

// firstValue returns the value of the first of the attributes that has one.
func (s *scanner) firstValue(names ...string) span {
	for _, name := range names {
		if a := s.attr(name); a != nil && a.value.from < a.value.to {
			return a.value
		}
	}
	return span{}
}

// A tag is what a scanner takes a tag for.
type tag byte

const (
	tagOther tag = iota
	tagA
	tagArea
	tagVML
	tagHTML
	tagHead // or what may lie in it
	tagBody
	tagImg
	tagTable
	tagCell // or a row
)

// tagOf returns what the tag of that name is for.
func tagOf(name []byte) tag {
	var buf [len("noscript")]byte
	switch string(lower(buf[:0], name)) {
	case "a":
		return tagA
	case "area":
		return tagArea
	case "html":
		return tagHTML
	case "body":
		return tagBody
	case "head", "title", "meta", "link", "style", "script", "base", "noscript":
		return tagHead
	case "img":
		return tagImg
	case "table":
		return tagTable
	case "td", "th", "tr":
		return tagCell
	}
	if len(name) > 2 && name[0]|0x20 == 'v' && name[1] == ':' {
		return tagVML
	}
	return tagOther
}

// labelMax is the longest label kept, in bytes.
const labelMax = 200

// A caption gathers what a reader sees of a link: its text, else what its
// images say instead, else its title.
type caption struct {
	of     int // index of the anchor; -1: none
	tag    tag
	name   string // of a VML element
	depth  int    // of the comments around it
	tables int    // open in it
	text   []byte
	alts   []byte
	title  span
}

func (c *caption) begin(of int, t tag, name []byte, depth int) {
	*c = caption{of: of, tag: t, depth: depth, text: c.text[:0], alts: c.alts[:0]}
	if t == tagVML {
		c.name = string(name)
	}
}

// endedBy reports whether an end tag ends the link, too.
func (c *caption) endedBy(t tag, name []byte) bool {
	switch t {
	case c.tag:
		return t != tagVML || sameName(name, []byte(c.name))
	case tagCell:
		return c.tables == 0
	case tagTable:
		c.tables--
		return c.tables < 0
	}
	return false
}

// noteForLabel takes in a start tag in a link.
func (s *scanner) noteForLabel(t tag) {
	c := &s.label
	if c.of < 0 {
		return
	}
	switch t {
	case tagA:
		s.endLabel()
	case tagTable:
		c.tables++
	case tagCell:
		if c.tables == 0 {
			s.endLabel()
		}
	case tagImg:
		if alt := s.firstValue("alt"); alt.from < alt.to {
			c.alts = s.page.appendText(append(c.alts, ' '), alt)
		}
	}
}

// endLabel gives the link its label.
func (s *scanner) endLabel() {
	c := &s.label
	if c.of < 0 {
		return
	}
	text := oneLine(c.text)
	if len(text) == 0 {
		text = oneLine(c.alts)
	}
	if len(text) == 0 {
		text = oneLine([]byte(s.page.decoded(c.title)))
	}
	s.page.anchors[c.of].label = shorten(strings.ToValidUTF8(string(text), "\uFFFD"), labelMax)
	c.of = -1
}

// appendText appends a range of the page in UTF-8, as far as a label needs it.
func (p *page) appendText(dst []byte, in span) []byte {
	const enough = 2 * labelMax
	if len(dst) >= enough {
		return dst
	}
	for in.from < in.to && isSpace(p.text[in.from]) {
		if in.from++; len(dst) > 0 && dst[len(dst)-1] != ' ' {
			dst = append(dst, ' ')
		}
	}
	in.to = min(in.to, in.from+4*enough)
	if raw := in.in(p.text); p.decoder == nil && bytes.IndexByte(raw, '&') < 0 {
		return append(dst, raw...)
	}
	return append(dst, p.decoded(in)...)
}

// oneLine runs blanks together, in place.
func oneLine(text []byte) []byte {
	out, blank := text[:0], false
	for i := 0; i < len(text); {
		n := 1
		if text[i] >= utf8.RuneSelf {
			_, n = utf8.DecodeRune(text[i:])
		}
		if isBlank(text[i : i+n]) {
			blank = len(out) > 0
		} else {
			if blank {
				out, blank = append(out, ' '), false
			}
			out = append(out, text[i:i+n]...)
		}
		i += n
	}
	return out
}

// isBlank reports whether a character is a blank to a reader.
func isBlank(char []byte) bool {
	switch string(char) {
	case " ", "\t", "\n", "\v", "\f", "\r", "\u0085", "\u00a0", "\u3000", "\u2028", "\u2029":
		return true
	}
	return len(char) == 3 && char[0] == 0xe2 && char[1] == 0x80 && char[2] >= 0x80 && char[2] <= 0x8a
}
