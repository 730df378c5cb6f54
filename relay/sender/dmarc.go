package sender

import (
	"context"
	"slices"
	"strings"
)

// A Policy is what a domain asks of recipients by DMARC.
type Policy struct {
	Name    string   // where it was found, or looked for last
	Texts   []string // the records that are there; one is as it should be
	P       string   // what becomes of mail that fails: none, quarantine or reject; "": there is no policy
	Reports bool     // somebody is told of what fails
	Odd     []string // what not all recipients may forgive
	// Strict alignment asks for the very domain of From.
	StrictSPF, StrictDKIM bool
}

// isDMARC reports whether a text is meant as a policy: its first tag is v=DMARC1.
func isDMARC(text string) bool {
	name, value := firstTag(text)
	return name == "v" && strings.EqualFold(value, "DMARC1")
}

// policy finds the one in force: that of the domain, else that of the
// organisation for domains below (RFC 7489 section 6.6.3).
func (l *look) policy(ctx context.Context) (Policy, error) {
	organisation := l.report.Organisation
	for _, domain := range slices.Compact([]string{l.domain, organisation}) {
		name := "_dmarc." + domain
		texts, err := l.dns.records(ctx, name, isDMARC)
		if err != nil {
			return Policy{}, err
		}
		if len(texts) == 0 && domain != organisation {
			continue
		}
		p := Policy{Name: name, Texts: texts}
		if len(texts) == 1 {
			p.read(texts[0], domain != l.domain)
		}
		return p, nil
	}
	return Policy{}, nil
}

// read takes a record, for the domain that has it or for one below.
func (p *Policy) read(text string, below bool) {
	values, odd := tags(text)
	p.Odd = odd
	if values["v"] != "DMARC1" || !strings.HasPrefix(text, "v=") {
		p.Odd = append(p.Odd, "another spelling of v=DMARC1")
	}
	p.Reports = values["rua"] != ""
	p.StrictSPF, p.StrictDKIM = strings.EqualFold(values["aspf"], "s"), strings.EqualFold(values["adkim"], "s")
	p.P = p.demand(values, "p")
	if p.P == "" && p.Reports {
		p.P = "none" // RFC 7489 section 6.6.3, step 6
	}
	if sub := p.demand(values, "sp"); below && sub != "" && p.P != "" {
		p.P = sub
	}
}

// demand reads p or sp; "" where it is missing or unknown.
func (p *Policy) demand(values map[string]string, tag string) string {
	given, ok := values[tag]
	word := strings.ToLower(given)
	if slices.Contains([]string{"none", "quarantine", "reject"}, word) {
		if word != given {
			p.Odd = append(p.Odd, tag+" in capitals")
		}
		return word
	}
	if ok {
		p.Odd = append(p.Odd, "an unknown "+tag)
	} else if tag == "p" {
		p.Odd = append(p.Odd, "no p")
	}
	return ""
}
