package quirk

import (
	"strings"

	"backstamp/mail"
)

// Dotted reads an address whose local part has dots where RFC 5321 has none: at
// its ends or next to each other, as some devices and mobile carriers have
// them. Its String has the quotes that it needs. ok is false for any other.
func Dotted(s string) (a mail.Address, ok bool) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return a, false
	}
	a = mail.Address{Local: s[:i], Domain: s[i+1:]}
	plain, err := mail.ParseAddress(strings.ReplaceAll(a.Local, ".", "") + "@" + a.Domain)
	ok = err == nil && !strings.HasPrefix(a.Local, `"`) && !strings.Contains(plain.Local, "@") && a.Check() == nil
	return a, ok
}
