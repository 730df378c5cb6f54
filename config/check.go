package config

import (
	"net"
	"net/netip"
)

// A block that has rules between its own keys checks them here; at is told the
// key inside the block.
type checker interface {
	check(at func(key, text string))
}

func (l *Listener) check(at func(key, text string)) {
	if l.TLS == "off" || (l.Cert == "") == (l.Key == "") {
		return
	}
	if l.Cert == "" {
		at("cert", "missing, and key is there; expected the file of the certificate chain in PEM, or neither")
	} else {
		at("key", "missing, and cert is there; expected the file of the private key in PEM, or neither")
	}
}

func (a *Admin) check(at func(key, text string)) {
	if a.Password == "" && !onLoopback(a.Listen) {
		at("password", "missing, and listen is not on loopback; expected a password")
	}
}

func (a *Account) check(at func(key, text string)) {
	if a.Login.Username == "" && len(a.Networks) == 0 {
		at("", "has neither login nor networks; expected one of them")
	}
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
