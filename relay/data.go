package relay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/relay/ascii"
	"backstamp/relay/quirk"
)

// chunkSize is how much content is written at a time, in octets.
const chunkSize = 32 << 10

// A transfer is the content of one message on its way in: what comes in DATA or
// BDAT is set right by an intake and goes, in chunks, into the body that the
// session finds once it is whole. Once there is a verdict, the rest is read and
// dropped.
type transfer struct {
	*front
	in      *intake
	verdict *mail.Reply // what ends the transaction
}

// begin makes the transfer of a message. It lasts until reset.
func (f *front) begin(stuffed bool) (*transfer, error) {
	t := &transfer{front: f, in: newIntake(stuffed)}
	f.transfer, f.peer.eightBit = t, false
	f.widen()
	body, err := f.server.queue.NewBody()
	if err != nil {
		return t, t.refuse(err)
	}
	f.peer.body = body
	return t, nil
}

// end forgets the transfer. What no session took was given up by the client.
func (t *transfer) end() {
	if t.peer.body != nil {
		t.server.metrics.messages.WithLabelValues("incomplete").Inc()
		t.server.log.Debug("content did not come whole", "addr", t.peer.addr.String())
	}
	t.drop()
	t.in.free()
	t.transfer = nil
}

// drop lets go of the body.
func (t *transfer) drop() {
	body := t.peer.body
	if body == nil {
		return
	}
	t.peer.body = nil
	if err := body.Close(); err != nil {
		t.server.log.Warn("content of no message stays until the next start", "err", err)
	}
}

// data carries out DATA (RFC 5321 section 4.1.1.4).
func (f *front) data(cmd command) error {
	if cmd.arg != "" {
		return f.misstep(refusal(501, "5.5.4", "DATA takes no argument"))
	}
	f.say(mail.Reply{Code: 354, Lines: []string{"send the message, end with <CRLF>.<CRLF>"}})
	t, err := f.begin(true)
	if err != nil {
		return err
	}
	for !t.in.ended {
		f.wire.expect(t.patience(), f.end, false)
		p, err := f.ahead(chunkSize)
		if err != nil {
			return t.broken(err)
		}
		f.r.Discard(t.in.take(p))
		if err := t.pass(chunkSize); err != nil {
			return err
		}
	}
	f.last = t.in.stranger
	return t.finish()
}

// lfDotPatience is how long a client is waited for that seems to think that its
// message is over.
const lfDotPatience = time.Minute

// patience is how long the client may be silent.
func (t *transfer) patience() time.Duration {
	if t.in.lfDot() {
		return min(lfDotPatience, t.policy.limits.Read)
	}
	return t.policy.limits.Read
}

// broken is what ends a connection whose content did not come whole. A client
// that ended it in LF "." LF hears so, if it waits: nothing else would tell whoever
// runs it.
func (t *transfer) broken(err error) error {
	err = fmt.Errorf("read content: %w", err)
	if !t.in.lfDot() {
		return err
	}
	r := refusal(451, "4.4.2", "the message ended in LF . LF, which ends no message; it has to end in CRLF . CRLF")
	t.server.log.Warn("message not taken: the client ends it in LF instead of CRLF; have it send CRLF, or hand its mail to the command sendmail",
		"addr", t.peer.addr.String(), "helo", t.peer.helo)
	t.seen(sighting{Visitor: mail.Visitor{Refused: 1, Refusal: replyOf(r).String()}, quirks: []string{quirk.LFDot}})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return r
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
		return f.idled()
	}
	t := f.transfer
	if t == nil {
		if t, err = f.begin(false); err != nil {
			return err
		}
	}
	before := t.in.octets
	for size > 0 {
		p, err := f.ahead(int(min(size, chunkSize)))
		if err != nil {
			return fmt.Errorf("read chunk: %w", err)
		}
		t.in.take(p)
		f.r.Discard(len(p))
		size -= int64(len(p))
		if err := t.pass(chunkSize); err != nil {
			return err
		}
	}
	if last {
		return t.finish()
	}
	return t.proceed(before)
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

// pass writes what is ready, if that is least octets.
func (t *transfer) pass(least int) error {
	p := t.in.out
	if len(p) < least {
		return nil
	}
	t.in.out = p[:0]
	t.peer.eightBit = t.peer.eightBit || !ascii.Is(p)
	if t.verdict != nil {
		return nil
	}
	if limit := t.policy.limit(t.peer.addr.Addr()); t.peer.body.Size()+int64(len(p)) > limit {
		return t.refuse(tooLarge(limit))
	}
	if _, err := t.peer.body.Write(p); err != nil {
		return t.refuse(fmt.Errorf("keep content: %w", err))
	}
	return nil
}

// refuse ends the transaction, whatever is still to come of its content.
func (t *transfer) refuse(err error) error {
	t.drop()
	r := replyOf(asReply(err))
	t.verdict = &r
	t.server.metrics.refused(err)
	attrs := []any{"addr", t.peer.addr.String(), "reply", r.String()}
	if ours(err) {
		t.server.log.Error("message not taken", append(attrs, "err", err)...)
	} else {
		t.server.log.Info("message refused", attrs...)
	}
	_, err = t.inner.exchange("RSET")
	return err
}

// proceed answers a chunk that is not the last; before it so many octets were
// there.
func (t *transfer) proceed(before int64) error {
	if t.verdict == nil {
		t.say(replyOf(refusal(250, "2.0.0", "chunk taken")))
		if t.in.octets > before {
			return nil
		}
		return t.idled()
	}
	return t.conclude()
}

// finish ends the message and says what became of it.
func (t *transfer) finish() error {
	t.in.finish()
	t.peer.transcript.client(fmt.Sprintf("(content, %d octets)", t.in.octets))
	t.peer.quirk(t.in.quirks()...)
	t.peer.longLine = t.in.longLine
	var err error
	if t.in.odd() && !t.peer.tolerated && t.verdict == nil {
		err = t.refuse(refusal(550, "5.6.0", "bare CR, bare LF or NUL in the message"))
	} else {
		err = t.pass(0)
	}
	if err == nil && t.verdict == nil {
		var r mail.Reply
		r, err = t.inner.content()
		t.verdict = &r
	}
	if err != nil {
		return err
	}
	return t.conclude()
}

// conclude says the reply that ended the transaction.
func (t *transfer) conclude() error {
	t.say(*t.verdict)
	if t.verdict.Positive() {
		t.seen(sighting{Visitor: mail.Visitor{Messages: 1}, quirks: t.peer.quirks})
	}
	t.refused(*t.verdict)
	t.reset()
	if t.verdict.Positive() {
		t.bad, t.idle = 0, 0
	}
	switch {
	case t.verdict.Code == 421:
		return errHangUp
	case !t.verdict.Positive():
		return t.idled()
	}
	return nil
}
