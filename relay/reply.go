package relay

import (
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"

	"backstamp/mail"
	"backstamp/relay/align"
)

// replyMax is the longest text of a reply line, in octets; with code and
// enhanced code it stays within RFC 5321 section 4.5.3.1.5.
const replyMax = 480

// asReply turns any error into what the client is told, for ever the same
// bare type: go-smtp makes 554 of everything else. What is not meant for
// clients is trouble of ours, temporary, and told without its cause, which may
// hold a path.
func asReply(err error) *smtp.SMTPError {
	var said *smtp.SMTPError
	var refused *align.Refusal
	switch {
	case errors.As(err, &said):
		return said
	case errors.As(err, &refused):
		return refusal(refused.Code, refused.Enhanced, refused.Text)
	case errors.Is(err, mail.ErrHeader):
		return refusal(552, "5.3.4", "header too large")
	case errors.Is(err, mail.ErrFull):
		return refusal(452, "4.3.1", "no space to keep the message; try again later")
	case errors.Is(err, mail.ErrBroken):
		return refusal(421, "4.3.0", "the message cannot be kept; try again later")
	}
	return refusal(451, "4.3.0", "trouble on our side; try again later")
}

// ours reports whether the reply stands for trouble whose cause the operator
// has to see.
func ours(err error) bool {
	var said *smtp.SMTPError
	var refused *align.Refusal
	return !errors.As(err, &said) && !errors.As(err, &refused) && !errors.Is(err, mail.ErrHeader)
}

// tooLarge is the reply to a message over the limit in octets, declared or found.
// Whoever set up the scanner reads there how much it may send.
func tooLarge(limit int64) *smtp.SMTPError {
	return refusal(552, "5.3.4", "message too large; "+inUnits(limit)+" is the most")
}

// inUnits is a number of octets as settings have it: in the largest unit of which
// it is a multiple.
func inUnits(n int64) string {
	for i, unit := range []string{"GB", "MB", "KB"} {
		if size := int64(1) << (30 - 10*i); n%size == 0 {
			return fmt.Sprintf("%d %s", n/size, unit)
		}
	}
	return fmt.Sprintf("%d octets", n)
}

// refusal makes a reply, of any kind, with its text made fit for one line.
func refusal(code int, enhanced, text string) *smtp.SMTPError {
	text = mail.Escape(text)
	if len(text) > replyMax {
		text = strings.ToValidUTF8(text[:replyMax], "") + "…"
	}
	e := &smtp.SMTPError{Code: code, Message: text}
	if _, err := fmt.Sscanf(enhanced, "%d.%d.%d", &e.EnhancedCode[0], &e.EnhancedCode[1], &e.EnhancedCode[2]); err != nil {
		e.EnhancedCode = smtp.EnhancedCode{code / 100, 0, 0}
	}
	return e
}

// replyOf is the reply as it goes on the wire.
func replyOf(e *smtp.SMTPError) mail.Reply {
	c := e.EnhancedCode
	return mail.Reply{Code: e.Code, Lines: []string{fmt.Sprintf("%d.%d.%d %s", c[0], c[1], c[2], e.Message)}}
}
