package render

import (
	"encoding/base64"
	"io"

	"backstamp/mail"
)

// newEncoder returns what writes content in that way, to be closed at its end.
func newEncoder(w io.Writer, how string) io.WriteCloser {
	switch how {
	case "quoted-printable", "mend":
		return &quoter{w: w, mend: how == "mend"}
	case "base64":
		return base64.NewEncoder(base64.StdEncoding, &wrapper{w: w})
	case "break":
		return &breaker{w: w}
	}
	return unmarker{w}
}

// A wrapper breaks lines of base64.
type wrapper struct {
	w   io.Writer
	col int
}

func (l *wrapper) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		if l.col == 76 {
			if err := writeAll(l.w, []byte("\r\n")); err != nil {
				return 0, err
			}
			l.col = 0
		}
		n := min(len(p), 76-l.col)
		if err := writeAll(l.w, p[:n]); err != nil {
			return 0, err
		}
		l.col += n
		p = p[n:]
	}
	return size, nil
}

// A quoter writes quoted-printable (RFC 2045 section 6.7). Where it mends, what
// comes is that already, and it encodes the bytes that should have been, which
// readers take as they stand, and breaks lines that SMTP does not carry.
type quoter struct {
	w     io.Writer
	mend  bool
	out   []byte
	col   int
	blank byte   // that may end a line, 0 for none
	held  []byte // likewise, where it mends
	fresh bool   // we began the line, in the middle of another
}

// The longest line that is made, and that is left where it was made by others.
const (
	quotedMax = 76
	keptMax   = mail.LineMax - 10
	heldMax   = 64 << 10 // blanks that may end a line
)

func (q *quoter) Write(p []byte) (int, error) {
	q.out = q.out[:0]
	for _, c := range p {
		q.char(c)
	}
	return len(p), writeAll(q.w, q.out)
}

// Close writes what was kept back.
func (q *quoter) Close() error {
	q.out = q.out[:0]
	q.settle(true)
	return writeAll(q.w, q.out)
}

func (q *quoter) char(c byte) {
	switch {
	case c == '\r' || c == '\n':
		q.settle(true)
		q.out = append(q.out, c)
		q.col, q.fresh = 0, false
		return
	case q.mend && (c == ' ' || c == '\t') && len(q.held) < heldMax:
		q.held = append(q.held, c)
		return
	}
	q.settle(false)
	if q.mend && c < 0x80 {
		q.kept(c)
		return
	}
	switch {
	case c == ' ' || c == '\t':
		q.blank = c
	case c > ' ' && c <= '~' && c != '=' && !(q.begins(1) && beginsBadly(c)):
		q.put(c)
	default:
		q.escaped(c)
	}
}

// settle writes the blanks that were kept back. At the end of a line one of text
// may not stand as it is, and in quoted-printable they are none of the text.
func (q *quoter) settle(atEnd bool) {
	if atEnd {
		q.held = q.held[:min(len(q.held), max(0, keptMax-q.col))]
	}
	for _, c := range q.held {
		q.kept(c)
	}
	c := q.blank
	q.held, q.blank = q.held[:0], 0
	switch {
	case c == 0:
	case atEnd:
		q.escaped(c)
	default:
		q.put(c)
	}
}

// kept writes a character of what is quoted-printable already. One that was
// encoded is not taken apart: its equals sign comes first and moves with it.
func (q *quoter) kept(c byte) {
	switch {
	case q.fresh && q.col == 0 && beginsBadly(c):
		q.escaped(c)
		return
	case q.col >= keptMax && (c == '=' || q.col >= keptMax+3):
		q.soft()
		q.kept(c)
		return
	}
	q.out = append(q.out, c)
	q.col++
}

// begins reports whether what comes, n octets, begins a line of our own.
func (q *quoter) begins(n int) bool { return q.fresh && q.col == 0 || q.col+n >= quotedMax }

// beginsBadly reports what no line that we begin may begin with: it could make a
// boundary, the end of a message, or the "From " that mail boxes change.
func beginsBadly(c byte) bool { return c == '-' || c == '.' || c == 'F' }

func (q *quoter) escaped(c byte) {
	const hex = "0123456789ABCDEF"
	q.put('=', hex[c>>4], hex[c&15])
}

// put writes what must stay on one line.
func (q *quoter) put(p ...byte) {
	if q.col+len(p) >= quotedMax {
		q.soft()
	}
	q.out = append(q.out, p...)
	q.col += len(p)
}

func (q *quoter) soft() {
	q.out = append(q.out, "=\r\n"...)
	q.col, q.fresh = 0, true
}

// A breaker breaks lines that SMTP does not carry, of what nobody reads or
// whose line ends mean nothing. No line comes to begin as a delimiter does.
type breaker struct {
	w   io.Writer
	col int
	out []byte
}

func (b *breaker) Write(p []byte) (int, error) {
	b.out = b.out[:0]
	for _, c := range p {
		if b.col >= keptMax && c != '\r' && c != '\n' {
			b.out = append(b.out, "\r\n"...)
			if b.col = 0; beginsBadly(c) {
				b.out = append(b.out, ' ')
				b.col++
			}
		}
		b.out = append(b.out, c)
		if b.col++; c == '\n' {
			b.col = 0
		}
	}
	return len(p), writeAll(b.w, b.out)
}

func (b *breaker) Close() error { return nil }

// An unmarker replaces bytes that base64 does not have and readers pass over.
type unmarker struct{ io.Writer }

func (u unmarker) Write(p []byte) (int, error) { return len(p), writeAll(u.Writer, unmarked(p)) }

func (u unmarker) Close() error { return nil }
