package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/mail"
	"backstamp/track"
	"backstamp/web"
)

var eventHead = []string{"TIME", "KIND", "RECIPIENT", "LINK", "CLASS", "RULE", "IP", "COUNT", "TEXT"}

func eventCells(e eventView) []string {
	link := ""
	if e.Link > 0 {
		link = strconv.Itoa(e.Link)
	}
	who := e.Recipient
	if e.OneOf > 0 {
		who = fmt.Sprintf("one of %d", e.OneOf)
	}
	said := e.Text
	if said == "" {
		said = e.UserAgent
	}
	kind := e.Kind
	if e.Basis == "click" && kind == "open" {
		kind = "open (by click)" // nobody saw it: a click tells of it
	}
	return []string{clockTime(e.Time), kind, who, link, e.Class, e.Rule, e.IP, strconv.Itoa(e.Count), clip(strings.ReplaceAll(said, "\n", " / "), 60)}
}

func (p *program) eventsCommand() *cobra.Command {
	query := url.Values{}
	var follow bool
	c := &cobra.Command{
		Use: "events", Short: "List what happened, oldest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			flagsInto(c, query, "message", "since", "kind")
			return p.withAPI(c.Context(), func(api *apiClient) error {
				if !follow {
					t := p.table(append([]string{"MESSAGE"}, eventHead...)...)
					err := list(c.Context(), p, api, "/events", query, func(e eventView) {
						t.row(append([]string{e.Message}, eventCells(e)...)...)
					})
					if err != nil {
						return err
					}
					return t.flush(p.out)
				}
				if !api.server {
					return exitf(exitFailed, "no server runs on this data_dir, so nothing will happen; start it with: backstamp serve")
				}
				query.Set("follow", "1")
				return list(c.Context(), p, api, "/events", query, func(e eventView) {
					cells := append([]string{e.Message}, eventCells(e)...)
					fmt.Fprintln(p.out, mail.Escape(strings.Join(cells, "  ")))
				})
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&follow, "follow", false, "stay and print what happens")
	f.String("message", "", "only those of the message `ID`")
	f.String("since", "", "only since `D`: a duration back (2h, 7d) or a time")
	f.String("kind", "", "only those of kind `K` (accepted, sent, open, click, …)")
	c.AddCommand(p.reclassifyCommand())
	return p.jsonFlag(c)
}

func (p *program) reclassifyCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "reclassify", Short: "Judge the opens and clicks again by the rules of now; counters follow", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			sum, err := p.reclassify(c.Context())
			if err != nil {
				return err
			}
			if p.json {
				return writeLine(p.out, sum)
			}
			fmt.Fprintf(p.out, "%d of %d hits on %d messages have another class or rule now\n", sum.Changed, sum.Hits, sum.Messages)
			if sum.Left > 0 {
				fmt.Fprintf(p.out, "%d messages stay as they are: some of their hits are older than retention.events keeps them, or cannot be read\n", sum.Left)
			}
			return nil
		},
	})
}

// reclassify has the server judge the hits again, or does it where none runs.
func (p *program) reclassify(ctx context.Context) (sum web.ReclassifiedRow, err error) {
	conf, err := p.load()
	if err != nil {
		return sum, err
	}
	if api := dialServer(conf.DataDir); api != nil {
		defer api.close()
		err := api.post(ctx, "/events/reclassify", struct{}{}, &sum)
		return sum, err
	}
	rules, err := track.NewPolicy(trackSettings(conf), nil)
	if err != nil {
		return sum, &exitError{exitUsage, place(conf, err).Error()}
	}
	s, err := p.openStore(conf, false)
	if err != nil {
		return sum, err
	}
	defer s.Close()
	counted, err := s.Reclassify(ctx, rules.Judge, rules.Timing())
	if err != nil {
		return sum, exitf(exitFailed, "%v", err)
	}
	return web.ReclassifiedRow(counted), nil
}
