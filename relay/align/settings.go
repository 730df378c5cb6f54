package align

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"backstamp/internal/near"
	"backstamp/mail"
)

// NullReplace is the value of Provider.NullSender that has a null MAIL FROM
// replaced by the From address.
const NullReplace = "replace"

// Settings are those of one account.
type Settings struct {
	Name            string
	Mode            Mode   // "" is Reject
	DefaultFrom     string // an address; "": none
	DefaultProvider string // a name; may be empty where there is only one provider
	Providers       []Provider
}

// A Provider is what the configuration says of one provider, as far as it
// concerns senders.
type Provider struct {
	Name           string   // as in the configuration, without the account
	Login          string   //
	LoginIsMailbox bool     // a login that is an address is a sender and an identity
	Senders        []string // see parseSender
	AnyFrom        bool     // takes every From, as capture does
	Bulk           bool     // a bulk mailer: free-mail addresses fail DMARC there
	NullSender     string   // "" or NullReplace
	Shared         bool     // belongs to all accounts
	After          string   // the provider that it stands in for
}

// NewAccount checks the settings of one account and compiles them. Its error
// joins *mail.SettingErrors; those that concern a shared provider are the same
// for every account.
func NewAccount(s Settings) (*Account, error) {
	a := &Account{name: s.Name, mode: cmp.Or(s.Mode, Reject), defaultFrom: s.DefaultFrom}
	var errs []error
	if !slices.Contains([]Mode{Reject, Rewrite, Warn}, a.mode) {
		errs = append(errs, a.settingf("align", "unknown mode %q; expected reject, rewrite or warn", s.Mode))
	}
	if _, err := parse(s.DefaultFrom); s.DefaultFrom != "" && err != nil {
		errs = append(errs, a.settingf("default_from", "%q is no address; expected one such as shop@example.com", s.DefaultFrom))
		a.defaultFrom = ""
	}
	for _, settings := range s.Providers {
		p, err := a.compile(settings)
		a.providers = append(a.providers, p)
		errs = append(errs, err)
	}
	errs = append(errs, a.linkDefault(s.DefaultProvider), a.linkAfter())
	slices.SortStableFunc(a.providers, a.order)
	errs = append(errs, a.checkIdentities())
	a.checkDefaultFrom()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Account) settingf(key, format string, args ...any) error {
	return mail.Settingf("accounts."+a.name+"."+key, format, args...)
}

// compile makes one provider ready. It returns it also with an error, so that
// the rest can be checked.
func (a *Account) compile(s Provider) (*provider, error) {
	p := &provider{Provider: s}
	p.name, p.setting = a.name+"/"+s.Name, "accounts."+a.name+".providers."+s.Name
	if s.Shared {
		p.name, p.setting = "*/"+s.Name, "providers."+s.Name
	}
	var errs []error
	var full string // the first full address among the senders
	for i, text := range s.Senders {
		sender, err := parseSender(text)
		if err == nil && s.Bulk && !sender.below && FreeMail(sender.domain) {
			err = errors.New("is a free-mail address, which fails DMARC behind a bulk provider; expected an address at a domain of yours")
		}
		if err != nil {
			errs = append(errs, mail.Settingf(fmt.Sprintf("%s.senders.%d", p.setting, i), "%q %v", text, err))
			continue
		}
		p.senders = append(p.senders, sender)
		if sender.local != "" {
			full = cmp.Or(full, text)
		}
	}
	if login, err := parse(s.Login); err == nil && s.LoginIsMailbox {
		p.senders = append(p.senders, pattern{local: login.local, domain: login.domain})
		p.identity = s.Login
	}
	if p.identity == "" && a.defaultFrom != "" && a.allows(p, a.defaultFrom) {
		p.identity = a.defaultFrom
	}
	p.identity = cmp.Or(p.identity, full)
	return p, errors.Join(errs...)
}

// named finds a provider by its name in the configuration, an own one before a
// shared one. What is shared knows nothing of an account's own.
func (a *Account) named(name string, sharedOnly bool) *provider {
	var found *provider
	for _, p := range a.providers {
		if p.Name == name && (p.Shared || !sharedOnly) && (found == nil || found.Shared) {
			found = p
		}
	}
	return found
}

// names lists the providers as the configuration names them.
func (a *Account) names() (names []string) {
	for _, p := range a.providers {
		names = append(names, p.Name)
	}
	return names
}

// afterHint says what p could come after.
func (a *Account) afterHint(p *provider) string {
	var names []string
	for _, o := range a.providers {
		if o != p && (o.Shared || !p.Shared) {
			names = append(names, o.Name)
		}
	}
	if len(names) == 0 {
		return "expected no after, there is no other provider it may follow"
	}
	return near.Hint(p.After, names)
}

// linkDefault finds the default provider: the named one, else the only one,
// else the only one of the account's own.
func (a *Account) linkDefault(name string) error {
	if name != "" {
		if a.fallback = a.named(name, false); a.fallback == nil {
			return a.settingf("default_provider", "unknown provider %q; %s", name, near.Hint(name, a.names()))
		}
		return nil
	}
	candidates := slices.DeleteFunc(slices.Clone(a.providers), func(p *provider) bool { return p.Shared })
	if len(candidates) == 0 {
		candidates = a.providers
	}
	switch len(candidates) {
	case 0:
		return a.settingf("providers", "no provider; expected at least one")
	case 1:
		a.fallback = candidates[0]
		return nil
	}
	return a.settingf("default_provider", "missing where there are several providers; expected %s", near.List(a.names()))
}

// linkAfter resolves after: and refuses circles.
func (a *Account) linkAfter() error {
	var errs []error
	for _, p := range a.providers {
		if p.After == "" {
			continue
		}
		if p.after = a.named(p.After, p.Shared); p.after == nil {
			errs = append(errs, mail.Settingf(p.setting+".after", "unknown provider %q; %s", p.After, a.afterHint(p)))
		}
	}
	for _, p := range a.providers {
		if p.circular(len(a.providers)) {
			errs = append(errs, mail.Settingf(p.setting+".after", "%q comes after itself; expected a chain that ends", p.Name))
		}
	}
	return errors.Join(errs...)
}

// circular reports whether at most n steps along after: lead back to p.
func (p *provider) circular(n int) bool {
	for q := p.after; q != nil && n > 0; q, n = q.after, n-1 {
		if q == p {
			return true
		}
	}
	return false
}

// order sorts providers as they are chosen.
func (a *Account) order(p, q *provider) int {
	rank := func(p *provider) int {
		switch {
		case p == a.fallback && !p.Shared:
			return 0
		case !p.Shared:
			return 1
		case p == a.fallback:
			return 2
		}
		return 3
	}
	return cmp.Compare(rank(p), rank(q))
}

// checkIdentities makes sure that every provider that may get foreign mail
// under rewrite has an address to put there.
func (a *Account) checkIdentities() error {
	var errs []error
	for _, p := range a.providers {
		if a.mode == Rewrite && p.identity == "" && !p.AnyFrom && (!p.Shared || p == a.fallback) {
			errs = append(errs, a.settingf("align", "rewrite, but provider %q has no address that From could become; "+
				"expected a mailbox as its login, a default_from that it allows, or a full address among its senders", p.Name))
		}
	}
	return errors.Join(errs...)
}

func (a *Account) checkDefaultFrom() {
	if a.defaultFrom == "" {
		return
	}
	for _, p := range a.providers {
		if a.allows(p, a.defaultFrom) {
			return
		}
	}
	a.warnings = append(a.warnings, a.settingf("default_from",
		"no provider of the account allows %q; expected one of their senders", a.defaultFrom))
}
