package align

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"backstamp/mail"
)

// An address in the form in which addresses are compared: ASCII letters in
// lower case, the domain in A-labels (RFC 5890). Letters beyond ASCII in the
// local part stay as they are, for nobody knows what the host makes of them.
type address struct{ local, domain string }

func parse(s string) (address, error) {
	a, err := mail.ParseAddress(s)
	if err != nil {
		return address{}, err
	}
	domain, err := aLabels(a.Domain)
	if err != nil {
		return address{}, err
	}
	return address{lowerASCII(a.Local), domain}, nil
}

// strict maps nothing: what one reader of mail would map to another domain and
// the next would not, such as an ideographic full stop, is an error. Labels
// that stand there with an underscore are valid.
var strict = idna.New(idna.ValidateLabels(true), idna.StrictDomainName(false))

func aLabels(domain string) (string, error) {
	lower := strings.Map(lowerRune, domain)
	if strings.ContainsRune(lower, utf8.RuneError) {
		return "", fmt.Errorf("domain %q has a letter that reads as another", domain)
	}
	if isASCII(lower) {
		return lower, nil
	}
	return strict.ToASCII(lower)
}

// lowerRune refuses letters beyond ASCII whose lower case is ASCII, such as
// the Kelvin sign.
func lowerRune(r rune) rune {
	l := unicode.ToLower(r)
	if r >= utf8.RuneSelf && l < utf8.RuneSelf {
		return utf8.RuneError
	}
	return l
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// A pattern is one entry of senders.
type pattern struct {
	local  string // "": any
	domain string
	below  bool // any domain below this one, at any depth, but not itself
}

func (p pattern) match(a address) bool {
	if p.below {
		return strings.HasSuffix(a.domain, "."+p.domain)
	}
	return a.domain == p.domain && (p.local == "" || p.local == a.local)
}

const grammar = "expected an address, @domain, *@domain or *@*.domain"

// parseSender reads one entry of senders: a@d is that address, @d and *@d any
// address at exactly d, *@*.d any address at any domain below d.
func parseSender(s string) (pattern, error) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return pattern{}, errors.New("is no address; " + grammar)
	}
	local, domain := s[:at], s[at+1:]
	if local != "" && local != "*" {
		return parseExact(s)
	}
	domain, below := strings.CutPrefix(domain, "*.")
	if domain == "" || domain == "*" {
		return pattern{}, errors.New("allows everybody's addresses; " + grammar)
	}
	if err := (mail.Address{Local: "any", Domain: domain}).Check(); err != nil {
		return pattern{}, errors.New("has no valid domain; " + grammar)
	}
	domain, err := aLabels(domain)
	if err != nil || !hostLike(domain) {
		return pattern{}, errors.New("has no valid domain; " + grammar)
	}
	if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
		return pattern{}, fmt.Errorf("is open to all who register below %s; expected a domain of one owner, such as @example.%[1]s", domain)
	}
	return pattern{domain: domain, below: below}, nil
}

// hostLike reports whether no label of a domain begins or ends with a hyphen,
// which nobody can register (RFC 1123 section 2.1).
func hostLike(domain string) bool {
	return !slices.ContainsFunc(strings.Split(domain, "."), func(label string) bool {
		return strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-")
	})
}

func parseExact(s string) (pattern, error) {
	a, err := parse(s)
	if err == nil && !hostLike(a.domain) {
		return pattern{}, errors.New("has no valid domain; " + grammar)
	}
	if err != nil || strings.Contains(a.local, "*") {
		return pattern{}, errors.New("is no address; " + grammar)
	}
	return pattern{local: a.local, domain: a.domain}, nil
}

// inASCII writes an address or an entry of senders with its domain in A-labels,
// and escaped where that does not suffice, as a reply wants it.
func inASCII(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		before, domain := s[:at+1], s[at+1:]
		domain, below := strings.CutPrefix(domain, "*.")
		if a, err := aLabels(domain); err == nil && below {
			s = before + "*." + a
		} else if err == nil {
			s = before + a
		}
	}
	if isASCII(s) {
		return s
	}
	return strings.Trim(strconv.QuoteToASCII(s), `"`)
}

//go:embed freemail.txt
var freeMailDomains string

// FreeMail reports whether anybody can have a mailbox at the domain.
func FreeMail(domain string) bool {
	domain, err := aLabels(domain)
	if err != nil {
		return false
	}
	for line := range strings.Lines(freeMailDomains) {
		if strings.TrimSpace(line) == domain {
			return true
		}
	}
	return false
}
