package mailtest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A Client sends what it is told, as it is told, and has no opinions. Trouble
// on the wire fails the test, except where an error is returned.
type Client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// Dial connects to an SMTP server and reads its banner. The connection is
// closed when the test ends.
func Dial(t testing.TB, addr string) *Client {
	t.Helper()
	c := Connect(t, addr)
	c.reply()
	return c
}

// Connect connects and reads nothing.
func Connect(t testing.TB, addr string) *Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(3 * patience))
	return NewClient(t, conn)
}

// NewClient returns a client on a connection that is the caller's to close.
func NewClient(t testing.TB, conn net.Conn) *Client {
	return &Client{Conn: conn, t: t, r: bufio.NewReader(conn)}
}

// StartTLS begins TLS at once, as after the 220 of STARTTLS or on a listener
// with implicit TLS.
func (c *Client) StartTLS(cfg *tls.Config) {
	c.t.Helper()
	conn := tls.Client(c.Conn, cfg)
	if err := conn.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.Conn, c.r = conn, bufio.NewReader(conn)
}

// Send writes text with nothing added.
func (c *Client) Send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatalf("send %q: %v", text[:min(80, len(text))], err)
	}
}

// Read returns the next reply, its lines with their codes joined by \n.
func (c *Client) Read() (string, error) {
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return strings.Join(append(lines, line), "\n"), err
		}
		line = strings.TrimRight(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n"), nil
		}
	}
}

func (c *Client) reply() string {
	c.t.Helper()
	r, err := c.Read()
	if err != nil {
		c.t.Fatalf("reply: %v after %q", err, r)
	}
	return r
}

// Cmd sends a line and returns the reply.
func (c *Client) Cmd(line string) string {
	c.t.Helper()
	c.Send(line + "\r\n")
	return c.reply()
}

// Expect sends a line and fails unless the reply starts with prefix.
func (c *Client) Expect(line, prefix string) string {
	c.t.Helper()
	r := c.Cmd(line)
	if !strings.HasPrefix(r, prefix) {
		c.t.Fatalf("%s\n got %q\nwant %q", line, r, prefix)
	}
	return r
}

// Message sends content after DATA was answered 354: line ends become CRLF,
// dots are stuffed. It returns the reply to the final dot.
func (c *Client) Message(content string) string {
	c.t.Helper()
	text := CRLF(content)
	if !strings.HasSuffix(text, "\r\n") {
		text += "\r\n"
	}
	text = strings.ReplaceAll(text, "\r\n.", "\r\n..")
	if strings.HasPrefix(text, ".") {
		text = "." + text
	}
	c.Send(text + ".\r\n")
	return c.reply()
}

// SendMail runs one transaction after EHLO. It returns the reply that refused
// it, or the last one. From and to stand between < and > as they are.
func (c *Client) SendMail(from string, to []string, content string) string {
	c.t.Helper()
	if r := c.Cmd("MAIL FROM:<" + from + ">"); r[0] != '2' {
		return r
	}
	for _, addr := range to {
		if r := c.Cmd("RCPT TO:<" + addr + ">"); r[0] != '2' {
			return r
		}
	}
	if r := c.Cmd("DATA"); !strings.HasPrefix(r, "354") {
		return r
	}
	return c.Message(content)
}

// SendMail connects, says EHLO and hands one message in. It returns as
// Client.SendMail does.
func SendMail(t testing.TB, addr, from string, to []string, content string) string {
	t.Helper()
	c := Dial(t, addr)
	defer c.Close()
	c.Expect("EHLO client.test", "250")
	r := c.SendMail(from, to, content)
	c.Send("QUIT\r\n")
	return r
}
