package ascii

import (
	"strings"

	"golang.org/x/net/idna"

	"backstamp/mail"
)

// addresses encodes display names and comments of a list of addresses (RFC 5322
// section 3.4), and writes domains as A-labels. What reads as no list is
// encoded like a text.
func addresses(text string, col int) (string, error) {
	a := &addressList{folder: folder{col: col}, rest: text}
	for a.rest != "" {
		if err := a.next(); err != nil {
			return "", err
		}
	}
	err := a.flush(false)
	return a.String(), err
}

// An addressList is read token by token. What may yet turn out to be a display
// name or an address is kept back.
type addressList struct {
	folder
	rest   string
	words  []token
	blanks string // before what comes next
}

// A token is a word with the blanks before it.
type token struct{ blanks, text string }

// next reads one token.
func (a *addressList) next() error {
	var blanks string
	blanks, a.rest = cutBlanks(a.rest)
	a.blanks += blanks
	if a.rest == "" {
		return nil
	}
	switch a.rest[0] {
	case '"':
		a.keep(a.cut(quotedEnd(a.rest)))
	case '(':
		return a.comment()
	case '<':
		if err := a.flush(true); err != nil {
			return err
		}
		i := strings.IndexByte(a.rest, '>')
		text, err := asciiDomain(a.cut(i + 1))
		a.plain(text)
		return err
	case ':':
		if err := a.flush(true); err != nil {
			return err
		}
		a.plain(a.cut(1))
	case ',', ';':
		if err := a.flush(false); err != nil {
			return err
		}
		a.plain(a.cut(1))
	default:
		a.keep(a.cut(strings.IndexAny(a.rest, " \t\r\n\"(<:,;")))
	}
	return nil
}

// cut takes n octets off what is left, or all where there is no such end.
func (a *addressList) cut(n int) (text string) {
	if n <= 0 {
		n = len(a.rest)
	}
	text, a.rest = a.rest[:n], a.rest[n:]
	return text
}

func (a *addressList) keep(text string) {
	a.words = append(a.words, token{a.blanks, text})
	a.blanks = ""
}

func (a *addressList) plain(text string) {
	a.put(a.blanks)
	a.put(text)
	a.blanks = ""
}

// comment encodes the words of a comment (RFC 2047 section 5, rule 2).
func (a *addressList) comment() error {
	text := a.cut(commentEnd(a.rest))
	if Is(text) {
		a.keep(text)
		return nil
	}
	if err := a.flush(false); err != nil {
		return err
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(text, "("), ")")
	a.plain("(" + unstructured(strings.NewReplacer("(", "[", ")", "]").Replace(inner), a.col+1) + ")")
	return nil
}

// flush writes the words that were kept back: a display name, which may be
// encoded as one, or an address.
func (a *addressList) flush(name bool) error {
	words := a.words
	a.words = nil
	raw := false
	for _, w := range words {
		raw = raw || !Is(w.text)
		name = name || raw && !strings.Contains(w.text, "@")
	}
	if raw && name {
		var text []string
		for _, w := range words {
			text = append(text, unquote(w.text))
		}
		a.folder.words(words[0].blanks, strings.Join(text, " "))
		if a.blanks == "" {
			a.blanks = " "
		}
		return nil
	}
	for _, w := range words {
		text, err := asciiDomain(w.text)
		if err != nil {
			return err
		}
		a.put(w.blanks)
		a.put(text)
	}
	return nil
}

// asciiDomain writes what follows the last @ as A-labels (RFC 5890).
func asciiDomain(s string) (string, error) {
	if Is(s) {
		return s, nil
	}
	i := strings.LastIndexByte(s, '@')
	domain, end := s[i+1:], ""
	if strings.HasSuffix(domain, ">") {
		domain, end = domain[:len(domain)-1], ">"
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSpace(domain))
	if i < 0 || !Is(s[:i]) || err != nil {
		return "", mail.ErrUTF8
	}
	return s[:i+1] + ascii + end, nil
}

// quotedEnd returns the length of the quoted string that s begins with, 0 where
// it does not end.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// commentEnd returns the length of the comment that s begins with, 0 where it
// does not end.
func commentEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// unquote takes quotes and backslashes off.
func unquote(s string) string {
	if !strings.HasPrefix(s, `"`) {
		return s
	}
	s = strings.TrimSuffix(s[1:], `"`)
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return unfold(b.String())
}
