package relay

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// headerTime is what a proxy has to send its header in. It does so before
// anything else, so that this is much.
const headerTime = 10 * time.Second

// proxies reports whether addr is one that has to say for whom it comes. It is
// never a client itself: whoever could leave the header out would come with the
// rights of the proxy.
func (d *door) proxies(addr netip.Addr) bool { return contains(d.ProxyProtocol, addr) }

// expectHeader has the wire begin with a PROXY header, version 1 or 2.
func (w *wire) expectHeader(within time.Duration) *proxyproto.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	conn := proxyproto.NewConn(w.Conn, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(within))
	w.Conn = conn
	return conn
}

// introduce reads the header of a proxy, and has the client take its place and
// be counted. A proxy that comes for itself (LOCAL in version 2), to see whether
// we live, is itself; who does not say for whom it comes is nobody.
func (f *front) introduce() error {
	proxy := f.peer.addr
	within := min(headerTime, f.policy.limits.Read)
	f.wire.expect(within, f.until(within), true) // the end of the server may cut in
	conn := f.wire.expectHeader(within)
	header := conn.ProxyHeader()
	if header != nil && header.Version == 2 && header.Command.IsLocal() {
		return nil
	}
	addr, err := sourceOf(header)
	if err != nil {
		f.server.log.Warn("no client named by a listed proxy", "proxy", proxy.String(), "err", err)
		return errHangUp
	}
	f.from(addr)
	why := f.server.admit(f)
	if why == "" {
		return nil
	}
	f.server.metrics.turnedAway.WithLabelValues(why).Inc()
	f.refused(replyOf(errNoRoom()))
	if f.door.TLS == tlsImplicit {
		return errHangUp
	}
	return errNoRoom()
}

// sourceOf is the client that a header names.
func sourceOf(h *proxyproto.Header) (netip.AddrPort, error) {
	if h == nil {
		return netip.AddrPort{}, proxyproto.ErrNoProxyProtocol
	}
	tcp, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok || h.Command.IsLocal() {
		return netip.AddrPort{}, errors.New("the PROXY header has no TCP address")
	}
	return plainAddr(tcp.AddrPort()), nil
}
