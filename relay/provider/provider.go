// Package provider hands Messages to the services that carry them on: it
// knows presets as data, keeps connections, logs in, and says what a reply
// means.
//
// An upstream is spoken to by a client of our own, because what a relay needs
// most is what goes wrong: every read and write has a deadline, a message
// that cannot be finished never gets its final dot, an address is written in
// its one safe spelling, a password never crosses the network in the clear,
// and a try of which nobody knows how it ended says so.
package provider

import (
	"context"
	"log/slog"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// A Client hands transactions to one provider. It may be used by many
// goroutines at once.
type Client interface {
	// Deliver tries a transaction once and returns an Attempt for each of its
	// recipients, in their order. It ends early when ctx does.
	Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt
	// Close ends idle connections. Transactions that run are finished; those
	// that begin later use connections of their own.
	Close()
}

// New returns the Client of a provider. Its errors are mail.SettingErrors,
// joined.
func New(s Settings, clk clock.Clock, log *slog.Logger) (Client, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if s.Preset == "capture" {
		return Capture{}, nil
	}
	return newSMTP(s.withDefaults(), clk, log), nil
}
