package mail

import "time"

// A Visitor is a machine that has connected, and how it did, since it first
// came. What it said of itself is what it said last.
type Visitor struct {
	Addr     string    `json:"addr"`
	Name     string    `json:"name,omitempty"` // of the policy for clients that holds it
	Helo     string    `json:"helo,omitempty"`
	User     string    `json:"user,omitempty"`     // who logged in
	TLS      string    `json:"tls,omitempty"`      // version, "" in the clear
	Listener string    `json:"listener,omitempty"` // its address in the configuration
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`

	Connections int            `json:"conns,omitempty"`
	Messages    int            `json:"msgs,omitempty"`    // that were accepted
	Refused     int            `json:"refused,omitempty"` // connections, logins, senders, recipients and messages
	Refusal     string         `json:"refusal,omitempty"` // the last reply of those
	Quirks      map[string]int `json:"quirks,omitempty"`  // messages with each
}
