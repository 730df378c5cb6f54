package rewrite

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding"
)

// Bounds of the HTML of a message. Beyond one the message stays untouched.
const (
	maxHTML     = 16 << 20 // octets of one part
	maxTokens   = 500_000  // of all parts
	maxAnchors  = 10_000   // of all parts; a token has two bytes for the number of a link
	maxTag      = 8 << 20  // octets; an image may lie in a tag, as data:
	maxAttrs    = 100      // of one tag
	maxComments = 4        // conditional comments and noscript in each other
)

// A budget is how much of a message may still be taken in.
type budget struct{ tokens, anchors int }

// A span is a range of offsets into the text of a page.
type span struct{ from, to int }

func (s span) in(text []byte) []byte { return text[s.from:s.to] }

// An attr is one attribute as it stands in a tag.
type attr struct {
	span        // from its name to its value, quotes included
	name, value span
	quote       byte // 0 where the value has none
	again       bool // the name came before in this tag; the first one counts
}

// An anchor is a tag whose href may be tracked.
type anchor struct {
	node   *html.Node
	value  span   // of the href, without quotes
	quote  byte   //
	href   string // entities undone
	broken bool   // scanTag and the tokenizer disagree on the tag
}

// An optOut is an attribute that keeps trackers off, with the blanks before it.
type optOut struct {
	span
	foreign bool // read by another service's tracker, not by us alone
}

// A page is an HTML part taken apart: its text in its own charset and what was
// found there, in offsets into it.
type page struct {
	text    []byte // transfer encoding undone
	mask    []byte // text, shifted runs hidden; what the tokenizer sees
	charset charset
	tree    *tree
	anchors []anchor
	optOuts []optOut

	bodyStart  int  // behind <body>, else behind </head>; -1: neither
	content    int  // the first tag or text that belongs into the body; -1
	bodyEnd    int  // the last </body>; -1
	htmlEnd    int  // the last </html>; -1
	unfinished bool // ends inside a comment, raw text or tag
}

// A scanner fills a page.
type scanner struct {
	*page
	str     string            // text as a string, which all node data is cut from
	decoder *encoding.Decoder // nil where the text is UTF-8 as it stands
	shifts  bool              // some runs of the text are shifted
	left    *budget
	attrs   []attr // of the current tag
}

// scanPage tokenises text at the cost of left. ok is false beyond a bound.
func scanPage(text, mask []byte, c charset, left *budget) (p *page, ok bool) {
	p = &page{text: text, mask: mask, charset: c, tree: newTree(), bodyStart: -1, content: -1, bodyEnd: -1, htmlEnd: -1}
	if len(text) > maxHTML {
		return nil, false
	}
	s := &scanner{page: p, str: string(text), left: left}
	s.shifts = !bytes.Equal(text, mask)
	if !c.utf8() && (s.shifts || !isASCII(text)) {
		s.decoder = c.decoder()
	}
	return p, s.scan(0, len(text), 0)
}

// scan reads mask[from:to]. depth counts the comments around it.
func (s *scanner) scan(from, to, depth int) bool {
	z := html.NewTokenizer(bytes.NewReader(s.mask[from:to]))
	rawTag := ""
	for at := from; ; {
		kind := z.Next()
		tok := span{at, at + len(z.Raw())}
		at = tok.to
		if s.left.tokens--; s.left.tokens < 0 {
			return false
		}
		if kind != html.TextToken && kind != html.CommentToken && tok.to-tok.from > maxTag {
			return false
		}
		switch kind {
		case html.ErrorToken:
			if depth == 0 && (rawTag != "" || tok.from < tok.to) {
				s.unfinished = true
			}
			return z.Err() == io.EOF && at == to
		case html.TextToken:
			if !s.onText(tok, rawTag, depth) {
				return false
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, ok := s.onStart(z, tok, kind == html.SelfClosingTagToken, depth)
			if !ok {
				return false
			}
			rawTag = rawText(name)
		case html.EndTagToken:
			rawTag = ""
			s.onEnd(tok, depth)
		case html.CommentToken:
			if !s.onComment(tok, depth) {
				return false
			}
		}
	}
}

// rawText returns name if the tokenizer takes what the element holds for text.
func rawText(name string) string {
	switch name {
	case "iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "textarea", "title", "xmp":
		return name
	}
	return ""
}

func (s *scanner) onText(tok span, rawTag string, depth int) bool {
	if rawTag == "noscript" { // mail clients run no scripts: they show it
		return s.nested(tok, depth)
	}
	if rawTag == "" && depth == 0 && s.content < 0 {
		if text := afterSignature(tok.in(s.text)); len(bytes.TrimSpace(text)) > 0 {
			s.content = tok.to - len(text)
		}
	}
	if rawTag != "style" && rawTag != "script" {
		s.tree.text(s.decoded(tok))
	}
	return true
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

// nested scans what lies in a comment or in noscript as markup of its own.
// Elements that it leaves open end with it.
func (s *scanner) nested(in span, depth int) bool {
	if depth >= maxComments {
		return true
	}
	base, open := s.tree.base, len(s.tree.open)
	s.tree.base = open
	ok := s.scan(in.from, in.to, depth+1)
	s.tree.close(open)
	s.tree.base = base
	return ok
}

// onComment looks into conditional comments, which Outlook shows.
func (s *scanner) onComment(tok span, depth int) bool {
	raw := tok.in(s.mask)
	if !bytes.HasPrefix(raw, []byte("<!--")) {
		return true
	}
	if depth == 0 && tok.to == len(s.mask) && !bytes.HasSuffix(raw, []byte("-->")) && !bytes.HasSuffix(raw, []byte("--!>")) {
		s.unfinished = true
	}
	condition, body, found := bytes.Cut(raw[4:], []byte("]>"))
	if !found || !bytes.HasPrefix(bytes.TrimSpace(condition), []byte("[if")) {
		return true
	}
	from := tok.to - len(body)
	return s.nested(span{from, from + len(bytes.TrimSuffix(body, []byte("-->")))}, depth)
}

func (s *scanner) onEnd(tok span, depth int) {
	name := strings.ToLower(s.str[tok.from+2 : tok.from+2+nameLen(s.mask[tok.from+2:tok.to])])
	if depth == 0 {
		switch name {
		case "head":
			if s.bodyStart < 0 {
				s.bodyStart = tok.to
			}
		case "body":
			s.bodyEnd = tok.from
		case "html":
			s.htmlEnd = tok.from
		}
	}
	s.tree.end(name)
}

func (s *scanner) onStart(z *html.Tokenizer, tok span, selfClosing bool, depth int) (name string, ok bool) {
	nameEnd := tok.from + 1 + nameLen(s.mask[tok.from+1:tok.to])
	name = strings.ToLower(s.str[tok.from+1 : nameEnd])
	if s.attrs, ok = scanAttrs(s.attrs[:0], s.mask, nameEnd, tok.to); !ok {
		return name, false
	}
	if depth == 0 {
		s.notePlace(name, tok)
	}
	node, ok := s.tree.start(name, s.nodeAttrs(), selfClosing)
	if !ok {
		return name, false
	}
	s.noteOptOuts()
	if name == "a" || name == "area" || strings.HasPrefix(name, "v:") {
		s.noteAnchor(z, node)
	}
	return name, s.left.anchors >= 0
}

// notePlace remembers where a pixel could go to the top.
func (s *scanner) notePlace(name string, tok span) {
	switch name {
	case "body":
		if s.content < 0 {
			s.bodyStart = tok.to
		}
	case "html", "head", "title", "meta", "link", "style", "script", "base", "noscript":
	default:
		if s.content < 0 {
			s.content = tok.from
		}
	}
}

// nodeAttrs returns the attributes of the current tag for the tree.
func (s *scanner) nodeAttrs() []html.Attribute {
	if len(s.attrs) == 0 {
		return nil
	}
	out := make([]html.Attribute, 0, len(s.attrs))
	for _, a := range s.attrs {
		if !a.again && a.name.from < a.name.to {
			out = append(out, html.Attribute{Key: s.key(a), Val: s.decoded(a.value)})
		}
	}
	return out
}

func (s *scanner) key(a attr) string { return strings.ToLower(s.str[a.name.from:a.name.to]) }

// decoded returns a range of the text in UTF-8, entities undone, for people
// and selectors.
func (s *scanner) decoded(in span) string {
	text := s.str[in.from:in.to]
	if strings.IndexByte(text, so) >= 0 {
		text = unshifted(text)
	}
	if s.decoder != nil && (s.shifts || !isASCII(text)) {
		text, _ = s.decoder.String(text)
	}
	return html.UnescapeString(text)
}

// noteOptOuts remembers the attributes of the current tag that are to go. The
// blanks before one go with it, unless the tag would then read differently.
func (s *scanner) noteOptOuts() {
	for _, a := range s.attrs {
		foreign, found := isOptOut(s.key(a), s.str[a.value.from:a.value.to])
		if !found {
			continue
		}
		cut := a.span
		if next := s.mask[cut.to]; isSpace(next) || next == '>' {
			for isSpace(s.mask[cut.from-1]) {
				cut.from--
			}
		}
		s.optOuts = append(s.optOuts, optOut{cut, foreign})
	}
}

// noteAnchor remembers the href of the current tag, if it has one. The
// tokenizer reads the tag as well and undoes the entities; where it finds
// other attributes than scanAttrs, the tag is not trusted.
func (s *scanner) noteAnchor(z *html.Tokenizer, node *html.Node) {
	a := anchor{node: node}
	found, more := false, len(s.attrs) > 0
	for _, at := range s.attrs {
		if at.again || at.name.from == at.name.to {
			continue
		}
		var key, val []byte
		if !more {
			a.broken = true
			break
		}
		key, val, more = z.TagAttr()
		if name := s.key(at); name != string(key) {
			a.broken = true
		} else if name == "href" {
			found = true
			a.value, a.quote, a.href = at.value, at.quote, string(val)
		}
	}
	a.broken = a.broken || more
	if found {
		s.anchors = append(s.anchors, a)
		s.left.anchors--
	}
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f'
}

// nameLen returns the length of the tag name that b begins with.
func nameLen(b []byte) int {
	if i := bytes.IndexAny(b, " \n\r\t\f/>"); i >= 0 {
		return i
	}
	return len(b)
}
