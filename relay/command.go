package relay

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// lineMax is the longest command line, in octets: AUTH may be that long (RFC
// 4954 section 4.5), with some room.
const lineMax = 16 << 10

// errLineTooLong: the line was read to its end and thrown away.
var errLineTooLong = errors.New("line too long")

// readLine reads a line and returns it without its end. bare reports that it
// ended in LF alone.
func readLine(r *bufio.Reader) (line string, bare bool, err error) {
	var b strings.Builder
	long := false
	for {
		piece, err := r.ReadSlice('\n')
		if b.Len()+len(piece) > lineMax {
			long = true
		} else {
			b.Write(piece)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) && b.Len() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", false, err
		}
	}
	if long {
		return "", false, errLineTooLong
	}
	line = strings.TrimSuffix(b.String(), "\n")
	bare = !strings.HasSuffix(line, "\r")
	return strings.TrimRight(line, "\r"), bare, nil
}

// A command is a line taken apart. The verb is in capitals.
type command struct {
	verb, arg string
}

// parseCommand splits a line and refuses what has no place in one: control
// characters and bytes that are no UTF-8, which would reach logs and replies.
func parseCommand(line string) (command, error) {
	for _, c := range []byte(line) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return command{}, refusal(501, "5.5.2", "control character in command")
		}
	}
	if !utf8.ValidString(line) {
		return command{}, refusal(501, "5.5.2", "command is no UTF-8")
	}
	verb, arg, _ := strings.Cut(strings.TrimRight(line, " \t"), " ")
	return command{verb: strings.ToUpper(verb), arg: strings.TrimLeft(arg, " \t")}, nil
}

// String returns the canonical line, which go-smtp reads as it is meant.
func (c command) String() string {
	if c.arg == "" {
		return c.verb
	}
	return c.verb + " " + c.arg
}

// known reports whether the verb is one of SMTP's. Others never reach go-smtp,
// which hangs up after four of them.
func (c command) known() bool {
	switch c.verb {
	case "HELO", "EHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT",
		"VRFY", "EXPN", "HELP", "AUTH", "STARTTLS":
		return true
	}
	return false
}

// web reports whether a browser, or something that was led here by one, takes
// this port for HTTP.
func (c command) web() bool {
	switch c.verb {
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "PRI":
		return true
	}
	return false
}
