package rewrite

import "bytes"

// maxComments is how deep conditional comments and noscript are followed into
// each other.
const maxComments = 4

// What a walker finds besides the tokens of a lexer.
const (
	tokenEnter tokenKind = iota + tokenCut + 1 // into what browsers do not show, and mail readers may
	tokenLeave                                 // out of it
)

// A walker reads the tokens of a page, and in their place those of what mail
// readers show though browsers do not: the conditional comments of Outlook,
// and noscript, since no mail reader runs scripts.
type walker struct {
	lexer
	outer []frame
}

// A frame is what a walker returns to.
type frame struct {
	html []byte
	to   int
}

// next reads a token. It returns false at the end of the page.
func (w *walker) next() bool {
	if !w.lexer.next() {
		return w.leave()
	}
	if len(w.outer) == maxComments {
		return true
	}
	switch {
	case w.kind == tokenText && w.element == "noscript":
		w.enter(w.span)
	case w.kind == tokenOther:
		if in, found := conditional(w.html, w.span); found {
			w.enter(in)
		}
	}
	return true
}

func (w *walker) enter(in span) {
	w.outer = append(w.outer, frame{w.html, w.to})
	w.kind = tokenEnter
	w.html, w.to = w.html[:in.to], in.from
}

// leave goes back to what lies outside, unless nothing does.
func (w *walker) leave() bool {
	if len(w.outer) == 0 {
		return false
	}
	last := w.outer[len(w.outer)-1]
	w.outer = w.outer[:len(w.outer)-1]
	w.kind, w.raw = tokenLeave, ""
	w.html, w.to = last.html, last.to
	return true
}

// conditional returns what lies in a conditional comment.
func conditional(h []byte, token span) (in span, found bool) {
	text, found := bytes.CutPrefix(token.in(h), []byte("<!--"))
	if !found {
		return span{}, false
	}
	condition, body, found := bytes.Cut(text, []byte("]>"))
	if !found || !bytes.HasPrefix(bytes.TrimSpace(condition), []byte("[if")) {
		return span{}, false
	}
	from := token.to - len(body)
	return span{from, from + len(bytes.TrimSuffix(body, []byte("-->")))}, true
}
