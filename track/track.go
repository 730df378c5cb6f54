// Package track is what readers of mail meet: the public listener that answers
// the pixel and the click links, the keys that sign those links, and the
// judgement about who made a hit (a person, a mailbox's image proxy, a scanner).
//
// The reader comes first: a request is answered at once, whether or not its
// Event can be kept. The link is never an open redirect: only a destination
// that one of the Keys signed is followed, and it needs the key alone, no store.
package track

import (
	"context"
	"net/netip"

	"backstamp/mail"
)

// A Recorder keeps Events. Record returns what came of each: nil once it is
// durable, an error that wraps mail.ErrNotFound where the message is not
// remembered, and any other error when the event was not kept and may be
// offered again. It is called from several goroutines, with a context that does
// not end.
type Recorder interface {
	Record(context.Context, ...mail.Event) []error
}

// Settings is what the operator chose for the public listener.
type Settings struct {
	// TrustedProxies are the peers whose X-Forwarded-For, or PROXY header, is
	// believed.
	TrustedProxies []netip.Prefix
	// WholeAddresses keeps readers' addresses as they are; else they are cut
	// to their network of 24 or 48 bits.
	WholeAddresses bool
	// ClassesFile is the path of a file of rules that come before the built-in
	// ones; "" for none.
	ClassesFile string
	// Ranges is the directory of published lists of networks, which the
	// operator may put there; "" for none.
	Ranges string
	// Spill is the path of the file for events that the store could not take
	// and the memory has no room for; "" for none. It is read when a Handler is
	// made, and by one Handler at a time.
	Spill string
}
