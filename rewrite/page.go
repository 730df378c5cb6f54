package rewrite

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding"
)

// A span is a range of offsets into the text of a page.
type span struct{ from, to int }

func (s span) in(text []byte) []byte { return text[s.from:s.to] }

// A page is an HTML part taken apart: its text in its own charset and what was
// found there, in offsets into it.
type page struct {
	text    []byte // transfer encoding undone
	mask    []byte // text, shifted runs hidden; what the lexer sees
	charset charset
	decoder *encoding.Decoder // of text; nil where it is UTF-8 as it stands
	shifted bool              // some runs of the text are

	anchors []anchor
	optOuts []optOut
	holds   bool // an element that is no link opts out for what it holds

	bodyStart  int  // behind <body>, else behind </head>; -1: neither
	content    int  // the first tag or text that belongs into the body; -1
	bodyEnd    int  // the last </body>; -1
	htmlEnd    int  // the last </html>; -1
	unfinished bool // ends inside a comment, raw text or tag
}

// An anchor is a tag whose href may be tracked.
type anchor struct {
	tag     int    // where it begins
	value   span   // of the href, without quotes
	quote   byte   // 0 where there is none
	href    string // entities undone
	label   string // what a reader sees of it
	optsOut bool   // by an attribute of its own
}

// An optOut is an attribute that keeps trackers off, with the blanks before it.
type optOut struct {
	span
	foreign bool // read by another service's tracker, not by us alone
}

func newPage(text, mask []byte, c charset) *page {
	p := &page{text: text, mask: mask, charset: c, bodyStart: -1, content: -1, bodyEnd: -1, htmlEnd: -1}
	p.shifted = !bytes.Equal(text, mask)
	p.anchors = make([]anchor, 0, min(bytes.Count(text, []byte("href")), maxAnchors))
	if !c.utf8() && (p.shifted || !isASCII(text)) {
		p.decoder = c.decoder()
	}
	return p
}

// masked reports whether a range of the page holds shifted runs.
func (p *page) masked(in span) bool {
	return p.shifted && !bytes.Equal(in.in(p.text), in.in(p.mask))
}

// decoded returns a range of the page in UTF-8, entities undone, for people
// and selectors.
func (p *page) decoded(in span) string {
	text := string(in.in(p.text))
	if p.decoder != nil && (p.shifted || !isASCII(text)) {
		if strings.IndexByte(text, so) >= 0 {
			text = unshifted(text)
		}
		text, _ = p.decoder.String(text)
	}
	if strings.IndexByte(text, '&') >= 0 {
		text = html.UnescapeString(text)
	}
	return text
}

// pixelAt returns where the pixel goes: before the last </body>, else before
// </html>, else to the end. What ends inside a comment, raw text or a tag has
// no end that one could write to: there it goes to the top, as it does when
// asked to. An empty page gets none.
func (p *page) pixelAt(top bool) (at int, ok bool) {
	switch {
	case len(bytes.TrimSpace(p.text)) == 0:
		return 0, false
	case top || p.unfinished && p.bodyEnd < 0 && p.htmlEnd < 0:
		at = p.bodyStart
		if at < 0 {
			at = p.content
		}
		if at >= 0 || p.unfinished {
			return at, at >= 0
		}
		return len(p.text), true
	case p.bodyEnd >= 0:
		return p.bodyEnd, true
	case p.htmlEnd >= 0:
		return p.htmlEnd, true
	}
	return len(p.text), true
}
