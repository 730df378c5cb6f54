package provider

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"backstamp/mail"
)

// A conn is one connection to a provider. Whoever took it from the pool, or is
// opening it, owns it.
type conn struct {
	set   *Settings // with defaults
	book  *addressBook
	trace func(line string) // nil: nobody listens

	addrs []netip.Addr // what the host's name stands for
	tcp   net.Conn
	net   net.Conn // tcp, or the TLS over it
	r     *bufio.Reader
	w     *bufio.Writer

	veil veil

	ext      map[string]string // what EHLO offered: keyword in capitals, parameters
	greeted  bool
	secured  bool
	reused   bool // it has carried a transaction before
	dirty    bool // a transaction is open: RSET comes first
	broken   bool // it can carry nothing more
	messages int
	heardAt  time.Time // when the last reply came
}

func newConn(set *Settings, book *addressBook) *conn {
	c := &conn{set: set, book: book}
	c.hide(spellings(set.Password)...)
	return c
}

// A step is one part of the way to a connection that can carry mail.
type step struct {
	name string
	do   func(*conn, context.Context) error
}

func steps() []step {
	return []step{
		{"DNS", (*conn).resolve},
		{"TCP", (*conn).dial},
		{"TLS", (*conn).secure},
		{"EHLO", (*conn).hello},
		{"AUTH", (*conn).login},
	}
}

// open makes a connection that can carry mail.
func open(ctx context.Context, set *Settings, book *addressBook) (*conn, error) {
	c := newConn(set, book)
	for _, s := range steps() {
		if err := s.do(c, ctx); err != nil {
			c.close()
			return nil, cancelled(ctx, err)
		}
	}
	return c, nil
}

func (c *conn) resolve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.set.Timeouts.Connect)
	defer cancel()
	addrs, err := c.book.find(ctx, c.set.Host)
	if err != nil {
		e := broken("DNS", err)
		e.why = explain("name", e.Class)
		return e
	}
	c.addrs = addrs
	return nil
}

// dial tries the addresses in the order that the resolver gave.
func (c *conn) dial(ctx context.Context) error {
	var errs []error
	for _, addr := range c.addrs {
		d := net.Dialer{Timeout: c.set.Timeouts.Connect}
		tcp, err := d.DialContext(ctx, "tcp", net.JoinHostPort(addr.Unmap().String(), strconv.Itoa(c.set.Port)))
		if err == nil {
			c.tcp = tcp
			c.use(tcp)
			return nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return broken("TCP", errors.Join(errs...))
}

// use makes conn what is read from and written to.
func (c *conn) use(conn net.Conn) {
	c.net = conn
	c.r = bufio.NewReaderSize(conn, replyLineMax)
	c.w = bufio.NewWriterSize(&deadlineWriter{conn: conn, each: c.set.Timeouts.Content}, writeMax)
}

// endWith makes everything on the connection fail once ctx ends.
func (c *conn) endWith(ctx context.Context) (stop func()) {
	undo := context.AfterFunc(ctx, func() { c.tcp.Close() })
	return func() {
		if !undo() {
			c.broken = true
		}
	}
}

// close ends the connection without a word: nothing that was begun is
// completed by it.
func (c *conn) close() {
	c.broken = true
	if c.tcp != nil {
		c.tcp.Close()
	}
}

// quit takes leave and closes.
func (c *conn) quit() {
	defer c.close()
	if c.broken || c.net == nil {
		return
	}
	if c.send("QUIT") == nil && c.w.Flush() == nil {
		c.read(min(c.set.Timeouts.Command, leaveMax))
	}
}

// secure gets the connection encrypted, if it is to be.
func (c *conn) secure(ctx context.Context) error {
	defer c.endWith(ctx)()
	switch c.set.TLS {
	case tlsImplicit:
		return c.handshake(ctx)
	case tlsStartTLS:
		return c.startTLS(ctx)
	}
	return nil
}

// startTLS insists (RFC 3207): a server, or somebody before it, that offers no
// encryption gets nothing.
func (c *conn) startTLS(ctx context.Context) error {
	if err := c.hello(ctx); err != nil {
		return err
	}
	if _, ok := c.ext["STARTTLS"]; !ok {
		e := broken("STARTTLS", errors.New("the server did not offer it"))
		e.why = explain("no-starttls", e.Class)
		return e
	}
	r, err := c.cmd("STARTTLS", "STARTTLS")
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return c.refusal("STARTTLS", r)
	}
	if c.r.Buffered() > 0 {
		// What came in the clear after the 220 would be read as if it had come
		// through TLS.
		return broken("STARTTLS", errors.New("the server went on in the clear after its consent"))
	}
	return c.handshake(ctx)
}

func (c *conn) handshake(ctx context.Context) error {
	conn := tls.Client(c.tcp, &tls.Config{
		ServerName: c.set.Host,
		RootCAs:    c.set.RootCAs,
		MinVersion: tls.VersionTLS12,
	})
	c.tcp.SetDeadline(in(c.set.Timeouts.Command))
	if err := conn.HandshakeContext(ctx); err != nil {
		return broken("TLS", err)
	}
	c.tcp.SetDeadline(time.Time{})
	c.use(conn)
	c.secured = true
	return nil
}

// hello reads the greeting, where it has not come yet, and says EHLO, or HELO
// to a server that does not know it.
func (c *conn) hello(ctx context.Context) error {
	defer c.endWith(ctx)()
	if !c.greeted {
		r, err := c.read(c.set.Timeouts.Greeting)
		if err != nil {
			return broken("greeting", err)
		}
		if r.Code != 220 {
			return c.refusal("greeting", r)
		}
		c.greeted = true
	}
	r, err := c.cmd("EHLO", "EHLO "+c.set.ehlo())
	if err != nil {
		return err
	}
	if r.Permanent() {
		if r, err = c.cmd("HELO", "HELO "+c.set.ehlo()); err != nil {
			return err
		}
		r.Lines = nil // it has no extensions
	}
	if !r.Positive() {
		return c.refusal("EHLO", r)
	}
	c.ext = extensions(r.Lines)
	return nil
}

// ehlo returns our own name as RFC 5321 section 4.1.3 writes it.
func (s *Settings) ehlo() string {
	ip, err := netip.ParseAddr(s.Hostname)
	switch {
	case err != nil:
		return s.Hostname
	case ip.Is4():
		return "[" + s.Hostname + "]"
	}
	return "[IPv6:" + s.Hostname + "]"
}

// extensions reads the lines of an EHLO reply after the first. AUTH may come
// in several lines and in the old form AUTH=LOGIN.
func extensions(lines []string) map[string]string {
	ext := map[string]string{}
	for i, line := range lines {
		if i == 0 {
			continue
		}
		keyword, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		keyword = strings.ToUpper(keyword)
		if rest, ok := strings.CutPrefix(keyword, "AUTH="); ok {
			keyword, params = "AUTH", rest+" "+params
		}
		if keyword == "AUTH" {
			params = strings.TrimSpace(ext["AUTH"] + " " + mechanisms(params))
		}
		ext[keyword] = params
	}
	return ext
}

// mechanisms is what of a list of ways to log in may be one (RFC 4422 section 3.1).
func mechanisms(list string) string {
	names := slices.DeleteFunc(strings.Fields(strings.ToUpper(list)), func(name string) bool {
		return len(name) > mechanismMax || strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		})
	})
	return strings.Join(names, " ")
}

const mechanismMax = 20

// offers reports whether EHLO offered an extension.
func (c *conn) offers(keyword string) bool {
	_, ok := c.ext[keyword]
	return ok
}

// sizeMax returns the largest message the server takes; 0: it did not say.
func (c *conn) sizeMax() int64 {
	n, err := strconv.ParseInt(c.ext["SIZE"], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// cmd sends one line and reads the reply.
func (c *conn) cmd(stage, line string) (mail.Reply, error) {
	if err := c.send(line); err != nil {
		return mail.Reply{}, broken(stage, err)
	}
	return c.await(stage, c.set.Timeouts.Command)
}

// await sends what is buffered and reads one reply.
func (c *conn) await(stage string, d time.Duration) (mail.Reply, error) {
	if err := c.w.Flush(); err != nil {
		c.broken = true
		return mail.Reply{}, broken(stage, err)
	}
	r, err := c.read(d)
	if err != nil {
		return mail.Reply{}, broken(stage, err)
	}
	return r, nil
}

// send buffers one line.
func (c *conn) send(line string) error {
	c.note("C: " + line)
	return c.sendSecret(line)
}

// sendSecret buffers a line that is not to be seen.
func (c *conn) sendSecret(line string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		c.broken = true
		return fmt.Errorf("a command with a control character: %q", line[:min(len(line), 20)])
	}
	_, err := c.w.WriteString(line + "\r\n")
	c.broken = c.broken || err != nil
	return err
}

// read reads one reply, all of which must come within d.
func (c *conn) read(d time.Duration) (mail.Reply, error) {
	c.net.SetReadDeadline(in(d))
	r, err := readReply(c.r, c.veil)
	if err != nil {
		c.broken = true
		c.note("-- " + plain(err).Error())
		return r, err
	}
	c.heardAt = in(0)
	if r.Code == 421 { // RFC 5321 section 3.8: the server closes
		c.broken = true
	}
	if c.trace != nil {
		for line := range strings.SplitSeq(c.masked(r).String(), "\n") {
			c.note("S: " + line)
		}
	}
	return r, nil
}

func (c *conn) note(line string) {
	if c.trace != nil {
		c.trace(line)
	}
}
