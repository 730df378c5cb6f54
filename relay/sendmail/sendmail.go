// Package sendmail is the familiar way to hand in mail: it reads a command line
// and a message as sendmail(1) does, gives the message to the relay over SMTP,
// and keeps it in a spool directory while the relay does not answer.
//
// Where sendmails differ it does as Postfix's: recipients of the header (-t) are
// added to those of the command line. It needs no secret and no store, and has
// no privileges of its own.
package sendmail

import (
	"context"
	"fmt"

	"backstamp/mail"
)

// A Client hands transactions to the relay.
type Client interface {
	// Deliver tries a transaction once and returns an Attempt for each of its
	// recipients, in their order.
	Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt
}

// The exit codes of sendmail, as sysexits(3) names them.
const (
	ExUsage       = 64
	ExDataErr     = 65
	ExNoInput     = 66
	ExNoUser      = 67
	ExNoHost      = 68
	ExUnavailable = 69
	ExOSErr       = 71
	ExIOErr       = 74
	ExTempFail    = 75
	ExNoPerm      = 77
	ExConfig      = 78
)

// An Error is why mail was not taken: nobody has it but who handed it in.
type Error struct {
	Code int // of sysexits
	Text string
}

func (e *Error) Error() string { return e.Text }

func errorf(code int, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// codeOf is the exit code that tells of a refusal.
func codeOf(r mail.Reply) int {
	switch r.Enhanced() {
	case "5.1.1", "5.1.3", "5.1.6":
		return ExNoUser
	case "5.1.2", "5.1.10":
		return ExNoHost
	case "5.7.0", "5.7.1":
		return ExNoPerm
	}
	return ExUnavailable
}
