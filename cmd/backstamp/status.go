package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/web"
)

func (p *program) statusCommand() *cobra.Command {
	var usage, tags bool
	c := &cobra.Command{
		Use: "status", Short: "Show how the providers do", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.withAPI(c.Context(), func(api *apiClient) error {
				switch {
				case usage:
					return p.showUsage(c.Context(), api, "/usage", "PROVIDER")
				case tags:
					return p.showUsage(c.Context(), api, "/tags", "TAG")
				}
				return p.showStatus(c.Context(), api)
			})
		},
	}
	c.Flags().BoolVar(&usage, "usage", false, "count messages, recipients and hits by account, provider and day")
	c.Flags().BoolVar(&tags, "tags", false, "count them by account, tag and day")
	c.MarkFlagsMutuallyExclusive("usage", "tags")
	return p.jsonFlag(c)
}

// showUsage prints what each day saw, by what one column names.
func (p *program) showUsage(ctx context.Context, api *apiClient, path, column string) error {
	t := p.table("DAY", "ACCOUNT", column, "MESSAGES", "RECIPIENTS", "OPENS", "OF THEM FIRST", "CLICKS", "OF THEM FIRST")
	err := list(ctx, p, api, path, nil, func(u usageView) {
		t.row(u.Day, u.Account, u.Provider+u.Tag, strconv.Itoa(u.Messages), strconv.Itoa(u.Recipients),
			hits(u.Opens, u.MachineOpens), strconv.Itoa(u.UniqueOpens), hits(u.Clicks, u.MachineClicks), strconv.Itoa(u.UniqueClicks))
	})
	if err != nil {
		return err
	}
	return t.flush(p.out)
}

// lostHits asks how many opens and clicks the server could not keep.
func lostHits(ctx context.Context, api *apiClient) (int, error) {
	body, err := api.get(ctx, "/tracking", nil)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	var row web.TrackingRow
	if err := json.NewDecoder(body).Decode(&row); err != nil {
		return 0, fmt.Errorf("read how tracking does: %w", err)
	}
	return row.Lost, nil
}

// showStatus prints the providers; it ends degraded when one of them cannot
// send.
func (p *program) showStatus(ctx context.Context, api *apiClient) error {
	if !p.json {
		server := "no server runs on this data_dir"
		if api.server {
			server = "the server runs"
		}
		fmt.Fprintf(p.out, "%s\n", server)
		if text := p.trackingNote(); text != "" {
			fmt.Fprintf(p.out, "%s\n", text)
		}
		lost, err := lostHits(ctx, api)
		if err != nil {
			return err
		}
		if lost > 0 {
			fmt.Fprintf(p.out, "%d opens and clicks were lost since the server started: store and disk took none, and the memory was full; the log says when\n", lost)
		}
		fmt.Fprintln(p.out)
	}
	degraded := false
	var troubled []statusView
	t := p.table("ACCOUNT", "PROVIDER", "PRESET", "STATE", "SENT TODAY", "LIMIT", "UNTIL", "LAST ERROR")
	body, err := api.get(ctx, "/status", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	err = lines(body, func(line []byte) error {
		var s statusView
		if err := unmarshal(line, &s); err != nil {
			return err
		}
		if s.State != "ok" {
			degraded = true
			troubled = append(troubled, s)
		}
		if p.json {
			_, err := p.out.Write(line)
			return err
		}
		limit := ""
		if s.Limit > 0 {
			limit = strconv.Itoa(s.Limit)
		}
		state := s.State
		if s.Reason != "" {
			state += " (" + s.Reason + ")"
		}
		t.row(s.Account, s.Provider, s.Preset, state, strconv.Itoa(s.SentToday), limit, clockTime(s.Until), clip(strings.ReplaceAll(s.LastError, "\n", " / "), 70))
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.flush(p.out); err != nil {
		return err
	}
	if !p.json {
		for _, s := range troubled {
			p.explain(s.Account+"/"+s.Provider, s.Explain)
		}
	}
	if degraded {
		return &exitError{code: exitDegraded}
	}
	return nil
}
