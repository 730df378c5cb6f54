package simulator

import (
	"bytes"
	"fmt"
	"io"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// contentMax is the most that is kept of a message where there is no limit on
// its size.
const contentMax = 64 << 20

// A transaction is what goes on between MAIL and the final dot.
type transaction struct {
	from       string // of MAIL
	headerFrom string // of the message, once it is there
	rcpts      []string
	size       int64 // as MAIL announced it, later as it is
	content    bytes.Buffer
	chunked    bool
}

// sender is whom the message is from, as far as is known.
func (tx *transaction) sender() string {
	if tx.headerFrom != "" {
		return tx.headerFrom
	}
	return tx.from
}

func (s *session) mail(arg string) error {
	if s.helo == "" || s.tx != nil {
		return s.say("sequence")
	}
	s.id = newID(s.dialect.ID)
	s.tx = &transaction{from: between(arg), size: announced(arg)}
	if r, ok := s.verdict("mail"); !ok {
		err := s.refuse("mail", r)
		s.tx = nil
		return err
	}
	return s.say("mail")
}

// announced is the parameter SIZE of MAIL (RFC 1870).
func announced(arg string) int64 {
	for _, field := range strings.Fields(arg) {
		if value, ok := strings.CutPrefix(strings.ToUpper(field), "SIZE="); ok {
			n, _ := strconv.ParseInt(value, 10, 64)
			return n
		}
	}
	return 0
}

func (s *session) rcpt(arg string) error {
	if s.tx == nil {
		return s.say("sequence")
	}
	s.tx.rcpts = append(s.tx.rcpts, between(arg))
	if r, ok := s.verdict("rcpt"); !ok {
		err := s.refuse("rcpt", r)
		s.tx.rcpts = s.tx.rcpts[:len(s.tx.rcpts)-1]
		return err
	}
	return s.say("rcpt")
}

func (s *session) data() error {
	switch {
	case s.tx == nil:
		return s.say("sequence")
	case len(s.tx.rcpts) == 0:
		return s.say("no-recipients")
	}
	if r, ok := s.verdict("data"); !ok {
		err := s.refuse("data", r)
		s.tx = nil
		return err
	}
	if err := s.say("data"); err != nil {
		return err
	}
	s.patience()
	if err := s.tx.receive(textproto.NewReader(s.r).DotReader()); err != nil {
		return err
	}
	return s.finish()
}

// receive keeps what is within bounds, and counts all of it.
func (tx *transaction) receive(r io.Reader) error {
	_, err := io.Copy(&tx.content, io.LimitReader(r, contentMax-int64(tx.content.Len())))
	if err != nil {
		return err
	}
	lost, err := io.Copy(io.Discard, r)
	tx.size = int64(tx.content.Len()) + lost
	return err
}

// chunk takes one BDAT (RFC 3030); its last is as a final dot.
func (s *session) chunk(arg string) error {
	size, last := strings.CutSuffix(strings.ToUpper(arg), " LAST")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 {
		return s.say("unknown")
	}
	tx := s.tx
	if tx == nil {
		tx = new(transaction) // the octets come whatever the reply is
	}
	s.patience()
	piece := &io.LimitedReader{R: s.r, N: n}
	if err := tx.receive(piece); err != nil {
		return err
	}
	switch {
	case piece.N > 0:
		return io.ErrUnexpectedEOF
	case s.tx == nil || len(s.tx.rcpts) == 0:
		return s.say("sequence")
	}
	if r, ok := s.firstChunk(); !ok {
		defer func() { s.tx = nil }()
		return s.refuse("data", r)
	}
	if last {
		return s.finish()
	}
	return s.write(fmt.Sprintf("250 2.0.0 %d octets received", n))
}

// firstChunk gives the verdict that DATA would have got.
func (s *session) firstChunk() (r Refusal, ok bool) {
	if s.tx.chunked {
		return Refusal{}, true
	}
	s.tx.chunked = true
	return s.verdict("data")
}

// finish gives the verdict on the message.
func (s *session) finish() error {
	defer func() { s.tx = nil }()
	content := bytes.ReplaceAll(s.tx.content.Bytes(), []byte("\r\n"), []byte("\n"))
	s.tx.headerFrom = headerFrom(content)
	r, ok := s.verdict("dot")
	for !ok && r.Delay {
		if err := s.wait(time.Second); err != nil {
			return err
		}
		r, ok = s.verdict("dot")
	}
	if !ok {
		return s.refuse("dot", r)
	}
	if s.dialect.Sender == senderRewrite && s.tx.headerFrom != "" && !s.mayUse(s.tx.headerFrom) {
		content = rewriteFrom(content, s.mailbox())
	}
	s.report(Outcome{Stage: "dot", Reply: s.expand(s.dialect.Says["dot"]), ID: s.id, Content: content})
	return s.say("dot")
}

// wait lets the clock go on.
func (s *session) wait(d time.Duration) error {
	t := s.opts.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return nil
	case <-s.ctx.Done():
		return errEnd
	}
}

// headerFrom is the first address of the field From; "" where there is none.
func headerFrom(content []byte) string {
	m, err := netmail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		return ""
	}
	list, err := m.Header.AddressList("From")
	if err != nil {
		return ""
	}
	return list[0].Address
}

// rewriteFrom does what Gmail does with a From that is none of the account's:
// the login takes its place, and X-Google-Original-From has what was there.
func rewriteFrom(content []byte, login string) []byte {
	header, body, _ := bytes.Cut(content, []byte("\n\n"))
	var out bytes.Buffer
	for line := range strings.Lines(string(header) + "\n") {
		if name, _, _ := strings.Cut(line, ":"); strings.EqualFold(name, "From") {
			out.WriteString("From: <" + login + ">\nX-Google-Original-")
		}
		out.WriteString(line)
	}
	out.WriteByte('\n')
	out.Write(body)
	return out.Bytes()
}

// between returns what stands between the first < and the next > of a line.
func between(line string) string {
	_, rest, _ := strings.Cut(line, "<")
	path, _, _ := strings.Cut(rest, ">")
	return path
}
