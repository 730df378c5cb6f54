//go:build unix

package crashtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// patience is how long a sender waits for anything.
const patience = 30 * time.Second

// Load sends messages by several senders, each of which begins one every pause
// at most, until the context ends. The messages are named after the cycle, which must
// not have been used before.
func Load(ctx context.Context, addr string, l *Ledger, cycle, senders int, pause time.Duration) {
	var all sync.WaitGroup
	for n := range senders {
		s := &sender{addr: addr, ledger: l, prefix: fmt.Sprintf("c%ds%d", cycle, n), pause: pause, due: time.Now()}
		all.Go(func() { s.run(ctx) })
	}
	all.Wait()
}

// A sender hands messages in, one after the other, until its relay dies or
// its context ends.
type sender struct {
	addr   string
	ledger *Ledger
	prefix string // of the names of its messages
	pause  time.Duration
	due    time.Time // of the next message
	n      int
}

func (s *sender) run(ctx context.Context) {
	for ctx.Err() == nil {
		if s.connection(ctx) != nil && !wait(ctx, nil, 10*time.Millisecond) {
			continue
		}
	}
}

// connection sends over one connection until that breaks.
func (s *sender) connection(ctx context.Context) error {
	c, err := dial(ctx, s.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	for ctx.Err() == nil {
		s.n++
		id := fmt.Sprintf("%sn%d", s.prefix, s.n)
		content, rcpts := s.ledger.form.Message(id)
		reply, err := c.send(s.ledger.form.From, rcpts, content)
		if err != nil {
			return err
		}
		s.ledger.Answered(id, reply)
		s.rest(ctx)
	}
	return ctx.Err()
}

// debt is how far behind its pace a sender may be and still catch up.
const debt = time.Second

// rest waits until the next message is due.
func (s *sender) rest(ctx context.Context) {
	now := time.Now()
	s.due = later(s.due.Add(s.pause), now.Add(-debt))
	if s.due.After(now) {
		wait(ctx, nil, s.due.Sub(now))
	}
}

// A client speaks SMTP as it comes.
type client struct {
	net.Conn
	r *bufio.Reader
}

// dial connects and greets.
func dial(ctx context.Context, addr string) (*client, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c := &client{conn, bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(patience))
	if reply, err := c.reply(); err != nil || reply[0] != '2' {
		conn.Close()
		return nil, fmt.Errorf("banner %q: %w", reply, err)
	}
	if reply, err := c.command("EHLO crashtest.invalid"); err != nil || reply[0] != '2' {
		conn.Close()
		return nil, fmt.Errorf("reply to EHLO %q: %w", reply, err)
	}
	return c, nil
}

// reply returns the last line of a reply, at least three octets long.
func (c *client) reply() (string, error) {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return line, err
		}
		if len(line) < 5 {
			return line, fmt.Errorf("reply %q", line)
		}
		if line[3] != '-' {
			return strings.TrimRight(line, "\r\n"), nil
		}
	}
}

func (c *client) command(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(c, format+"\r\n", args...); err != nil {
		return "", err
	}
	return c.reply()
}

// send runs a transaction. It returns the reply that ended it: that to the
// final dot, or the first that refused. The error is one of the connection.
func (c *client) send(from string, rcpts []string, content []byte) (reply string, err error) {
	c.SetDeadline(time.Now().Add(patience))
	commands := []string{"MAIL FROM:<" + from + ">"}
	for _, to := range rcpts {
		commands = append(commands, "RCPT TO:<"+to+">")
	}
	for _, line := range append(commands, "DATA") {
		reply, err = c.command("%s", line)
		if err != nil {
			return reply, err
		}
		if reply[0] != '2' && reply[0] != '3' {
			_, err := c.command("RSET")
			return reply, err
		}
	}
	if _, err := c.Write(stuffed(content)); err != nil {
		return "", err
	}
	return c.reply()
}

// stuffed returns content as it follows DATA, to the final dot.
func stuffed(content []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(content) {
		if line[0] == '.' {
			b.WriteByte('.')
		}
		b.Write(line)
	}
	if !bytes.HasSuffix(content, []byte("\r\n")) {
		b.WriteString("\r\n")
	}
	b.WriteString(".\r\n")
	return b.Bytes()
}
