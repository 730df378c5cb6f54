package track

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pires/go-proxyproto"
)

const (
	// headerMax admits the longest link, some 11 KiB of path, beside the cookies
	// of a whole domain, which browsers send although nobody asked for them.
	headerMax     = 64 << 10
	headerTimeout = 10 * time.Second
	streamsMax    = 100 // requests at once on one connection of HTTP/2
)

// Server returns the server of the public listener, with every limit set. The
// caller gives it a net.Listener and ends it with Shutdown. It speaks HTTP/2
// where the listener speaks TLS.
func Server(h *Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:   h,
		Protocols: &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          streamsMax,
			MaxReceiveBufferPerConnection: 64 << 10, // nobody sends us bodies
			MaxReceiveBufferPerStream:     64 << 10,
			SendPingTimeout:               15 * time.Second,
			PingTimeout:                   15 * time.Second,
			WriteByteTimeout:              15 * time.Second,
		},
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is none of our paths
		ReadHeaderTimeout:            headerTimeout,
		ReadTimeout:                  15 * time.Second,
		WriteTimeout:                 15 * time.Second,
		IdleTimeout:                  time.Minute,
		MaxHeaderBytes:               headerMax,
		// What strangers do to a public port is no news to the operator.
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
}

// Listener returns l with the PROXY protocol, versions 1 and 2, understood on
// connections of trusted proxies, which may leave it out. On others its line is
// what it is in HTTP: a bad request.
func Listener(h *Handler, l net.Listener) net.Listener {
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: headerTimeout,
		ConnPolicy: func(c proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			peer, _ := parseAddr(c.Upstream.String())
			if h.policy.Load().proxies.contain(peer) {
				return proxyproto.USE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}
