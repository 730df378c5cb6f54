package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"backstamp/mail"
	"backstamp/relay/align"
	"backstamp/relay/provider"
	"backstamp/relay/sender"
)

// toPublish is the check of a symptom that is a record which DNS lacks.
const toPublish = "record"

// doctorSender says what recipients will conclude of mail that is from an
// address, and what to publish.
func (p *program) doctorSender(ctx context.Context, text string) error {
	address, err := mail.ParseAddress(text)
	if err != nil {
		return exitf(exitUsage, "doctor sender: %v", err)
	}
	_, h, err := p.tryHouse()
	if err != nil {
		return err
	}
	defer h.close()
	ways, others := h.waysFor(text)
	q := sender.Question{Domain: address.Domain, FreeMail: align.FreeMail(address.Domain), Ways: ways}
	for _, k := range h.renderer.KeysFor(address.Domain) {
		q.Keys = append(q.Keys, sender.Key{Domain: k.Domain, Selector: k.Selector, Public: k.Signer.Public()})
	}
	var dns sender.Resolver = net.DefaultResolver
	if p.dns != nil {
		dns = p.dns
	}
	r, err := sender.Look(ctx, dns, q)
	if err != nil {
		return exitf(exitFailed, "%s", mail.Escape(err.Error()))
	}
	all := append(domainSymptoms(r), others...)
	for _, o := range r.Outlooks {
		all = append(all, recipientsOf(o))
	}
	for _, record := range r.Records {
		all = append(all, symptom{check: toPublish, subject: record.Name, state: doubted, text: record.Text})
	}
	return p.report(all)
}

// waysFor lists the providers by which mail from an address may leave with that
// address in From, and says what becomes of it at the others that take it.
func (h *house) waysFor(from string) (ways []sender.Way, others []symptom) {
	for _, s := range h.providers {
		al, ok := h.alignAt(s.Name, from)
		f := symptom{check: "recipients", subject: s.Name, state: fine}
		switch {
		case !ok:
		case s.Preset == "capture":
			f.text = "capture keeps mail here and sends nothing"
			others = append(others, f)
		case al.Action == mail.ActionRewritten:
			f.text = fmt.Sprintf("From becomes %s: ask about that address", al.Identity)
			others = append(others, f)
		default:
			ways = append(ways, wayOf(s))
		}
	}
	if len(ways)+len(others) == 0 {
		others = append(others, h.nobody(from))
	}
	return ways, others
}

// nobody says why no provider may send with an address in From.
func (h *house) nobody(from string) symptom {
	f := symptom{check: "recipients", subject: from, text: "no provider may send with this From: the relay refuses it"}
	otherThanBulk := func(s provider.Settings) bool { return !s.Data().Bulk.Is }
	if align.FreeMail(from[strings.LastIndexByte(from, '@')+1:]) && !slices.ContainsFunc(h.providers, otherThanBulk) {
		return f.because(bad, "free-mail")
	}
	return f.because(bad, "no-provider")
}

// alignAt is how mail from an address is aligned at a provider by the first
// account that may use it there.
func (h *house) alignAt(provider, from string) (mail.Alignment, bool) {
	for _, name := range h.conf.Names("accounts") {
		a := h.accounts[name]
		if a == nil || !a.Match(provider, from) {
			continue
		}
		if al, ok := a.Align(provider, from, from); ok {
			return al, true
		}
	}
	return mail.Alignment{}, false
}

// wayOf is what is known of how a provider sends.
func wayOf(s provider.Settings) sender.Way {
	known := s.Service()
	w := sender.Way{
		Name: s.Name, Hosts: known.SPF.Is, ReturnPath: known.ReturnPath.Is,
		Mailboxes: known.Mailboxes.Is, Selectors: known.Selectors.Is,
	}
	if login, err := mail.ParseAddress(s.Login()); err == nil {
		w.Login = login.Domain
	}
	return w
}

// domainSymptoms are what DNS says of the domain itself.
func domainSymptoms(r *sender.Report) []symptom {
	spf := symptom{check: "spf", subject: r.Domain, state: fine, text: clip(strings.Join(r.SPF, " | "), foundMax)}
	switch len(r.SPF) {
	case 0:
		spf.text = "no record"
		spf = spf.because(doubted, "spf")
	case 1:
		if slices.ContainsFunc(r.Outlooks, func(o sender.Outlook) bool { return o.SPFAligned && o.SPF == sender.PermError }) {
			spf = spf.because(bad, "spf-broken")
		}
	default:
		spf = spf.because(bad, "spf-several")
	}
	all := []symptom{spf}
	for _, k := range r.Keys {
		f := symptom{check: "dkim", subject: k.Name, state: fine, text: keyTexts()[k.State]}
		if k.State != sender.KeyPublished {
			f = f.because(bad, "dkim")
		}
		all = append(all, f)
	}
	return append(all, policySymptom(r.DMARC))
}

// keyTexts puts the states of keys into words.
func keyTexts() map[string]string {
	return map[string]string{
		sender.KeyPublished: "our key is published",
		sender.KeyMissing:   "our key is not published",
		sender.KeyOther:     "another key than ours is published",
		sender.KeyRevoked:   "the key is revoked: p= is empty",
		sender.KeyUnread:    "the record cannot be read",
		sender.KeySeveral:   "there are several records; recipients take any",
	}
}

func policySymptom(p sender.Policy) symptom {
	f := symptom{check: "dmarc", subject: p.Name, state: fine, text: clip(strings.Join(p.Texts, " | "), foundMax)}
	switch {
	case len(p.Texts) == 0:
		f.text = "no policy"
	case len(p.Texts) > 1:
		f.text = "several policies, which count as none: " + f.text
	case p.P == "":
		f.text = "no policy that can be read (" + strings.Join(p.Odd, ", ") + "): " + f.text
	case len(p.Odd) > 0:
		f.text = "not all recipients may forgive " + strings.Join(p.Odd, ", ") + ": " + f.text
	default:
		return f
	}
	return f.because(doubted, "dmarc")
}

// recipientsOf judges what recipients conclude.
func recipientsOf(o sender.Outlook) symptom {
	f := symptom{check: "recipients", subject: o.Way, state: fine, outlook: &o}
	f.text = fmt.Sprintf("SPF %s, DKIM %s, DMARC %s", spfText(o), o.DKIM, dmarcText(o))
	switch {
	case o.DMARC == sender.Pass:
	case o.DMARC == sender.Unknown:
		f = f.because(doubted, "unsure")
	case o.FreeMail:
		f = f.because(bad, "free-mail")
	default:
		f = f.because(bad, "unaligned")
	}
	return f
}

func spfText(o sender.Outlook) string {
	if o.SPF == sender.Pass && !o.SPFAligned {
		return "pass, not aligned"
	}
	return o.SPF
}

// dmarcText says what becomes of mail that fails, too.
func dmarcText(o sender.Outlook) string {
	if o.DMARC == sender.Pass {
		return o.DMARC
	}
	return o.DMARC + " (" + cmp.Or(o.Demand, "no policy") + ")"
}

// An outlookRow is what JSON tells of recipients besides.
type outlookRow struct {
	SPF        string  `json:"spf"`
	SPFAligned bool    `json:"spf_aligned"`
	DKIM       string  `json:"dkim"`
	Signer     *string `json:"dkim_signer"`
	DMARC      string  `json:"dmarc"`
	Demand     *string `json:"demand"`
}

func newOutlookRow(o sender.Outlook) *outlookRow {
	return &outlookRow{o.SPF, o.SPFAligned, o.DKIM, textOrNull(o.Signer), o.DMARC, textOrNull(o.Demand)}
}
