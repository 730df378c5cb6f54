package rewrite

import "bytes"

// A tokenKind tells the tokens of a page apart.
type tokenKind byte

const (
	tokenText  tokenKind = iota // also what script, style and their like hold
	tokenStart                  // a start tag
	tokenEnd                    // an end tag
	tokenOther                  // a comment, a doctype, or what browsers take for a comment
	tokenCut                    // a tag that the page ends in
)

// A lexer cuts HTML into the same tokens as the tokenizer of x/net/html does,
// which follows WHATWG 13.2.5, byte for byte: FuzzLexer holds one against the
// other. It reads at several times the speed, because it looks at nothing but
// what ends a token, and it knows where an attribute stands.
type lexer struct {
	html []byte
	raw  string // the element whose text comes next, where that is no markup; else ""

	// The current token.
	kind        tokenKind
	span               // where it stands
	element     string // that the text is of, where that is no markup; else ""
	name        span   // of a tag
	attrs       []attr // of a start tag, in order, up to one more than maxAttrs; the next token reuses them
	selfClosing bool
	open        bool // the page ends before the token does
}

// An attr is one attribute as it stands in a tag.
type attr struct {
	span        // from its name to its value, quotes included
	name, value span
	quote       byte // 0 where the value has none
}

// next reads a token. It returns false at the end.
func (l *lexer) next() bool {
	if l.from = l.to; l.from == len(l.html) {
		return false
	}
	if l.element, l.raw = l.raw, ""; l.element != "" {
		end := rawEnd(l.html, l.from, l.element)
		if end > l.from {
			l.emit(tokenText, end)
			l.open = end == len(l.html)
			return true
		}
		l.element = ""
	}
	at := l.from
	for {
		n := bytes.IndexByte(l.html[at:], '<')
		if n < 0 || at+n+1 == len(l.html) {
			return l.emit(tokenText, len(l.html))
		}
		at += n
		switch c := l.html[at+1]; {
		case !isLetter(c) && c != '/' && c != '!' && c != '?':
			at++
		case at > l.from:
			return l.emit(tokenText, at)
		case isLetter(c):
			return l.startTag()
		case c == '/':
			return l.endTag()
		case bytes.HasPrefix(l.html[at:], []byte("<!--")):
			return l.other(commentLen(l.html[at+4:]), at+4)
		default:
			return l.other(angleLen(l.html[at+2:]), at+2)
		}
	}
}

// emit makes the token that began at l.from end at to.
func (l *lexer) emit(kind tokenKind, to int) bool {
	l.kind, l.to, l.open = kind, to, kind == tokenCut
	return true
}

// other makes a token that ends n bytes behind at, or with the page where n is
// negative.
func (l *lexer) other(n, at int) bool {
	if n >= 0 {
		return l.emit(tokenOther, at+n)
	}
	l.emit(tokenOther, len(l.html))
	l.open = true
	return true
}

// angleLen returns how far it is to behind the next >, -1 where there is none.
func angleLen(h []byte) int {
	if n := bytes.IndexByte(h, '>'); n >= 0 {
		return n + 1
	}
	return -1
}

func (l *lexer) endTag() bool {
	at := l.from + 2
	switch {
	case at == len(l.html):
		return l.emit(tokenText, at)
	case !isLetter(l.html[at]):
		return l.other(angleLen(l.html[at:]), at)
	}
	return l.tag(tokenEnd, at)
}

func (l *lexer) startTag() bool {
	l.tag(tokenStart, l.from+1)
	if l.kind != tokenStart {
		return true
	}
	l.raw = rawText(l.html[l.name.from:l.name.to])
	l.selfClosing = l.html[l.to-2] == '/' && !l.endsInValue()
	return true
}

// endsInValue reports whether the byte before the > belongs to the value of
// the last attribute. As x/net/html has it, one whose name came before is none.
func (l *lexer) endsInValue() bool {
	if len(l.attrs) == 0 {
		return false
	}
	last := l.attrs[len(l.attrs)-1]
	return last.value.to == l.to-1 && !hasName(l.html, l.attrs[:len(l.attrs)-1], last.name.in(l.html))
}

// hasName reports whether one of the attributes has that name.
func hasName(h []byte, attrs []attr, name []byte) bool {
	for _, a := range attrs {
		if sameName(a.name.in(h), name) {
			return true
		}
	}
	return false
}

// sameName compares names as HTML does: letters of ASCII in either case.
func sameName(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && (a[i]|0x20 != b[i]|0x20 || !isLetter(a[i])) {
			return false
		}
	}
	return true
}

// tag reads the name at l.html[at] and what follows it.
func (l *lexer) tag(kind tokenKind, at int) bool {
	l.attrs = l.attrs[:0]
	l.name.from = at
	for at < len(l.html) && !endsName[l.html[at]] {
		at++
	}
	l.name.to = at
	for {
		for at < len(l.html) && isSpace(l.html[at]) {
			at++
		}
		if at == len(l.html) {
			return l.emit(tokenCut, at)
		}
		if l.html[at] == '>' {
			return l.emit(kind, at+1)
		}
		at = l.attr(at)
	}
}

// attr reads the attribute at l.html[at], or a slash, and returns the offset
// behind it. A name may begin with an equals sign (WHATWG 13.2.5.32).
func (l *lexer) attr(at int) int {
	h := l.html
	i := at
	if h[i] == '=' {
		i++
	}
	for i < len(h) && !endsKey[h[i]] {
		i++
	}
	a := attr{span: span{at, i}, name: span{at, i}, value: span{i, i}}
	for i < len(h) && isSpace(h[i]) {
		i++
	}
	switch {
	case i < len(h) && h[i] == '=':
		i = a.readValue(h, i+1)
	case i < len(h) && h[i] == '/':
		i++
	}
	if a.name.from < a.name.to && len(l.attrs) <= maxAttrs {
		l.attrs = append(l.attrs, a)
	}
	return i
}

// readValue reads what follows the equals sign before h[i], and returns the
// offset behind it.
func (a *attr) readValue(h []byte, i int) int {
	for i < len(h) && isSpace(h[i]) {
		i++
	}
	a.to, a.value = i, span{i, i}
	if i == len(h) || h[i] == '>' {
		return i
	}
	if c := h[i]; c == '"' || c == '\'' {
		a.quote = c
		n := bytes.IndexByte(h[i+1:], c)
		if n < 0 {
			a.value, a.to = span{i + 1, len(h)}, len(h)
			return len(h)
		}
		a.value, a.to = span{i + 1, i + 1 + n}, i+n+2
		return a.to
	}
	for i < len(h) && h[i] != '>' && !isSpace(h[i]) {
		i++
	}
	a.value.to, a.to = i, i
	return i
}

// endsName and endsKey hold the bytes that end the name of a tag and of an
// attribute.
var (
	endsName = byteSet(" \n\r\t\f/>")
	endsKey  = byteSet(" \n\r\t\f/>=")
)

func byteSet(of string) (set [256]bool) {
	for i := range len(of) {
		set[of[i]] = true
	}
	return set
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f'
}

// rawText returns the name of the element, in lower case, if what it holds is
// text and no markup; else "".
func rawText(name []byte) string {
	var buf [len("plaintext")]byte
	switch string(lower(buf[:0], name)) {
	case "iframe":
		return "iframe"
	case "noembed":
		return "noembed"
	case "noframes":
		return "noframes"
	case "noscript":
		return "noscript"
	case "plaintext":
		return "plaintext"
	case "script":
		return "script"
	case "style":
		return "style"
	case "textarea":
		return "textarea"
	case "title":
		return "title"
	case "xmp":
		return "xmp"
	}
	return ""
}

// lower appends the name to buf, in lower case as HTML has it, unless that has
// no room for it: then it is none of the names that anybody asks for.
func lower(buf, name []byte) []byte {
	if len(name) > cap(buf)-len(buf) {
		return buf
	}
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf = append(buf, c)
	}
	return buf
}

// commentLen returns the length of the text of a comment and what ends it:
// "-->" or "--!>", or a > with nothing or a hyphen before it; -1 where nothing
// does.
func commentLen(h []byte) int {
	for i := 0; ; i++ {
		n := bytes.IndexByte(h[i:], '>')
		if n < 0 {
			return -1
		}
		i += n
		text := h[:i]
		if len(text) == 0 || string(text) == "-" || bytes.HasSuffix(text, []byte("--")) || bytes.HasSuffix(text, []byte("--!")) {
			return i + 1
		}
	}
}

// rawEnd returns where the text at h[at] of the element name ends: before its
// end tag, or with the page.
func rawEnd(h []byte, at int, name string) int {
	switch name {
	case "plaintext":
		return len(h)
	case "script":
		return scriptEnd(h, at)
	}
	for {
		n := bytes.Index(h[at:], []byte("</"))
		if n < 0 {
			return len(h)
		}
		at += n
		end := rawEndTag(h, at+2, name)
		if end > len(h) {
			return len(h)
		}
		if end > 0 {
			return at
		}
		at += 2
	}
}

// rawEndTag returns the offset behind the name at h[at] and the byte that ends
// it, 0 where another name stands there, more than len(h) where the page ends
// before one could tell.
func rawEndTag(h []byte, at int, name string) int {
	for i := range len(name) {
		if at+i == len(h) {
			return len(h) + 1
		}
		if h[at+i] != name[i] && h[at+i] != name[i]-('a'-'A') {
			return 0
		}
	}
	at += len(name)
	switch {
	case at == len(h):
		return len(h) + 1
	case isSpace(h[at]), h[at] == '/', h[at] == '>':
		return at + 1
	}
	return 0
}

// scriptEnd is rawEnd for scripts, in which "<!--" hides "<script" and its end
// tag (WHATWG 13.2.5.15 to 13.2.5.31).
func scriptEnd(h []byte, at int) int {
	for at < len(h) {
		n := bytes.IndexByte(h[at:], '<')
		if n < 0 {
			return len(h)
		}
		at += n
		switch rest := h[at+1:]; {
		case bytes.HasPrefix(rest, []byte("/")):
			end := rawEndTag(h, at+2, "script")
			if end > len(h) {
				return len(h)
			}
			if end > 0 {
				return at
			}
			at += 2
		case bytes.HasPrefix(rest, []byte("!--")):
			var ended bool
			if at, ended = scriptEscaped(h, at+4); ended {
				return at
			}
		default:
			at++
		}
	}
	return len(h)
}

// scriptEscaped reads on behind "<!--" in a script. ended tells that the
// script's text ends at the offset it returns; else the comment does.
func scriptEscaped(h []byte, at int) (end int, ended bool) {
	const script = "script"
	double := false // behind "<script" in the comment
	dashes := 2
	for at < len(h) {
		c := h[at]
		at++
		switch {
		case c == '-':
			dashes++
			continue
		case c == '>' && dashes >= 2:
			return at, false
		case c == '<' && at < len(h) && h[at] == '/':
			end := rawEndTag(h, at+1, script)
			switch {
			case end > len(h):
				return len(h), true
			case end > 0 && !double:
				return at - 1, true
			case end > 0:
				double, at = false, end
			default:
				at++
			}
		case c == '<' && !double && at < len(h) && isLetter(h[at]):
			if end := rawEndTag(h, at, script); end > 0 {
				double, at = true, min(end, len(h))
			}
		case c == '<' && !double:
			return at, false // as x/net/html has it
		}
		dashes = 0
	}
	return len(h), true
}
