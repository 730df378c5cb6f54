package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/mail"
)

var eventHead = []string{"TIME", "KIND", "RECIPIENT", "LINK", "CLASS", "RULE", "IP", "COUNT", "TEXT"}

func eventCells(e eventView) []string {
	link := ""
	if e.Link > 0 {
		link = strconv.Itoa(e.Link)
	}
	said := e.Text
	if said == "" {
		said = e.UserAgent
	}
	kind := e.Kind
	if e.Basis == "click" && kind == "open" {
		kind = "open (by click)" // nobody saw it: a click tells of it
	}
	return []string{clockTime(e.Time), kind, e.Recipient, link, e.Class, e.Rule, e.IP, strconv.Itoa(e.Count), clip(strings.ReplaceAll(said, "\n", " / "), 60)}
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
	c.AddCommand(&cobra.Command{
		Use: "reclassify", Short: "Judge the hits again by the rules of today", Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return exitf(exitUsage, "the command events reclassify is not available in this version")
		},
	})
	return p.jsonFlag(c)
}
