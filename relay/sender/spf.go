package sender

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"blitiri.com.ar/go/spf"
)

// The results of SPF are those of RFC 7208 section 2.6, and Unknown where it is
// not known which hosts send.
const (
	Pass      = "pass"
	Fail      = "fail"
	None      = "none"
	PermError = "permerror"
	Unknown   = "unknown"
)

// isSPF reports whether a text is an SPF record (RFC 7208 section 4.5).
func isSPF(text string) bool {
	version, _, _ := strings.Cut(text, " ")
	return strings.EqualFold(version, "v=spf1")
}

const (
	hostsMax  = 4 // hosts of a provider that are tried
	walkedMax = 8 // records that are read to find them
)

// hosts returns some addresses that a provider sends from: the first of each of
// the records that its SPF domain is made of.
func (l *look) hosts(ctx context.Context, domain string) ([]netip.Addr, error) {
	var found []netip.Addr
	queue := []string{domain}
	for i := 0; i < len(queue) && i < walkedMax && len(found) < hostsMax; i++ {
		texts, err := l.dns.records(ctx, queue[i], isSPF)
		if err != nil {
			return nil, err
		}
		first := netip.Addr{}
		for _, text := range texts {
			for _, term := range strings.Fields(text)[1:] {
				if addr := network(term); addr.IsValid() && !first.IsValid() {
					first = addr
				}
				if next := reference(term); next != "" && !slices.Contains(queue, next) {
					queue = append(queue, next)
				}
			}
		}
		if first.IsValid() {
			found = append(found, first)
		}
	}
	return found, nil
}

// network returns the first address of a term such as ip4:192.0.2.0/24; one that
// is not valid where it is no such term.
func network(term string) netip.Addr {
	term = strings.ToLower(strings.TrimPrefix(term, "+"))
	text, ok := strings.CutPrefix(term, "ip4:")
	if !ok {
		text, ok = strings.CutPrefix(term, "ip6:")
	}
	if !ok {
		return netip.Addr{}
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked().Addr()
	}
	addr, _ := netip.ParseAddr(text)
	return addr
}

// reference returns the domain that an include or redirect names, "" for other
// terms and for domains made of macros.
func reference(term string) string {
	term = strings.ToLower(strings.TrimPrefix(term, "+"))
	for _, prefix := range []string{"include:", "redirect="} {
		if domain, ok := strings.CutPrefix(term, prefix); ok && !strings.Contains(domain, "%") {
			return domain
		}
	}
	return ""
}

// spf judges whether a domain lets a provider's hosts send: the result that is
// not pass, where there is one.
func (l *look) spf(ctx context.Context, domain, hosts string) (string, error) {
	if hosts == "" {
		return Unknown, nil
	}
	addrs, err := l.hosts(ctx, hosts)
	if err != nil {
		return "", err
	}
	if len(addrs) == 0 {
		return Unknown, nil
	}
	for _, addr := range addrs {
		result, err := spf.CheckHostWithSender(net.IP(addr.AsSlice()), domain, "postmaster@"+domain, spf.WithContext(ctx), spf.WithResolver(l.dns))
		if result == spf.TempError {
			return "", err
		}
		if result != spf.Pass {
			return string(result), nil
		}
	}
	return Pass, nil
}

// permit returns an SPF record that lets hosts send besides what others do.
func permit(texts []string, hosts []string) string {
	terms, last := []string{"v=spf1"}, "~all"
	for _, text := range texts {
		for _, term := range strings.Fields(text)[1:] {
			switch lower := strings.ToLower(term); {
			case strings.HasSuffix(lower, "all") && len(lower) <= len("+all"), strings.HasPrefix(lower, "redirect="):
				last = term
			case !slices.Contains(terms, term):
				terms = append(terms, term)
			}
		}
	}
	for _, h := range hosts {
		if include := "include:" + h; !slices.Contains(terms, include) {
			terms = append(terms, include)
		}
	}
	return strings.Join(append(terms, last), " ")
}
