// Package store says what is remembered and how one asks for it: the words
// that its backends, the rooms that write and the pages that read share. The
// backends are store/bolt and, later, store/postgres; store/storetest is the
// suite that each of them must pass.
package store

import (
	"errors"
	"time"

	"backstamp/mail"
)

// The errors of a store. Backends wrap them with what was being done.
var (
	// ErrNotFound: no such message.
	ErrNotFound = mail.ErrNotFound
	// ErrExpired: the content of the message was deleted by retention.
	ErrExpired = errors.New("store: content deleted by retention")
	// ErrFull: no space, read-only or no permission. It works again once that
	// is mended.
	ErrFull = mail.ErrFull
	// ErrBroken: the disk failed to sync. Nothing more may be accepted by this
	// process.
	ErrBroken = mail.ErrBroken
	// ErrCorrupt: what is on disk is not what was written. It is kept for a
	// person to look at.
	ErrCorrupt = errors.New("store: corrupt")
	// ErrMissing: a marker says that there was a store, and it is gone.
	ErrMissing = errors.New("store: missing")
	// ErrNewer: a later release wrote it.
	ErrNewer = errors.New("store: of a later release")
	// ErrOlder: an earlier release wrote it, and it was opened to be read alone.
	// Whoever opens it to write brings it up to date.
	ErrOlder = errors.New("store: of an earlier release")
	// ErrNone: there is no store yet, and one was not to be made.
	ErrNone = errors.New("store: none")
	// ErrLocked: another process has it open.
	ErrLocked = errors.New("store: in use by another process")
	// ErrClosed: it was closed.
	ErrClosed = errors.New("store: closed")
)

// A Filter selects messages; the zero Filter selects all. Text is compared
// without case and may be a part of the field; MessageID, Account, Provider and
// Tag are compared whole, MessageID with or without its <>. Of several fields all must match.
type Filter struct {
	Status    mail.Status // some delivery has it
	Account   string
	Provider  string // account/name, or the name alone; of a delivery
	From      string
	To        string
	Subject   string
	MessageID string
	Tag       string
	Since     time.Time
	Limit     int // 0: all
}

// A Row is a message with its deliveries, in the order of the envelope.
type Row struct {
	Message    *mail.Message
	Deliveries []mail.Delivery
}

// An EventFilter selects events, oldest first.
type EventFilter struct {
	Message mail.ID // zero: of all messages
	Kind    mail.Kind
	Since   time.Time
	After   []byte // a Cursor: only what was recorded after it
}

// An EventRow is an event with its place in the log, for those who follow it.
type EventRow struct {
	Cursor []byte
	mail.Event
}

// Retention says how long is kept what nobody needs to send mail any more; zero
// is for ever.
type Retention struct {
	Content time.Duration // bodies, plans and transcripts, from their receipt
	Events  time.Duration // from their being recorded
}

// Expired counts what retention deleted.
type Expired struct {
	Contents int
	Events   int
}

// Usage is what one provider took for one account on one day (UTC), and the
// hits of that day on what it took; or the same of what bears one tag.
type Usage struct {
	Account    string
	Provider   string // account/name; "" in the usage of tags
	Tag        string // "" in the usage of providers
	Day        string // 2006-01-02
	Messages   int    // accepted messages, once however many copies went out
	Recipients int
	mail.Sums  // what is the first of its kind is unique on its day
}

// Reclassified counts what was judged again.
type Reclassified struct {
	Messages int // with hits
	Hits     int // rows of the log, each of equal hits
	Changed  int // of these, that have another class or rule now
	Left     int // messages left as they are, since retention has deleted some of their hits or they cannot be read
}

// Spent is what one credential took in one minute, for all accounts.
type Spent struct {
	Minute     time.Time // its beginning
	Messages   int       // accepted messages, once however many copies went out
	Recipients int
}

// ProviderState is what outlives a restart of a provider's credential.
type ProviderState struct {
	Credential string        `json:"credential"` // a hash of host family and login
	State      string        `json:"state"`      // StateOK, StateParked, StateHeld
	Reason     string        `json:"reason,omitempty"`
	Since      time.Time     `json:"since,omitzero"`
	Until      time.Time     `json:"until,omitzero"`
	LastError  string        `json:"last_error,omitempty"`
	Explain    *mail.Explain `json:"explain,omitempty"` // of LastError
}

// The states of a provider. The strings are API.
const (
	StateOK     = "ok"
	StateParked = "parked" // its credential was refused
	StateHeld   = "held"   // a limit was met
)
