package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Have the server read its configuration again", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.withAPI(c.Context(), func(api *apiClient) error {
				if err := api.post(c.Context(), "/reload", struct{}{}, nil); err != nil {
					return err
				}
				fmt.Fprintln(p.out, "reloaded")
				return nil
			})
		},
	}
}
