package mail

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// An Address is a mailbox as RFC 5321 section 4.1.2 writes it, taken apart.
type Address struct {
	Local  string // unquoted
	Domain string // as written: A-labels, U-labels or a literal with its brackets
}

// The limits of RFC 5321 section 4.5.3.1.
const (
	localMax  = 64
	domainMax = 255
)

// ParseAddress reads a mailbox strictly: a dot-string or quoted local part, @,
// and a domain or address literal. Bytes above 0x7f must be UTF-8 (RFC 6531);
// control characters are never accepted. Where strings are compared or sent,
// String gives the one safe spelling.
func ParseAddress(s string) (Address, error) {
	local, rest, err := cutLocal(s)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: %w", Escape(s), err)
	}
	a := Address{Local: local, Domain: rest}
	if err := a.Check(); err != nil {
		return Address{}, fmt.Errorf("address %q: %w", Escape(s), err)
	}
	return a, nil
}

// cutLocal splits at the @ after the local part, whose quotes it undoes.
func cutLocal(s string) (local, domain string, err error) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.LastIndexByte(s, '@')
		if i < 0 {
			return "", "", errors.New("no @ and domain")
		}
		if !isDotString(s[:i]) {
			return "", "", errors.New("local part needs quotes")
		}
		return s[:i], s[i+1:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
			if i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			if i+1 >= len(s) || s[i+1] != '@' {
				return "", "", errors.New("no @ after the quoted local part")
			}
			return b.String(), s[i+2:], nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("quoted local part does not end")
}

// Check reports what is wrong with an address that came in parts.
func (a Address) Check() error {
	if a.Local == "" || len(a.Local) > localMax {
		return fmt.Errorf("local part has %d octets, want 1 to %d", len(a.Local), localMax)
	}
	if !utf8.ValidString(a.Local) {
		return errors.New("local part is no UTF-8")
	}
	for _, r := range a.Local {
		if unsafeRune(r) {
			return errors.New("control character in local part")
		}
	}
	return checkDomain(a.Domain)
}

func checkDomain(d string) error {
	if strings.HasPrefix(d, "[") && strings.HasSuffix(d, "]") {
		lit := d[1 : len(d)-1]
		ip, err := netip.ParseAddr(strings.TrimPrefix(lit, "IPv6:"))
		if err != nil || ip.Zone() != "" || ip.Is6() != strings.HasPrefix(lit, "IPv6:") {
			return errors.New("malformed address literal")
		}
		return nil
	}
	if d == "" || len(d) > domainMax {
		return fmt.Errorf("domain has %d octets, want 1 to %d", len(d), domainMax)
	}
	if !utf8.ValidString(d) {
		return errors.New("domain is no UTF-8")
	}
	for _, label := range strings.Split(d, ".") {
		if label == "" || len(label) > 63 && isASCII(label) {
			return errors.New("empty or overlong label in domain")
		}
		for _, r := range label {
			ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
				r == '-' || r == '_' || r >= utf8.RuneSelf && !unsafeRune(r)
			if !ok {
				return fmt.Errorf("character %q in domain", r)
			}
		}
	}
	return nil
}

// String returns the address as it may stand between < and >: the local part
// is quoted where it must be.
func (a Address) String() string {
	if isDotString(a.Local) {
		return a.Local + "@" + a.Domain
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(a.Local); i++ {
		if a.Local[i] == '"' || a.Local[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(a.Local[i])
	}
	b.WriteString(`"@`)
	b.WriteString(a.Domain)
	return b.String()
}

// ASCII reports whether the address needs no SMTPUTF8.
func (a Address) ASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// isDotString reports whether s is a Dot-string of RFC 5321 section 4.1.2,
// widened by RFC 6531 section 3.3.
func isDotString(s string) bool {
	for _, atom := range strings.Split(s, ".") {
		if atom == "" {
			return false
		}
		for _, r := range atom {
			if !isAtext(r) {
				return false
			}
		}
	}
	return true
}

func isAtext(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	case r >= utf8.RuneSelf:
		return r != utf8.RuneError && !unsafeRune(r)
	}
	return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
