package bolt

import (
	"encoding/json"
	"time"

	"backstamp/mail"
)

// A message is what is kept under messages.
type message struct {
	mail.Message
	Sum   []byte `json:"sum"`            // SHA-256 of the body
	File  bool   `json:"file,omitempty"` // the body is a file
	Count int    `json:"count"`          // deliveries
}

// A delivery is what is kept under deliveries.
type delivery struct {
	mail.Delivery
	Account string    `json:"acct"`
	Tag     string    `json:"tag,omitempty"`
	Due     time.Time `json:"due,omitzero"`   // where it stands in the due index while unfinished; zero: never
	Counted bool      `json:"used,omitempty"` // in the usage of its provider
}

// schedule sets Due after a change at that moment.
func (d *delivery) schedule(at time.Time) {
	d.Due = d.NextAttempt
	if d.Status == mail.Queued && d.Due.IsZero() {
		d.Due = at
	}
}

// A count is what is counted of a message as a whole.
type count struct {
	Tally mail.Tally        `json:"tally"`
	Used  map[string]string `json:"used,omitempty"` // by provider, and "" for the tag: the last day whose usage holds the message
}

// encode is for values that cannot fail to encode.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// decode reads a value that encode wrote.
func decode(what string, b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return corruptf("%s: %w", what, err)
	}
	return nil
}
