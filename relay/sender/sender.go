// Package sender finds out what recipients will conclude of mail that is from an
// address: whether SPF (RFC 7208), DKIM (RFC 6376) and with them DMARC (RFC
// 7489) hold for each provider that it may leave by, and what to publish in DNS
// where they do not.
//
// Look asks DNS, through a Resolver that it is given; the rest is pure.
package sender

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"blitiri.com.ar/go/spf"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// A Resolver asks DNS; *net.Resolver is one.
type Resolver = spf.DNSResolver

// The values of Way.ReturnPath: whose domain MAIL FROM has when mail arrives.
const (
	FromSender   = "sender"   // that of From
	FromLogin    = "login"    // that of the login
	FromProvider = "provider" // the provider's own
)

// A Way is a provider by which mail may leave.
type Way struct {
	Name       string
	Hosts      string   // the domain whose SPF record lists its hosts; "": not known
	ReturnPath string   // one of the above; "" is FromSender
	Login      string   // the domain of the login, for FromLogin
	Mailboxes  []string // domains of its own, for which it signs
	Selectors  []string // under which its customers publish its DKIM keys
}

// A Key is one that we sign with.
type Key struct {
	Domain, Selector string
	Public           crypto.PublicKey // *rsa.PublicKey or ed25519.PublicKey
}

// A Question is what Look is asked.
type Question struct {
	Domain   string // of From
	FreeMail bool   // everybody can have a mailbox there
	Keys     []Key  // with which mail from the domain is signed
	Ways     []Way
}

// A Report is the answer. Texts in it come from DNS and may hold anything.
type Report struct {
	Domain       string // in A-labels
	Organisation string // the domain below the public suffix (RFC 7489 section 3.2)
	SPF          []string
	DMARC        Policy
	Keys         []KeyState // of Question.Keys, in order
	Outlooks     []Outlook  // of Question.Ways, in order
	Records      []Record   // to publish
}

// A Record is one TXT record of DNS.
type Record struct{ Name, Text string }

// ErrNoDomain: DNS knows nothing of the domain, or the resolver knows nothing
// of the world.
var ErrNoDomain = errors.New("DNS knows no such domain, or this machine's resolver does not reach the world's DNS")

// lookMax is how long all lookups of one Look may take.
const lookMax = 30 * time.Second

// Look asks DNS and judges. Its error is that of a domain which is none, and of
// DNS that does not answer: what recipients conclude cannot be told then.
func Look(ctx context.Context, dns Resolver, q Question) (*Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookMax, fmt.Errorf("no end within %v", lookMax))
	defer cancel()
	domain, err := idna.Lookup.ToASCII(q.Domain)
	if err != nil {
		return nil, fmt.Errorf("domain %q: %w", q.Domain, err)
	}
	l := &look{dns: newAsker(dns), domain: domain, q: q}
	l.report = &Report{Domain: domain, Organisation: organisation(domain)}
	if err := l.run(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("asking DNS about %s: %w", domain, err)
	}
	return l.report, nil
}

// A look is one Look that runs.
type look struct {
	dns    *asker
	domain string
	q      Question
	report *Report
}

func (l *look) run(ctx context.Context) (err error) {
	r := l.report
	if r.SPF, err = l.dns.records(ctx, l.domain, isSPF); err != nil {
		return err
	}
	if len(r.SPF) == 0 && !l.dns.exists(ctx, l.domain) {
		return ErrNoDomain
	}
	if r.DMARC, err = l.policy(ctx); err != nil {
		return err
	}
	for _, k := range l.q.Keys {
		state, err := l.key(ctx, k)
		if err != nil {
			return err
		}
		r.Keys = append(r.Keys, state)
	}
	for _, w := range l.q.Ways {
		o, err := l.outlook(ctx, w)
		if err != nil {
			return err
		}
		r.Outlooks = append(r.Outlooks, o)
	}
	r.Records = l.records()
	return nil
}

// organisation returns the domain below the public suffix; the domain itself
// where it is a suffix.
func organisation(domain string) string {
	if top, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return top
	}
	return domain
}

// aligned reports whether an authenticated domain stands for that of From
// (RFC 7489 section 3.1).
func aligned(strict bool, authenticated, from string) bool {
	if strict {
		return authenticated == from
	}
	return organisation(authenticated) == organisation(from)
}
