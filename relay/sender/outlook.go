package sender

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// An Outlook is what recipients conclude of mail that leaves by one way.
type Outlook struct {
	Way        string
	SPF        string // of the domain in MAIL FROM
	SPFAligned bool   // that domain stands for From's
	DKIM       string // pass, none or unknown, of signatures by a domain that stands for From's
	Signer     string // whose signature that is: the record of the key, or the provider
	DMARC      string // pass, fail or unknown
	Demand     string // what the domain asks for where DMARC fails: none, quarantine, reject; "": nothing
	FreeMail   bool   // it fails because nobody but the free-mail provider can speak for its domain
}

// outlook finds out about one way.
func (l *look) outlook(ctx context.Context, w Way) (o Outlook, err error) {
	o = Outlook{Way: w.Name, Demand: l.report.DMARC.P}
	if o.SPF, o.SPFAligned, err = l.returnPath(ctx, w); err != nil {
		return o, err
	}
	if o.DKIM, o.Signer, err = l.signed(ctx, w); err != nil {
		return o, err
	}
	switch {
	case o.SPF == Pass && o.SPFAligned, o.DKIM == Pass:
		o.DMARC = Pass
	case o.DKIM == Unknown, o.SPF == Unknown && o.SPFAligned:
		o.DMARC = Unknown
	default:
		o.DMARC = Fail
	}
	o.FreeMail = o.DMARC == Fail && l.q.FreeMail
	return o, nil
}

// returnPath judges SPF of the domain that MAIL FROM has when it arrives.
func (l *look) returnPath(ctx context.Context, w Way) (result string, stands bool, err error) {
	domain := l.domain
	switch {
	case slices.Contains(w.Mailboxes, l.domain):
		return Pass, true, nil // the provider's own users
	case w.ReturnPath == FromProvider:
		return Pass, false, nil
	case w.ReturnPath == FromLogin:
		domain = cmp.Or(w.Login, l.domain)
	}
	result, err = l.spf(ctx, domain, w.Hosts)
	return result, aligned(l.report.DMARC.StrictSPF, domain, l.domain), err
}

// signed judges DKIM: our own key where it is published, else what the provider
// signs with. A key of the provider's that is in DNS is taken to be in use; that
// there is none under the names that are known says nothing for sure.
func (l *look) signed(ctx context.Context, w Way) (result, signer string, err error) {
	strict := l.report.DMARC.StrictDKIM
	for _, k := range l.report.Keys {
		if k.State == KeyPublished && aligned(strict, k.Key.Domain, l.domain) {
			return Pass, k.Name, nil
		}
	}
	if slices.Contains(w.Mailboxes, l.domain) {
		return Pass, w.Name, nil
	}
	if l.q.FreeMail {
		return None, "", nil
	}
	for _, selector := range w.Selectors {
		name := selector + "._domainkey." + l.domain
		texts, err := l.dns.records(ctx, name, isKey)
		if err != nil {
			return "", "", err
		}
		for _, text := range texts {
			if values, _ := tags(text); values["p"] != "" {
				return Pass, name, nil
			}
		}
	}
	return Unknown, "", nil
}

// records are what to publish so that more holds: none for a free-mail domain,
// in which only its owner can publish anything.
func (l *look) records() []Record {
	if l.q.FreeMail {
		return nil
	}
	var all []Record
	if hosts := l.missing(); len(hosts) > 0 || len(l.report.SPF) > 1 {
		all = append(all, Record{l.domain, permit(l.report.SPF, hosts)})
	}
	for _, k := range l.report.Keys {
		if k.State == KeyPublished {
			continue
		}
		if r, err := k.Key.record(); err == nil { // else it is none that could sign
			all = append(all, r)
		}
	}
	if p := l.report.DMARC; p.P == "" {
		at := l.report.Organisation
		all = append(all, Record{"_dmarc." + at, fmt.Sprintf("v=DMARC1; p=none; rua=mailto:postmaster@%s", at)})
	}
	return all
}

// missing names the hosts that SPF of the domain does not let send, though they
// put it into MAIL FROM. A record in error would not become better by them.
func (l *look) missing() []string {
	var hosts []string
	for i, w := range l.q.Ways {
		o := l.report.Outlooks[i]
		broken := o.SPF == PermError && len(l.report.SPF) == 1
		known := w.Hosts != "" && o.SPF != Pass && o.SPF != Unknown && !broken
		if known && cmp.Or(w.ReturnPath, FromSender) == FromSender && !slices.Contains(hosts, w.Hosts) {
			hosts = append(hosts, w.Hosts)
		}
	}
	return hosts
}
