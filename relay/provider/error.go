package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"backstamp/mail"
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

// Error names the stage and the reply, in one line, or the cause.
func (e *Error) Error() string {
	if !e.Reply.IsZero() {
		return e.Stage + ": " + strings.ReplaceAll(e.Reply.String(), "\n", " / ")
	}
	return fmt.Sprintf("%s: %v", e.Stage, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Explain names what it means; the words are the catalogue's.
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

// refusal is an Error made of a reply, which it keeps without secrets.
func (c *conn) refusal(stage string, r mail.Reply) *Error {
	id, class := judge(c.set.Service().Family, stage, r)
	return &Error{
		Stage: stage, Reply: c.masked(r), Class: class,
		Unreachable: connecting(stage) && class == mail.ClassTemporary,
		why:         &mail.Explain{ID: id, Class: class},
	}
}

// as returns a copy of e with another meaning.
func (e *Error) as(id, class string) *Error {
	other := *e
	other.Class, other.why = class, &mail.Explain{ID: id, Class: class}
	return &other
}

// explain names the words for a topic: a reply class, or a way in which things
// go wrong without a reply.
func explain(topic, class string) *mail.Explain {
	return &mail.Explain{ID: "generic." + topic, Class: class}
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
		topic = kept(err)
	}
	e := failure(stage, topic, mail.ClassTemporary, plain(err))
	e.Unreachable = connecting(stage)
	return e
}

// kept is the topic of what keeps a conversation from beginning.
func kept(err error) string {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "not-tls"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "certificate-expired"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "certificate-name"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "certificate"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silent"
	}
	return "unreachable"
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
	if e.Err = context.Cause(ctx); e.Unreachable && errors.Is(ctx.Err(), context.DeadlineExceeded) && e.Stage != "DNS" && e.Stage != "TCP" {
		e.why = explain("silent", e.Class)
	}
	e.Unreachable = false
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
