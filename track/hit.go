package track

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"backstamp/mail"
)

// What is kept of a signal, in octets: what comes after tells nothing more.
const (
	userAgentMax = 512
	refererMax   = 253
	purposeMax   = 64
)

// event returns the Event of a request that carries the good token t.
func (p *Policy) event(r *http.Request, kind mail.Kind, t mail.Token, now time.Time) mail.Event {
	addr := clientAddr(r, p.proxies)
	s := Signals{
		Kind:      kind,
		Method:    r.Method,
		UserAgent: r.UserAgent(),
		Referer:   refererHost(r.Referer()),
		Purpose:   purposeOf(r.Header),
	}
	if addr.IsValid() {
		s.Reader = onePrefix(addr)
	}
	e := mail.Event{
		Time:      now,
		Kind:      kind,
		Message:   t.Message,
		Recipient: int(t.Recipient),
		Link:      int(t.Link),
	}
	e.Class, e.Rule = p.classes.Classify(s)
	if t.Privacy == mail.Anonymous {
		return e // counts alone
	}
	e.Method, e.Referer, e.Purpose, e.UserAgent = s.Method, s.Referer, s.Purpose, cut(s.UserAgent, userAgentMax)
	if t.Privacy == mail.Identified {
		e.IP = p.kept(addr)
	}
	return e
}

// Judge returns the class of a hit that was kept, by the signals that were kept
// with it, and the name of the rule that decides.
func (p *Policy) Judge(e mail.Event) (mail.Class, string) {
	if e.Method == "" {
		return e.Class, e.Rule // counts alone were kept
	}
	return p.classes.Classify(Signals{
		Kind: e.Kind, Method: e.Method, UserAgent: e.UserAgent, Referer: e.Referer, Purpose: e.Purpose,
		Reader: keptPrefix(e.IP), Rule: e.Rule,
	})
}

// Timing returns the pace of hits that tells a machine.
func (p *Policy) Timing() mail.Timing { return p.classes.Timing() }

// purposeOf returns what a request says that was made before anybody asked for
// what it is about. Programs differ in the name of the field.
func purposeOf(h http.Header) string {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if value := h.Get(name); value != "" {
			return cut(strings.ToLower(value), purposeMax)
		}
	}
	return ""
}

// kept returns an address as it is kept: cut to its network, and written as
// one, unless the operator wants it whole; "" where there is none.
func (p *Policy) kept(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	if p.whole {
		return addr.String()
	}
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(addr, bits).Masked().String()
}

// cut returns valid UTF-8 of at most n octets.
func cut(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "")
}

func refererHost(referer string) string {
	if referer == "" {
		return ""
	}
	u, err := url.Parse(referer)
	if err != nil {
		return ""
	}
	return cut(strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), refererMax)
}

// clientAddr returns whose request it is: the peer's address or, where the peer
// is a trusted proxy, the rightmost address of X-Forwarded-For that is not one.
// What proxies to the left of it say can be anybody's invention.
func clientAddr(r *http.Request, proxies networks) netip.Addr {
	peer, _ := parseAddr(r.RemoteAddr)
	if !proxies.contain(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		if addr, ok := parseAddr(strings.TrimSpace(hops[i])); ok && !proxies.contain(addr) {
			return addr
		}
	}
	return peer
}

// parseAddr reads an address, with a port or without.
func parseAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = ap.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// networks is a list of networks of addresses that are never IPv4 in IPv6.
type networks []netip.Prefix

func (ns networks) contain(addr netip.Addr) bool {
	for _, n := range ns {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// unmapped returns a network of IPv4 written as IPv6 in its plain form.
func unmapped(n netip.Prefix) netip.Prefix {
	if n.Addr().Is4In6() && n.Bits() >= 96 {
		return netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96).Masked()
	}
	return n.Masked()
}
