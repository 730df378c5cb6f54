package relay

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
)

// A scriptConn is a client that says what it has to say without waiting for an
// answer, and hangs up.
type scriptConn struct {
	io.Reader
	said bytes.Buffer // by the server
}

func (c *scriptConn) Write(p []byte) (int, error)      { return c.said.Write(p) }
func (c *scriptConn) Close() error                     { return nil }
func (c *scriptConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *scriptConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *scriptConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }

// A reciter serves clients that do not wait, one after the other.
type reciter struct {
	server *Server
	queue  *shelf
}

func newReciter(p *Policy) *reciter {
	q := &shelf{}
	return &reciter{New(p, q, clock.NewFake(now), slog.New(slog.DiscardHandler), nil), q}
}

// recite serves one connection from addr to its end and returns what the
// server said and what it kept.
func (r *reciter) recite(addr string, client io.Reader) (said string, all []kept) {
	r.queue.kept = nil
	clear(r.server.guesses.known)
	conn := &scriptConn{Reader: client}
	newFront(r.server, 0, conn, netip.AddrPortFrom(netip.MustParseAddr(addr), 4321)).serve()
	return conn.said.String(), r.queue.all()
}

func recite(p *Policy, addr string, client io.Reader) (said string, all []kept) {
	return newReciter(p).recite(addr, client)
}

// pieces reads a text in two pieces, or byte by byte where at is negative.
type pieces struct {
	text string
	at   int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := len(p.text)
	switch {
	case p.at < 0:
		n = 1
	case p.at > 0:
		n = min(p.at, n)
	}
	n = copy(b, p.text[:n])
	p.text, p.at = p.text[n:], min(p.at, 0)
	return n, nil
}

// wellFormed is content that no reader takes for something else.
func wellFormed(content []byte) bool {
	rest := strings.ReplaceAll(string(content), "\r\n", "")
	return !strings.ContainsAny(rest, "\r\n\x00") && (len(content) == 0 || strings.HasSuffix(string(content), "\r\n"))
}

var queued = regexp.MustCompile(`(?m)^250 2\.0\.0 queued as [0-9a-z]{16}\r$`)

// TestSmuggling hides a second mail behind what some take for the end of data.
// There is one mail, or none and a refusal; never two.
func TestSmuggling(t *testing.T) {
	ends := []string{
		"\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n\x00.\r\n", // SMTP-Smuggling-Tools
		"\r\n.\n", "\r\n.\r", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\r\r\n.\r\n", "\r\n.\r.\r\n", "\r\n.\x00\r\n",
	}
	r := newReciter(newPolicy(t, settings(t)))
	for _, end := range ends {
		lure := "From: a@example.com\r\n\r\nlure" + end + "MAIL FROM:<a@example.com>\r\nRCPT TO:<victim@dest.test>\r\nDATA\r\n" +
			"From: a@example.com\r\n\r\nsmuggled\r\n.\r\n"
		open := "EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<r@dest.test>\r\n"
		for _, text := range []string{
			open + "DATA\r\n" + lure + "QUIT\r\n",
			open + chunks(lure) + "QUIT\r\n",
		} {
			for at := -1; at < len(text); at++ {
				for _, addr := range []string{"127.0.0.1", "192.0.2.7"} {
					said, all := r.recite(addr, &pieces{text, at})
					refused := strings.Contains(said, "\r\n5")
					if len(all) > 1 || len(all) == 0 && !refused || len(all) != len(queued.FindAllString(said, -1)) {
						t.Fatalf("%q from %s cut at %d: %d mails kept\n%s", end, addr, at, len(all), said)
					}
					for _, k := range all {
						if !wellFormed(k.content) || k.m.Recipients[0] != "r@dest.test" {
							t.Fatalf("%q cut at %d: kept for %v: %q", end, at, k.m.Recipients, k.content)
						}
					}
				}
			}
		}
	}
}

// chunks sends a text in two chunks.
func chunks(text string) string {
	half := strings.Index(text, "MAIL") - 1
	return bdatOf(text[:half], "") + bdatOf(text[half:], " LAST")
}
