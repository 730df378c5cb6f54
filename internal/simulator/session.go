package simulator

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// lineMax is the longest command that is read, a login's token included.
const lineMax = 16 << 10

// A session is one connection. Its goroutine owns it, and takes the server's
// lock for what all share.
type session struct {
	*Server
	ctx  context.Context
	n    int
	conn net.Conn // with TLS, once there is
	r    *bufio.Reader

	secure    bool
	helo      string
	user      string // who logged in
	mechanism string // of the last login
	id        string // of what is going on
	messages  int    // taken on this connection
	tx        *transaction
}

var errEnd = errors.New("simulator: end of session")

func newSession(ctx context.Context, server *Server, conn net.Conn, n int) *session {
	return &session{
		Server: server, ctx: ctx, n: n, conn: conn, r: bufio.NewReaderSize(conn, lineMax),
		id: newID(server.dialect.ID),
	}
}

func (s *session) run() {
	if s.opts.Mode == Implicit && s.handshake() != nil {
		return
	}
	err := s.pass("banner")
	for err == nil {
		var line string
		if line, err = s.line(); err == nil {
			err = s.command(line)
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.play(s.dialect.Refuses["idle"])
	}
}

// line reads one line without its end.
func (s *session) line() (string, error) {
	s.patience()
	line, err := s.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", s.end("500 5.5.6 Line too long")
	}
	return strings.TrimRight(string(line), "\r\n"), err
}

// patience begins the time in which the client has to say something.
func (s *session) patience() {
	if s.limits.Idle > 0 {
		s.conn.SetReadDeadline(time.Now().Add(s.limits.Idle))
	}
}

func (s *session) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		s.helo, s.tx = arg, nil
		return s.write(s.greeting())
	case "HELO":
		s.helo, s.tx = arg, nil
		return s.write("250 " + s.dialect.Name)
	case "STARTTLS":
		return s.startTLS()
	case "AUTH":
		return s.auth(arg)
	case "MAIL":
		return s.mail(arg)
	case "RCPT":
		return s.rcpt(arg)
	case "DATA":
		return s.data()
	case "BDAT":
		return s.chunk(arg)
	case "RSET":
		s.tx = nil
		return s.say("rset")
	case "NOOP":
		return s.say("noop")
	case "QUIT":
		return s.end(s.dialect.Says["quit"])
	}
	return s.say("unknown")
}

// greeting is the reply to EHLO.
func (s *session) greeting() string {
	lines := []string{s.dialect.Says["ehlo"]}
	for _, line := range s.dialect.EHLO {
		keyword := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '=' })[0]
		starts := s.opts.Mode == StartTLS && !s.secure
		if keyword == "STARTTLS" && !starts || keyword == "AUTH" && s.needsTLS() {
			continue
		}
		lines = append(lines, line)
	}
	for i := range lines {
		lines[i] = "250-" + lines[i]
	}
	last := len(lines) - 1
	lines[last] = "250 " + lines[last][4:]
	return strings.Join(lines, "\n")
}

// mechanisms are those of the dialect's AUTH line.
func (s *session) mechanisms() []string {
	for _, line := range s.dialect.EHLO {
		if rest, ok := strings.CutPrefix(line, "AUTH "); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

func (s *session) startTLS() error {
	if s.opts.Mode != StartTLS || s.secure || !slices.Contains(s.dialect.EHLO, "STARTTLS") {
		return s.say("unknown")
	}
	if err := s.say("starttls"); err != nil {
		return err
	}
	return s.handshake()
}

func (s *session) handshake() error {
	conn := tls.Server(s.conn, s.opts.TLS)
	if err := conn.HandshakeContext(s.ctx); err != nil {
		return err
	}
	s.conn, s.r, s.secure = conn, bufio.NewReaderSize(conn, lineMax), true
	s.helo, s.tx = "", nil
	return nil
}

// pass says the ordinary reply of a stage, or refuses.
func (s *session) pass(stage string) error {
	if r, ok := s.verdict(stage); !ok {
		return s.refuse(stage, r)
	}
	return s.say(stage)
}

// say gives an ordinary reply.
func (s *session) say(name string) error { return s.write(s.dialect.Says[name]) }

// refuse reports a refusal and plays it.
func (s *session) refuse(stage string, r Refusal) error {
	s.report(Outcome{Stage: stage, Reply: s.expand(r.Text)})
	return s.play(r)
}

// play says a refusal.
func (s *session) play(r Refusal) error {
	switch {
	case r.Hang:
		s.conn.SetReadDeadline(time.Time{})
		io.Copy(io.Discard, s.r)
		return errEnd
	case r.Close:
		return s.end(r.Text)
	}
	return s.write(r.Text)
}

// end says last words, if any, and closes. It reads on until the client has
// closed too, since unread bytes would make the kernel send a reset.
func (s *session) end(text string) error {
	if text != "" {
		s.write(text)
	}
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
	s.conn.SetReadDeadline(time.Now().Add(lingerMax))
	io.Copy(io.Discard, s.conn)
	return errEnd
}

// lingerMax is how long a client gets to close its side.
const lingerMax = 5 * time.Second

func (s *session) write(text string) error {
	_, err := io.WriteString(s.conn, strings.ReplaceAll(s.expand(text), "\n", "\r\n")+"\r\n")
	return err
}

// expand fills in what a dialect leaves open.
func (s *session) expand(text string) string {
	client, _, _ := net.SplitHostPort(s.conn.RemoteAddr().String())
	from, rcpt := "", ""
	if s.tx != nil {
		from = s.tx.sender()
		if len(s.tx.rcpts) > 0 {
			rcpt = s.tx.rcpts[len(s.tx.rcpts)-1]
		}
	}
	_, domain, _ := strings.Cut(from, "@")
	return strings.NewReplacer(
		"{name}", s.dialect.Name, "{client}", client, "{helo}", s.helo, "{id}", s.id,
		"{login}", s.user, "{from}", from, "{domain}", domain, "{rcpt}", rcpt,
	).Replace(strings.TrimRight(text, "\n"))
}

// report tells what came of something, with what is known of the session.
func (s *session) report(o Outcome) {
	if s.opts.Report == nil {
		return
	}
	o.Connection, o.Helo, o.User, o.Mechanism, o.TLS = s.n, s.helo, s.user, s.mechanism, s.secure
	if s.tx != nil {
		o.MailFrom, o.Recipients = s.tx.from, slices.Clone(s.tx.rcpts)
	}
	s.opts.Report(o)
}

func (s *session) now() time.Time { return s.opts.Clock.Now() }

// newID puts a random digit for each # of a form.
func newID(form string) string {
	id := []byte(form)
	for i, b := range id {
		if b == '#' {
			id[i] = "0123456789abcdef"[rand.IntN(16)]
		}
	}
	return string(id)
}
