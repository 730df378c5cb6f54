package relay

import (
	"net/netip"
	"slices"

	"backstamp/mail"
)

// A peer is what is known of the client at the other end, and comes from it. The
// front's goroutine owns it; a session uses it while the front waits for its
// reply.
type peer struct {
	listener   int // its index in the policy
	addr       netip.AddrPort
	tls        string   // version, "" in the clear
	helo       string   // what it calls itself, made fit to be shown
	user       string   // who logged in
	esmtp      bool     // it said EHLO
	account    string   // by login, "" without
	legacy     bool     // what no standard has is understood
	tolerated  bool     // its line ends are set right instead of refused
	habits     []string // quirks of the connection, which count for each of its messages
	quirks     []string // of the transaction
	transcript transcript
	body       mail.Body // content that comes in, until the session takes it
	eightBit   bool      // the content has octets above 0x7f
	longLine   bool      // and lines that are longer than SMTP carries
}

// forget drops what the client said of itself in the clear (RFC 3207 section
// 4.2): somebody between may have said it.
func (p *peer) forget() { p.helo, p.user, p.account, p.esmtp = "", "", "", false }

// quirk notes an oddity of the transaction that runs or begins.
func (p *peer) quirk(names ...string) { p.quirks = union(p.quirks, names) }

// habit notes an oddity of the connection.
func (p *peer) habit(name string) { p.habits = union(p.habits, []string{name}) }

// union appends those names that are not there yet.
func union(list, names []string) []string {
	for _, name := range names {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}
