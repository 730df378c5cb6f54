package align

import (
	"fmt"
	"slices"
	"strings"

	"backstamp/mail"
)

// A Decision is what becomes of one message.
type Decision struct {
	Alignment  mail.Alignment
	Provider   string   // who is to take it, as in a mail.Message
	HeaderFrom string   // the address in From, its own or the one that stands in
	AddFrom    string   // the whole From field to add, without line end; "": it has one
	Remove     []string // names of fields to remove
}

// A Refusal says why a message may not be sent, as an SMTP reply.
type Refusal struct {
	Code     int
	Enhanced string
	Text     string
}

// Error returns the reply.
func (r *Refusal) Error() string { return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text) }

func malformed(format string, args ...any) *Refusal {
	return &Refusal{550, "5.6.0", fmt.Sprintf(format, args...)}
}

// Decide judges a message by the fields of its top header and its MAIL FROM,
// "" for the null reverse-path. clientFrom is the address that stands in for a
// missing From of this client, "" for none. The error is a *Refusal.
func (a *Account) Decide(h mail.Header, mailFrom, clientFrom string) (Decision, error) {
	from, rule, err := a.author(h, clientFrom)
	if err != nil {
		return Decision{}, err
	}
	p := a.choose(from)
	if p == nil {
		return Decision{}, a.refuse(from)
	}
	d := Decision{Alignment: a.judge(p, from, mailFrom), Provider: p.name, HeaderFrom: from, Remove: []string{"Return-Path"}}
	d.Alignment.Rule = rule
	if rule != ruleFrom {
		d.AddFrom = "From: " + from
	}
	switch sender := a.checkSender(h, p); {
	case a.mode == Rewrite:
		d.Remove = append(d.Remove, "Sender")
	case a.mode == Reject && sender != nil:
		return Decision{}, sender
	case a.mode == Warn && sender != nil:
		d.Alignment.Action, d.Alignment.Identity = mail.ActionWarned, p.identity
	}
	return d, nil
}

// The values of mail.Alignment.Rule: where From came from.
const (
	ruleFrom        = "from"
	ruleClient      = "client"
	ruleDefaultFrom = "default_from"
	ruleLogin       = "login"
)

// author returns the one address that the message is from.
func (a *Account) author(h mail.Header, clientFrom string) (from, rule string, err error) {
	fields := h.All("From")
	switch len(fields) {
	case 0:
		return a.standIn(clientFrom)
	case 1:
		box, err := fields[0].Mailbox()
		if err != nil {
			return "", "", malformed("From field: %v; expected one address", err)
		}
		return box.Address.String(), ruleFrom, nil
	}
	return "", "", malformed("%d From fields; expected one", len(fields))
}

// standIn returns the address for a message without From. Its domain goes out
// in A-labels, so that the field needs no SMTPUTF8 for the domain's sake.
func (a *Account) standIn(clientFrom string) (from, rule string, err error) {
	login := ""
	if a.fallback.LoginIsMailbox {
		login = a.fallback.Login
	}
	for _, c := range []struct{ address, rule string }{
		{clientFrom, ruleClient}, {a.defaultFrom, ruleDefaultFrom}, {login, ruleLogin},
	} {
		addr, err := mail.ParseAddress(c.address)
		if err != nil {
			continue
		}
		if addr.Domain, err = aLabels(addr.Domain); err == nil {
			return addr.String(), c.rule, nil
		}
	}
	return "", "", &Refusal{550, "5.7.1", fmt.Sprintf("no From field, and %s has no default_from", a.name)}
}

// choose returns the provider for that From, or nil where none may take it.
func (a *Account) choose(from string) *provider {
	for _, p := range a.providers {
		if a.allows(p, from) {
			return p
		}
	}
	if a.mode == Reject {
		return nil
	}
	return a.fallback
}

// judge says what must change for a message to leave through p.
func (a *Account) judge(p *provider, from, mailFrom string) mail.Alignment {
	al := mail.Alignment{From: from, Identity: from, Action: mail.ActionNone}
	allowed := a.allows(p, from)
	envelope := mailFrom != "" && !a.allows(p, mailFrom)
	switch {
	case a.mode == Warn && (!allowed || envelope):
		al.Action, al.Identity = mail.ActionWarned, p.identity
	case a.mode == Rewrite && !allowed:
		al.Action, al.Identity = mail.ActionRewritten, p.identity
	case envelope, mailFrom == "" && p.NullSender == NullReplace:
		al.Action = mail.ActionEnvelope
	}
	return al
}

// checkSender judges the Sender field (RFC 5322 section 3.6.2), where there is
// one.
func (a *Account) checkSender(h mail.Header, p *provider) error {
	for i, f := range h.All("Sender") {
		if i > 0 {
			return malformed("several Sender fields; expected one at most")
		}
		box, err := f.Mailbox()
		if err != nil {
			return malformed("Sender field: %v; expected one address", err)
		}
		if address := box.Address.String(); !a.allows(p, address) {
			return a.refuse(address)
		}
	}
	return nil
}

// refuse words the refusal of an address.
func (a *Account) refuse(address string) *Refusal {
	text := fmt.Sprintf("%s may not be used with %s; allowed: %s", address, a.name, a.allowed())
	bulk := slices.ContainsFunc(a.providers, func(p *provider) bool { return p.Bulk })
	if addr, err := parse(address); err == nil && bulk && FreeMail(addr.domain) {
		text += fmt.Sprintf("; mail from %s fails DMARC behind a bulk provider", addr.domain)
	}
	return &Refusal{550, "5.7.1", text}
}

// allowedMax bounds the list of allowed senders in a refusal, in octets, so
// that the reply stays one line.
const allowedMax = 160

// allowed lists what the account may send as, in ASCII.
func (a *Account) allowed() string {
	var all []string
	for _, p := range a.providers {
		if _, err := parse(p.Login); err == nil && p.LoginIsMailbox {
			all = append(all, p.Login)
		}
		all = append(all, p.Senders...)
	}
	var shown []string
	size := 0
	for _, s := range all {
		s = inASCII(s)
		if slices.Contains(shown, s) {
			continue
		}
		if size += len(s) + 2; size > allowedMax {
			shown = append(shown, "...")
			break
		}
		shown = append(shown, s)
	}
	if len(shown) == 0 {
		return "none"
	}
	return strings.Join(shown, ", ")
}
