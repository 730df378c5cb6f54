package mail

import "slices"

// A Status says how far a Delivery has come. The strings are API.
type Status string

// The statuses. Sent is what the provider took with 250, which is not yet
// delivered: that needs a proof, the Basis.
const (
	Queued     Status = "queued"     // accepted, or its first attempt runs
	Deferred   Status = "deferred"   // waits for the next try after a temporary failure
	Held       Status = "held"       // waits for a quota window, a parked provider or a person
	Sent       Status = "sent"       // the provider answered 250
	Delivered  Status = "delivered"  // something proves that it arrived
	Opened     Status = "opened"     //
	Clicked    Status = "clicked"    //
	Failed     Status = "failed"     // refused for good or given up; ends the delivery
	Bounced    Status = "bounced"    // came back after it was sent
	Suppressed Status = "suppressed" // never tried, on purpose; ends the delivery
)

// Statuses lists every status, in the order in which people read them.
var Statuses = []Status{Queued, Deferred, Held, Sent, Delivered, Opened, Clicked, Failed, Bounced, Suppressed}

// rank orders the statuses that only ever rise. Deferred and Held share one.
func (s Status) rank() int {
	switch s {
	case Deferred, Held:
		return 1
	case Sent:
		return 2
	case Delivered:
		return 3
	case Opened:
		return 4
	case Clicked:
		return 5
	}
	return 0
}

// Ended reports whether nothing is left to try or to hear.
func (s Status) Ended() bool { return s == Failed || s == Bounced || s == Suppressed }

// Advance returns the status after to was learnt. Late and repeated news never
// lowers a status: it is the only code that knows their order.
func (s Status) Advance(to Status) Status {
	switch {
	case s.Ended() || to == "":
		return s
	case to == Bounced:
		if s == Sent || s == Delivered {
			return Bounced
		}
		return s
	case to == Failed || to == Suppressed:
		if s.rank() < Sent.rank() {
			return to
		}
		return s
	case to.rank() > s.rank(), to.rank() == 1 && s.rank() == 1:
		return to
	}
	return s
}

// Known reports whether s is one of the statuses.
func (s Status) Known() bool { return slices.Contains(Statuses, s) }
