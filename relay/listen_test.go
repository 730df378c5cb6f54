package relay

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"backstamp/internal/clock"
)

// A hoarse listener fails for a while, gives one connection, and so on.
type hoarse struct {
	fails int // in a row
	conns []net.Conn
	n     int
}

func (l *hoarse) Accept() (net.Conn, error) {
	if l.n++; l.n%(l.fails+1) != 0 {
		return nil, errors.New("too many open files")
	}
	if len(l.conns) == 0 {
		return nil, net.ErrClosed
	}
	conn := l.conns[0]
	l.conns = l.conns[1:]
	return conn, nil
}

func (l *hoarse) Close() error   { return nil }
func (l *hoarse) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2525} }

// Trouble of hours is logged when it begins and when it ends, not ten times a
// second.
func TestListenerTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		s := New(newPolicy(t, settings(t)), &shelf{}, clock.System{}, slog.New(slog.NewTextHandler(log, nil)), nil)
		ours, theirs := net.Pipe()
		defer ours.Close()
		s.listen(t.Context(), 0, &hoarse{fails: 5000, conns: []net.Conn{theirs}})
		if n := strings.Count(log.String(), "no connection can be taken"); n != 2 {
			t.Errorf("the beginning of 2 times of trouble is logged %d times", n)
		}
		if !strings.Contains(log.String(), "connections are taken again") || !strings.Contains(log.String(), "attempts=5000") {
			t.Errorf("the end is not logged: %s", log)
		}
		ours.Close()
		s.stop()
		s.conns.Wait()
	})
}
