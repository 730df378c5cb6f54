package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"backstamp/mail"
)

// A trialRow is one line of the report.
type trialRow struct {
	File          string            `json:"file"`
	Edited        bool              `json:"edited"`
	Reason        *string           `json:"reason"`
	Size          int64             `json:"size"`
	RewrittenSize int64             `json:"rewritten_size"`
	Notes         []string          `json:"notes"`
	Meanings      map[string]string `json:"meanings"` // of the reasons and notes
	Links         []trialLink       `json:"links"`
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

func (t *trial) row(file string, written int64, lang string) trialRow {
	row := trialRow{
		File: file, Edited: t.plan.Edited(), Reason: textOrNull(t.plan.Reason()),
		Size: t.file.Size(), RewrittenSize: written, Notes: append([]string{}, t.plan.Notes()...), Meanings: t.plan.Meanings(lang),
		Links: []trialLink{},
	}
	for _, l := range t.plan.Links() {
		row.Links = append(row.Links, trialLink{l.Index, l.URL, l.Label, l.Decision, textOrNull(l.Reason)})
	}
	return row
}

// An outcome is a row, or why there is none.
type outcome struct {
	row trialRow
	err error
}

// rewriteAll does every file that can be read, on all cores, and reports in the
// order of the files; one that cannot be read makes the command fail once the
// others are done.
func (p *program) rewriteAll(ctx context.Context, o *offliner, files []string, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return exitf(exitFailed, "%v", err)
	}
	if err := checkTargets(files, dir); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	failed := false
	for got := range inOrder(ctx, files, func(file string) outcome { return p.rewriteInto(o, file, dir) }) {
		switch {
		case got.err != nil:
			fmt.Fprintln(p.err, got.err)
			failed = true
			continue
		case got.row.Edited:
			o.signed = true
		}
		if err := writeLine(p.out, got.row); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return exitf(exitFailed, "interrupted; what is in %s is whole, the rest was not done", dir)
	}
	if failed {
		return &exitError{code: exitFailed}
	}
	return nil
}

// inOrder calls do for each file, as many at a time as there are cores, and
// yields what it returned in the order of the files. It ends early when ctx does.
func inOrder(ctx context.Context, files []string, do func(string) outcome) iter.Seq[outcome] {
	return func(yield func(outcome) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		begun := make(chan chan outcome, runtime.GOMAXPROCS(0)-1)
		go func() {
			defer close(begun)
			for _, file := range files {
				done := make(chan outcome, 1)
				select {
				case begun <- done:
					go func() { done <- do(file) }()
				case <-ctx.Done():
					return
				}
			}
		}()
		for done := range begun {
			if !yield(<-done) {
				return
			}
		}
	}
}

// checkTargets refuses to write two files to one place, or one over itself.
func checkTargets(files []string, dir string) error {
	seen := map[string]string{}
	for _, file := range files {
		if file == "-" {
			return exitf(exitUsage, "standard input has no name to be written under; expected files")
		}
		base := filepath.Base(file)
		if other, twice := seen[base]; twice {
			return exitf(exitUsage, "%s and %s would both become %s; nothing was written", other, file, filepath.Join(dir, base))
		}
		seen[base] = file
		from, err := os.Stat(file)
		if err != nil {
			continue // its turn comes
		}
		if to, err := os.Stat(filepath.Join(dir, base)); err == nil && os.SameFile(from, to) {
			return exitf(exitUsage, "%s would be overwritten; expected -o with another directory than its own; nothing was written", file)
		}
	}
	return nil
}

// rewriteInto rewrites one file into dir. Nothing half written comes to bear
// its name.
func (p *program) rewriteInto(o *offliner, file, dir string) outcome {
	var row trialRow
	err := p.withTrial(o, file, func(t *trial) error {
		path := filepath.Join(dir, filepath.Base(file))
		size, err := writeWhole(path, t)
		row = t.row(file, size, p.language())
		return err
	})
	return outcome{row, err}
}

func writeWhole(path string, t *trial) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".*.part")
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriterSize(f, 64<<10)
	if size, err = t.writeTo(out); err == nil {
		err = errors.Join(out.Flush(), f.Chmod(t.mode))
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return size, err
}
