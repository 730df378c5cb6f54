package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// A kind is what an is tag asks of a string. wrong says what a string lacks, in
// words that follow it, or "".
type kind struct {
	expected string
	wrong    func(string) string
}

func kindOf(name string) kind {
	switch name {
	case "address":
		return kind{"an address such as 127.0.0.1:2525", wrongAddress}
	case "hostname":
		return kind{"a name such as relay.example.com", wrongHostname}
	case "host":
		return kind{"a name such as smtp.example.com or an IP address", wrongHost}
	case "domain":
		return kind{"a domain such as example.com", wrongDomain}
	case "mailbox":
		return kind{"an address such as shop@example.com", wrongMailbox}
	case "notice":
		return kind{"sender, an address or off", wrongNotice}
	case "url":
		return kind{"a URL such as https://track.example.com", wrongURL}
	case "path":
		return kind{"a path", wrongText}
	case "store":
		return kind{"bolt", wrongStore}
	case "text":
		return kind{"a text", wrongText}
	}
	return kind{"a string", wrongString}
}

func wrongString(s string) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "holds a control character"
	}
	return ""
}

func wrongText(s string) string {
	if s == "" {
		return "is empty"
	}
	return wrongString(s)
}

func wrongAddress(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "is no host:port"
	}
	if n, err := parseCount(port); err != nil || n > 65535 {
		return "has no port from 0 to 65535"
	}
	if host != "" && wrongHost(host) != "" {
		return "has a malformed host"
	}
	return ""
}

func wrongHost(s string) string {
	if _, err := netip.ParseAddr(s); err == nil {
		return ""
	}
	return wrongDomain(s)
}

// wrongHostname asks for what EHLO may say, RFC 5321 section 4.1.1.1.
func wrongHostname(s string) string {
	if lit, ok := strings.CutPrefix(s, "["); ok {
		lit = strings.TrimPrefix(strings.TrimSuffix(lit, "]"), "IPv6:")
		if _, err := netip.ParseAddr(lit); err != nil || !strings.HasSuffix(s, "]") {
			return "is no address literal"
		}
		return ""
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) {
		return "holds characters beyond ASCII"
	}
	return wrongDomain(s)
}

func wrongDomain(s string) string {
	if s == "" || len(s) > 253 {
		return "is no domain"
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return "has an empty or overlong label"
		}
		for _, r := range label {
			if r != '-' && r != '_' && !unicode.In(r, unicode.Letter, unicode.Digit, unicode.Mark) {
				return "holds " + strconv.QuoteRune(r)
			}
		}
	}
	return ""
}

func wrongMailbox(s string) string {
	local, domain, ok := cutLast(s, "@")
	switch {
	case !ok || local == "":
		return "is no mailbox"
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune("<>,;:", r) || unicode.IsControl(r) }):
		return "is not one bare mailbox"
	}
	return wrongDomain(domain)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func wrongNotice(s string) string {
	if s == "sender" || s == "off" {
		return ""
	}
	return wrongMailbox(s)
}

func wrongURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "is no URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "does not begin with http:// or https://"
	case u.Hostname() == "" || wrongHost(u.Hostname()) != "":
		return "has no host"
	case u.User != nil:
		return "holds a login"
	case strings.ContainsAny(s, "?#"):
		return "has a query or fragment"
	case wrongPort(u.Port()):
		return "has no port from 1 to 65535"
	}
	return ""
}

func wrongPort(s string) bool {
	n, err := parseCount(s)
	return s != "" && (err != nil || n < 1 || n > 65535)
}

func wrongStore(s string) string {
	switch {
	case s == "bolt":
		return ""
	case strings.HasPrefix(s, "postgres://"), strings.HasPrefix(s, "postgresql://"):
		return "is not available in this version"
	}
	return "is no store"
}
