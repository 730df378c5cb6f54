package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

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
		Use: "rewrite FILE…", Short: "Rewrite messages in files, without sending them",
		Long: `Rewrite messages in files as the relay would, without sending them: the first
recipient's copy goes to standard output. FILE may be - for standard input.`,
		RunE: func(c *cobra.Command, files []string) error {
			switch {
			case dir != "" && diff:
				return exitf(exitUsage, "--diff writes no files; expected it without -o")
			case len(files) == 0:
				return exitf(exitUsage, "no file; expected rewrite FILE, or - for standard input")
			case diff && len(files) > 1:
				return exitf(exitUsage, "several files; --diff takes one at a time")
			case dir == "" && len(files) > 1:
				return exitf(exitUsage, "several files; expected -o DIR to write them to")
			}
			o, err := p.offline()
			if err != nil {
				return err
			}
			show := p.printCopy
			if diff {
				show = p.diff
			}
			if dir != "" {
				err = p.rewriteAll(c.Context(), o, files, dir)
			} else {
				err = p.withTrial(o, files[0], func(t *trial) error {
					o.signed = t.plan.Edited()
					return show(files[0], t)
				})
			}
			o.warn(p.err)
			return err
		},
	}
	c.Flags().StringVarP(&dir, "output", "o", "", "write each message into `DIR` under its own name, and one JSON object per file to standard output")
	c.Flags().BoolVar(&diff, "diff", false, "print what would change, and why the rest would not")
	return c
}

// An offliner rewrites messages that nobody sends. It uses the signing keys if
// there are any, so that the links of a trial work.
type offliner struct {
	*rewrite.Rewriter
	keys     *track.Keys
	ids      *mail.IDs
	settings config.Tracking
	noKeys   string // where keys were looked for, when there are none
	signed   bool   // something was
}

func (p *program) offline() (*offliner, error) {
	conf, err := p.load()
	if err != nil {
		return nil, err
	}
	o := &offliner{ids: new(mail.IDs), settings: conf.Tracking}
	if _, missing := os.Stat(keysDir(conf)); len(conf.Tracking.Keys) > 0 || missing == nil {
		o.keys, err = openKeys(conf, p.clock)
	} else {
		o.noKeys = keysDir(conf)
		o.keys, err = spareKeys()
	}
	if err != nil {
		return nil, err
	}
	b := &builder{conf: conf, keys: o.keys, house: &house{conf: conf}}
	o.Rewriter = b.rewriter()
	if len(b.errs) > 0 {
		return nil, &exitError{exitUsage, b.errs.Error()}
	}
	return o, nil
}

// warn says that the links which were made will not work.
func (o *offliner) warn(w io.Writer) {
	if o.signed && o.noKeys != "" {
		fmt.Fprintf(w, "no signing keys in %s: these links lead nowhere; run \"backstamp serve\" once, or set tracking.keys\n", o.noKeys)
	}
}

// A trial is what became of one file.
type trial struct {
	*letter
	plan *rewrite.Plan
	keys *track.Keys
	old  mail.Header
	head mail.Header // of the copy
}

// try rewrites a message as it would be for its first recipient.
func (o *offliner) try(l *letter, id mail.ID) (*trial, error) {
	req := rewrite.Request{
		ID: id, Content: l, Recipients: 1, Privacy: mail.Identified,
		Opens: o.settings.Opens, Clicks: o.settings.Clicks, Shared: o.settings.Recipients == "shared",
	}
	if o.settings.Privacy == "off" {
		req.Privacy = 0
	}
	old, _, _, err := mail.ReadHeader(l)
	if err != nil {
		return nil, err
	}
	controls := rewrite.ReadControls(old, false)
	if req.Opens || req.Clicks {
		req.Opens, req.Clicks = req.Opens && allows(controls.Opens), req.Clicks && allows(controls.Clicks)
		if !req.Opens && !req.Clicks {
			req.Off = rewrite.ReasonControl
		}
	}
	t := &trial{letter: l, plan: o.Plan(req), keys: o.keys, old: old, head: old}
	if t.plan.Edited() {
		err = t.editHeader(append(controls.Remove, "X-Backstamp"))
	}
	return t, err
}

// allows reports whether a control field forbids nothing.
func allows(c *bool) bool { return c == nil || *c }

// editHeader makes the header of the copy: the plan's own, with the stamp,
// without some fields. The line that a mail box puts before a message stays
// the first.
func (t *trial) editHeader(drop []string) error {
	header, err := t.plan.Header(t.letter)
	if err != nil {
		return err
	}
	fields, _, _ := mail.ParseHeader(header)
	stamp := mail.Field{Name: "X-Backstamp", Raw: []byte("X-Backstamp: " + t.plan.Stamp() + "\r\n")}
	t.head = nil
	if len(fields) > 0 && fields[0].Name == "" {
		t.head, fields = fields[:1:1], fields[1:]
	}
	t.head = append(t.head, stamp)
	for _, f := range fields {
		if !isOneOf(f, drop) {
			t.head = append(t.head, f)
		}
	}
	return nil
}

func isOneOf(f mail.Field, names []string) bool {
	for _, n := range names {
		if f.Is(n) {
			return true
		}
	}
	return false
}

// writeTo writes the copy, with the line ends of the file; the file itself
// where nothing was to edit. It returns how many octets that were.
func (t *trial) writeTo(w io.Writer) (int64, error) {
	if !t.plan.Edited() {
		return t.file.Size(), t.copyTo(w)
	}
	count := &countingWriter{w: w}
	if !t.bare {
		err := t.writeCopy(count)
		return count.n, err
	}
	bare := &bareWriter{w: count}
	err := t.writeCopy(bare)
	if err == nil {
		err = bare.flush()
	}
	return count.n, err
}

func (t *trial) writeCopy(w io.Writer) error {
	for _, f := range t.head {
		if _, err := w.Write(f.Raw); err != nil {
			return err
		}
	}
	return t.plan.WriteBody(w, t.letter, t.keys, 1)
}

// A countingWriter counts the octets it passes on.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// withTrial opens a file, or standard input, tries it and has the outcome used.
func (p *program) withTrial(o *offliner, name string, use func(*trial) error) error {
	l, err := p.openInput(name)
	if err != nil {
		return exitf(exitFailed, "%v", err)
	}
	defer l.Close()
	t, err := o.try(l, o.ids.Next(p.clock.Now()))
	if err == nil {
		err = use(t)
	}
	if err != nil {
		return exitf(exitFailed, "%s: %v", name, err)
	}
	return nil
}

func (p *program) openInput(name string) (*letter, error) {
	if name == "-" {
		return readLetter(p.in, "standard input")
	}
	return openLetter(name)
}

// printCopy writes the copy to standard output, and why it is the original to
// standard error.
func (p *program) printCopy(name string, t *trial) error {
	out := bufio.NewWriter(p.out)
	if _, err := t.writeTo(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if reason := t.plan.Reason(); reason != "" {
		fmt.Fprintf(p.err, "%s: unchanged (%s). %s\n", name, reason, rewrite.Explain(reason, p.language()))
	}
	return nil
}
