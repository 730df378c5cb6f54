package main

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) messagesCommand() *cobra.Command {
	query := url.Values{}
	c := &cobra.Command{
		Use: "messages", Short: "List messages, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			flagsInto(c, query, "status", "account", "provider", "from", "to", "subject", "message-id", "tag", "since", "limit")
			if !p.json && !c.Flags().Changed("limit") {
				query.Set("limit", "100")
			}
			return p.withAPI(c.Context(), func(api *apiClient) error {
				t := p.table("ID", "RECEIVED", "FROM", "TO", "STATUS", "OPENS", "CLICKS", "SUBJECT")
				err := list(c.Context(), p, api, "/messages", query, func(m messageView) { messageRows(t, m) })
				if err != nil {
					return err
				}
				return t.flush(p.out)
			})
		},
	}
	f := c.Flags()
	f.String("status", "", "only messages with a delivery of this `STATUS`")
	f.String("account", "", "only those of this account")
	f.String("provider", "", "only those through this provider")
	f.String("from", "", "part of the From address")
	f.String("to", "", "part of a recipient")
	f.String("subject", "", "part of the subject")
	f.String("message-id", "", "the Message-ID, with or without its <>")
	f.String("tag", "", "the tag")
	f.String("since", "", "only since `D`: a duration back (2h, 7d) or a time")
	f.Int("limit", 0, "at most `N` messages, 0 for all (a table shows 100 unless told)")
	return p.jsonFlag(c)
}

// flagsInto copies the flags that were given into a query.
func flagsInto(c *cobra.Command, query url.Values, names ...string) {
	for _, n := range names {
		if f := c.Flags().Lookup(n); f.Changed {
			query.Set(n, f.Value.String())
		}
	}
}

func messageRows(t *table, m messageView) {
	for i, d := range m.Deliveries {
		note := d.Status
		if d.Reason != "" {
			note += " (" + d.Reason + ")"
		}
		if i == 0 {
			t.row(m.ID, clockTime(m.Received), clip(m.From, 30), clip(d.Recipient, 30), note, hits(d.Opens, d.MachineOpens), hits(d.Clicks, d.MachineClicks), clip(m.Subject, 40))
			continue
		}
		t.row("", "", "", clip(d.Recipient, 30), note, hits(d.Opens, d.MachineOpens), hits(d.Clicks, d.MachineClicks), "")
	}
}

// hits shows people and machines apart.
func hits(people, machines int) string {
	if machines == 0 {
		return strconv.Itoa(people)
	}
	return fmt.Sprintf("%d +%dm", people, machines)
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
