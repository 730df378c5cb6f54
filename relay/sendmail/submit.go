package sendmail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"backstamp/mail"
)

// An Outcome is what became of a letter: whom it was taken for, whom it must
// wait for, and whom it was refused for.
type Outcome struct {
	IDs     []string // what the relay calls it
	Waiting []string
	Why     string // of Waiting
	Refused []Refusal
}

// A Refusal is final.
type Refusal struct {
	Recipient string     `json:"recipient"`
	Reply     mail.Reply `json:"reply"`
}

// Err is the error that tells of refusals, or nil.
func (o Outcome) Err() error {
	if len(o.Refused) == 0 {
		return nil
	}
	var lines []string
	for _, r := range o.Refused {
		lines = append(lines, fmt.Sprintf("%s: %s", mail.Escape(r.Recipient), strings.ReplaceAll(r.Reply.String(), "\n", " ")))
	}
	return &Error{codeOf(o.Refused[0].Reply), strings.Join(lines, "\n")}
}

// submit hands a letter to the relay. One without From that the relay will not
// have, since nothing stands in for it there, is tried with the user who called.
func submit(ctx context.Context, to Client, l *Letter) Outcome {
	out := l.submit(ctx, to, "")
	if !l.bare || len(out.IDs)+len(out.Waiting) > 0 || codeOf(out.Refused[0].Reply) != ExNoPerm {
		return out
	}
	if signed := l.submit(ctx, to, "From: "+l.From+"\r\n"); len(signed.Refused) == 0 {
		return signed
	}
	return out
}

// submit goes through as many transactions as it takes, where the relay has only
// so many recipients at a time.
func (l *Letter) submit(ctx context.Context, to Client, field string) (out Outcome) {
	rest := l.To
	for {
		attempts := to.Deliver(ctx, mail.Transaction{
			Recipients: rest, Asked: slices.Repeat([]mail.Asked{{Notify: l.Notify}}, len(rest)), Ret: l.Ret, EnvID: l.EnvID,
			Copy: copyOf{l.From, field, l.Content, l.high},
		})
		var later []string
		taken, many := 0, false
		for i, a := range attempts {
			switch {
			case a.Taken():
				if taken++; taken == 1 {
					out.IDs = append(out.IDs, queuedAs(a.Reply))
				}
			case a.Reply.Permanent():
				out.Refused = append(out.Refused, Refusal{rest[i], a.Reply})
			default:
				later = append(later, rest[i])
				many = many || a.Reply.Enhanced() == "4.5.3"
				out.Why = reason(a)
			}
		}
		if rest = later; taken == 0 || !many {
			break
		}
	}
	if out.Waiting = rest; len(rest) == 0 {
		out.Why = ""
	}
	return out
}

// reason is why a try was for nothing.
func reason(a mail.Attempt) string {
	if !a.Reply.IsZero() {
		return strings.ReplaceAll(a.Reply.String(), "\n", " ")
	}
	if a.Uncertain {
		return "the relay did not answer the end of the message; it may have it already"
	}
	return fmt.Sprintf("the relay does not answer: %v", errors.Join(a.Err))
}

// queuedAs finds the name that the relay gave a message.
func queuedAs(r mail.Reply) string {
	_, id, _ := strings.Cut(r.Text(), "queued as ")
	return strings.TrimSpace(id)
}

// Send hands a letter to the relay, and keeps it in the spool for those for
// whom it was not taken yet. Kept is its name there, or "". Its errors are
// *Error: those named in it did not get the letter, and will not.
func Send(ctx context.Context, to Client, spool *Spool, l *Letter) (out Outcome, kept string, err error) {
	out = submit(ctx, to, l)
	if len(out.Waiting) == 0 {
		return out, "", out.Err()
	}
	kept, err = spool.add(&Letter{From: l.From, To: out.Waiting, Content: l.Content, Wishes: l.Wishes, high: l.high, bare: l.bare}, out.Why)
	if err != nil {
		return out, "", errorf(ExTempFail, "not taken for %s: %s; and it could not be kept: %v",
			mail.Escape(strings.Join(out.Waiting, ", ")), out.Why, err)
	}
	return out, kept, out.Err()
}
