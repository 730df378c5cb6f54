package relay

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/emersion/go-smtp"

	"backstamp/mail"
)

// An inner is the go-smtp server behind a front, for one connection and for
// either the clear or the encrypted part of it. The two speak SMTP over a pipe
// in memory, strictly command and reply in turn: what go-smtp gets is well
// formed and never late, so that its own deadlines and its line limit have
// nothing to do. Content goes round it.
type inner struct {
	server *smtp.Server
	conn   net.Conn
	r      *bufio.Reader
}

// innerConn is go-smtp's end of the pipe; the session finds its peer there.
type innerConn struct {
	net.Conn
	peer *peer
}

// RemoteAddr returns the address of the client, which go-smtp logs.
func (c innerConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.peer.addr) }

// replyBuffer holds most lines of go-smtp's replies, in octets: there is one
// for each connection.
const replyBuffer = 256

// newInner starts the server and swallows its banner into the reply returned.
func newInner(server *smtp.Server, p *peer) (*inner, mail.Reply, error) {
	ours, theirs := net.Pipe()
	server.Serve(&single{conn: innerConn{Conn: theirs, peer: p}}) // returns once the connection is taken
	in := &inner{server: server, conn: ours, r: bufio.NewReaderSize(ours, replyBuffer)}
	banner, err := in.reply()
	return in, banner, err
}

// exchange sends one command and returns its reply.
func (in *inner) exchange(command string) (mail.Reply, error) {
	if _, err := io.WriteString(in.conn, command+"\r\n"); err != nil {
		return mail.Reply{}, fmt.Errorf("command to session: %w", err)
	}
	return in.reply()
}

// content tells the session that the peer's body is whole, and returns what it
// says to that.
func (in *inner) content() (mail.Reply, error) {
	r, err := in.exchange("DATA")
	if err != nil || r.Code != 354 {
		return r, err
	}
	return in.exchange(".")
}

// reply reads one reply of any number of lines.
func (in *inner) reply() (mail.Reply, error) {
	var r mail.Reply
	for {
		line, err := in.r.ReadString('\n')
		if err != nil {
			return r, fmt.Errorf("reply of session: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 4 {
			return r, fmt.Errorf("reply of session: malformed line %q", line)
		}
		if r.Code, err = strconv.Atoi(line[:3]); err != nil {
			return r, fmt.Errorf("reply of session: %w", err)
		}
		r.Lines = append(r.Lines, line[4:])
		if line[3] == ' ' {
			return r, nil
		}
	}
}

// close ends the server; nothing of it runs afterwards.
func (in *inner) close() {
	in.conn.Close()
	in.server.Shutdown(context.Background())
}

// single is a listener that gives one connection.
type single struct{ conn net.Conn }

func (l *single) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, io.EOF
	}
	c := l.conn
	l.conn = nil
	return c, nil
}

func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }
