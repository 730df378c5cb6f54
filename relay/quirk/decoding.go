package quirk

import (
	"bytes"

	"backstamp/relay/ascii"
)

// A decoding looks, as text comes, whether it is in the transfer encoding that
// it is said to be in. The nil decoding is one of nothing.
type decoding struct {
	quoted bool // quoted-printable, else base64
	odd    bool
	chars  int // of base64, without the equals signs
	pads   int // equals signs
	escape escape
}

// An escape is where quoted-printable stands behind an equals sign.
type escape int

const (
	escapeNone  escape = iota
	escapeBegin        // it may yet be a line end
	escapeDigit        // a digit came, another must
	escapeBreak        // blanks came, a line end must
)

func (d *decoding) write(p []byte) {
	for len(p) > 0 && !d.odd {
		switch {
		case !d.quoted:
			d.base64(p[0])
		case d.escape != escapeNone:
			d.quotedPrintable(p[0])
		default:
			n := bytes.IndexByte(p, '=')
			if n < 0 {
				n = len(p)
			} else {
				d.escape = escapeBegin
			}
			d.odd = !ascii.Is(p[:n])
			p = p[n:]
			if len(p) == 0 {
				return
			}
		}
		p = p[1:]
	}
}

// quotedPrintable takes what follows an equals sign (RFC 2045 section 6.7).
func (d *decoding) quotedPrintable(c byte) {
	isDigit := c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
	switch {
	case d.escape == escapeDigit:
		d.odd, d.escape = !isDigit, escapeNone
	case c == '\r' || c == '\n':
		d.escape = escapeNone
	case c == ' ' || c == '\t':
		d.escape = escapeBreak
	case d.escape == escapeBegin && isDigit:
		d.escape = escapeDigit
	default:
		d.odd = true
	}
}

// base64 takes a character (RFC 2045 section 6.8).
func (d *decoding) base64(c byte) {
	switch {
	case c == '\r' || c == '\n' || c == ' ' || c == '\t':
	case c == '=':
		d.pads++
	case d.pads == 0 && (c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'):
		d.chars++
	default:
		d.odd = true
	}
}

// broken reports whether it was not, at the end of the text.
func (d *decoding) broken() bool {
	return d != nil && (d.odd || d.escape == escapeDigit || d.pads > 2 || (d.chars+d.pads)%4 != 0)
}
