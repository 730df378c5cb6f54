package mail

import "time"

// A Delivery is one Message on its way to one recipient, until its end.
type Delivery struct {
	Message     ID            `json:"-"`
	Index       int           `json:"-"` // from 1, the recipient's place in the envelope
	Recipient   string        `json:"to"`
	Provider    string        `json:"via"` // who is to take it: account/name
	Status      Status        `json:"st"`
	Reason      string        `json:"why,omitempty"` // why it is held, a Hold reason
	Basis       Basis         `json:"basis,omitempty"`
	Attempts    int           `json:"n,omitempty"`   // tries that ended
	Started     time.Time     `json:"on,omitzero"`   // when the running try began; zero: none runs
	SentAt      time.Time     `json:"sent,omitzero"` // when a provider first took it
	Uncertain   bool          `json:"unc,omitempty"` // a try may have been taken without its reply being recorded
	Reply       string        `json:"reply,omitempty"`
	UpstreamID  string        `json:"uid,omitempty"` // the provider's name for it
	NextAttempt time.Time     `json:"next,omitzero"` // zero: over, or only a person can go on
	HeldSince   time.Time     `json:"since,omitzero"`
	HeldFor     time.Duration `json:"heldfor,omitempty"` // ended holds
	Waited      time.Duration `json:"waited,omitempty"`  // what counts towards expiry, up to WaitedTo
	WaitedTo    time.Time     `json:"waitedto,omitzero"` // zero: nothing was counted yet
	Explain     *Explain      `json:"explain,omitempty"`
	Asked       Asked         `json:"asked,omitzero"`
	Delayed     bool          `json:"late,omitempty"`   // a notice of its delay was made, or refused
	Notice      string        `json:"notice,omitempty"` // the id of the last notice about it, or why there is none
	Tally       Tally         `json:"tally"`
}

// The reasons why a Delivery is held. The strings are API.
const (
	HoldQuota        = "quota"
	HoldThrottling   = "throttling"
	HoldAuth         = "auth"
	HoldAccount      = "account"
	HoldOperator     = "operator"
	HoldProviderGone = "provider-gone"
	HoldDamaged      = "damaged"
)

// Unfinished reports whether the Delivery still waits to be tried.
func (d *Delivery) Unfinished() bool {
	return d.Status == Queued || d.Status == Deferred || d.Status == Held
}

// An Outcome is what one try, or one decision of the queue or of a person, did
// to a Delivery. The store applies it to the Delivery as it then is, since
// hits may have come meanwhile.
type Outcome struct {
	Message    ID
	Index      int
	At         time.Time
	Status     Status        // to advance to; Queued starts it anew at once
	Reason     string        // with Held
	Attempted  bool          // a try ended
	Uncertain  bool          // that try may have been taken all the same
	Waited     time.Duration // with Attempted: what counts towards expiry so far
	Reply      string        // kept as it was when the try got none and Attempted is false
	Explain    *Explain      // kept as it was when nil and Attempted is false
	UpstreamID string        //
	Next       time.Time     // when to try again
	Provider   string        // moves the Delivery when not empty
	Credential string        // with Sent: whose limits it counts for; "": nobody's
	Kind       Kind          // the event to keep; "" for none
	Text       string        // the event's text
	Notice     string        // replaces that of the Delivery when not empty
	Delayed    bool          // the Notice is about the delay
}

// Conclude applies an outcome.
func (d *Delivery) Conclude(o Outcome) {
	d.Started = time.Time{}
	if o.Attempted {
		d.Attempts++
		d.Waited, d.WaitedTo = o.Waited, o.At
		d.Reply, d.Explain = o.Reply, o.Explain
	} else if o.Explain != nil {
		d.Explain = o.Explain
	}
	if o.Notice != "" {
		d.Notice, d.Delayed = o.Notice, d.Delayed || o.Delayed
	}
	if o.Uncertain {
		d.Uncertain = true
	}
	if o.UpstreamID != "" {
		d.UpstreamID = o.UpstreamID
	}
	if o.Provider != "" {
		d.Provider = o.Provider
	}
	if !d.HeldSince.IsZero() {
		d.HeldFor += max(0, o.At.Sub(d.HeldSince)) // the clock may have been put back
		d.HeldSince = time.Time{}
		d.WaitedTo = o.At // the time of a hold counts for nothing
	}
	if o.Status == Queued && d.Unfinished() {
		d.Status = Deferred // due now, though not for the first time
	} else {
		d.Status = d.Status.Advance(o.Status)
	}
	if o.Status == Sent && d.SentAt.IsZero() {
		d.SentAt = o.At
	}
	if d.Status == Sent {
		d.catchUp()
	}
	d.Reason, d.NextAttempt = "", time.Time{}
	switch d.Status { // not o.Status: what was opened meanwhile waits for nothing
	case Held:
		d.HeldSince, d.Reason, d.NextAttempt = o.At, o.Reason, o.Next
	case Deferred:
		d.NextAttempt = o.Next
	}
	if o.At.After(d.Tally.LastEvent) {
		d.Tally.LastEvent = o.At
	}
}

// RuleUnsent is the rule of hits on what nobody was sent yet.
const RuleUnsent = "unsent"

// Judge puts right what a hit was taken for, by what is known of the Delivery:
// before a try began to send content no reader can have the link, so that
// whoever has it is no reader.
func (d *Delivery) Judge(e Event) Event {
	if d.waits() && d.Started.IsZero() && e.Class != Self {
		e.Class, e.Rule = Scanner, RuleUnsent
	}
	return e
}

// waits reports whether nothing speaks for the content having reached anybody.
func (d *Delivery) waits() bool { return d.Unfinished() && !d.Uncertain }

// Hit applies an open or a click. When it returns implied, the caller keeps an
// open event of basis click as well.
//
// A hit that comes while the first content may just be on its way counts, but
// proves nothing before the provider has taken it: were the try to fail, the
// mail would never be sent.
func (d *Delivery) Hit(e Event) (implied bool) {
	status, basis, implied := d.Tally.Count(e)
	if !d.waits() {
		d.prove(status, basis)
	}
	return implied
}

// prove advances the status by what a hit showed.
func (d *Delivery) prove(status Status, basis Basis) {
	if next := d.Status.Advance(status); next != d.Status {
		d.Status, d.Basis = next, basis
	}
}

// catchUp advances a Delivery that was just sent by the hits that overtook the
// provider's reply.
func (d *Delivery) catchUp() {
	if d.Tally.Arrived {
		d.prove(Delivered, BasisOpen)
	}
	if d.Tally.Opens > 0 {
		d.prove(Opened, BasisOpen)
	}
	if d.Tally.Clicks > 0 {
		d.prove(Clicked, BasisClick)
	}
}

// Explain is what a provider's reply means, or what else was done: an id of the
// catalogue, which has the words, and a reply class. Stored are these and the
// detail alone; what earlier versions stored has words of its own.
type Explain struct {
	ID     string `json:"id"`
	Class  string `json:"class"`
	Detail string `json:"detail,omitempty"` // what only this case has, in English

	Title   string   `json:"title,omitempty"`
	Meaning string   `json:"meaning,omitempty"`
	Steps   []string `json:"steps,omitempty"`
	Link    string   `json:"link,omitempty"`
}

// The classes of replies. The strings are API.
const (
	ClassAuth       = "auth"
	ClassQuota      = "quota"
	ClassThrottling = "throttling"
	ClassTemporary  = "temporary"
	ClassSender     = "sender"
	ClassRecipient  = "recipient"
	ClassContent    = "content"
	ClassAccount    = "account"
)
