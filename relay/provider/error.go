package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
)

// An Error is why a provider did not take a message or could not be asked.
type Error struct {
	Stage       string     // the command, or what of connecting: DNS, TCP, TLS, greeting; message: after the final dot
	Reply       mail.Reply // what was answered; the zero Reply: nothing
	Class       string     // a reply class
	Err         error      // the cause where there is no reply
	Uncertain   bool       // the message may have been taken all the same
	Unreachable bool       // the provider could not be spoken to at all
	why         *mail.Explain
}

// Error names the stage and the reply or cause.
func (e *Error) Error() string {
	if !e.Reply.IsZero() {
		return fmt.Sprintf("%s: %s", e.Stage, e.Reply)
	}
	return fmt.Sprintf("%s: %v", e.Stage, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Explain says what it means and what to do; words are the catalogue's where it
// has the id.
func (e *Error) Explain() *mail.Explain { return e.why }

func (e *Error) attempt() mail.Attempt {
	a := mail.Attempt{
		Reply: e.Reply, Class: e.Class,
		Uncertain: e.Uncertain, Unreachable: e.Unreachable, Explain: e.why,
	}
	if e.Reply.IsZero() {
		a.Err = e
	}
	return a
}

// refusal is an Error made of a reply: what the catalogue says of it, else what
// its code says.
func (c *conn) refusal(stage string, r mail.Reply) *Error {
	class := classify(stage, r)
	why := explain(replyTopic(stage, class), class)
	if id, known, ok := catalogue.Match(c.set.service().Family, c.sender, r); ok && (!connecting(stage) || aboutUs(known)) {
		class, why = known, &mail.Explain{ID: id, Class: known}
	}
	return &Error{
		Stage: stage, Reply: r, Class: class,
		Unreachable: connecting(stage) && class != mail.ClassThrottling,
		why:         why,
	}
}

// aboutUs reports whether a class speaks of this client: before MAIL no reply
// can be about a message.
func aboutUs(class string) bool {
	return class != mail.ClassSender && class != mail.ClassRecipient && class != mail.ClassContent
}

// failure is an Error without a reply; topic says which explanation fits.
func failure(stage, topic, class string, err error) *Error {
	return &Error{Stage: stage, Class: class, Err: err, why: explain(topic, class)}
}

// broken is the failure of the wire: nothing came, or nothing that could be
// understood.
func broken(stage string, err error) *Error {
	topic := "broken"
	if connecting(stage) {
		topic = "unreachable"
	}
	e := failure(stage, topic, mail.ClassTemporary, plain(err))
	e.Unreachable = connecting(stage)
	return e
}

// connecting reports whether a stage comes before a provider can be asked
// anything.
func connecting(stage string) bool {
	switch stage {
	case "DNS", "TCP", "TLS", "STARTTLS", "greeting", "EHLO", "HELO":
		return true
	}
	return false
}

// cancelled replaces the noise of a connection that was cut because ctx ended.
func cancelled(ctx context.Context, err error) error {
	var e *Error
	if ctx.Err() == nil || !errors.As(err, &e) || !e.Reply.IsZero() {
		return err
	}
	e.Err, e.Unreachable = context.Cause(ctx), false
	return e
}

// plain puts what the network says into words for the operator.
func plain(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the server closed the connection")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("the server broke the connection: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the server did not answer in time: %w", os.ErrDeadlineExceeded)
	}
	return err
}
