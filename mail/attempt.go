package mail

import "context"

// A Transaction is one mail transaction (RFC 5321 section 3.3) to hand to a
// provider: one Copy for one or more recipients.
type Transaction struct {
	Message    ID
	Recipients []string
	Asked      []Asked // by recipient; nil: nothing
	Ret, EnvID string  // as in the Message
	Copy       Copy
	// Started is called before the first byte of content leaves, and again when
	// the content is begun anew on another connection: what it records must be
	// durable before the last byte. An error ends the attempt.
	Started func(context.Context) error
}

// An Attempt is what one try did for one recipient of a Transaction.
type Attempt struct {
	Reply      Reply  // the zero Reply: the provider never answered
	Class      string // a reply class; "" when taken
	Err        error  // the cause where there is no reply, in words for the operator
	UpstreamID string
	// Uncertain: the content and its final dot went out and no reply came.
	Uncertain bool
	// Unreachable: the provider could not be reached or spoken to at all.
	Unreachable bool
	// Informs: the provider took over what the sender asked to be told.
	Informs bool
	Explain *Explain
}

// Taken reports whether the provider took the message for this recipient.
func (a Attempt) Taken() bool { return a.Class == "" && a.Err == nil }
