//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"backstamp/internal/crashtest"
	"backstamp/internal/mailtest"
	"backstamp/store"
	"backstamp/store/bolt"
)

// unfired is how many runs in a row may go without their fault before no
// further one is tried: the program makes no more such calls.
const unfired = 3

// The nth call of each kind that writes fails, for every n: nothing is answered
// with 250 that is not kept, the program does not crash, goes on after ENOSPC
// and ends with an error after EIO. strace counts calls by thread, so that a
// run may meet several faults. BACKSTAMP_TEST_FAULTS sets how far n goes.
func TestDiskFaults(t *testing.T) {
	strace := mailtest.Tool(t, "strace")
	most := times(t, "BACKSTAMP_TEST_FAULTS", 2)
	for _, call := range []string{"pwrite64", "fdatasync", "ftruncate", "fsync", "renameat"} {
		for _, errno := range []string{"ENOSPC", "EIO"} {
			t.Run(call+" "+errno, func(t *testing.T) {
				t.Parallel()
				fired := 0
				for n, quiet := 1, 0; n <= most && quiet < unfired; n++ {
					f := &fault{strace: strace, call: call, errno: errno, n: n}
					f.try(t)
					if f.fired {
						fired, quiet = fired+1, 0
					} else {
						quiet++
					}
				}
				t.Logf("%d faults", fired)
				if fired == 0 {
					t.Error("it never failed")
				}
			})
		}
	}
}

// A fault is one run with a call that fails.
type fault struct {
	strace, call, errno string
	n                   int
	fired               bool
}

func (f *fault) String() string { return fmt.Sprintf("%s of %s %d", f.errno, f.call, f.n) }

// try loads the program until the call has failed, and a little longer.
func (f *fault) try(t *testing.T) {
	failed := t.Failed()
	form := testForm(rand.Uint64())
	form.Large = 0.3 // many files
	tr := killingOf(t, crashtest.Flaky{}, form, "")
	trace, log := filepath.Join(tr.dir, "trace"), &lockedBuffer{}
	p := tr.process()
	p.Log = log
	p.Env = append(p.Env, "GOMAXPROCS=1") // few threads, among which strace counts
	p.Command = append([]string{
		f.strace, "-f", "-y", "--seccomp-bpf", "-o", trace, "-s", "0", "-e", "trace=" + f.call,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", f.call, f.errno, f.n),
	}, p.Command...)
	addr, ended, err := p.Start(t.Context(), "")
	if err == nil {
		f.load(t, tr, p, addr, ended, trace)
	}
	f.fired = f.injected(trace)
	if err != nil && !f.fired {
		t.Fatal(err)
	}
	if text := log.String(); strings.Contains(text, "goroutine ") {
		t.Errorf("%v: it crashed:\n%s", f, text)
	}
	if err := tr.kept(t.Context()); err != nil {
		t.Errorf("%v: %v", f, err)
	}
	if t.Failed() && !failed {
		t.Logf("%v, log:\n%s", f, log)
	}
	tr.sink.Close()
	tr.ledger.Close()
	os.RemoveAll(tr.dir)
}

// load sends until the fault came, looks how the program takes it, and kills
// what is left of it.
func (f *fault) load(t *testing.T, tr *killing, p *crashtest.Process, addr string, ended <-chan struct{}, trace string) {
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond+time.Duration(f.n)*10*time.Millisecond)
	defer stop()
	go func() {
		select {
		case <-ended:
			stop()
		case <-ctx.Done():
		}
	}()
	crashtest.Load(ctx, addr, tr.ledger, 1, 2, 0)
	if f.injected(trace) {
		f.judge(t, tr, p, addr, ended)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	for code := range tr.ledger.Report().Replies {
		if code[0] != '4' {
			t.Errorf("%v: mail was answered with %s", f, code)
		}
	}
}

// A disk that turns read-only, as file systems do that find themselves damaged:
// mail is refused with 452, what was accepted can be looked at, and all of it is
// there afterwards.
func TestReadOnlyDisk(t *testing.T) {
	tr := killingOf(t, crashtest.Flaky{}, testForm(rand.Uint64()), "")
	p := tr.process()
	p.Command = append([]string{
		mailtest.Tool(t, "strace"), "-f", "--seccomp-bpf", "-o", os.DevNull, "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EROFS:when=40+",
	}, p.Command...)
	addr, _, err := p.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if !tr.load(t.Context(), addr, 1, patient, func(r crashtest.Report) bool { return r.Accepted > 0 && r.Replies["452"] > 5 }) {
		t.Errorf("it was not answered with 452: %+v", tr.ledger.Report())
	}
	if out, err := tr.client("queue", "ls"); err != nil {
		t.Errorf("queue ls: %v\n%s", err, out)
	}
	if p.ExitCode() != -1 {
		t.Errorf("it ended with %d", p.ExitCode())
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	if err := tr.kept(t.Context()); err != nil {
		t.Error(err)
	}
}

// convenience matches files without which the program works on: where events
// wait for the store, and where it notes which messages are in work.
var convenience = regexp.MustCompile(`/(events\.spill|in-work)`)

// injected reports whether the call has failed on what the store keeps.
func (f *fault) injected(trace string) bool {
	text, _ := os.ReadFile(trace)
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte("(INJECTED)")) && !convenience.Match(line) {
			return true
		}
	}
	return false
}

// judge looks at the program after its call has failed.
func (f *fault) judge(t *testing.T, tr *killing, p *crashtest.Process, addr string, ended <-chan struct{}) {
	if f.errno == "EIO" {
		select {
		case <-ended:
			if code := p.ExitCode(); code != exitFailed {
				t.Errorf("%v: it ended with %d, want %d", f, code, exitFailed)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%v: it did not end", f)
		}
		return
	}
	if p.ExitCode() != -1 {
		t.Errorf("%v: it ended with %d", f, p.ExitCode())
		return
	}
	before := tr.ledger.Accepted()
	for cycle := 2; tr.ledger.Accepted() == before && cycle < 20; cycle++ {
		ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
		crashtest.Load(ctx, addr, tr.ledger, cycle, 1, 0)
		stop()
	}
	if tr.ledger.Accepted() == before {
		t.Errorf("%v: it takes no mail any more", f)
	}
}

// kept reports an error unless every message that was answered with 250 is in
// the store as it was sent.
func (tr *killing) kept(ctx context.Context) error {
	s, err := bolt.Open(filepath.Join(tr.dir, "data"), bolt.Options{Create: true})
	if err != nil {
		return err
	}
	defer s.Close()
	there := map[string]bool{}
	for row, err := range s.Messages(ctx, store.Filter{}) {
		if err != nil {
			return err
		}
		name, err := tr.same(ctx, s, row.Message.ID)
		if err != nil {
			return err
		}
		there[name] = true
	}
	if i := slices.IndexFunc(tr.ledger.Names(), func(name string) bool { return !there[name] }); i >= 0 {
		return fmt.Errorf("message %s was answered with 250 and is not there", tr.ledger.Names()[i])
	}
	return nil
}
