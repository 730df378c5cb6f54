package mail

import (
	"errors"
	"io"
	"slices"
	"time"
)

// A Message is the content of one accepted mail object (RFC 5321 section
// 2.3.1) and what was decided about it when it was accepted. The content
// itself lies beside it in the store. Nothing in a Message is decided again
// later, whatever is reloaded, rotated or upgraded.
type Message struct {
	ID         ID                `json:"id"`
	Received   time.Time         `json:"received"`
	Account    string            `json:"account"`
	Provider   string            `json:"provider"`          // account/name; the account is * for a provider shared by all
	MailFrom   string            `json:"mail_from"`         // as the app gave it; "" is the null reverse-path
	Recipients []string          `json:"-"`                 // forward-paths as the app gave them; kept with the Deliveries
	MessageID  string            `json:"message_id"`        // the Message-ID field, with its <>
	HeaderFrom string            `json:"from"`              // the address in From, as the app gave it
	Subject    string            `json:"subject,omitempty"` // decoded, for people
	Tag        string            `json:"tag,omitempty"`
	Meta       map[string]string `json:"meta,omitempty"`
	Size       int64             `json:"size"` // octets as received, after line ends were put right
	Tracked    bool              `json:"tracked,omitempty"`
	Links      int               `json:"links,omitempty"`   // how many links are tracked
	Reason     string            `json:"reason,omitempty"`  // why it is not tracked
	Shared     bool              `json:"shared,omitempty"`  // one copy and token for all its recipients
	Expired    bool              `json:"expired,omitempty"` // its content is gone, by retention
	UTF8       bool              `json:"utf8,omitempty"`    // handed in with SMTPUTF8: its header may be UTF-8
	Quiet      bool              `json:"quiet,omitempty"`   // no notice is made about it, for it is one or answers by itself
	Ret        string            `json:"ret,omitempty"`     // what of it a notice returns: FULL, HDRS or "" (RFC 3461 section 4.3)
	EnvID      string            `json:"envid,omitempty"`   // the sender's name for the transaction, with nothing encoded
	Asked      []Asked           `json:"-"`                 // by recipient, nil where nothing was; kept with the Deliveries

	Detail Detail `json:"-"` // read only where one message is looked at
	Tally  Tally  `json:"-"` // the hits of a Shared message, which belong to no recipient
}

// Detail is what is kept of a Message beside the line a listing shows.
type Detail struct {
	Plan       []byte      `json:"plan,omitempty"` // only rewrite looks inside
	Alignment  Alignment   `json:"alignment"`
	Client     Client      `json:"client"`
	Header     HeaderEdits `json:"header"`
	Parts      []PartEdit  `json:"parts,omitempty"` // by number
	Quirks     []string    `json:"quirks,omitempty"`
	Transcript []string    `json:"transcript,omitempty"`
}

// Client is who handed a Message in.
type Client struct {
	Addr string `json:"addr,omitempty"` // host and port
	Helo string `json:"helo,omitempty"`
	User string `json:"user,omitempty"`
	TLS  string `json:"tls,omitempty"`  // version, "" in the clear
	Name string `json:"name,omitempty"` // of the policy for clients that holds it
}

// Alignment says how the sender of a Message was judged. The strings are API.
type Alignment struct {
	Rule     string `json:"rule"`               // where From came from: from, client, default_from, login
	From     string `json:"from"`               // the address that was judged
	Identity string `json:"identity,omitempty"` // the address the account may use
	Action   string `json:"action"`             // none, envelope, rewritten, warned
}

// The values of Alignment.Action.
const (
	ActionNone      = "none"
	ActionEnvelope  = "envelope"  // MAIL FROM replaced by the From address
	ActionRewritten = "rewritten" // From and MAIL FROM become the provider's identity
	ActionWarned    = "warned"    // let through as it is
)

// HeaderEdits are the changes of the top header that were decided at
// acceptance: what every copy of the message gets, whichever provider takes
// it. Add holds whole fields without line end, in order, put before the rest;
// Remove holds field names, compared without case. Change counts the fields as
// the plan has them, before any is removed.
type HeaderEdits struct {
	Change []FieldChange `json:"change,omitempty"`
	Add    []string      `json:"add,omitempty"`
	Remove []string      `json:"remove,omitempty"`
}

// A FieldChange puts a field in the place of another.
type FieldChange struct {
	At   int    `json:"at"`   // index of the field in its header
	Text string `json:"text"` // the whole field, folded, without line end
}

// A PartEdit is what was decided at acceptance about a part of the message, for
// every copy of it. Parts are counted in the order in which they begin.
type PartEdit struct {
	Part     int    `json:"part"`               // 0 is the message
	Type     string `json:"type,omitempty"`     // its whole Content-Type field, without line end; "": it stays
	Encoding string `json:"encoding,omitempty"` // its new Content-Transfer-Encoding; "": it stays
	// Lines has its content encoded so that its lines get short enough for SMTP,
	// or, where Encoding is empty, broken as the encoding that it has allows.
	Lines bool `json:"lines,omitempty"`
}

// LineMax is the longest line that SMTP carries, without its line end, in
// octets (RFC 5321 section 4.5.3.1.6).
const LineMax = 998

// Change returns h with changes made, or h itself where there are none.
func (h Header) Change(changes []FieldChange) Header {
	if len(changes) == 0 {
		return h
	}
	h = slices.Clone(h)
	for _, c := range changes {
		if c.At < len(h) {
			h[c.At] = NewField(c.Text)
		}
	}
	return h
}

// A Link is one occurrence of a link in a Message and what was decided about
// it.
type Link struct {
	Index    int // from 1, in order of appearance
	URL      string
	Label    string   // its text, or the alt text of its image
	Decision Decision //
	Reason   string   // why it was left, "" when tracked
}

// A Decision about a link. The strings are API.
type Decision string

// The decisions.
const (
	Tracked Decision = "tracked"
	Left    Decision = "left"
)

// A Copy is one rendered copy of a Message for one transaction: what goes
// upstream. WriteTo may be called more than once and writes the same bytes
// each time, Size of them, in lines that end in CRLF, dots not yet stuffed.
type Copy interface {
	io.WriterTo
	Size() int64
	MailFrom() string
	EightBit() bool // some byte is above 0x7f: wants BODY=8BITMIME (RFC 6152)
	UTF8() bool     // so is one of its header, on purpose: wants SMTPUTF8 (RFC 6531)
	// SevenBit returns the same message in ASCII alone, for servers that take
	// nothing else. Where that cannot be done without harm the error is
	// ErrEightBit, or ErrUTF8 where an address stands in the way.
	SevenBit() (Copy, error)
}

// The errors of Copy.SevenBit.
var (
	ErrEightBit = errors.New("the message cannot be written in ASCII")
	ErrUTF8     = errors.New("an address has letters beyond ASCII before its @")
)
