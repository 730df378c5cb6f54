package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/mail"
	"backstamp/rewrite"
	"backstamp/track"
)

func (p *program) rewriteCommand() *cobra.Command {
	var dir string
	var diff bool
	c := &cobra.Command{
		Use: "rewrite FILE…", Short: "Rewrite messages in files, without sending them", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			if (dir == "" || diff) && len(files) > 1 {
				return exitf(exitUsage, "several files need -o DIR, and no --diff")
			}
			r, err := p.offline()
			if err != nil {
				return err
			}
			switch {
			case diff:
				return p.diff(r, files[0])
			case dir == "":
				return p.rewriteOne(r, files[0])
			}
			return p.rewriteAll(c.Context(), r, files, dir)
		},
	}
	c.Flags().StringVarP(&dir, "output", "o", "", "write each message into `DIR` under its own name, and one JSON object per file to standard output")
	c.Flags().BoolVar(&diff, "diff", false, "print what would change")
	return c
}

// An offliner rewrites messages that nobody sends. It uses the signing keys if
// there are any, so that the links of a trial work.
type offliner struct {
	*rewrite.Rewriter
	keys     *track.Keys
	ids      *mail.IDs
	settings config.Tracking
}

func (p *program) offline() (*offliner, error) {
	conf, err := p.load()
	if err != nil {
		return nil, err
	}
	keys, err := spareKeys()
	if _, missing := os.Stat(keysDir(conf)); len(conf.Tracking.Keys) > 0 || missing == nil {
		keys, err = openKeys(conf, p.clock)
	}
	if err != nil {
		return nil, err
	}
	b := &builder{conf: conf, keys: keys, house: &house{conf: conf}}
	r := b.rewriter()
	if len(b.errs) > 0 {
		return nil, &exitError{exitUsage, b.errs.Error()}
	}
	return &offliner{r, keys, new(mail.IDs), conf.Tracking}, nil
}

// A trial is what became of one file.
type trial struct {
	plan     *rewrite.Plan
	original []byte
	result   []byte // the original where nothing was to edit
}

// try rewrites the message in a file as it would be for its first recipient.
func (p *program) try(r *offliner, file string) (*trial, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, exitf(exitFailed, "%v", err)
	}
	req := rewrite.Request{
		ID: r.ids.Next(p.clock.Now()), Content: bytes.NewReader(content), Recipients: 1, Privacy: mail.Identified,
		Opens: r.settings.Opens, Clicks: r.settings.Clicks, Shared: r.settings.Recipients == "shared",
	}
	if r.settings.Privacy == "off" {
		req.Off = rewrite.ReasonOff
	}
	t := &trial{plan: r.Plan(req), original: content, result: content}
	if !t.plan.Edited() {
		return t, nil
	}
	header, err := t.plan.Header(req.Content)
	if err != nil {
		return nil, exitf(exitFailed, "%s: %v", file, err)
	}
	head, _, _ := mail.ParseHeader(header)
	drop := append(rewrite.ReadControls(head, false).Remove, "X-Backstamp")
	var out bytes.Buffer
	fmt.Fprintf(&out, "X-Backstamp: %s\r\n", t.plan.Stamp())
	for _, f := range head {
		if !isOneOf(f, drop) {
			out.Write(f.Raw)
		}
	}
	if err := t.plan.WriteBody(&out, req.Content, r.keys, 1); err != nil {
		return nil, exitf(exitFailed, "%s: %v", file, err)
	}
	t.result = out.Bytes()
	return t, nil
}

func isOneOf(f mail.Field, names []string) bool {
	for _, n := range names {
		if f.Is(n) {
			return true
		}
	}
	return false
}

func (p *program) rewriteOne(r *offliner, file string) error {
	t, err := p.try(r, file)
	if err != nil {
		return err
	}
	_, err = p.out.Write(t.result)
	return err
}

// A trialRow is one line of the report.
type trialRow struct {
	File   string      `json:"file"`
	Edited bool        `json:"edited"`
	Reason *string     `json:"reason"`
	Links  []trialLink `json:"links"`
}

type trialLink struct {
	Index    int           `json:"index"`
	URL      string        `json:"url"`
	Label    string        `json:"label"`
	Decision mail.Decision `json:"decision"`
	Reason   *string       `json:"reason"`
}

// textOrNull is nil for "".
func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// rewriteAll does every file that can be read; one that cannot makes the
// command fail once the others are done.
func (p *program) rewriteAll(ctx context.Context, r *offliner, files []string, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return exitf(exitFailed, "%v", err)
	}
	failed := false
	for _, file := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t, err := p.try(r, file)
		if err == nil {
			if err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), t.result, 0o644); err != nil {
				err = exitf(exitFailed, "%v", err)
			}
		}
		if err != nil {
			fmt.Fprintln(p.err, err)
			failed = true
			continue
		}
		if err := writeLine(p.out, t.row(file)); err != nil {
			return err
		}
	}
	if failed {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (t *trial) row(file string) trialRow {
	row := trialRow{File: file, Edited: t.plan.Edited(), Reason: textOrNull(t.plan.Reason()), Links: []trialLink{}}
	for _, l := range t.plan.Links() {
		row.Links = append(row.Links, trialLink{l.Index, l.URL, l.Label, l.Decision, textOrNull(l.Reason)})
	}
	return row
}

// diff prints what would change, link by link.
func (p *program) diff(r *offliner, file string) error {
	t, err := p.try(r, file)
	if err != nil {
		return err
	}
	if !t.plan.Edited() {
		fmt.Fprintf(p.out, "nothing would change: %s\n", t.plan.Reason())
		return nil
	}
	line := func(mark, colour, text string) {
		if p.colours() {
			mark, text = colour+mark, text+"\x1b[0m"
		}
		fmt.Fprintf(p.out, "%s %s\n", mark, strings.ReplaceAll(text, "\n", " "))
	}
	for _, l := range t.plan.Links() {
		if l.Decision == mail.Left {
			line(" ", "", mail.Escape(l.URL)+"  ("+l.Reason+")")
			continue
		}
		url, err := t.plan.ClickURL(r.keys, l.Index, 1)
		if err != nil {
			return exitf(exitFailed, "%v", err)
		}
		line("-", "\x1b[31m", mail.Escape(l.URL))
		line("+", "\x1b[32m", url)
	}
	if url, err := t.plan.OpenURL(r.keys, 1); err == nil {
		line("+", "\x1b[32m", "pixel "+url)
	}
	fmt.Fprintf(p.out, "%d octets become %d\n", len(t.original), len(t.result))
	return nil
}
