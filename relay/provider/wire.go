package provider

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// The limits of a reply. RFC 5321 section 4.5.3.1.5 has 512 octets a line;
// providers send more.
const (
	replyLineMax  = 4 << 10 // octets that are kept of a line
	replyLinesMax = 100     // that are kept; the code is known without the others
	replyMax      = 2 << 20 // octets, kept or not
)

var errNoReply = errors.New("the server sent something that is no SMTP reply")

// readReply reads one reply, all its lines (RFC 5321 section 4.2). An error
// other than of reading wraps errNoReply: the two sides no longer agree where
// they are; it shows nothing that is hidden. The reader's buffer must hold replyLineMax.
func readReply(r *bufio.Reader, hidden veil) (mail.Reply, error) {
	var reply mail.Reply
	for total := 0; ; {
		line, size, err := readLine(r)
		if total += size; total > replyMax {
			return mail.Reply{}, fmt.Errorf("%w: more than %d octets", errNoReply, replyMax)
		}
		if err != nil {
			if errors.Is(err, io.EOF) && (len(line) > 0 || reply.Code != 0) {
				err = io.ErrUnexpectedEOF
			}
			return mail.Reply{}, err
		}
		code, text, last, ok := parseReplyLine(bytes.TrimRight(line, "\r\n"))
		switch {
		case !ok:
			return mail.Reply{}, fmt.Errorf("%w: %q", errNoReply, hidden.head(reply.Lines, string(line)))
		case reply.Code != 0 && code != reply.Code:
			return mail.Reply{}, fmt.Errorf("%w: after %d came %d %q", errNoReply, reply.Code, code, hidden.head(reply.Lines, text))
		}
		reply.Code = code
		if len(reply.Lines) < replyLinesMax {
			reply.Lines = append(reply.Lines, text)
		}
		if last {
			return reply, nil
		}
	}
}

// readLine reads a line to its end and returns what is kept of it, until the
// next read, and how long it was. It gives up after replyMax.
func readLine(r *bufio.Reader) (line []byte, size int, err error) {
	line, err = r.ReadSlice('\n')
	size = len(line)
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line[:min(size, replyLineMax)], size, err
	}
	line = bytes.Clone(line[:min(size, replyLineMax)])
	for errors.Is(err, bufio.ErrBufferFull) && size <= replyMax {
		var rest []byte
		rest, err = r.ReadSlice('\n')
		size += len(rest)
	}
	return line, size, err
}

// parseReplyLine takes a line apart: three digits, the first 2 to 5, then the
// end, a space or a hyphen.
func parseReplyLine(line []byte) (code int, text string, last, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' {
		return 0, "", false, false
	}
	for _, b := range line[:3] {
		if b < '0' || b > '9' {
			return 0, "", false, false
		}
		code = code*10 + int(b-'0')
	}
	if len(line) == 3 {
		return code, "", true, true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, "", false, false
	}
	return code, string(line[4:]), line[3] == ' ', true
}

// writeMax is the most that one deadline is given to.
const writeMax = 32 << 10

// A deadlineWriter gives each write of at most writeMax its own deadline.
type deadlineWriter struct {
	conn net.Conn
	each time.Duration
}

func (w *deadlineWriter) Write(p []byte) (n int, err error) {
	for err == nil && n < len(p) {
		var m int
		w.conn.SetWriteDeadline(in(w.each))
		m, err = w.conn.Write(p[n:min(len(p), n+writeMax)])
		n += m
	}
	return n, err
}

// in returns the time that comes after d, as sockets know it: their deadlines
// are the machine's time, whatever clock the room was given.
func in(d time.Duration) time.Time { return clock.System{}.Now().Add(d) }

// A dotWriter writes a message as DATA wants it: a dot that begins a line is
// doubled (RFC 5321 section 4.5.2), and a line ends in CRLF whatever comes,
// since a bare CR or LF could end the message early for some servers.
type dotWriter struct {
	w     *bufio.Writer
	n     int64 // octets taken
	begun bool  // inside a line
	cr    bool  // the last octet was CR
	err   error // of w
}

func (d *dotWriter) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 && d.err == nil {
		line := firstLine(p)
		p = p[len(line):]
		d.line(line)
	}
	if d.err != nil {
		return 0, d.err
	}
	d.n += int64(size)
	return size, nil
}

// firstLine returns the octets up to the first LF, or up to a CR that has
// something else than LF after it, or all.
func firstLine(p []byte) []byte {
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		p = p[:i+1]
	}
	if i := bytes.IndexByte(p, '\r'); i >= 0 && i+1 < len(p) && p[i+1] != '\n' {
		p = p[:i+1]
	}
	return p
}

func (d *dotWriter) line(p []byte) {
	if d.cr && p[0] != '\n' {
		d.put("\n") // a bare CR stood there
		d.begun, d.cr = false, false
	}
	if !d.begun && p[0] == '.' {
		d.put(".")
	}
	ended := p[len(p)-1] == '\n'
	if ended && !d.cr && !bytes.HasSuffix(p, []byte("\r\n")) {
		d.bytes(p[:len(p)-1])
		d.put("\r\n")
	} else {
		d.bytes(p)
	}
	d.begun, d.cr = !ended, p[len(p)-1] == '\r'
}

// Close ends the message with its final dot. Nothing may be wrong with it.
func (d *dotWriter) Close() error {
	switch {
	case d.cr:
		d.put("\n")
	case d.begun:
		d.put("\r\n")
	}
	d.put(".\r\n")
	if d.err == nil {
		d.err = d.w.Flush()
	}
	return d.err
}

func (d *dotWriter) put(s string) {
	if d.err == nil {
		_, d.err = d.w.WriteString(s)
	}
}

func (d *dotWriter) bytes(p []byte) {
	if d.err == nil {
		_, d.err = d.w.Write(p)
	}
}
