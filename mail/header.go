package mail

import (
	"bytes"
	"strings"
)

// A Field is one header field as it stands in the message (RFC 5322 section
// 2.2), byte for byte, with its folding and its line end.
type Field struct {
	Name string // as written, without the colon and the space before it
	Raw  []byte // name, colon, value, line end; a slice of the message
}

// folds leaves folding (RFC 5322 section 2.2.3) alone and takes every other
// line end for a space, so that a field stays one field.
var folds = strings.NewReplacer("\r\n ", "\r\n ", "\r\n\t", "\r\n\t", "\r", " ", "\n", " ", "\x00", " ")

// NewField makes a field of its text without line end. Whatever the text holds,
// it is one field.
func NewField(text string) Field {
	text = folds.Replace(strings.TrimRight(text, " \t\r\n"))
	name, _, _ := strings.Cut(text, ":")
	return Field{Name: name, Raw: []byte(text + "\r\n")}
}

// Value returns the bytes after the colon, folding and outer space kept off:
// line ends are removed, as RFC 5322 section 2.2.3 unfolds.
func (f Field) Value() string {
	_, v, _ := bytes.Cut(f.Raw, []byte{':'})
	v = bytes.ReplaceAll(v, []byte("\r"), nil)
	v = bytes.ReplaceAll(v, []byte("\n"), nil)
	return strings.Trim(string(v), " \t")
}

// Is compares the name without case.
func (f Field) Is(name string) bool { return strings.EqualFold(f.Name, name) }

// A Header is the header section of a message or part, in order.
type Header []Field

// ParseHeader splits content into its header fields and the offset at which
// the body begins, after the empty line. It keeps every byte: the Raw slices,
// joined, are content[:end], and content[end:body] is the empty line, or
// nothing where there is none.
//
// A line that is neither a field nor a continuation ends the header without an
// empty line, as mail software commonly reads it; body then equals end. A
// first line "From " (mbox) is kept as a Field with an empty name.
func ParseHeader(content []byte) (h Header, end, body int) {
	at := 0
	for at < len(content) {
		line := content[at:lineEnd(content, at)]
		text := bytes.TrimRight(line, "\r\n")
		switch {
		case len(text) == 0:
			return h, at, at + len(line)
		case (text[0] == ' ' || text[0] == '\t') && len(h) > 0:
			last := &h[len(h)-1]
			last.Raw = content[at-len(last.Raw) : at+len(line)]
		default:
			name, ok := fieldName(text)
			if !ok && !(at == 0 && bytes.HasPrefix(text, []byte("From "))) {
				return h, at, at
			}
			h = append(h, Field{Name: name, Raw: line})
		}
		at += len(line)
	}
	return h, at, at
}

// fieldName returns what stands before the colon; ok is false for a line that
// is no field. Space before the colon is obsolete syntax (RFC 5322 section
// 4.5) that real mail holds.
func fieldName(line []byte) (name string, ok bool) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return "", false
	}
	n := bytes.TrimRight(line[:i], " \t")
	if len(n) == 0 {
		return "", false
	}
	for _, c := range n {
		if c <= ' ' || c >= 0x7f {
			return "", false
		}
	}
	return string(n), true
}

// lineEnd returns the offset after the line feed that ends the line at from,
// or the end of content.
func lineEnd(content []byte, from int) int {
	if i := bytes.IndexByte(content[from:], '\n'); i >= 0 {
		return from + i + 1
	}
	return len(content)
}

// All returns the fields of that name.
func (h Header) All(name string) []Field {
	var out []Field
	for _, f := range h {
		if f.Is(name) {
			out = append(out, f)
		}
	}
	return out
}

// Get returns the unfolded value of the first field of that name, or "".
func (h Header) Get(name string) string {
	for _, f := range h {
		if f.Is(name) {
			return f.Value()
		}
	}
	return ""
}

// Has reports whether there is a field of that name.
func (h Header) Has(name string) bool {
	for _, f := range h {
		if f.Is(name) {
			return true
		}
	}
	return false
}

// Put returns h with f in the place of the first field of its name, without
// others of it, or with f at the end.
func (h Header) Put(f Field) Header {
	out := make(Header, 0, len(h)+1)
	found := false
	for _, old := range h {
		switch {
		case !old.Is(f.Name):
			out = append(out, old)
		case !found:
			out, found = append(out, f), true
		}
	}
	if !found {
		out = append(out, f)
	}
	return out
}
