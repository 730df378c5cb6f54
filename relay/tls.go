package relay

import (
	"context"
	"crypto/tls"
	"fmt"

	"backstamp/relay/quirk"
)

// handshake makes the server's side of a TLS handshake over the wire, which
// takes no longer than a client may be silent.
func (f *front) handshake() error {
	f.wire.expect(f.policy.limits.Read, f.until(f.policy.limits.Read), false)
	conn := tls.Server(f.wire, f.door.config)
	if err := conn.HandshakeContext(context.Background()); err != nil {
		f.server.log.Info("tls handshake failed", "addr", f.peer.addr.String(), "err", err)
		return errHangUp
	}
	version := conn.ConnectionState().Version
	f.peer.tls = tls.VersionName(version)
	if version < tls.VersionTLS12 {
		f.peer.habit(quirk.OldTLS)
	}
	f.use(conn)
	return nil
}

// startTLS carries out STARTTLS (RFC 3207): a handshake, then a fresh session
// whose banner nobody hears. What the client sent ahead of the handshake is
// dropped unread.
func (f *front) startTLS(cmd command) error {
	switch {
	case f.peer.tls != "":
		return f.misstep(refusal(503, "5.5.1", "TLS runs already"))
	case f.door.TLS != tlsStart:
		return f.misstep(refusal(502, "5.5.1", "TLS is not offered here"))
	case cmd.arg != "":
		return f.misstep(refusal(501, "5.5.4", "STARTTLS takes no argument"))
	}
	f.say(replyOf(refusal(220, "2.0.0", "ready to start TLS")))
	if err := f.w.Flush(); err != nil {
		return fmt.Errorf("write reply: %w", err)
	}
	f.inner.close()
	f.inner = nil
	if err := f.handshake(); err != nil {
		return err
	}
	f.greeted = false
	f.reset()
	f.peer.forget()
	_, err := f.startInner()
	return err
}
