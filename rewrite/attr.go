package rewrite

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
)

// attrValue returns the value of the attribute of that name, in lower case, as
// a browser reads it: entities undone. tag is the whole start tag, value what
// stands between the quotes. Only the forms that links are full of are undone
// here; for others the tag is read again by x/net/html.
func attrValue(tag []byte, name string, value []byte) string {
	if text, ok := unescaped(value); ok {
		return text
	}
	z := html.NewTokenizer(bytes.NewReader(tag))
	z.Next()
	z.TagName()
	for more := true; more; {
		var key, val []byte
		if key, val, more = z.TagAttr(); string(key) == name {
			return string(val)
		}
	}
	return ""
}

// unescaped undoes &amp; and leaves alone what is no entity in an attribute
// (WHATWG 13.2.5.73): an ampersand before something other than a name or a
// number sign, and a name before an equals sign, as in ?a=1&copy=2. ok is
// false where there is anything else to undo.
func unescaped(value []byte) (text string, ok bool) {
	if hasByte(value, '\r') || hasByte(value, 0) {
		return "", false
	}
	n := bytes.IndexByte(value, '&')
	if n < 0 {
		return string(value), true
	}
	var b strings.Builder
	b.Grow(len(value))
	for ; n >= 0; n = bytes.IndexByte(value, '&') {
		b.Write(value[:n+1])
		value = value[n+1:]
		word := wordLen(value)
		next := byte(0)
		if word < len(value) {
			next = value[word]
		}
		switch {
		case next == ';' && string(value[:word]) == "amp":
			value = value[word+1:]
		case next == '=', word == 0 && next != '#':
		default:
			return "", false
		}
	}
	b.Write(value)
	return b.String(), true
}

// wordLen returns how many letters and digits b begins with.
func wordLen(b []byte) int {
	for i, c := range b {
		if !isLetter(c) && (c < '0' || c > '9') {
			return i
		}
	}
	return len(b)
}
