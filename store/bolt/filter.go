package bolt

import (
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// idSlack is how much older than its receipt a message's ID may be: it is made
// when the transaction begins, and a session may last an hour.
const idSlack = 2 * time.Hour

// A matcher applies a filter. Its text is in lower case.
type matcher struct{ store.Filter }

func newMatcher(f store.Filter) *matcher {
	f.From, f.To, f.Subject = strings.ToLower(f.From), strings.ToLower(f.To), strings.ToLower(f.Subject)
	return &matcher{f}
}

// past reports whether messages with that ID or an older one are too old.
func (m *matcher) past(id mail.ID) bool {
	return !m.Since.IsZero() && id.Time().Before(m.Since.Add(-idSlack))
}

// message reports whether the filter wants the message, as far as it can be
// told without its deliveries.
func (m *matcher) message(g *mail.Message) bool {
	return !g.Received.Before(m.Since) &&
		whole(g.Account, m.Account) && isMessageID(g.MessageID, m.MessageID) && whole(g.Tag, m.Tag) &&
		part(g.HeaderFrom, m.From) && part(g.Subject, m.Subject)
}

// row reports whether the filter wants the message.
func (m *matcher) row(r store.Row) bool {
	if !m.message(r.Message) {
		return false
	}
	to, status, provider := m.To == "", m.Status == "", m.Provider == ""
	for i := range r.Deliveries {
		d := &r.Deliveries[i]
		to = to || part(d.Recipient, m.To)
		status = status || d.Status == m.Status
		provider = provider || isProvider(d.Provider, m.Provider)
	}
	return to && status && provider
}

func whole(have, want string) bool { return want == "" || have == want }

func part(have, want string) bool {
	return want == "" || strings.Contains(strings.ToLower(have), want)
}

// isMessageID compares with or without the angle brackets, which people leave
// out.
func isMessageID(have, want string) bool { return whole(have, want) || have == "<"+want+">" }

// isProvider compares account/name with that, or with the name alone.
func isProvider(have, want string) bool {
	_, name, _ := strings.Cut(have, "/")
	return have == want || name == want
}
