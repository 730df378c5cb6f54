package provider

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

	"backstamp/mail"
)

// A veil is what nobody is to see of what a server says, in lower case: some quote
// what they refuse.
type veil []string

// hiddenMin is the least that can be hidden: less stands in ordinary words.
const hiddenMin = 4

// hide has the veil cover words from now on.
func (c *conn) hide(words ...string) {
	for _, w := range words {
		if len(w) >= hiddenMin {
			c.veil = append(c.veil, lowered(w))
		}
	}
}

// masked is a reply as it may be kept and shown.
func (c *conn) masked(r mail.Reply) mail.Reply {
	r.Lines = c.veil.mask(r.Lines...)
	return r
}

// mask returns lines of one reply without the words, those that are broken over
// several lines too. It leaves lines alone.
func (v veil) mask(lines ...string) []string {
	if len(v) == 0 {
		return lines
	}
	type place struct{ line, octet int }
	var (
		covered = make([][]bool, len(lines))
		joined  strings.Builder
		places  []place // by octet of joined
	)
	for i, line := range lines {
		covered[i] = make([]bool, len(line))
		v.find(line, func(octet int) { covered[i][octet] = true })
		text := strings.TrimSpace(strings.TrimPrefix(line, mail.Reply{Lines: []string{line}}.Enhanced()))
		joined.WriteString(text)
		for from, k := strings.Index(line, text), 0; k < len(text); k++ {
			places = append(places, place{i, from + k})
		}
	}
	v.find(joined.String(), func(octet int) { covered[places[octet].line][places[octet].octet] = true })
	shown := slices.Clone(lines)
	for i, line := range lines {
		if slices.Contains(covered[i], true) {
			shown[i] = uncovered(line, covered[i])
		}
	}
	return shown
}

// head returns the beginning of a line that came after others.
func (v veil) head(before []string, line string) string {
	shown := v.mask(append(slices.Clip(before), line)...)
	line = shown[len(shown)-1]
	return line[:min(len(line), headMax)]
}

const headMax = 80

// find calls f for each octet of text that is part of a word, in capitals or not,
// or of a word's beginning with which it ends: long lines are cut.
func (v veil) find(text string, f func(octet int)) {
	text = lowered(text)
	for _, w := range v {
		for from := 0; ; from++ {
			i := strings.Index(text[from:], w)
			if i < 0 {
				break
			}
			from += i
			for k := range len(w) {
				f(from + k)
			}
		}
		for n := len(w) - 1; n >= hiddenMin; n-- {
			if strings.HasSuffix(text, w[:n]) {
				for k := range n {
					f(len(text) - n + k)
				}
				break
			}
		}
	}
}

// lowered is text of the same length with ASCII letters in lower case.
func lowered(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// uncovered is a line with stars for what is covered.
func uncovered(line string, covered []bool) string {
	var b strings.Builder
	for i := range len(line) {
		switch {
		case !covered[i]:
			b.WriteByte(line[i])
		case i == 0 || !covered[i-1]:
			b.WriteString("****")
		}
	}
	return b.String()
}

// spellings are the ways in which others may write a secret.
func spellings(secret string) []string {
	if secret == "" {
		return nil
	}
	digits := hex.EncodeToString([]byte(secret))
	all := []string{encode(secret), secret, url.QueryEscape(secret), url.PathEscape(secret), digits, strings.ToUpper(digits)}
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			if part := within(alphabet, secret, before); len(part) >= partMin {
				all = append(all, part)
			}
		}
	}
	return all
}

// partMin is the least of a secret's base64 that is looked for: less is found
// in ordinary words.
const partMin = 6

// within is what base64 makes of a secret that comes after so many other
// octets, modulo 3: the characters that are made of the secret alone.
func within(alphabet *base64.Encoding, secret string, before int) string {
	text := alphabet.EncodeToString(append(make([]byte, before), secret...))
	first, end := (before*8+5)/6, (before+len(secret))*8/6
	return text[min(first, end):end]
}
