package relay

import (
	"fmt"
	"slices"

	"backstamp/mail"
)

// The bounds of a transcript, in lines of the greeting and of one transaction,
// and in octets of a line.
const (
	transcriptHead = 60
	transcriptMail = 140
	transcriptLine = 300
)

// A transcript keeps what was said for people to read: the connection up to
// its first MAIL, and the transaction that runs. It never holds a secret: who
// writes to it leaves AUTH data out. The front's goroutine owns it; a session
// reads it while the front waits for its reply.
type transcript struct {
	head, mail []string
	inMail     bool
	more       int // lines of the transaction that were left out
}

// begin starts a new transaction.
func (t *transcript) begin() { t.mail, t.inMail, t.more = nil, true, 0 }

// client and server add a line of either side.
func (t *transcript) client(line string) { t.add("C: " + line) }

func (t *transcript) server(r mail.Reply) {
	for i, line := range r.Lines {
		sep := "-"
		if i == len(r.Lines)-1 {
			sep = " "
		}
		t.add(fmt.Sprintf("S: %03d%s%s", r.Code, sep, line))
	}
}

func (t *transcript) add(line string) {
	if len(line) > transcriptLine {
		line = line[:transcriptLine] + "…"
	}
	line = mail.Escape(line)
	switch {
	case t.inMail && len(t.mail) < transcriptMail:
		t.mail = append(t.mail, line)
	case t.inMail:
		t.more++
	case len(t.head) < transcriptHead:
		t.head = append(t.head, line)
	}
}

// lines returns a copy.
func (t *transcript) lines() []string {
	all := slices.Concat(t.head, t.mail)
	if t.more > 0 {
		all = append(all, fmt.Sprintf("… %d more lines", t.more))
	}
	return all
}
