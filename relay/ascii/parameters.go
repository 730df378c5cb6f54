package ascii

import (
	"fmt"
	"strings"
)

// parameters writes those parameters of a MIME field that hold more than ASCII
// as RFC 2231 has it, in pieces that fit on lines of their own.
func parameters(text string) string {
	var b strings.Builder
	for i, part := range cutParameters(text) {
		if i > 0 {
			b.WriteByte(';')
		}
		name, value, found := strings.Cut(part, "=")
		switch {
		case Is(part):
			b.WriteString(part)
		case i == 0 || !found || !Is(name):
			b.WriteString(replaced(part))
		default:
			b.WriteString(strings.Join(pieces(strings.TrimRight(strings.TrimSpace(unfold(name)), "*"), unquote(strings.TrimSpace(value))), ";"))
		}
	}
	return b.String()
}

// cutParameters cuts at semicolons outside quotes.
func cutParameters(s string) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

// replaced has a question mark for what no syntax can hold.
func replaced(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x80 {
			return '?'
		}
		return r
	}, s)
}

// pieceMax is how much of a value stands in one piece, in octets as encoded.
const pieceMax = 54

// pieces writes one parameter (RFC 2231 sections 3 and 4).
func pieces(name, value string) []string {
	var encoded []string
	piece := "utf-8''"
	for _, r := range value {
		c := percent(string(r))
		if len(piece)+len(c) > pieceMax {
			encoded = append(encoded, piece)
			piece = ""
		}
		piece += c
	}
	encoded = append(encoded, piece)
	if len(encoded) == 1 {
		return []string{"\r\n " + name + "*=" + encoded[0]}
	}
	for i := range encoded {
		encoded[i] = fmt.Sprintf("\r\n %s*%d*=%s", name, i, encoded[i])
	}
	return encoded
}

// percent encodes all but attribute characters (RFC 2231 section 7).
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-._~!", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
