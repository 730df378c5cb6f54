package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/mail"
)

func (p *program) queueCommand() *cobra.Command {
	queue := &cobra.Command{Use: "queue", Short: "What waits to be sent, and what to do with it", Args: cobra.NoArgs}
	queue.RunE = func(c *cobra.Command, _ []string) error {
		return exitf(exitUsage, "queue needs one of: ls, retry, hold, drop, move")
	}
	ls := &cobra.Command{
		Use: "ls", Short: "List the deliveries that wait, the next one first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.withAPI(c.Context(), func(api *apiClient) error {
				t := p.table("ID", "RECIPIENT", "PROVIDER", "STATUS", "TRIES", "NEXT TRY", "REPLY")
				err := list(c.Context(), p, api, "/queue", nil, func(d deliveryView) {
					status := d.Status
					if d.Reason != "" {
						status += " (" + d.Reason + ")"
					}
					said := d.Reply
					if said == "" && d.Explain != nil {
						said = d.Explain.Meaning
					}
					t.row(d.ID, clip(d.Recipient, 40), d.Provider, status, strconv.Itoa(d.Attempts), clockTime(d.NextAttempt), clip(strings.ReplaceAll(said, "\n", " / "), 60))
				})
				if err != nil {
					return err
				}
				return t.flush(p.out)
			})
		},
	}
	retry := p.queueAction("retry [ID…]", "Make deferred and held deliveries due now, all without ID", "retry", cobra.ArbitraryArgs)
	hold := p.queueAction("hold ID…", "Keep a message from being tried until retry", "hold", cobra.MinimumNArgs(1))
	drop := p.queueAction("drop ID…", "End a message's deliveries as failed", "drop", cobra.MinimumNArgs(1))
	move := p.queueAction("move --to ACCOUNT/NAME ID…", "Give a message to another provider", "move", cobra.MinimumNArgs(1))
	move.Flags().String("to", "", "the provider, as `ACCOUNT/NAME`")
	move.MarkFlagRequired("to")
	queue.AddCommand(p.jsonFlag(ls), retry, hold, drop, move)
	return queue
}

func (p *program) queueAction(use, short, action string, args cobra.PositionalArgs) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(c *cobra.Command, ids []string) error {
			in := map[string]any{"ids": ids}
			for _, id := range ids {
				if _, err := mail.ParseID(id); err != nil {
					return exitf(exitFailed, "no such message: %q", id)
				}
			}
			if f := c.Flags().Lookup("to"); f != nil {
				in["to"] = f.Value.String()
			}
			return p.withAPI(c.Context(), func(api *apiClient) error {
				var out struct{ Changed int }
				if err := api.post(c.Context(), "/queue/"+action, in, &out); err != nil {
					return err
				}
				if out.Changed == 0 {
					return exitf(exitDegraded, "nothing to do: no such delivery waits")
				}
				fmt.Fprintf(p.out, "%s: %d deliveries\n", action, out.Changed)
				return nil
			})
		},
	}
}
