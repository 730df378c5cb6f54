package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"backstamp/mail"
	"backstamp/relay/quirk"
)

// The bounds of what a client may do without handing in a message.
const (
	badMax  = 10   // commands that are none, or out of order
	idleMax = 1000 // NOOP, RSET, VRFY and EHLO, and all that is refused
)

// Each connection has a buffer for the commands that a client pipelines, and
// one for the replies to them; while content comes in it borrows a wide one. In
// octets.
const (
	inBuffer   = 1 << 10
	outBuffer  = 512
	wideBuffer = 16 << 10
)

// A front owns the socket of one connection: TLS, deadlines, command lines,
// the state of DATA and BDAT, and the transcript. Behind it a go-smtp server
// and its session judge the commands, and the content once it is whole.
// Tolerance for odd clients has its place here, before a command is read as what
// it says.
type front struct {
	server *Server
	policy *Policy // as it was when the client came
	door   *door
	peer   *peer

	counted netip.Prefix // whose connection it is; the server's, under its lock

	wire  *wire
	conn  net.Conn      // the wire, or TLS over it
	r     *bufio.Reader // what is read from: lines, or a wide one over it
	lines *bufio.Reader
	w     *bufio.Writer
	inner *inner
	end   time.Time // of the whole session

	greeted  bool
	mail     bool // a MAIL was taken
	rcpts    int
	transfer *transfer // while content comes in, and between chunks
	last     bool      // nothing but QUIT is taken any more
	bad      int
	idle     int
	failures int // of logins
}

// errHangUp ends a connection without a further word.
var errHangUp = errors.New("hang up")

func newFront(s *Server, listener int, conn net.Conn, addr netip.AddrPort) *front {
	p := s.policy.Load()
	f := &front{
		server: s,
		policy: p,
		door:   p.doors[listener],
		peer:   &peer{listener: listener},
		wire:   &wire{Conn: conn},
		end:    time.Now().Add(p.limits.Session),
	}
	f.from(addr)
	f.use(f.wire)
	return f
}

// from says where the client is.
func (f *front) from(addr netip.AddrPort) {
	f.peer.addr = addr
	f.peer.legacy = f.door.legacy(addr.Addr()) || f.policy.client(addr.Addr()).Legacy
	f.peer.tolerated = f.peer.legacy || addr.Addr().IsLoopback()
}

// use makes conn what the client is spoken to over. What was read ahead from
// the one before is dropped: nothing said in the clear counts under TLS (RFC
// 3207 section 5).
func (f *front) use(conn net.Conn) {
	f.conn = conn
	f.lines = bufio.NewReaderSize(conn, inBuffer)
	f.r = f.lines
	f.w = bufio.NewWriterSize(conn, outBuffer)
}

// widen has content read in larger pieces than commands.
func (f *front) widen() {
	if f.r == f.lines {
		f.r = f.server.wide.Get().(*bufio.Reader)
		f.r.Reset(f.lines)
	}
}

// unwiden gives the wide buffer back, once nothing is left in it.
func (f *front) unwiden() {
	if f.r != f.lines && f.r.Buffered() == 0 {
		f.r.Reset(nil)
		f.server.wide.Put(f.r)
		f.r = f.lines
	}
}

// serve runs the connection to its end and closes it.
func (f *front) serve() {
	defer f.close()
	defer func() {
		if p := recover(); p != nil {
			f.server.log.Error("panic in a connection", "addr", f.peer.addr.String(), "panic", p, "stack", string(debug.Stack()))
			f.farewell(refusal(421, "4.3.0", "trouble on our side; try again later"))
		}
	}()
	err := f.open()
	for err == nil {
		err = f.next()
	}
	f.farewell(err)
}

// open brings the connection to its banner.
func (f *front) open() error {
	if f.door.proxies(f.peer.addr.Addr()) {
		if err := f.introduce(); err != nil {
			return err
		}
	}
	if f.door.TLS == tlsImplicit {
		if err := f.handshake(); err != nil {
			return err
		}
	}
	banner, err := f.startInner()
	if err != nil {
		return err
	}
	f.say(banner)
	return nil
}

// startInner puts a fresh session behind the front and returns its banner.
func (f *front) startInner() (mail.Reply, error) {
	in, banner, err := newInner(f.server.behind(f), f.peer)
	f.inner = in
	return banner, err
}

// next takes one command. An error ends the connection; an *smtp.SMTPError is
// said first.
func (f *front) next() error {
	line, err := f.readLine()
	if err == errLineTooLong {
		return f.misstep(refusal(500, "5.5.2", "line too long"))
	}
	if err != nil {
		return err
	}
	cmd, err := parseCommand(line)
	if err != nil {
		f.peer.transcript.client("(a line of bytes that no command has)")
		return f.misstep(err)
	}
	if f.r.Buffered() > 0 && !f.peer.esmtp {
		f.peer.habit(quirk.Pipelined)
	}
	return f.command(cmd)
}

// readLine reads a line: all of it must come within the idle time, and a drain
// may cut in.
func (f *front) readLine() (string, error) {
	f.wire.expect(f.policy.limits.Idle, f.until(f.policy.limits.Idle), true)
	defer f.wire.expect(f.policy.limits.Read, f.end, false)
	if err := f.flush(); err != nil {
		return "", err
	}
	if f.wire.drained() {
		return "", os.ErrDeadlineExceeded
	}
	f.unwiden()
	line, bare, err := readLine(f.r)
	if err == nil && bare {
		if !f.peer.tolerated {
			return "", refusal(554, "5.5.2", "command ended in a bare LF")
		}
		f.peer.quirk(quirk.BareLF)
	}
	return line, err
}

// until is the end of a span that begins now and ends with the session at the
// latest.
func (f *front) until(d time.Duration) time.Time {
	at := time.Now().Add(d)
	if at.After(f.end) {
		return f.end
	}
	return at
}

// command carries one command out.
func (f *front) command(cmd command) error {
	f.note(cmd)
	cmd, err := f.interpret(cmd)
	if err != nil {
		return err
	}
	switch {
	case cmd.web():
		return refusal(421, "4.7.0", "this is an SMTP server")
	case cmd.verb == "PROXY":
		return refusal(421, "4.7.0", "no PROXY header is believed from your address")
	case f.last && cmd.verb != "QUIT":
		return refusal(421, "4.7.0", "no further mail after an ambiguous end of data; connect again")
	case !cmd.known():
		return f.misstep(refusal(500, "5.5.2", "command not recognised"))
	case f.outOfOrder(cmd.verb):
		return f.misstep(refusal(503, "5.5.1", "bad sequence of commands"))
	}
	switch cmd.verb {
	case "STARTTLS":
		return f.startTLS(cmd)
	case "AUTH":
		return f.auth(cmd)
	case "DATA":
		return f.data(cmd)
	case "BDAT":
		return f.bdat(cmd)
	case "MAIL", "RCPT":
		return f.path(cmd)
	}
	return f.pass(cmd)
}

// note writes a command to the transcript. Where it may be a secret that got
// out of step with AUTH, or starts with one, the text stays out.
func (f *front) note(cmd command) {
	if cmd.verb == "MAIL" && !f.mail {
		f.peer.transcript.begin()
	}
	switch {
	case !cmd.known():
		f.peer.transcript.client(fmt.Sprintf("(not a command, %d octets)", len(cmd.String())))
	case cmd.verb == "AUTH":
		mech, secret, _ := strings.Cut(cmd.arg, " ")
		if secret != "" {
			mech += " ***"
		}
		f.peer.transcript.client("AUTH " + mech)
	default:
		f.peer.transcript.client(cmd.String())
	}
}

// outOfOrder reports whether the verb may not come now (RFC 5321 section
// 4.1.4). BDAT is judged after its chunk was read.
func (f *front) outOfOrder(verb string) bool {
	switch verb {
	case "MAIL":
		return !f.greeted || f.mail
	case "RCPT":
		return !f.mail || f.transfer != nil
	case "DATA":
		return f.rcpts == 0 || f.transfer != nil
	case "AUTH":
		return !f.greeted || f.mail
	}
	return false
}

// path carries out MAIL or RCPT, with its address in canonical spelling.
func (f *front) path(cmd command) error {
	r := pathReader{keyword: "FROM:", defaultDomain: f.policy.defaultDomain, legacy: f.peer.legacy}
	if cmd.verb == "RCPT" {
		r.keyword = "TO:"
	}
	p, err := r.read(cmd.arg)
	if err == nil && p.address == "" && cmd.verb == "RCPT" {
		err = refusal(501, "5.1.3", "no address")
	}
	if err == nil {
		err = f.checkSize(p.params)
	}
	if err != nil {
		r := replyOf(asReply(err))
		f.say(r)
		f.refused(r)
		return f.idled()
	}
	return f.propose(cmd.verb, r.keyword, p)
}

// checkSize refuses what is declared too large, of whatever magnitude; go-smtp
// reads no more than 32 bits (RFC 1870).
func (f *front) checkSize(params string) error {
	limit := f.policy.limit(f.peer.addr.Addr())
	for _, p := range strings.Fields(params) {
		name, digits, _ := strings.Cut(p, "=")
		if !strings.EqualFold(name, "SIZE") || digits == "" || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		if n, err := strconv.ParseInt(digits, 10, 64); err != nil || n > limit {
			return tooLarge(limit)
		}
	}
	return nil
}

// pass hands a command to the session and its reply to the client.
func (f *front) pass(cmd command) error {
	r, err := f.inner.exchange(cmd.String())
	if err != nil {
		return err
	}
	if cmd.verb == "EHLO" {
		r = f.announce(r)
	}
	if cmd.verb == "EHLO" && f.peer.legacy {
		r = alsoOldAuth(r)
	}
	return f.answer(cmd, r)
}

// answer says the session's reply to a command and follows what it means.
func (f *front) answer(cmd command, r mail.Reply) error {
	f.say(r)
	if cmd.verb == "MAIL" && !r.Positive() {
		f.server.log.Info("sender refused", "addr", f.peer.addr.String(), "reply", r.String())
	}
	if cmd.verb == "MAIL" || cmd.verb == "RCPT" {
		f.refused(r)
	}
	f.learn(cmd, r)
	switch {
	case r.Code == 421 || cmd.verb == "QUIT":
		return errHangUp
	case (cmd.verb == "MAIL" || cmd.verb == "RCPT") && (r.Positive() || r.Code == 452):
		return nil // a list that is too long says nothing of the others in it
	}
	return f.idled()
}

// idled counts a command that brought no message nearer.
func (f *front) idled() error {
	if f.idle++; f.idle > idleMax {
		return refusal(421, "4.7.0", "too many commands without a message")
	}
	return nil
}

// learn follows what the session agreed to.
func (f *front) learn(cmd command, r mail.Reply) {
	if !r.Positive() {
		return
	}
	switch cmd.verb {
	case "HELO", "EHLO":
		f.greeted = true
		f.peer.esmtp = cmd.verb == "EHLO"
		f.peer.helo = clipped(cmd.arg)
		f.reset()
	case "RSET":
		f.reset()
	case "MAIL":
		f.mail = true
	case "RCPT":
		f.rcpts++
	}
}

// reset forgets the transaction, as the session did.
func (f *front) reset() {
	if f.transfer != nil {
		f.transfer.end()
	}
	f.mail, f.rcpts, f.peer.quirks = false, 0, nil
}

// misstep refuses a command that is no part of any transaction; a client that
// makes many has no business here.
func (f *front) misstep(err error) error {
	f.say(replyOf(asReply(err)))
	if f.bad++; f.bad >= badMax {
		return refusal(421, "4.7.0", "too many errors")
	}
	return nil
}

// say queues a reply for the client. It is flushed before the next read that
// has to wait; a write error shows there.
func (f *front) say(r mail.Reply) {
	f.peer.transcript.server(r)
	for i, line := range r.Lines {
		sep := '-'
		if i == len(r.Lines)-1 {
			sep = ' '
		}
		fmt.Fprintf(f.w, "%03d%c%s\r\n", r.Code, sep, line)
	}
}

// flush sends what was said, unless the client has already sent more.
func (f *front) flush() error {
	if f.r.Buffered() > 0 {
		return nil
	}
	if err := f.w.Flush(); err != nil {
		return fmt.Errorf("write reply: %w", err)
	}
	return nil
}

// farewell ends the connection with the word that fits its cause.
func (f *front) farewell(err error) {
	var last *smtp.SMTPError
	switch {
	case errors.Is(err, errHangUp), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	case errors.As(err, &last):
		f.say(replyOf(last))
	case f.wire.drained():
		f.say(replyOf(refusal(421, "4.3.2", "shutting down; try again later")))
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.say(replyOf(refusal(421, "4.4.2", "timeout")))
	default:
		f.server.log.Debug("connection ended", "addr", f.peer.addr.String(), "err", err)
	}
	f.w.Flush()
}

// drain ends the connection at the next moment at which nothing is lost. Any
// goroutine may call it, and cut.
func (f *front) drain() { f.wire.drain() }

// cut ends the connection now.
func (f *front) cut() { f.wire.Close() }

// close ends the session, then the socket.
func (f *front) close() {
	if f.inner != nil {
		f.inner.close()
	}
	f.reset()
	f.seen(sighting{Visitor: mail.Visitor{Connections: 1}})
	f.conn.Close()
}
