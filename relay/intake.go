package relay

import (
	"bytes"
	"sync"

	"backstamp/mail"
	"backstamp/relay/quirk"
)

// The bounds of what an intake has in memory, in octets. An oddity may double
// what comes in; crsMax CRs are no line end any more, whatever follows.
const (
	outSize = chunkSize + 16<<10
	crsMax  = 1000
)

// outs holds *[outSize]byte of intakes that are done.
var outs = sync.Pool{New: func() any { return new([outSize]byte) }}

// An intake makes well-formed lines of the content that a client sends in DATA
// or BDAT: CRLF ends each line, and no other CR, LF or NUL is left. It takes
// the bytes in pieces of any size.
//
// Only CRLF "." CRLF ends DATA (RFC 5321 section 4.1.1.4). What looks like an
// end to others, who might take what follows for commands, is content here.
//
// CR CR LF, bare LF, bare CR and NUL are set right and noted as oddities; it
// is for the caller to refuse them.
type intake struct {
	stuffed bool // dots are stuffed and CRLF "." CRLF ends it: DATA
	out     []byte
	memory  *[outSize]byte // of out

	state    lineState
	crs      int  // CRs that wait for what follows them
	strained bool // the last line ended in CR CR LF
	empty    bool // the line in out has nothing yet
	header   bool // no empty line came yet

	tail     [10]byte // what came last
	ended    bool     // the final dot came
	bareCR   bool
	bareLF   bool
	nul      bool
	longLine bool  // some line is longer than SMTP carries
	line     int   // octets of the line in out
	octets   int64 // taken in
	stranger bool  // the final dot followed CR CR LF, which not all read as a line end
}

// A lineState says where in a line an intake stands.
type lineState int

const (
	inLine lineState = iota
	atStart
	afterDot   // a dot stands first in the line and what it means is open
	afterDotCR // a dot and CR
)

// newIntake returns an intake that must be freed.
func newIntake(stuffed bool) *intake {
	in := &intake{stuffed: stuffed, state: atStart, empty: true, header: true, memory: outs.Get().(*[outSize]byte)}
	in.out = in.memory[:0]
	return in
}

// free ends the intake and all that was taken from it.
func (in *intake) free() {
	if in.memory != nil {
		outs.Put(in.memory)
		in.memory, in.out = nil, nil
	}
}

// take adds p and returns how much of it belongs to the message: less than all
// of it when the final dot came.
func (in *intake) take(p []byte) int {
	at := 0
	for at < len(p) && !in.ended {
		if in.state == inLine && in.crs == 0 {
			if n := plain(p[at:]); n > 0 {
				in.put(p[at : at+n]...)
				at += n
				continue
			}
		}
		in.step(p[at])
		at++
	}
	in.octets += int64(at)
	if n := copy(in.tail[:], in.tail[min(at, len(in.tail)):]); at > 0 {
		copy(in.tail[n:], p[max(0, at-len(in.tail)):at])
	}
	return at
}

// lfDot reports whether what came so far ends as a message does whose client
// ends lines in LF, or as that client's whole session.
func (in *intake) lfDot() bool {
	if !in.stuffed || in.ended || !in.bareLF {
		return false
	}
	tail := bytes.ToUpper(bytes.ReplaceAll(in.tail[:], []byte("\r\n"), []byte("\n")))
	return bytes.HasSuffix(bytes.TrimSuffix(tail, []byte("QUIT\n")), []byte("\n.\n"))
}

// plain returns how many bytes p begins with that mean nothing in the middle
// of a line.
func plain(p []byte) int {
	for _, c := range []byte("\r\n\x00") {
		if i := bytes.IndexByte(p, c); i >= 0 {
			p = p[:i]
		}
	}
	return len(p)
}

func (in *intake) step(c byte) {
	switch in.state {
	case atStart:
		if c == '.' && in.stuffed {
			in.state = afterDot
			return
		}
	case afterDot:
		switch c {
		case '\r':
			in.state = afterDotCR
			return
		case '\n', 0:
			in.put('.') // who stuffs dots would have sent two: keep it
		}
	case afterDotCR:
		if c == '\n' {
			in.ended, in.stranger = true, in.strained
			return
		}
		in.put('.')
		in.crs = 1
	}
	in.state = inLine
	in.text(c)
}

// text adds a byte that is no part of the dots' protocol.
func (in *intake) text(c byte) {
	switch {
	case c == '\r':
		if in.crs++; in.crs == crsMax {
			in.lone()
		}
	case c == '\n' && in.crs == 0:
		in.bareLF = true
		in.newline()
	case c == '\n':
		in.strained = in.crs > 1
		in.bareCR = in.bareCR || in.strained
		in.crs = 0
		in.newline()
		in.state = atStart
	default:
		in.lone()
		if c == 0 {
			in.nul = true
		} else {
			in.put(c)
		}
	}
}

// lone settles CRs that no LF followed: a line end in the body, a space in the
// header, where a line end would make a field of what follows.
func (in *intake) lone() {
	for ; in.crs > 0; in.crs-- {
		in.bareCR = true
		if in.header {
			in.put(' ')
		} else {
			in.newline()
		}
	}
}

func (in *intake) put(p ...byte) {
	in.out = append(in.out, p...)
	in.line += len(p)
	in.empty = false
}

func (in *intake) newline() {
	in.out = append(in.out, '\r', '\n')
	if in.empty {
		in.header = false
	}
	in.longLine = in.longLine || in.line > mail.LineMax
	in.empty, in.line = true, 0
}

// finish ends the last line where the client did not.
func (in *intake) finish() {
	in.lone()
	if !in.empty {
		in.newline()
	}
}

// odd reports whether something had to be set right.
func (in *intake) odd() bool { return in.bareCR || in.bareLF || in.nul }

// quirks names what was set right.
func (in *intake) quirks() []string {
	var q []string
	if in.bareLF {
		q = append(q, quirk.BareLF)
	}
	if in.bareCR {
		q = append(q, quirk.BareCR)
	}
	if in.nul {
		q = append(q, quirk.NUL)
	}
	return q
}
