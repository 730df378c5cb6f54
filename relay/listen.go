package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/emersion/go-smtp"
)

// acceptPause is how long a listener rests after it could not take a
// connection, which is mostly for want of file descriptors.
const acceptPause = 100 * time.Millisecond

// listen takes connections of one listener until ctx ends. Of trouble it logs
// the beginning and the end, not each of ten attempts a second.
func (s *Server) listen(ctx context.Context, listener int, l net.Listener) {
	log, failed := s.log.With("listener", l.Addr().String()), 0
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			if failed > 0 {
				log.Info("connections are taken again", "attempts", failed)
				failed = 0
			}
			s.take(listener, conn)
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return
		default:
			if failed++; failed == 1 {
				log.Error("no connection can be taken; more file descriptors may be needed", "err", err)
			}
			pause := s.clock.NewTimer(acceptPause)
			select {
			case <-pause.C():
			case <-ctx.Done():
			}
			pause.Stop()
		}
	}
}

// take serves a connection in a goroutine of its own, if there is room for it.
func (s *Server) take(listener int, conn net.Conn) {
	addr := clientAddr(conn)
	f := newFront(s, listener, conn, addr)
	if why := s.enter(f); why != "" {
		s.metrics.turnedAway.WithLabelValues(why).Inc()
		f.refused(replyOf(errNoRoom()))
		f.turnAway()
		return
	}
	go func() {
		defer s.leave(f)
		f.serve()
	}()
}

// clientAddr is the address of the client, without the form that IPv4 has on
// an IPv6 socket.
func clientAddr(conn net.Conn) netip.AddrPort {
	addr, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.AddrPort{}
	}
	return plainAddr(addr)
}

func plainAddr(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
}

// clientOf is what connections are counted by: an address, or the /64 that an
// IPv6 client has for itself.
func clientOf(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}

// enter counts a connection in, or says why there is no room for it. What comes
// by way of a proxy is counted as its client's once that is known.
func (s *Server) enter(f *front) (why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why := s.room(f); why != "" {
		return why
	}
	s.count(f)
	s.fronts[f] = struct{}{}
	s.conns.Add(1)
	s.metrics.connections.Inc()
	s.metrics.open.Inc()
	return ""
}

// admit counts a connection that came by way of a proxy as its client's, or says
// why there is no room for it.
func (s *Server) admit(f *front) (why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fronts, f) // it is not to stand in its own way
	why = s.room(f)
	s.fronts[f] = struct{}{}
	if why == "" {
		s.count(f)
	}
	return why
}

// room says why there is none. A quarter is kept for those whom the listener is
// meant for: strangers, however many they are, keep nobody of them out. The
// caller holds mu.
func (s *Server) room(f *front) (why string) {
	limits, addr := f.policy.limits, f.peer.addr.Addr()
	most, proxied := limits.Connections, f.door.proxies(addr)
	if !proxied && !f.door.lists(addr) && !addr.IsLoopback() {
		most -= most / 4
	}
	switch {
	case len(s.fronts) >= most:
		return "connections"
	case !proxied && !addr.IsLoopback() && s.counts[clientOf(addr)] >= limits.ConnectionsPerClient:
		return "client"
	}
	return ""
}

// count adds a connection to its client's. The caller holds mu.
func (s *Server) count(f *front) {
	if addr := f.peer.addr.Addr(); !f.door.proxies(addr) {
		f.counted = clientOf(addr)
		s.counts[f.counted]++
	}
}

// leave counts it out.
func (s *Server) leave(f *front) {
	s.mu.Lock()
	delete(s.fronts, f)
	if s.counts[f.counted]--; s.counts[f.counted] <= 0 {
		delete(s.counts, f.counted)
	}
	s.mu.Unlock()
	s.metrics.open.Dec()
	s.conns.Done()
}

func errNoRoom() *smtp.SMTPError {
	return refusal(421, "4.7.0", "too many connections; try again later")
}

// turnAway closes a connection that there is no room for. The few bytes fit
// into a new socket's buffer, so that nobody is kept waiting.
func (f *front) turnAway() {
	if f.door.TLS != tlsImplicit {
		f.wire.expect(acceptPause, f.end, false)
		f.say(replyOf(errNoRoom()))
		f.w.Flush()
	}
	f.conn.Close()
}
