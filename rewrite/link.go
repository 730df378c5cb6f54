package rewrite

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"backstamp/mail"
)

// noTrackScheme marks, as Postal has it, a link in its scheme: https+notrack.
const noTrackScheme = "+notrack"

// destination returns where a tracked link leads: the bytes of the href with
// its entities undone, bytes outside ASCII percent-encoded as they stand.
// reason says why it cannot be carried.
func destination(href string, masked, utf8Part bool) (dest, reason string) {
	if hasControl(href) {
		return "", LinkControl
	}
	if masked || !isASCII(href) && !(utf8Part && utf8.ValidString(href)) {
		return "", LinkCharset
	}
	if !isASCII(href) {
		href = percentEncode(href)
	}
	if hostOf(href) == "" {
		return "", LinkBroken
	}
	return href, ""
}

func hasControl(href string) bool {
	for i := range len(href) {
		if c := href[i]; c < 0x20 || c == 0x7f {
			return true
		}
	}
	return false
}

func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x80 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// scheme returns the scheme of a URL in lower case, "" for a relative one.
func scheme(href string) string {
	for i := 0; i < len(href); i++ {
		switch c := href[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return strings.ToLower(href[:i])
		default:
			return ""
		}
	}
	return ""
}

// An origin is what a browser finds before the path of an http(s) URL.
type origin struct {
	scheme, host, port string // in lower case and A-labels, without a last dot; the port even where it goes without saying
}

// splitURL takes an http(s) URL apart as a browser does (WHATWG URL section
// 4.4). ok is false where a browser finds no host, or needs to know where the
// link stands to find one: https:/example.com may be a path.
func splitURL(href string) (o origin, rest string, ok bool) {
	o.scheme, o.port = "http", "80"
	switch {
	case hasPrefixFold(href, "http://"):
	case hasPrefixFold(href, "https://"):
		o.scheme, o.port = "https", "443"
	default:
		return o, "", false
	}
	host, rest := cutAuthority(href[len(o.scheme)+len("://"):])
	host = host[strings.LastIndexByte(host, '@')+1:]
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		if port := host[i+1:]; port != "" {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return o, "", false
			}
			o.port = strconv.FormatUint(n, 10)
		}
		host = host[:i]
	}
	o.host = browserHost(host)
	return o, rest, o.host != ""
}

// cutAuthority cuts a URL behind its scheme where the host ends.
func cutAuthority(s string) (authority, rest string) {
	for i := range len(s) {
		switch s[i] {
		case '/', '\\', '?', '#':
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// browserHost returns a host as a browser reads it (WHATWG URL section 3.5),
// "" where it refuses it.
func browserHost(host string) string {
	if address, found := strings.CutPrefix(host, "["); found {
		ip, err := netip.ParseAddr(strings.TrimSuffix(address, "]"))
		if err != nil || !ip.Is6() || ip.Zone() != "" || !strings.HasSuffix(host, "]") {
			return ""
		}
		return "[" + ip.String() + "]"
	}
	if strings.IndexByte(host, '%') >= 0 {
		plain, err := url.PathUnescape(host)
		if err != nil {
			return ""
		}
		host = plain
	}
	host, err := asciiHost(host)
	if err != nil || holds(host, &notInHost) || hasControl(host) {
		return ""
	}
	return host
}

// notInHost are the forbidden domain code points that are no control character.
var notInHost = byteSet("%#/:<>?@[\\]^| ")

// hostOf returns the host of an http(s) URL as a browser finds it, in A-labels
// where it has them; "" where there is none.
func hostOf(href string) string {
	o, _, _ := splitURL(href)
	return o.host
}

// asciiHost returns a host in lower case and A-labels, without a last dot.
func asciiHost(host string) (string, error) {
	if !isASCII(host) {
		if !utf8.ValidString(host) {
			return "", errors.New("the host is not UTF-8")
		}
		ascii, err := browserIDNA().ToASCII(host)
		if err != nil {
			return "", err
		}
		host = ascii
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), nil
}

// browserIDNA maps names as browsers do (WHATWG URL section 3.3): mind neither
// underscores nor where hyphens stand.
func browserIDNA() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.CheckHyphens(false), idna.BidiRule())
}

// isOurs reports whether a browser would take href to the tracking address or
// a former one.
func (r *Rewriter) isOurs(href string) bool {
	o, rest, ok := splitURL(href)
	if !ok {
		return false
	}
	return slices.ContainsFunc(r.ours, func(h home) bool { return o == h.origin && isBelow(rest, h.path) })
}

// A home is the address that tracking links lie under, taken apart.
type home struct {
	origin
	path string // without a slash at its end
}

func newHome(baseURL string) home {
	o, path, _ := splitURL(baseURL)
	return home{o, path}
}

// isBelow reports whether what follows a host leads to path or below it.
func isBelow(rest, path string) bool {
	if strings.IndexByte(rest, '\\') >= 0 { // a slash to browsers
		rest = strings.ReplaceAll(rest, `\`, "/")
	}
	below, found := strings.CutPrefix(rest, path)
	return found && (below == "" || strings.IndexByte("/?#", below[0]) >= 0)
}

func (r *Rewriter) isExcludedDomain(href string) bool {
	if len(r.domains) == 0 {
		return false
	}
	host := hostOf(href)
	for _, d := range r.domains {
		if host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}

func (r *Rewriter) isExcludedPattern(href string) bool {
	for _, p := range r.patterns {
		if p.MatchString(href) {
			return true
		}
	}
	return false
}

// clickLen returns the length of the tracking URL of dest.
func (r *Rewriter) clickLen(dest string) int {
	return len(r.base) + len(mail.PathClick) + mail.TokenLen + len(".") + mail.EncodedDestinationLen(len(dest))
}
