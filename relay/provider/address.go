package provider

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
)

// An addressBook looks a provider's name up and remembers the addresses, for
// the time when name servers do not answer.
type addressBook struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	mu   sync.Mutex
	last []netip.Addr
}

func newAddressBook() *addressBook {
	return &addressBook{lookup: net.DefaultResolver.LookupNetIP}
}

// find returns the addresses of host. A name that does not exist is an error
// whatever was known before.
func (b *addressBook) find(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := b.lookup(ctx, "ip", host)
	b.mu.Lock()
	defer b.mu.Unlock()
	var dns *net.DNSError
	switch {
	case err == nil:
		b.last = addrs
	case len(b.last) > 0 && errors.As(err, &dns) && !dns.IsNotFound:
		return b.last, nil
	}
	return addrs, err
}
