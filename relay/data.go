package relay

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"backstamp/mail"
)

// chunkSize is how much content goes to the session at a time, in octets.
const chunkSize = 64 << 10

// A transfer is the content of one message on its way through the front: what
// comes in DATA or BDAT is set right by an intake and goes to the session in
// counted chunks. Once there is a verdict, the rest is read and dropped.
type transfer struct {
	f       *front
	in      *intake
	verdict *mail.Reply // what ends the transaction
}

// data carries out DATA (RFC 5321 section 4.1.1.4).
func (f *front) data(cmd command) error {
	if cmd.arg != "" {
		return f.misstep(refusal(501, "5.5.4", "DATA takes no argument"))
	}
	f.say(mail.Reply{Code: 354, Lines: []string{"send the message, end with <CRLF>.<CRLF>"}})
	t := &transfer{f: f, in: newIntake(true)}
	for !t.in.ended {
		p, err := f.ahead(chunkSize)
		if err != nil {
			return fmt.Errorf("read content: %w", err)
		}
		f.r.Discard(t.in.take(p))
		if err := t.pass(false); err != nil {
			return err
		}
	}
	f.last = t.in.stranger
	return t.finish()
}

// ahead returns what is there to read, at most n octets, waiting for the first
// once all replies are out. The caller discards what it used of it.
func (f *front) ahead(n int) ([]byte, error) {
	if err := f.flush(); err != nil {
		return nil, err
	}
	if _, err := f.r.Peek(1); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return f.r.Peek(min(n, f.r.Buffered()))
}

// bdat carries out BDAT (RFC 3030). A chunk is always read, also when it is
// refused, since it follows its command in any case.
func (f *front) bdat(cmd command) error {
	size, last, err := parseChunk(cmd.arg)
	if err != nil {
		f.say(replyOf(asReply(err)))
		return refusal(421, "4.7.0", "where the chunk ends is not known")
	}
	if f.rcpts == 0 {
		if err := f.skip(size); err != nil {
			return err
		}
		f.say(replyOf(refusal(503, "5.5.1", "bad sequence of commands")))
		return nil
	}
	if f.in == nil {
		f.in = newIntake(false)
	}
	t := &transfer{f: f, in: f.in}
	for size > 0 {
		p, err := f.ahead(int(min(size, chunkSize)))
		if err != nil {
			return fmt.Errorf("read chunk: %w", err)
		}
		t.in.take(p)
		f.r.Discard(len(p))
		size -= int64(len(p))
		if err := t.pass(false); err != nil {
			return err
		}
	}
	if last {
		return t.finish()
	}
	return t.proceed()
}

// parseChunk reads the argument of BDAT.
func parseChunk(arg string) (size int64, last bool, err error) {
	words := strings.Fields(arg)
	if len(words) == 2 && strings.EqualFold(words[1], "LAST") {
		last = true
	} else if len(words) != 1 {
		return 0, false, refusal(501, "5.5.4", "expected BDAT size [LAST]")
	}
	n, err := strconv.ParseUint(words[0], 10, 40)
	if err != nil {
		return 0, false, refusal(501, "5.5.4", "malformed chunk size")
	}
	return int64(n), last, nil
}

// skip drops n octets of the client.
func (f *front) skip(n int64) error {
	if _, err := io.CopyN(io.Discard, f.r, n); err != nil {
		return fmt.Errorf("read chunk: %w", err)
	}
	return nil
}

// pass hands over what is ready, once it is worth a chunk, or all of it at the
// end.
func (t *transfer) pass(last bool) error {
	if t.verdict != nil {
		t.in.out = t.in.out[:0]
		return nil
	}
	if len(t.in.out) < chunkSize && !last {
		return nil
	}
	r, err := t.f.inner.chunk(t.in.out, last)
	if err != nil {
		return err
	}
	t.in.out = t.in.out[:0]
	if last || !r.Positive() {
		t.verdict = &r
	}
	return nil
}

// proceed answers a chunk that is not the last.
func (t *transfer) proceed() error {
	if t.verdict == nil {
		t.f.say(replyOf(refusal(250, "2.0.0", "chunk taken")))
		return nil
	}
	return t.conclude()
}

// finish ends the message and says what became of it.
func (t *transfer) finish() error {
	t.in.finish()
	t.f.peer.transcript.client(fmt.Sprintf("(content, %d octets)", t.in.octets))
	t.f.peer.quirk(t.in.quirks()...)
	if t.in.odd() && !t.f.peer.tolerated && t.verdict == nil {
		if _, err := t.f.inner.exchange("RSET"); err != nil {
			return err
		}
		r := replyOf(refusal(550, "5.6.0", "bare CR, bare LF or NUL in the message"))
		t.verdict = &r
	}
	if err := t.pass(true); err != nil {
		return err
	}
	return t.conclude()
}

// conclude says the reply that ended the transaction.
func (t *transfer) conclude() error {
	t.f.say(*t.verdict)
	t.f.reset()
	if t.verdict.Positive() {
		t.f.bad, t.f.idle = 0, 0
	}
	if t.verdict.Code == 421 {
		return errHangUp
	}
	return nil
}
