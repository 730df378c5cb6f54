package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/mail"
)

func (p *program) showCommand() *cobra.Command {
	var raw, sent, transcript bool
	var recipient string
	c := &cobra.Command{
		Use: "show ID", Short: "Show one message, its links and what happened to it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/messages/" + url.PathEscape(args[0])
			return p.withAPI(c.Context(), func(api *apiClient) error {
				switch {
				case raw:
					return p.copyOut(c.Context(), api, path+"/raw", nil)
				case sent:
					query := url.Values{}
					if recipient != "" {
						query.Set("recipient", recipient)
					}
					return p.copyOut(c.Context(), api, path+"/sent", query)
				}
				return list(c.Context(), p, api, path, nil, func(m messageView) {
					if transcript {
						for _, l := range m.Transcript {
							fmt.Fprintln(p.out, mail.Escape(l))
						}
						return
					}
					p.showMessage(m)
				})
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&raw, "raw", false, "print the message as it was received")
	f.BoolVar(&sent, "sent", false, "print the message as sent to a recipient")
	f.StringVar(&recipient, "recipient", "", "with --sent: the recipient's `ADDR` (else the first)")
	f.BoolVar(&transcript, "transcript", false, "print the SMTP session that brought it")
	c.MarkFlagsMutuallyExclusive("raw", "sent", "transcript")
	return p.jsonFlag(c)
}

func (p *program) copyOut(ctx context.Context, api *apiClient, path string, query url.Values) error {
	body, err := api.get(ctx, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(p.out, body); err != nil {
		return exitf(exitFailed, "the message broke off: %v", err)
	}
	return nil
}

func (p *program) showMessage(m messageView) {
	say := func(label, format string, args ...any) {
		fmt.Fprintf(p.out, "%-12s %s\n", label, mail.Escape(fmt.Sprintf(format, args...)))
	}
	say("Id", "%s", m.ID)
	say("Message-ID", "%s", m.MessageID)
	say("Received", "%s, %s", clockTime(m.Received), size(m))
	say("From", "%s (MAIL FROM <%s>)", m.From, m.MailFrom)
	say("Subject", "%s", m.Subject)
	say("Account", "%s, provider %s", m.Account, m.Provider)
	say("Client", "%s", m.Client.describe())
	say("Sender", "%s (%s by rule %s)", m.Alignment.Action, m.Alignment.From, m.Alignment.Rule)
	if m.Tracked {
		say("Tracked", "yes")
	} else {
		say("Tracked", "no: %s. %s", m.Reason, m.Meanings[m.Reason])
	}
	for _, note := range m.Notes {
		say("Note", "%s: %s", note, m.Meanings[note])
	}
	if m.Expired {
		say("Content", "deleted with plan and transcript: older than retention.content keeps it; its links go on working")
	}
	for _, quirk := range m.Quirks {
		say("Quirk", "%s: %s", quirk, m.Meanings[quirk])
	}

	p.section("Deliveries")
	t := p.table("RECIPIENT", "STATUS", "BASIS", "TRIES", "OPENS", "CLICKS", "NEXT TRY", "REPLY")
	for _, d := range m.Deliveries {
		status := d.Status
		if d.Reason != "" {
			status += " (" + d.Reason + ")"
		}
		if d.Uncertain {
			status += " uncertain"
		}
		t.row(d.Recipient, status, d.Basis, strconv.Itoa(d.Attempts), hits(d.Opens, d.MachineOpens), hits(d.Clicks, d.MachineClicks), clockTime(d.NextAttempt), clip(strings.ReplaceAll(d.Reply, "\n", " / "), 70))
	}
	t.flush(p.out)
	for _, d := range m.Deliveries {
		p.explain(d.Recipient, d.Explain)
		p.notice(d.Notice)
	}

	p.showLinks(m)

	p.section("Events")
	t = p.table(eventHead...)
	for _, e := range m.Events {
		t.row(eventCells(e)...)
	}
	t.flush(p.out)
}

// describe says who handed a message in.
func (c clientView) describe() string {
	words := []string{c.Name, c.Address, c.Helo, c.TLS}
	if c.TLS == "" {
		words[3] = "in the clear"
	}
	if c.User != "" {
		words = append(words, "as "+c.User)
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", ")
}

// size is how large a message came in, and how much larger tracking makes it.
func size(m messageView) string {
	if m.Growth == 0 {
		return fmt.Sprintf("%d octets", m.Size)
	}
	return fmt.Sprintf("%d octets; tracking adds %d", m.Size, m.Growth)
}

// showLinks lists the links and explains each reason once.
func (p *program) showLinks(m messageView) {
	if len(m.Links) == 0 {
		return
	}
	p.section("Links")
	t := p.table("#", "DECISION", "CLICKS", "URL", "LABEL")
	var reasons []string
	for _, l := range m.Links {
		decision := l.Decision
		if l.Reason != "" {
			decision += ": " + l.Reason
			if !slices.Contains(reasons, l.Reason) {
				reasons = append(reasons, l.Reason)
			}
		}
		t.row(strconv.Itoa(l.Index), decision, hits(l.Clicks, l.MachineClicks), l.URL, clip(l.Label, 30))
	}
	t.flush(p.out)
	for _, reason := range reasons {
		fmt.Fprintf(p.out, "%s: %s\n", reason, m.Meanings[reason])
	}
}

// notice says who was told of a delivery, or why nobody was.
func (p *program) notice(n string) {
	why := map[string]string{
		mail.NoNoticeOff:     "notices.to is off",
		mail.NoNoticeNobody:  "the message has no reverse-path",
		mail.NoNoticeQuiet:   "the message is a notice or an automatic reply itself",
		mail.NoNoticeAsked:   "the sender asked for none",
		mail.NoNoticeForeign: "the sender is no address of the account",
		mail.NoNoticeLimit:   "its reader had ten in an hour",
		mail.NoNoticeRefused: "no provider of the account may send it",
		mail.NoNoticeSaid:    "the app heard it in the SMTP reply",
	}[n]
	switch {
	case n == "":
	case why != "":
		fmt.Fprintf(p.out, "  no notice: %s\n", why)
	default:
		fmt.Fprintf(p.out, "  notice: %s\n", mail.Escape(n))
	}
}

func (p *program) section(title string) { fmt.Fprintf(p.out, "\n%s\n", title) }

// explain says what a reply means and what to do.
func (p *program) explain(about string, x *mail.Explain) {
	if x == nil {
		return
	}
	fmt.Fprintf(p.out, "\n%s: %s\n  %s\n", mail.Escape(about), x.Title, x.Meaning)
	for i, s := range x.Steps {
		fmt.Fprintf(p.out, "  %d. %s\n", i+1, s)
	}
	if x.Link != "" {
		fmt.Fprintf(p.out, "  %s\n", x.Link)
	}
}
