package provider

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"

	"backstamp/mail"
)

// hide has mask take words out from now on.
func (c *conn) hide(words ...string) {
	for _, w := range words {
		if w != "" {
			c.hidden = append(c.hidden, w, "****")
		}
	}
	c.veil = strings.NewReplacer(c.hidden...)
}

// mask takes secrets out of what a server says: some quote what they refuse.
func (c *conn) mask(line string) string {
	if c.veil == nil {
		return line
	}
	return c.veil.Replace(line)
}

// masked is a reply as it may be kept and shown.
func (c *conn) masked(r mail.Reply) mail.Reply {
	lines := make([]string, len(r.Lines))
	for i, line := range r.Lines {
		lines[i] = c.mask(line)
	}
	r.Lines = lines
	return r
}

// spellings are the ways in which others may write a secret, whole ones first.
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
