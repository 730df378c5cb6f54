package mail

import (
	"slices"
	"strings"
	"time"
)

// A Notify is the list of NOTIFY (RFC 3461 section 4.1) in capitals: NEVER, or
// some of SUCCESS, FAILURE and DELAY, with commas. Empty, nothing was asked.
type Notify string

// The words of a Notify.
const (
	NotifyNever   = "NEVER"
	NotifySuccess = "SUCCESS"
	NotifyFailure = "FAILURE"
	NotifyDelay   = "DELAY"
)

// Has reports whether the list has a word.
func (n Notify) Has(word string) bool { return slices.Contains(strings.Split(string(n), ","), word) }

// Asked is what a sender asked for one recipient.
type Asked struct {
	Notify   Notify `json:"notify,omitempty"`
	Original string `json:"orcpt,omitempty"` // ORCPT, as type;address with nothing encoded
}

// An Action is what a notice tells (RFC 3464 section 2.3.3).
type Action string

// The actions.
const (
	Fails   Action = "failed"
	Delays  Action = "delayed"
	Relayed Action = "relayed" // taken by a server that makes no notices
)

// A Notice is a notice that is to be written about some deliveries of a message.
type Notice struct {
	Action     Action
	At         time.Time
	Message    *Message
	Content    Content
	Deliveries []Delivery // as they are now
	Until      time.Time  // of Delays: when it will be given up
}

// A Letter is a message of our own, small enough to lie in memory.
type Letter struct {
	Message *Message
	Content []byte
}

// The reasons why there is no notice about a delivery. The strings are API.
const (
	NoNoticeOff     = "off"         // the configuration says so
	NoNoticeNobody  = "null-sender" // the message has no reverse-path
	NoNoticeQuiet   = "automatic"   // the message is a notice or an automatic reply
	NoNoticeAsked   = "not-asked"   // NOTIFY leaves it out
	NoNoticeForeign = "foreign"     // the sender is no address of the account
	NoNoticeLimit   = "limit"       // too many in an hour
	NoNoticeRefused = "unsendable"  // no provider of the account may send it
	NoNoticeSaid    = "answered"    // the app was told in the SMTP reply
)
