package rewrite

import (
	"bytes"

	"backstamp/mail"
)

// quotedMax is the longest line of quoted-printable, without its line end
// (RFC 2045 section 6.7 rule 5).
const quotedMax = 76

// A quoter writes quoted-printable. Tokens are never broken, so that they have
// their slot at one place in all copies.
type quoter struct {
	out     []byte
	col     int    // of the line being written
	literal []byte // being written
}

// soft breaks the line.
func (q *quoter) soft() {
	q.out = append(q.out, "=\r\n"...)
	q.col = 0
}

// fresh reports whether the next character begins a line.
func (q *quoter) fresh() bool { return q.col == 0 || q.col+1 >= quotedMax }

// unit appends bytes that must stay on one line.
func (q *quoter) unit(b ...byte) {
	if q.col+len(b) >= quotedMax {
		q.soft()
	}
	q.out = append(q.out, b...)
	q.col += len(b)
}

func (q *quoter) escaped(c byte) {
	const hex = "0123456789ABCDEF"
	q.unit('=', hex[c>>4], hex[c&15])
}

// placeholder stands for a token while a plan is made.
var placeholder = bytes.Repeat([]byte("T"), mail.TokenLen)

// quoteSplices turns splices of the decoded text into splices of enc, with
// soft breaks in and behind what they insert: every other byte of enc stays.
func quoteSplices(enc []byte, splices []splice) []splice {
	ranges := encodedRanges(enc, splices)
	out := make([]splice, len(splices))
	literals := make([]struct{ before, after span }, len(splices)) // in q.out
	q := quoter{out: make([]byte, 0, 300*len(splices))}
	done := 0
	for i, s := range splices {
		from, to := ranges[i].from, ranges[i].to
		q.col = column(q.col, enc[done:from])
		before := span{from: len(q.out)}
		if n := takeAlong(enc[done:from], q.col); n > 0 {
			q.col -= n
			q.again(enc[from-n : from])
			from -= n
		}
		q.insert(s.before)
		before.to = len(q.out)
		if s.slot != slotNone {
			q.unit(placeholder...)
			before.to = len(q.out) - len(placeholder) // a soft break may come first
		}
		after := span{from: len(q.out)}
		q.insert(s.after)
		rest, limit := restOfLine(enc, ranges, i)
		to += q.carryOn(enc[to:], rest, limit)
		after.to = len(q.out)
		out[i] = splice{from: from, to: to, slot: s.slot}
		literals[i].before, literals[i].after = before, after
		done = to
	}
	text := string(q.out) // of which the literals are pieces
	for i, l := range literals {
		out[i].before, out[i].after = text[l.before.from:l.before.to], text[l.after.from:l.after.to]
	}
	return out
}

// column returns the column behind kept, which begins in column col.
func column(col int, kept []byte) int {
	if i := bytes.LastIndexByte(kept, '\n'); i >= 0 {
		return len(kept) - i - 1
	}
	return col + len(kept)
}

// takeAlong returns the length of the encoded character at the end of kept if
// it must be written anew: because the line has no room for a soft break behind
// it, or because it is an equals sign that escapes nothing as things stand.
func takeAlong(kept []byte, col int) int {
	n := len(kept)
	switch {
	case n == 0 || kept[n-1] == '\n':
		return 0
	case kept[n-1] == '=':
		return 1
	case col < quotedMax:
		return 0
	case n >= 3 && unitLen(kept[n-3:]) == 3:
		return 3
	}
	return 1
}

// carryOn has what is kept behind a splice, rest bytes of a line, begin a new
// line where this one has no room for it. It returns how many bytes of it were
// written anew, because a line must not begin with them.
func (q *quoter) carryOn(kept []byte, rest, limit int) (taken int) {
	for ; taken < rest; taken++ {
		if q.col > 0 && q.col+rest-taken > limit {
			q.soft()
		}
		if q.col > 0 || !beginsBadly(kept[taken:]) {
			break
		}
		q.escaped(kept[taken])
	}
	return taken
}

// beginsBadly reports what no line that we begin may begin with: a dot, which
// relays have lost, a hyphen, which could make a boundary, or "From ", which
// mail boxes change.
func beginsBadly(line []byte) bool {
	return len(line) > 0 && (line[0] == '.' || line[0] == '-') || bytes.HasPrefix(line, []byte("From "))
}

// again appends an encoded character.
func (q *quoter) again(enc []byte) {
	if len(enc) == 1 {
		q.text(enc)
	} else {
		q.unit(enc...)
	}
}

// restOfLine returns how many bytes stay behind range i on its line, as far as
// they matter, and the column that they may reach: one less where another
// splice follows, which may have to break the line.
func restOfLine(enc []byte, ranges []span, i int) (rest, limit int) {
	at := ranges[i].to
	line, _ := cutLine(enc[at:min(len(enc), at+quotedMax+2)])
	rest, limit = len(line), quotedMax
	if i+1 < len(ranges) && ranges[i+1].from-at <= rest {
		rest, limit = ranges[i+1].from-at, quotedMax-1
	}
	return rest, limit
}

// insert appends what a splice puts in.
func (q *quoter) insert(s string) {
	q.literal = append(q.literal[:0], s...)
	q.text(q.literal)
}

// text appends lines of text. Blanks that end a line are encoded, and so is a
// bare CR or LF, which would not survive as it is. No line comes to begin badly.
func (q *quoter) text(text []byte) { q.some(text, len(text)) }

// lookahead is how far text matters to what is written before it.
const lookahead = len("From ")

// some appends the first n bytes of text, which goes on behind them, and
// returns how many it took: one more where they end between CR and LF.
func (q *quoter) some(text []byte, n int) (taken int) {
	i := 0
	for i < n {
		c, rest := text[i], text[i:]
		i++
		switch {
		case bytes.HasPrefix(rest, []byte("\r\n")):
			q.out = append(q.out, "\r\n"...)
			q.col = 0
			i++
		case (c == ' ' || c == '\t') && (len(rest) == 1 || rest[1] == '\r' || rest[1] == '\n'),
			q.fresh() && beginsBadly(rest), !isPlain(c):
			q.escaped(c)
		default:
			q.unit(c)
			i += q.run(text[i:n])
		}
	}
	return i
}

// run appends the plain characters that text begins with, as many as the line
// takes, and returns how many.
func (q *quoter) run(text []byte) (n int) {
	room := min(len(text), quotedMax-1-q.col)
	for n < room && text[n] > ' ' && isPlain(text[n]) {
		n++
	}
	q.out = append(q.out, text[:n]...)
	q.col += n
	return n
}

// isPlain reports what stands for itself in quoted-printable.
func isPlain(c byte) bool { return c == '\t' || c >= ' ' && c <= '~' && c != '=' }
