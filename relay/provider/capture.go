package provider

import (
	"context"
	"fmt"
	"io"

	"backstamp/mail"
)

// Capture is the provider that takes everything and sends nothing. The
// message is in the store, where people look at it.
type Capture struct{}

// Deliver reads the copy to its end, so that what cannot be rendered shows
// here as it would at a real provider.
func (Capture) Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	attempt := mail.Attempt{
		Reply:      mail.Reply{Code: 250, Lines: []string{"2.0.0 Ok: captured"}},
		UpstreamID: "captured",
	}
	if err := capture(ctx, t); err != nil {
		attempt = failure("DATA", "ours", mail.ClassTemporary, err).attempt()
	}
	attempts := make([]mail.Attempt, len(t.Recipients))
	for i := range attempts {
		attempts[i] = attempt
	}
	return attempts
}

func capture(ctx context.Context, t mail.Transaction) error {
	if t.Started != nil {
		if err := t.Started(ctx); err != nil {
			return fmt.Errorf("note the start: %w", err)
		}
	}
	n, err := t.Copy.WriteTo(io.Discard)
	if err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	if size := t.Copy.Size(); n != size {
		return fmt.Errorf("read the message: got %d octets, expected %d", n, size)
	}
	return ctx.Err()
}

// Close does nothing.
func (Capture) Close() {}
