package mailtest

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A Stage is a point of the dialogue at which the peer answers.
type Stage string

// The stages. Content is between 354 and the first byte of the message, where
// the peer says nothing of its own, or between a BDAT and its chunk.
const (
	Banner   Stage = "banner"
	EHLO     Stage = "ehlo"
	HELO     Stage = "helo"
	STARTTLS Stage = "starttls"
	Auth     Stage = "auth"      // the verdict on the login
	AuthUser Stage = "auth user" // the first prompt of LOGIN
	AuthPass Stage = "auth pass" // the second prompt of LOGIN
	Mail     Stage = "mail"
	Rcpt     Stage = "rcpt"
	Data     Stage = "data"
	Content  Stage = "content"
	Chunk    Stage = "chunk" // after a BDAT that is not the last
	Dot      Stage = "dot"   // after the final dot, or the last BDAT
	RSET     Stage = "rset"
	QUIT     Stage = "quit"
)

// RcptNo is the k-th RCPT of a transaction, from 1.
func RcptNo(k int) Stage { return Stage("rcpt " + strconv.Itoa(k)) }

// RcptTo is the RCPT of one address, as it stands between < and >.
func RcptTo(addr string) Stage { return Stage("rcpt <" + addr + ">") }

// An Action is what the peer does at a stage. It gets the ordinary reply,
// returns the one that it sent, and an error ends the connection.
type Action func(s *session, normal string) (sent string, err error)

var errEnd = errors.New("mailtest: end of dialogue")

// Normal gives the ordinary reply.
func Normal() Action {
	return func(s *session, normal string) (string, error) { return normal, s.write(normal) }
}

// Reply gives another reply, whose code decides how the dialogue goes on.
// Lines are parted by \n and written in one piece.
func Reply(text string) Action {
	return func(s *session, _ string) (string, error) { return text, s.write(text) }
}

// ReplyClose replies and ends the connection.
func ReplyClose(text string) Action {
	return func(s *session, _ string) (string, error) {
		s.write(text)
		s.close()
		return text, errEnd
	}
}

// Silent says nothing and goes on.
func Silent() Action {
	return func(_ *session, normal string) (string, error) { return normal, nil }
}

// Garbage answers with a line that is no reply.
func Garbage() Action { return Reply("\x00\xff\x1b[2J this is no reply") }

// Huge answers with a line of a megabyte that starts like a reply to the
// stage.
func Huge() Action {
	return func(s *session, normal string) (string, error) {
		return normal, s.write(normal + strings.Repeat("x", 1<<20))
	}
}

// Endless answers with a reply of 200,000 lines.
func Endless() Action {
	return func(s *session, normal string) (string, error) {
		code := normal[:min(3, len(normal))]
		return normal, s.write(strings.Repeat(code+"-and so on\n", 200_000) + code + " end")
	}
}

// Slow writes the reply byte by byte, one every so often.
func Slow(text string, every time.Duration) Action {
	return func(s *session, _ string) (string, error) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for _, b := range []byte(text + "\r\n") {
			select {
			case <-tick.C:
			case <-s.peer.done:
				return "", errEnd
			}
			if _, err := s.conn.Write([]byte{b}); err != nil {
				return "", err
			}
		}
		return text, nil
	}
}

// Hang says nothing more and swallows what comes until the client leaves.
func Hang() Action {
	return func(s *session, _ string) (string, error) {
		io.Copy(io.Discard, s.r)
		return "", errEnd
	}
}

// Stall neither writes nor reads until the peer is closed, so that the
// client's writes come to a stop.
func Stall() Action {
	return func(s *session, _ string) (string, error) {
		<-s.peer.done
		return "", errEnd
	}
}

// Close ends the connection in an orderly way.
func Close() Action {
	return func(s *session, _ string) (string, error) {
		s.close()
		return "", errEnd
	}
}

// Reset tears the connection down (RST).
func Reset() Action {
	return func(s *session, _ string) (string, error) {
		if tcp, ok := s.tcp.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		s.tcp.Close()
		return "", errEnd
	}
}

// After waits until gate is closed and then acts.
func After(gate <-chan struct{}, a Action) Action {
	return func(s *session, normal string) (string, error) {
		select {
		case <-gate:
			return a(s, normal)
		case <-s.peer.done:
			return "", errEnd
		}
	}
}
