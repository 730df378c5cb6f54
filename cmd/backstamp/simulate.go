package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"backstamp/mail"
	"backstamp/web"
)

func (p *program) simulateCommand() *cobra.Command {
	simulate := &cobra.Command{Use: "simulate", Short: "Play a reader or a provider", Args: cobra.NoArgs}
	simulate.RunE = func(*cobra.Command, []string) error {
		return exitf(exitUsage, "simulate needs one of: open, click, provider")
	}
	for _, kind := range []mail.Kind{mail.KindOpen, mail.KindClick} {
		var as, recipient string
		var link int
		c := &cobra.Command{
			Use: string(kind) + " ID", Short: "Play a reader's " + string(kind) + ", through the real handler", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				id, err := mail.ParseID(args[0])
				if err != nil {
					return exitf(exitFailed, "no such message: %q", args[0])
				}
				in := map[string]any{"kind": kind, "id": id, "as": as, "link": link, "recipient": recipient}
				return p.withAPI(c.Context(), func(api *apiClient) error {
					var hit web.Hit
					if err := api.post(c.Context(), "/simulate", in, &hit); err != nil {
						return err
					}
					return p.printHit(kind, hit)
				})
			},
		}
		c.Flags().StringVar(&as, "as", "human", "who: human, gmail, yahoo, apple-mpp, gmail-prefetch, safelinks, barracuda or head")
		c.Flags().StringVar(&recipient, "recipient", "", "whose copy, by `ADDR` (else the first)")
		if kind == mail.KindClick {
			c.Flags().IntVar(&link, "link", 1, "which link, by index")
		}
		simulate.AddCommand(p.jsonFlag(c))
	}
	simulate.AddCommand(p.simulateProviderCommand())
	return simulate
}

func (p *program) printHit(kind mail.Kind, hit web.Hit) error {
	if p.json {
		return writeLine(p.out, hit)
	}
	fmt.Fprintf(p.out, "%s: class %s by rule %s, answered %d", kind, hit.Class, hit.Rule, hit.Status)
	if hit.Location != "" {
		fmt.Fprintf(p.out, " to %s", mail.Escape(hit.Location))
	}
	fmt.Fprintln(p.out)
	return nil
}
