package sender

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

// askMax is how long one lookup may take.
const askMax = 5 * time.Second

// An asker asks for whole names, never below a search domain, and for each
// text once. One goroutine uses it.
type asker struct {
	dns   Resolver
	texts map[string]texts
}

type texts struct {
	all []string
	err error
}

func newAsker(dns Resolver) *asker { return &asker{dns, map[string]texts{}} }

func whole(name string) string {
	if strings.HasSuffix(name, ".") {
		return name
	}
	return name + "."
}

func (a *asker) LookupTXT(ctx context.Context, name string) ([]string, error) {
	name = whole(strings.ToLower(name))
	t, ok := a.texts[name]
	if !ok {
		ctx, cancel := context.WithTimeout(ctx, askMax)
		defer cancel()
		t.all, t.err = a.dns.LookupTXT(ctx, name)
		a.texts[name] = t
	}
	return t.all, t.err
}

func (a *asker) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	return a.dns.LookupMX(ctx, whole(name))
}

func (a *asker) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	return a.dns.LookupIPAddr(ctx, whole(host))
}

func (a *asker) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	return a.dns.LookupAddr(ctx, addr)
}

// records returns the TXT records of a name that are of a kind. A name that has
// none is no error.
func (a *asker) records(ctx context.Context, name string, is func(string) bool) ([]string, error) {
	all, err := a.LookupTXT(ctx, name)
	if absent(err) {
		return nil, nil
	}
	var kind []string
	for _, text := range all {
		if is(text) {
			kind = append(kind, text)
		}
	}
	return kind, err
}

// exists reports whether a domain has anything that mail needs, or that a lookup
// did not deny it.
func (a *asker) exists(ctx context.Context, domain string) bool {
	if all, err := a.LookupTXT(ctx, domain); len(all) > 0 || !absent(err) {
		return true
	}
	if _, err := a.LookupMX(ctx, domain); !absent(err) {
		return true
	}
	_, err := a.LookupIPAddr(ctx, domain)
	return !absent(err)
}

// absent reports whether DNS said that there is nothing.
func absent(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}
