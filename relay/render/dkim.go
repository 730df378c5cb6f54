package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"backstamp/mail"
)

// signedFields are the fields that are signed where a provider names no
// others. Message-ID is never signed: providers replace it.
var signedFields = []string{"From", "Subject", "To", "Cc", "Reply-To", "Date", "MIME-Version", "Content-*"}

// SignedBut are the fields that are signed without some that a provider replaces.
func SignedBut(without []string) []string {
	return slices.DeleteFunc(slices.Clone(signedFields), func(name string) bool { return slices.Contains(without, name) })
}

// signers hash one copy, one for each key.
type signers []*dkim.Signer

// newSigners returns the signers for a copy with header h whose From is from.
// There may be none. They must be closed.
func (r *Renderer) newSigners(p Provider, h *header, from mail.Address) (signers, error) {
	var out signers
	for _, k := range r.KeysFor(from.Domain) {
		s, err := dkim.NewSigner(&dkim.SignOptions{
			Domain: k.Domain, Selector: k.Selector, Signer: k.Signer,
			HeaderKeys:             oversigned(p.DKIM, h.all()),
			HeaderCanonicalization: dkim.CanonicalizationRelaxed,
			BodyCanonicalization:   dkim.CanonicalizationRelaxed,
		})
		if err != nil {
			out.close()
			return nil, fmt.Errorf("sign for %q: %w", k.Domain, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// KeysFor returns the keys to sign with for a domain in From: those of exactly that domain, else those of the nearest
// domain above it, up to the organisational one: what DMARC calls relaxed
// alignment (RFC 7489 section 3.1.1).
func (r *Renderer) KeysFor(domain string) []Key {
	domain = aLabels(domain)
	top, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return r.keys[domain]
	}
	for domain != top && len(r.keys[domain]) == 0 {
		_, domain, _ = strings.Cut(domain, ".")
	}
	return r.keys[domain]
}

// Write hashes a piece of the copy.
func (s signers) Write(p []byte) (int, error) {
	for _, signer := range s {
		if n, err := signer.Write(p); err != nil {
			return n, fmt.Errorf("sign: %w", err)
		}
	}
	return len(p), nil
}

// close ends all of them and returns their DKIM-Signature fields.
func (s signers) close() (string, error) {
	var fields strings.Builder
	var errs []error
	for _, signer := range s {
		if err := signer.Close(); err != nil {
			errs = append(errs, fmt.Errorf("sign: %w", err))
			continue
		}
		fields.WriteString(signer.Signature())
	}
	return fields.String(), errors.Join(errs...)
}

// Bounds on the h= tag, which must fit on a line (RFC 5322 section 2.1.1).
const (
	instancesMax = 8
	namesMax     = 800 // octets
)

// oversigned lists the names that h= holds, each once more than there are such
// fields, so that none can be added without breaking the signature. A name
// that ends in * stands for all fields that begin so.
func oversigned(names []string, h mail.Header) []string {
	if names == nil {
		names = signedFields
	}
	var out []string
	size := 0
	for _, name := range expand(append([]string{"From"}, names...), h) {
		for range min(len(h.All(name))+1, instancesMax) {
			if size += len(name) + 1; size <= namesMax {
				out = append(out, name)
			}
		}
	}
	return out
}

// expand resolves the names that end in *, and leaves out Message-ID and
// repetitions.
func expand(names []string, h mail.Header) []string {
	var out []string
	add := func(name string) {
		same := func(s string) bool { return strings.EqualFold(s, name) }
		if !same("Message-ID") && !slices.ContainsFunc(out, same) {
			out = append(out, name)
		}
	}
	for _, name := range names {
		prefix, wild := strings.CutSuffix(name, "*")
		if !wild {
			add(name)
			continue
		}
		if strings.EqualFold(prefix, "Content-") {
			add("Content-Type")
			add("Content-Transfer-Encoding")
		}
		for _, f := range h {
			if len(f.Name) >= len(prefix) && strings.EqualFold(f.Name[:len(prefix)], prefix) {
				add(f.Name)
			}
		}
	}
	return out
}

// aLabels returns the form in which domains are compared.
func aLabels(domain string) string {
	a, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return strings.ToLower(domain)
	}
	return a
}
