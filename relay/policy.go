package relay

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"time"

	"backstamp/mail"
	"backstamp/relay/align"
	"backstamp/rewrite"
)

// Settings say who may hand in mail, how, and what becomes of it.
type Settings struct {
	Hostname      string // in the banner, in Received and in Message-IDs that are added
	DefaultDomain string // completes addresses without a domain; "": they are refused
	Limits        Limits
	Listeners     []Listener
	Clients       []Client
	Accounts      []Account
	Tracking      Tracking
	Rewriter      *rewrite.Rewriter
	// Quiet reports whether no notice may be made about a message with that
	// header; nil: about any.
	Quiet func(h mail.Header) bool
	// Certificate serves listeners that have none of their own; nil: they must.
	Certificate *Certificate
}

// Limits bound what clients may ask for. All are positive.
type Limits struct {
	Message              int64 // octets
	Recipients           int   // of one message
	Connections          int   // in all
	ConnectionsPerClient int   // from one address, or from one /64; loopback is not counted
	LoginFailures        int   // on one connection
	Read                 time.Duration
	Idle                 time.Duration
	Session              time.Duration
}

// A Listener is one address on which mail comes in.
type Listener struct {
	Address       string
	TLS           string         // off, starttls or implicit
	Clients       []netip.Prefix // who may come without a login; empty, on loopback: this machine
	Auth          string         // off, optional or required
	Legacy        bool           // those in Clients may speak as no standard has it
	Cert, Key     string         // files in PEM; both "": the Certificate of Settings
	MinTLS        string         // 1.0 to 1.3; "" is 1.2
	ProxyProtocol []netip.Prefix // proxies, each of whose connections begins with a PROXY header that is believed
}

// A Client is the policy for some machines. It admits nobody.
type Client struct {
	Name     string
	Networks []netip.Prefix
	From     string // stands in where From is missing
	Charset  string // of raw text that says nothing else; "": unknown
	Tracking string // off, opens, clicks or both; "" is both
	Legacy   bool   // as that of a Listener, for these machines
	MaxSize  int64  // octets; 0: the limit for all
	Rate     Rate   // messages of one address
}

// An Account is who hands in mail: by login, by network, or both.
type Account struct {
	Username        string // "": none
	Password        string
	Networks        []netip.Prefix
	Align           *align.Account
	ProviderHeaders bool            // control headers for the provider are passed on
	Hear            bool            // apps are answered with what the provider says at first
	Size            func() int64    // octets of the largest message that each of its providers takes, as far as known; 0, or nil: not known
	Local           map[string]bool // providers, as in a mail.Message, that keep mail on this machine or a private network
}

// Tracking says what is tracked unless an account, a client or a message says
// less.
type Tracking struct {
	Opens, Clicks bool
	Shared        bool         // one copy and token for all recipients
	Privacy       mail.Privacy // 0: off
	Public        bool         // base_url is neither loopback nor private: links work everywhere
}

// A Policy is Settings, checked and made ready. It never changes; a Server
// swaps it whole.
type Policy struct {
	hostname      string
	defaultDomain string
	limits        Limits
	doors         []*door
	clients       []Client
	accounts      []*account
	tracking      Tracking
	rewriter      *rewrite.Rewriter
	quiet         func(h mail.Header) bool
}

// A door is a Listener ready for use.
type door struct {
	Listener
	config   *tls.Config // nil without TLS
	loopback bool        // it can be reached from this machine alone
}

// An account is an Account ready for use.
type account struct {
	Account
	name string
	hash digest // of the password
}

// admits reports whether a client at addr may hand in mail without a login, if
// some account is meant for it.
func (d *door) admits(addr netip.Addr) bool {
	if d.Auth == authRequired {
		return false
	}
	return d.lists(addr)
}

// lists reports whether addr is one of those that the listener is meant for.
func (d *door) lists(addr netip.Addr) bool {
	return contains(d.Clients, addr) || len(d.Clients) == 0 && d.loopback && addr.IsLoopback()
}

// offersAuth reports whether a client at addr may log in; in the clear that is
// for this machine and listed networks.
func (d *door) offersAuth(addr netip.Addr, encrypted bool) bool {
	return d.Auth != authOff && (encrypted || addr.IsLoopback() || contains(d.Clients, addr))
}

// legacy reports whether a client at addr is understood where it speaks as no
// standard has it: not every stranger is.
func (d *door) legacy(addr netip.Addr) bool {
	return d.Legacy && (contains(d.Clients, addr) || len(d.Clients) == 0 && d.loopback && addr.IsLoopback())
}

// client returns the policy for the machine at addr, that of the smallest
// network where several hold it, or the zero Client.
func (p *Policy) client(addr netip.Addr) Client {
	var found Client
	bits := -1
	for _, c := range p.clients {
		for _, n := range c.Networks {
			if n.Contains(addr) && n.Bits() > bits {
				found, bits = c, n.Bits()
			}
		}
	}
	return found
}

// limit is the largest message that a machine may hand in, in octets.
func (p *Policy) limit(addr netip.Addr) int64 {
	if own := p.client(addr).MaxSize; own > 0 {
		return min(own, p.limits.Message)
	}
	return p.limits.Message
}

// byNetwork returns the account that is meant for the machine at addr, or nil.
func (p *Policy) byNetwork(addr netip.Addr) *account {
	for _, a := range p.accounts {
		if contains(a.Networks, addr) {
			return a
		}
	}
	return nil
}

// admitted is the account for which a client at addr may hand in mail without a
// login, or nil.
func (p *Policy) admitted(listener int, addr netip.Addr) *account {
	if a := p.byNetwork(addr); a != nil && p.doors[listener].admits(addr) {
		return a
	}
	return nil
}

// Admits reports whether a client at addr may hand in mail at a listener without
// a login.
func (p *Policy) Admits(listener int, addr netip.Addr) bool { return p.admitted(listener, addr) != nil }

// Lists reports whether addr is one of those that a listener is meant for.
func (p *Policy) Lists(listener int, addr netip.Addr) bool { return p.doors[listener].lists(addr) }

// byName returns the account, or nil.
func (p *Policy) byName(name string) *account {
	for _, a := range p.accounts {
		if a.name == name {
			return a
		}
	}
	return nil
}

// hasLogins reports whether there is an account to log in to.
func (p *Policy) hasLogins() bool {
	return slices.ContainsFunc(p.accounts, func(a *account) bool { return a.Username != "" })
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}
