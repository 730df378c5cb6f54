package sendmail

import (
	"errors"
	"strings"

	"backstamp/mail"
)

// addressList reads the addresses of a To field or an argument: mailboxes with
// or without a display name, groups, comments, in any charset that has ASCII's
// punctuation. An address may lack its domain. White space alone, <> and an
// empty group are no addresses.
func addressList(s string) ([]string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return nil, errors.New("control character")
	}
	var list []string
	var r listReader
	for i := 0; i <= len(s); i++ {
		var c byte = ','
		if i < len(s) {
			c = s[i]
		} else if r.open() {
			return nil, errors.New("quotes, comment or bracket that do not end")
		}
		if !r.take(c) {
			continue
		}
		addr, err := r.address()
		if err != nil {
			return nil, err
		}
		if addr != "" {
			list = append(list, addr)
		}
		r = listReader{}
	}
	return list, nil
}

// A listReader collects one mailbox.
type listReader struct {
	text    []byte // without comments
	angle   []byte // what stands between < and >
	angled  bool
	quoted  bool
	escaped bool
	depth   int // of comments
	inside  bool
}

func (r *listReader) open() bool { return r.quoted || r.depth > 0 || r.inside }

// take adds a byte and reports whether the mailbox ended before it.
func (r *listReader) take(c byte) (ended bool) {
	switch {
	case r.escaped:
		r.escaped = false
	case c == '\\' && (r.quoted || r.depth > 0):
		r.escaped = true
	case c == '"' && r.depth == 0:
		r.quoted = !r.quoted
	case r.quoted:
	case c == '(':
		r.depth++
	case c == ')' && r.depth > 0:
		r.depth--
		return false
	case r.depth > 0:
	case c == '<' && !r.inside:
		r.inside, r.angled, r.angle = true, true, nil
		return false
	case c == '>' && r.inside:
		r.inside = false
		return false
	case r.inside:
	case c == ',' || c == ';':
		return true
	case c == ':' && !r.angled: // the name of a group, which nobody writes to
		*r = listReader{}
		return false
	}
	switch {
	case r.depth > 0:
	case r.inside:
		r.angle = append(r.angle, c)
	default:
		r.text = append(r.text, c)
	}
	return false
}

// address returns the address of the mailbox, "" where there is none.
func (r *listReader) address() (string, error) {
	s := string(r.text)
	if r.angled {
		s = string(r.angle)
		if route, rest, ok := strings.Cut(s, ":"); ok && strings.HasPrefix(route, "@") {
			s = rest // RFC 5321 section 4.1.1.3
		}
	}
	if s = strings.Trim(s, " \t\r\n"); s == "" {
		return "", nil
	}
	return s, check(s)
}

// check refuses what can be no address, even with a domain added.
func check(s string) error {
	if !hasDomain(s) {
		s += "@localhost"
	}
	_, err := mail.ParseAddress(s)
	return err
}

// hasDomain reports whether an address has more than a local part.
func hasDomain(s string) bool {
	return strings.LastIndexByte(s, '@') > strings.LastIndexByte(s, '"')
}

// complete gives an address the domain that it lacks.
func complete(s, domain string) string {
	if s == "" || hasDomain(s) {
		return s
	}
	return s + "@" + domain
}
