package rewrite

import (
	"net/url"
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
	return strings.ContainsFunc(href, func(r rune) bool { return r < 0x20 || r == 0x7f })
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

// hostOf returns the host of an http(s) URL as a browser finds it, in A-labels
// where it has them; "" where there is none.
func hostOf(href string) string {
	_, rest, found := strings.Cut(href, "://")
	if !found {
		return ""
	}
	if i := strings.IndexAny(rest, `/\?#`); i >= 0 {
		rest = rest[:i]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") {
		rest = rest[:i]
	}
	if plain, err := url.PathUnescape(rest); err == nil {
		rest = plain
	}
	if host, err := asciiHost(rest); err == nil {
		return host
	}
	return strings.ToLower(rest)
}

// asciiHost returns a host in lower case and A-labels.
func asciiHost(host string) (string, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if isASCII(host) {
		return host, nil
	}
	return idna.Lookup.ToASCII(host)
}

// isOurs reports whether href lies under the tracking address or a former one.
func (r *Rewriter) isOurs(href string) bool {
	for _, base := range r.ours {
		if len(href) < len(base) || !strings.EqualFold(href[:len(base)], base) {
			continue
		}
		if rest := href[len(base):]; rest == "" || strings.ContainsRune(`/\?#`, rune(rest[0])) {
			return true
		}
	}
	return false
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
	return len(r.base) + len(mail.PathClick) + mail.TokenLen + 1 + len(mail.EncodeDestination(dest))
}
