package relay

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-smtp"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
)

// passedOn is the reply to an app whose message the provider refused: the
// provider's code, and its words without what is nobody else's business.
func passedOn(a mail.Attempt, m *mail.Message) *smtp.SMTPError {
	if a.Reply.Permanent() {
		return refusal(a.Reply.Code, a.Reply.Enhanced(), "the provider says: "+discreet(words(a.Reply), m))
	}
	text, enhanced := "the provider cannot take it", "5.0.0"
	if x := catalogue.Shown(a.Explain, "en"); x != nil {
		text = x.Title
	}
	if cause := errors.Unwrap(a.Err); cause != nil {
		enhanced = cmp.Or(mail.Reply{Code: 550, Lines: []string{cause.Error()}}.Enhanced(), enhanced)
	}
	code := 554
	if enhanced == "5.6.7" { // RFC 6531 section 3.5
		code = 553
	}
	return refusal(code, enhanced, text)
}

// words are the lines of a reply without their enhanced codes.
func words(r mail.Reply) string {
	var lines []string
	for _, line := range r.Lines {
		code := mail.Reply{Code: r.Code, Lines: []string{line}}.Enhanced()
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(line, code)))
	}
	return strings.Join(lines, " ")
}

// discreet leaves out addresses that are not in the message's own envelope, and
// paths of files.
func discreet(text string, m *mail.Message) string {
	own := append([]string{m.MailFrom, m.HeaderFrom}, m.Recipients...)
	said := strings.Fields(text)
	for i, word := range said {
		bare := strings.Trim(word, `<>()[]{}"',;:.!?`)
		switch {
		case strings.Contains(bare, "@") && !slices.ContainsFunc(own, func(s string) bool { return strings.EqualFold(s, bare) }):
			said[i] = "(address)"
		case strings.Count(bare, "/") > 1 && bare[0] == '/', strings.Contains(bare, `:\`):
			said[i] = "(path)"
		}
	}
	return strings.Join(said, " ")
}
