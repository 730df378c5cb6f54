// Package align decides whether an account may send a message as the author
// that its From field names, through which of its providers, and what must
// change where it may not. Providers would rewrite a foreign From silently or
// fail it later; here it is refused, rewritten or let through with a warning,
// as the operator chose, before any provider sees it.
//
// It is pure: no clock, no network, no state beyond the configuration that
// NewAccount compiled.
package align

import (
	"slices"

	"backstamp/mail"
)

// A Mode says what happens to a From that no provider of the account allows.
type Mode string

// The modes. The strings are those of the configuration.
const (
	Reject  Mode = "reject"
	Rewrite Mode = "rewrite" // From becomes the identity of the provider
	Warn    Mode = "warn"    // unchanged
)

// An Account decides for one account. It never changes and may be used by many
// goroutines.
//
// Providers go by the name that a mail.Message carries: account/name, or
// */name for one that is shared.
type Account struct {
	name        string
	mode        Mode
	defaultFrom string
	providers   []*provider // in order of choice: own before shared, the default first
	fallback    *provider   // default_provider
	warnings    []error
}

// A provider is a Provider ready for use.
type provider struct {
	Provider
	name     string // as in a mail.Message
	setting  string // where it stands in the configuration
	senders  []pattern
	identity string // "": none
	after    *provider
}

// Name returns the name of the account.
func (a *Account) Name() string { return a.name }

// Warnings returns what is odd about the settings, yet no error: each is a
// *mail.SettingError.
func (a *Account) Warnings() []error { return slices.Clone(a.warnings) }

// Match reports whether a message with that address in From may leave through
// provider: its login or senders match, or the mode makes up for it.
func (a *Account) Match(provider, address string) bool {
	p := a.provider(provider)
	return p != nil && a.passes(p, address)
}

// Identity returns what From becomes at provider where it must be rewritten:
// the mailbox login, else the default_from if it is allowed there, else the
// first full address among the senders.
func (a *Account) Identity(provider string) (string, bool) {
	p := a.provider(provider)
	if p == nil || p.identity == "" {
		return "", false
	}
	return p.identity, true
}

// Chain returns the providers that stand in for the named one, in the order of
// after:, nearest first, as far as a message with that address in From may
// leave through them.
func (a *Account) Chain(name, address string) []string {
	var names []string
	for next := []*provider{a.provider(name)}; len(next) > 0 && next[0] != nil; next = next[1:] {
		for _, p := range a.providers {
			if p.after != next[0] {
				continue
			}
			next = append(next, p)
			if a.passes(p, address) {
				names = append(names, p.name)
			}
		}
	}
	return names
}

// Followed reports whether some provider stands in for the named one.
func (a *Account) Followed(name string) bool {
	return slices.ContainsFunc(a.providers, func(p *provider) bool { return p.after != nil && p.after.name == name })
}

// Align judges a message anew for a provider other than the one it was
// accepted for; ok is false where the account has none of that name. The Rule
// of the result is empty: where From came from does not change.
func (a *Account) Align(provider, from, mailFrom string) (al mail.Alignment, ok bool) {
	p := a.provider(provider)
	if p == nil {
		return mail.Alignment{}, false
	}
	return a.judge(p, from, mailFrom), true
}

func (a *Account) provider(name string) *provider {
	for _, p := range a.providers {
		if p.name == name {
			return p
		}
	}
	return nil
}

// allows reports whether p takes address as its own. A free-mail address fails
// DMARC behind a bulk mailer, whatever its login is.
func (a *Account) allows(p *provider, address string) bool {
	addr, err := parse(address)
	if err != nil {
		return p.AnyFrom
	}
	if a.mode == Reject && p.Bulk && FreeMail(addr.domain) {
		return false
	}
	return p.AnyFrom || slices.ContainsFunc(p.senders, func(s pattern) bool { return s.match(addr) })
}

// passes reports whether mail from address may leave through p, as it is or
// rewritten.
func (a *Account) passes(p *provider, address string) bool {
	return a.allows(p, address) || a.mode == Warn || a.mode == Rewrite && p.identity != ""
}

// Owns reports whether an address is one of the account's own: a login or
// sender of some provider, whatever the mode lets pass.
func (a *Account) Owns(address string) bool {
	return slices.ContainsFunc(a.providers, func(p *provider) bool { return a.allows(p, address) })
}
