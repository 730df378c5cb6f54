package main

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"backstamp/relay"
)

// ownCertificate is for the listeners that want TLS and have no certificate
// configured, nil where there are none. It is for our name and for the addresses
// of those listeners; nothing is made yet.
func (b *builder) ownCertificate() *relay.Certificate {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name := hostname(b.conf); !strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }) {
		hosts = append(hosts, name)
	}
	needed := false
	for _, l := range b.conf.Listeners {
		if l.TLS == "off" || l.Cert != "" || l.Key != "" {
			continue
		}
		needed = true
		host, _, _ := net.SplitHostPort(l.Address)
		if addr, err := netip.ParseAddr(host); err == nil && !addr.IsUnspecified() {
			hosts = append(hosts, addr.WithZone("").String())
		}
	}
	if !needed {
		return nil
	}
	return relay.NewCertificate(filepath.Join(b.conf.DataDir, "tls"), hosts, b.clock, b.log)
}

// certify makes the certificate of our own where one is needed.
func (h *house) certify() error {
	if h.certificate == nil {
		return nil
	}
	return h.certificate.Ready()
}

// certified says for people where the certificate of our own lies, "" where none
// is needed.
func (h *house) certified() string {
	if h.certificate == nil {
		return ""
	}
	sum, until := h.certificate.Fingerprint()
	if sum == "" {
		return h.certificate.File() + ", made at the first start, for clients to trust"
	}
	return fmt.Sprintf("%s, for clients to trust, until %s, SHA-256 %s", h.certificate.File(), until.Format(time.DateOnly), sum)
}
