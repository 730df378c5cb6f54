package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/relay/sendmail"
)

// A mailqEntry is one message that waits, in the queue or in the spool.
type mailqEntry struct {
	id      string
	mark    string // ! on hold or refused
	size    int64
	arrived time.Time
	from    string
	to      []mailqRecipient
}

type mailqRecipient struct{ address, why string }

// mailq lists the queue, and the mail in the spool, in the form that is
// familiar from Postfix. With --json it prints the rows of `queue ls`, and those
// of the spool after them.
func (p *program) mailq(ctx context.Context, spool *sendmail.Spool) error {
	letters, hidden, err := spool.List()
	if err != nil {
		return exitf(sendmail.ExNoPerm, "mailq: %v", err)
	}
	var entries []mailqEntry
	err = p.withAPI(ctx, func(api *apiClient) (err error) {
		entries, err = p.waiting(ctx, api)
		return err
	})
	if err != nil {
		fmt.Fprintf(p.err, "mailq: the queue is not shown: %v\n", err)
	}
	for _, l := range letters {
		if p.json {
			json.NewEncoder(p.out).Encode(l)
			continue
		}
		entries = append(entries, spooled(l))
	}
	if !p.json {
		p.printMailq(entries, err == nil && hidden == 0)
	}
	if hidden > 0 {
		fmt.Fprintf(p.err, "mailq: %d more letters in %s are not yours to read\n", hidden, spool.Dir)
	}
	if err != nil {
		return exitf(sendmail.ExUnavailable, "")
	}
	return nil
}

// waiting reads the queue, and prints it with --json.
func (p *program) waiting(ctx context.Context, api *apiClient) (entries []mailqEntry, err error) {
	byID := map[string]int{}
	err = list(ctx, p, api, "/queue", nil, func(d deliveryView) {
		i, known := byID[d.ID]
		if !known {
			i, byID[d.ID] = len(entries), len(entries)
			entries = append(entries, mailqEntry{id: d.ID})
		}
		e := &entries[i]
		if d.Status == string(mail.Held) {
			e.mark = "!"
		}
		why := d.Reply
		if why == "" && d.Explain != nil {
			why = d.Explain.Meaning
		}
		e.to = append(e.to, mailqRecipient{d.Recipient, why})
	})
	if err != nil {
		return nil, err
	}
	for i := range entries {
		e := &entries[i]
		err := list(ctx, p, api, "/messages/"+url.PathEscape(e.id), nil, func(m messageView) {
			e.size, e.arrived, e.from = m.Size, m.Received, m.MailFrom
		})
		if err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// spooled is a letter of the spool, by the name of its file.
func spooled(l sendmail.Waiting) mailqEntry {
	e := mailqEntry{id: l.Name(), size: l.Size, arrived: l.Arrived, from: l.From}
	for _, r := range l.Refused {
		e.mark = "!"
		e.to = append(e.to, mailqRecipient{r.Recipient, "refused: " + r.Reply + "; kept in " + l.Spool})
	}
	for _, to := range l.To {
		e.to = append(e.to, mailqRecipient{to, "waits for the server: " + l.Why})
	}
	return e
}

func (p *program) printMailq(entries []mailqEntry, all bool) {
	if len(entries) == 0 {
		if all {
			fmt.Fprintln(p.out, "Mail queue is empty")
		}
		return
	}
	fmt.Fprintln(p.out, "-Queue ID-        --Size-- ----Arrival Time---- -Sender/Recipient-------")
	var octets int64
	for _, e := range entries {
		octets += e.size
		from := e.from
		if from == "" {
			from = "MAILER-DAEMON"
		}
		fmt.Fprintf(p.out, "%-17s %8d %-20s %s\n", e.id+e.mark, e.size, e.arrived.Local().Format("Mon Jan _2 15:04:05"), mail.Escape(from))
		why := ""
		for _, to := range e.to {
			if to.why != why {
				fmt.Fprintf(p.out, "%17s (%s)\n", "", mail.Escape(strings.ReplaceAll(to.why, "\n", " ")))
				why = to.why
			}
			fmt.Fprintf(p.out, "%48s%s\n", "", mail.Escape(to.address))
		}
		fmt.Fprintln(p.out)
	}
	requests := "Requests"
	if len(entries) == 1 {
		requests = "Request"
	}
	fmt.Fprintf(p.out, "-- %d Kbytes in %d %s.\n", (octets+1023)/1024, len(entries), requests)
}
