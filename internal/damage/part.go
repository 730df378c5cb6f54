// Package damage judges whether a message was damaged on its way, for tests.
// It shares no code with the engine: it takes messages apart by itself, undoes
// what may have been done to a page by what the tracking links themselves say,
// and compares bytes.
package damage

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"iter"
	"net/textproto"
	"regexp"
	"strings"
)

// A Part is one entity of a message. Its slices lie in the message.
type Part struct {
	Fields   []byte // the header fields
	Empty    []byte // the line that ends them; nothing where there is none
	Body     []byte
	Children []*Part  // of a multipart
	Gaps     [][]byte // what lies before, between and behind the children
}

// maxDepth is how deep multiparts are taken apart.
const maxDepth = 60

// Split takes a message apart at its boundaries, as deep as they go.
func Split(content []byte) *Part { return split(content, 0) }

func split(content []byte, depth int) *Part {
	p := &Part{}
	at := headerEnd(content)
	p.Fields, p.Body = content[:at], content[at:]
	if line := firstLine(p.Body); len(bytes.TrimRight(line, "\r\n")) == 0 {
		p.Empty, p.Body = line, p.Body[len(line):]
	}
	if m := boundaryParam.FindStringSubmatch(p.Header().Get("Content-Type")); m != nil && depth < maxDepth {
		p.splitBody("--"+strings.TrimSpace(m[1]+m[2]), depth)
	}
	return p
}

var (
	fieldLine     = regexp.MustCompile(`^(?:[!-9;-~]+[ \t]*:|[ \t]|From )`)
	boundaryParam = regexp.MustCompile(`(?is)^\s*multipart/.*;\s*boundary\s*=\s*(?:"([^"]+)"|([^"\s;]+))`)
)

// headerEnd returns where the first line begins that may not stand in a header.
func headerEnd(content []byte) (at int) {
	for line := range bytes.Lines(content) {
		continued := line[0] == ' ' || line[0] == '\t'
		if !fieldLine.Match(line) || continued && at == 0 {
			break
		}
		at += len(line)
	}
	return at
}

func firstLine(b []byte) []byte {
	for line := range bytes.Lines(b) {
		return line
	}
	return nil
}

// splitBody cuts the body at its delimiter lines (RFC 2046 section 5.1.1); the
// line end before one belongs to it.
func (p *Part) splitBody(delim string, depth int) {
	at, begin, gap := 0, -1, 0
	for line := range bytes.Lines(p.Body) {
		next := at + len(line)
		bare := string(bytes.TrimRight(line, " \t\r\n"))
		if last := bare == delim+"--"; last || bare == delim {
			if begin >= 0 {
				gap = max(begin, at-lineEnd(p.Body[:at]))
				p.Children = append(p.Children, split(p.Body[begin:gap], depth+1))
			}
			p.Gaps = append(p.Gaps, p.Body[gap:next])
			gap, begin = next, next
			if last {
				p.Gaps = append(p.Gaps, p.Body[gap:])
				return
			}
		}
		at = next
	}
	if begin >= 0 {
		p.Children = append(p.Children, split(p.Body[begin:], depth+1))
	}
}

// lineEnd returns the length of the line end that b ends in.
func lineEnd(b []byte) int {
	return len(b) - len(bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")))
}

// Header reads what fields it can.
func (p *Part) Header() textproto.MIMEHeader {
	h := textproto.MIMEHeader{}
	for _, field := range p.fields() {
		key, value, ok := strings.Cut(string(field), ":")
		if ok {
			value = strings.NewReplacer("\r", "", "\n", "").Replace(value)
			h.Add(textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(key)), strings.TrimSpace(value))
		}
	}
	return h
}

// fields returns the header fields, each with its folding and line ends.
func (p *Part) fields() (out [][]byte) {
	begin, at := 0, 0
	for line := range bytes.Lines(p.Fields) {
		if at > 0 && line[0] != ' ' && line[0] != '\t' {
			out = append(out, p.Fields[begin:at])
			begin = at
		}
		at += len(line)
	}
	return append(out, p.Fields[begin:])
}

// Media returns the media type in lower case, "" where nothing is said.
func (p *Part) Media() string {
	t, _, _ := strings.Cut(comment.ReplaceAllString(p.Header().Get("Content-Type"), ""), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// comment matches comments without others in them (RFC 5322 section 3.2.2).
var comment = regexp.MustCompile(`\([^()]*\)`)

// Encoding returns the transfer encoding in lower case.
func (p *Part) Encoding() string {
	return strings.ToLower(strings.Trim(comment.ReplaceAllString(p.Header().Get("Content-Transfer-Encoding"), ""), " \t;"))
}

var charsetParam = regexp.MustCompile(`(?i);\s*charset\s*=\s*"?([^"\s;]+)`)

// Charset returns the charset label as it stands, "" where there is none.
func (p *Part) Charset() string {
	if m := charsetParam.FindStringSubmatch(p.Header().Get("Content-Type")); m != nil {
		return m[1]
	}
	return ""
}

// Decoded undoes the transfer encoding, strictly.
func (p *Part) Decoded() ([]byte, error) {
	switch p.Encoding() {
	case "quoted-printable":
		return unquote(p.Body)
	case "base64":
		packed := bytes.Join(bytes.Fields(p.Body), nil)
		n, err := base64.StdEncoding.Decode(packed, packed)
		return packed[:n], err
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit", "7bits", "8bits":
		return p.Body, nil
	}
	return nil, fmt.Errorf("encoding %q", p.Encoding())
}

// unquote decodes quoted-printable (RFC 2045 section 6.7).
func unquote(enc []byte) ([]byte, error) {
	var out []byte
	for line := range bytes.Lines(enc) {
		text := line[:len(line)-lineEnd(line)]
		ending := line[len(text):]
		text = bytes.TrimRight(text, " \t")
		if bytes.HasSuffix(text, []byte("=")) {
			text, ending = text[:len(text)-1], nil
		}
		for len(text) > 0 {
			before, rest, found := bytes.Cut(text, []byte("="))
			out = append(out, before...)
			if text = rest; !found {
				break
			}
			c, err := hex.DecodeString(string(rest[:min(2, len(rest))]))
			if err != nil || len(c) == 0 {
				return nil, fmt.Errorf("quoted-printable: %q", line)
			}
			out, text = append(out, c...), rest[2:]
		}
		out = append(out, ending...)
	}
	return out, nil
}

// Leaves yields the parts that are no multiparts, in order.
func (p *Part) Leaves() iter.Seq[*Part] {
	return func(yield func(*Part) bool) { p.leaves(yield) }
}

func (p *Part) leaves(yield func(*Part) bool) bool {
	if p.Gaps == nil {
		return yield(p)
	}
	for _, child := range p.Children {
		if !child.leaves(yield) {
			return false
		}
	}
	return true
}
