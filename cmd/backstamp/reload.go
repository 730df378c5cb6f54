package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Have the server read its configuration again", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := p.load()
			if err != nil {
				return err
			}
			api := dialServer(conf.DataDir)
			if api == nil {
				return exitf(exitFailed, "no server runs on data_dir %s; one whose data_dir was changed needs a restart", conf.DataDir)
			}
			defer api.close()
			if err := api.post(c.Context(), "/reload", struct{}{}, nil); err != nil {
				return err
			}
			fmt.Fprintln(p.out, "reloaded")
			return nil
		},
	}
}
