package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/track"
)

func (p *program) keysCommand() *cobra.Command {
	keys := &cobra.Command{Use: "keys", Short: "The keys that sign tracking links", Args: cobra.NoArgs}
	keys.RunE = func(*cobra.Command, []string) error {
		return exitf(exitUsage, "keys needs one of: ls, rotate, export")
	}
	ls := &cobra.Command{
		Use: "ls", Short: "List the keys, newest first", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			k, _, err := p.existingKeys()
			if err != nil {
				return err
			}
			return p.listKeys(k)
		},
	}
	export := &cobra.Command{
		Use: "export", Short: "Print the keys, newest first, as tracking.keys takes them: keep them secret", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			k, _, err := p.existingKeys()
			if err != nil {
				return err
			}
			for _, text := range k.Export() {
				fmt.Fprintln(p.out, text)
			}
			return nil
		},
	}
	rotate := &cobra.Command{
		Use: "rotate", Short: "Make a new key for the links of new messages; old links keep working", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			k, conf, err := p.existingKeys()
			if err != nil {
				return err
			}
			if len(conf.Tracking.Keys) > 0 {
				return exitf(exitFailed, "the keys come from tracking.keys; put a new one first in that list and reload")
			}
			if api := dialServer(conf.DataDir); api != nil {
				defer api.close()
				var out struct{ ID string }
				if err := api.post(c.Context(), "/keys/rotate", struct{}{}, &out); err != nil {
					return err
				}
				fmt.Fprintln(p.out, out.ID)
				return nil
			}
			id, err := k.Rotate()
			if err != nil {
				return exitf(exitFailed, "%v", err)
			}
			fmt.Fprintln(p.out, id)
			return nil
		},
	}
	keys.AddCommand(p.jsonFlag(ls), rotate, export)
	return keys
}

// existingKeys opens the keys that are there; it makes none.
func (p *program) existingKeys() (*track.Keys, *config.Config, error) {
	conf, err := p.load()
	if err != nil {
		return nil, nil, err
	}
	if len(conf.Tracking.Keys) == 0 {
		if _, err := os.Stat(keysDir(conf)); err != nil {
			return nil, nil, exitf(exitFailed, "no keys in %s; serve makes the first", keysDir(conf))
		}
	}
	k, err := openKeys(conf, p.clock)
	return k, conf, err
}

func (p *program) listKeys(k *track.Keys) error {
	t := p.table("ID", "CREATED", "USE")
	for i, info := range k.List() {
		use := "verifies old links"
		if i == 0 {
			use = "signs new links"
		}
		if p.json {
			row := map[string]any{"id": info.ID.String(), "created": nil, "newest": i == 0}
			if !info.Created.IsZero() {
				row["created"] = info.Created.UTC().Format(time.RFC3339)
			}
			if err := writeLine(p.out, row); err != nil {
				return err
			}
			continue
		}
		t.row(info.ID.String(), clockTime(info.Created), use)
	}
	return t.flush(p.out)
}
