package mail

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// replyMax is the most that is kept of a reply, in octets.
const replyMax = 4 << 10

// A Reply is one SMTP reply (RFC 5321 section 4.2): its code and its lines
// without code, separator and line end. An enhanced status code (RFC 3463)
// stays at the start of the lines.
type Reply struct {
	Code  int
	Lines []string
}

// IsZero reports whether there was no reply.
func (r Reply) IsZero() bool { return r.Code == 0 }

// Positive reports a 2yz reply.
func (r Reply) Positive() bool { return r.Code/100 == 2 }

// Temporary reports a 4yz reply.
func (r Reply) Temporary() bool { return r.Code/100 == 4 }

// Permanent reports a 5yz reply.
func (r Reply) Permanent() bool { return r.Code/100 == 5 }

// Enhanced returns the enhanced status code, such as "5.7.1", or "".
func (r Reply) Enhanced() string {
	if len(r.Lines) == 0 {
		return ""
	}
	word, _, _ := strings.Cut(r.Lines[0], " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || !strings.Contains("245", parts[0]) {
		return ""
	}
	for _, p := range parts[1:] {
		if n, err := strconv.Atoi(p); err != nil || n < 0 || n > 999 {
			return ""
		}
	}
	return word
}

// Text returns the lines joined by spaces, for matching.
func (r Reply) Text() string { return strings.Join(r.Lines, " ") }

// String returns the reply verbatim with the code on each line, lines joined
// by \n, control bytes and bytes that are no UTF-8 escaped, cut at 4 KiB; ""
// for the zero Reply.
func (r Reply) String() string {
	if r.IsZero() {
		return ""
	}
	lines := r.Lines
	if len(lines) == 0 {
		lines = []string{""}
	}
	var b strings.Builder
	for i, line := range lines {
		if b.Len() > replyMax {
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		sep := byte('-')
		if i == len(lines)-1 {
			sep = ' '
		}
		fmt.Fprintf(&b, "%03d%c%s", r.Code, sep, Escape(line))
	}
	return cut(b.String(), replyMax)
}

// Escape makes text of strangers safe to show on a terminal and in a log:
// control characters, bidirectional overrides and bytes that are no UTF-8
// become escapes.
func Escape(s string) string {
	clean := true
	for _, r := range s {
		if unsafeRune(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unsafeRune(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case unsafeRune(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

func unsafeRune(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029
}

// cut shortens s to at most n octets without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
