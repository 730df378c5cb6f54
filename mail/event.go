package mail

import "time"

// A Kind says what happened. The strings are API.
type Kind string

// The kinds of events. Bounced, Complaint and Unsubscribe are reserved words:
// nothing makes them yet.
const (
	KindAccepted    Kind = "accepted"
	KindDeferred    Kind = "deferred"
	KindHeld        Kind = "held"
	KindSent        Kind = "sent"
	KindFailed      Kind = "failed"
	KindBounced     Kind = "bounced"
	KindDelivered   Kind = "delivered"
	KindOpen        Kind = "open"
	KindClick       Kind = "click"
	KindUnsubscribe Kind = "unsubscribe"
	KindComplaint   Kind = "complaint"
	KindSuppressed  Kind = "suppressed"
)

// A Class says who made a hit. The strings are API.
type Class string

// The classes of hits.
const (
	Human    Class = "human"    // a person
	Proxy    Class = "proxy"    // fetched on behalf of a person who opened; counts as one
	Prefetch Class = "prefetch" // fetched before anybody looked: proves arrival, is no open
	Scanner  Class = "scanner"  // a security gateway or link preview; proves nothing
	Self     Class = "self"     // an address the operator listed as their own
	Unknown  Class = "unknown"  // nothing speaks against a person; counts as one
)

// Machine reports whether hits of the class are counted apart from people's.
func (c Class) Machine() bool { return c == Prefetch || c == Scanner }

// A Basis says what proved a status.
type Basis string

// The bases. DSN and webhook are reserved words: nothing makes them yet.
const (
	BasisOpen    Basis = "open"
	BasisClick   Basis = "click"
	BasisDSN     Basis = "dsn"
	BasisWebhook Basis = "webhook"
)

// An Event is one thing that happened to a Message, a Delivery or a Link. The
// raw signals of a hit stay with it, so that later rules can judge it again.
type Event struct {
	Time      time.Time `json:"t"`
	Kind      Kind      `json:"k"`
	Message   ID        `json:"m"`
	Recipient int       `json:"r,omitempty"` // index, from 1; 0: nobody may be told apart
	Link      int       `json:"l,omitempty"` // index, from 1; 0: none
	Class     Class     `json:"c,omitempty"`
	Rule      string    `json:"u,omitempty"` // what decided the class
	IP        string    `json:"ip,omitempty"`
	UserAgent string    `json:"ua,omitempty"`
	Method    string    `json:"me,omitempty"`
	Referer   string    `json:"re,omitempty"` // host of the Referer field
	Purpose   string    `json:"pu,omitempty"` // what a fetch ahead of need says of itself
	Simulated bool      `json:"si,omitempty"` // made by the operator, to try a class out
	Basis     Basis     `json:"b,omitempty"`
	Count     int       `json:"n,omitempty"` // equal hits that share this row; 0 reads as 1
	Text      string    `json:"x,omitempty"` // the upstream's reply, or why
}

// Times returns how many hits the event stands for, at least 1.
func (e Event) Times() int { return max(1, e.Count) }

// IsHit reports whether a request of a reader made the event. An open that a
// click tells of is none.
func (e Event) IsHit() bool {
	return e.Kind == KindClick || e.Kind == KindOpen && e.Basis != BasisClick
}

// SameHit reports whether two events may share a row with a count.
func (e Event) SameHit(o Event) bool {
	return (e.Kind == KindOpen || e.Kind == KindClick) && e.Kind == o.Kind &&
		e.Message == o.Message && e.Recipient == o.Recipient && e.Link == o.Link &&
		e.Class == o.Class && e.Rule == o.Rule && e.IP == o.IP && e.UserAgent == o.UserAgent &&
		e.Basis == o.Basis && e.Method == o.Method && e.Referer == o.Referer &&
		e.Purpose == o.Purpose && e.Simulated == o.Simulated
}
