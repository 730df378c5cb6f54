package mail

import (
	"bytes"
	"errors"
	"strings"
)

// A Mailbox is the one address of an originator field, and where it stands.
type Mailbox struct {
	Address    Address
	Start, End int // the addr-spec in Field.Raw, without < and >
}

// Mailbox reads a field that must hold exactly one mailbox (RFC 5322 section
// 3.4): an addr-spec, or a display name and an addr-spec in angle brackets.
//
// It accepts only what every reader of mail takes for the same address. So it
// is stricter than the RFC round the addr-spec, where comments, folding,
// routes (section 4.4) and encoded-words are errors, and more lenient in the
// display name, which may hold bytes above 0x7f in any charset.
func (f Field) Mailbox() (Mailbox, error) {
	r := mailboxReader{s: f.Raw, at: bytes.IndexByte(f.Raw, ':') + 1}
	r.s = bytes.TrimSuffix(bytes.TrimSuffix(r.s, []byte("\n")), []byte("\r"))
	for i, c := range r.s {
		if (c < ' ' && c != '\t' || c == 0x7f) && !r.fold(i) {
			return Mailbox{}, errors.New("control character")
		}
	}
	return r.mailbox()
}

type mailboxReader struct {
	s  []byte
	at int
}

var (
	errSeveral   = errors.New("more than one address")
	errNoAddress = errors.New("no address with @ and domain")
	errMalformed = errors.New("malformed address")
)

// fold reports whether the byte at i belongs to a line end that is followed
// by white space.
func (r *mailboxReader) fold(i int) bool {
	if r.s[i] == '\r' {
		return i+1 < len(r.s) && r.s[i+1] == '\n'
	}
	return r.s[i] == '\n' && i+1 < len(r.s) && (r.s[i+1] == ' ' || r.s[i+1] == '\t')
}

// mailbox reads words until one of them turns out to be an address.
func (r *mailboxReader) mailbox() (Mailbox, error) {
	for words := 0; ; words++ {
		if err := r.skip(); err != nil {
			return Mailbox{}, err
		}
		start := r.at
		switch r.peek() {
		case 0:
			return Mailbox{}, errNoAddress
		case '<':
			return r.angle()
		case ',':
			return Mailbox{}, errSeveral
		case ':', ';':
			return Mailbox{}, errors.New("a group instead of an address")
		}
		if err := r.word(); err != nil {
			return Mailbox{}, err
		}
		if r.peek() != '@' {
			continue
		}
		if words > 0 {
			return Mailbox{}, errors.New("text beside an address without < and >")
		}
		m, err := r.addrSpec(start)
		if err != nil {
			return Mailbox{}, err
		}
		return m, r.end()
	}
}

// angle reads <addr-spec>. White space inside the brackets is common and
// misleads nobody.
func (r *mailboxReader) angle() (Mailbox, error) {
	r.at++
	r.blank()
	start := r.at
	if err := r.word(); err != nil || r.peek() != '@' {
		return Mailbox{}, errMalformed
	}
	m, err := r.addrSpec(start)
	if err != nil {
		return Mailbox{}, err
	}
	r.blank()
	if r.peek() != '>' {
		return Mailbox{}, errMalformed
	}
	r.at++
	return m, r.end()
}

// addrSpec reads on from the @ of an addr-spec that began at start.
func (r *mailboxReader) addrSpec(start int) (Mailbox, error) {
	r.at++
	for r.at < len(r.s) && !strings.ContainsRune(" \t\r\n()<>,;\"\\@", rune(r.s[r.at])) {
		r.at++
	}
	a, err := ParseAddress(string(r.s[start:r.at]))
	switch {
	case err != nil:
		return Mailbox{}, errMalformed
	case strings.Contains(a.Local, "=?"):
		return Mailbox{}, errors.New("an encoded-word inside the address")
	case strings.ContainsAny(a.Local, "@<>"):
		return Mailbox{}, errors.New("an address inside the address")
	}
	return Mailbox{Address: a, Start: start, End: r.at}, nil
}

// end accepts comments and white space up to the end of the field.
func (r *mailboxReader) end() error {
	if err := r.skip(); err != nil {
		return err
	}
	switch r.peek() {
	case 0:
		return nil
	case ',':
		return errSeveral
	}
	return errors.New("text after the address")
}

// word reads an atom, with dots and bytes above 0x7f, or a quoted string.
func (r *mailboxReader) word() error {
	if r.peek() == '"' {
		return r.quoted()
	}
	start := r.at
	for r.at < len(r.s) && (r.s[r.at] == '.' || r.s[r.at] >= 0x80 || isAtext(rune(r.s[r.at]))) {
		r.at++
	}
	if r.at == start {
		return errMalformed
	}
	return nil
}

// quoted reads a quoted string. One that holds both a backslash and < would
// end elsewhere for a reader that takes the backslash for the second byte of a
// character, and show it another address.
func (r *mailboxReader) quoted() error {
	start := r.at
	for r.at++; r.at < len(r.s); r.at++ {
		switch r.s[r.at] {
		case '\\':
			r.at++
		case '"':
			r.at++
			text := r.s[start:r.at]
			if bytes.IndexByte(text, '\\') >= 0 && bytes.IndexByte(text, '<') >= 0 {
				return errors.New("a display name that may be read in two ways")
			}
			return nil
		}
	}
	return errors.New("quotes that do not end")
}

// skip passes over white space and comments.
func (r *mailboxReader) skip() error {
	for r.blank(); r.peek() == '('; r.blank() {
		if err := r.comment(); err != nil {
			return err
		}
	}
	return nil
}

// comment passes over one comment. Readers that know nothing of comments take
// an address inside for the address.
func (r *mailboxReader) comment() error {
	for depth := 0; r.at < len(r.s); {
		c := r.s[r.at]
		r.at++
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case '\\':
			c = r.peek()
			r.at++
		}
		if c == '@' || c == '<' || c == '>' {
			return errors.New("an address inside a comment")
		}
		if depth == 0 {
			return nil
		}
	}
	return errors.New("a comment that does not end")
}

func (r *mailboxReader) blank() {
	for r.at < len(r.s) && strings.IndexByte(" \t\r\n", r.s[r.at]) >= 0 {
		r.at++
	}
}

// peek returns the next byte, 0 at the end: a NUL never comes this far.
func (r *mailboxReader) peek() byte {
	if r.at < len(r.s) {
		return r.s[r.at]
	}
	return 0
}
