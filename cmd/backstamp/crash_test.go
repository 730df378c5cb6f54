//go:build unix

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"backstamp/internal/crash"
	"backstamp/internal/crashtest"
	"backstamp/internal/mailtest"
	"backstamp/mail"
	"backstamp/store"
	"backstamp/store/bolt"
)

// A child is the program in a process of its own.
type child struct {
	t     testing.TB
	cmd   *exec.Cmd
	smtp  string
	out   bytes.Buffer
	ended chan error
}

// spawn starts serve in its own process, behind the wrapper command if any,
// and waits until it takes mail.
func spawn(t testing.TB, config string, wrapper ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrapper, self, "serve", "--config", config)
	c := &child{t: t, cmd: exec.Command(args[0], args[1:]...), ended: make(chan error, 1)}
	c.cmd.Env = append(os.Environ(), "BACKSTAMP_TEST_MAIN=1")
	c.cmd.Stderr = &c.out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that kill ends a wrapper and what it runs
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			if addr, ok := strings.CutPrefix(strings.TrimSpace(s.Text()), "SMTP "); ok {
				ready <- strings.TrimSpace(addr)
			}
		}
		io.Copy(io.Discard, out)
		c.ended <- c.cmd.Wait()
	}()
	t.Cleanup(c.kill)
	select {
	case c.smtp = <-ready:
	case err := <-c.ended:
		c.ended <- err
		t.Fatalf("serve ended: %v\n%s", err, c.out.String())
	}
	return c
}

// kill ends the process as a power cut would, but for what the kernel keeps.
func (c *child) kill() {
	syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	err := <-c.ended
	c.ended <- err
}

// A killing is the program under test: a configuration, a sink as its upstream, and the ledger
// between them.
type killing struct {
	dir, config string
	binary      []string // the program's command line, without arguments
	env         []string
	form        crashtest.Form
	ledger      *crashtest.Ledger
	sink        *crashtest.Sink
}

// newKilling prepares one. Extra is added to the configuration.
func newKilling(t testing.TB, f crashtest.Flaky, extra string) *killing {
	t.Helper()
	return killingOf(t, f, testForm(f.Seed), extra)
}

func testForm(seed uint64) crashtest.Form {
	return crashtest.Form{Envelope: crashtest.Envelope{From: "app@shop.test", To: "example.com"}, Seed: seed, HTML: 0.3, Base: publicBase}
}

func killingOf(t testing.TB, f crashtest.Flaky, form crashtest.Form, extra string) *killing {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tr := &killing{
		dir: dir, config: filepath.Join(dir, "backstamp.yaml"), binary: []string{self}, env: []string{"BACKSTAMP_TEST_MAIN=1"},
		form: form,
	}
	if tr.ledger, err = crashtest.OpenLedger(filepath.Join(dir, "ledger"), tr.form); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.ledger.Close() })
	if tr.sink, err = crashtest.Listen("127.0.0.1:0", f, tr.ledger.Take); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.sink.Close() })
	if err := os.WriteFile(tr.config, []byte(relayConfig(tr.sink.Addr(), extra)), 0o600); err != nil {
		t.Fatal(err)
	}
	return tr
}

// command returns a command line of the program.
func (tr *killing) command(args ...string) []string {
	return append(append(slices.Clone(tr.binary), args...), "--config", tr.config)
}

// process is the program as what is killed.
func (tr *killing) process() *crashtest.Process {
	return &crashtest.Process{Command: tr.command("serve"), Env: tr.env, Announce: announced}
}

// announced finds where serve takes mail in what it prints.
var announced = regexp.MustCompile(`^ *SMTP +(\S+)$`)

// run runs the cycles and fails the test unless every promise was kept.
func (tr *killing) run(t testing.TB, o crashtest.Options) crashtest.Report {
	t.Helper()
	if o.Relay == nil {
		o.Relay = tr.process()
	}
	o.Sink, o.Ledger, o.Seed = tr.sink, tr.ledger, tr.form.Seed
	o.Drain = append(append([]string{"env"}, tr.env...), tr.command("queue", "retry")...)
	r, err := crashtest.Run(t.Context(), o)
	if err != nil {
		t.Error(err)
	}
	var text strings.Builder
	r.Text(&text)
	t.Log(text.String())
	if !r.OK() {
		t.Error("promises were broken")
	}
	return r
}

// times returns how often a test does what it repeats: as the environment says,
// else n.
func times(t testing.TB, variable string, n int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// mostLoad is as many messages a second as go out while they come in, so that
// kills meet both.
const mostLoad = 600

// 250 means durable: whatever was answered with it arrives whole, though the
// program is killed under load again and again and its upstream is flaky.
// BACKSTAMP_TEST_KILLS sets how often.
func TestKilledUnderLoad(t *testing.T) {
	tr := newKilling(t, crashtest.Flaky{Refuse: 0.01, Before: 0.01, After: 0.01, Delay: 0.02, Seed: rand.Uint64()}, "")
	tr.run(t, crashtest.Options{Cycles: times(t, "BACKSTAMP_TEST_KILLS", 20), Rate: mostLoad})
}

// The program ends itself at each crash point. BACKSTAMP_TEST_POINTS sets how
// often.
func TestCrashPoints(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "backstamp")
	build := exec.Command(mailtest.Tool(t, "go"), "build", "-tags", "crashpoints", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	each := times(t, "BACKSTAMP_TEST_POINTS", 1)
	for _, c := range []struct {
		name, extra string
		test        func(*testing.T, *killing, int)
	}{
		{"way of a message", "", crashOnTheWay},
		{"one message at a time", "", crashAlone},
		{"retention", "retention: {content: 1ms, events: 1ms}\n", crashInRetention},
		{"compaction", "", crashInCompaction},
		{"migration", "", crashInMigration},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newKilling(t, crashtest.Flaky{Seed: rand.Uint64()}, c.extra)
			tr.binary, tr.env = []string{binary}, nil
			c.test(t, tr, each)
		})
	}
}

// reached expects each point to have been reached that often.
func reached(t *testing.T, r crashtest.Report, each int, points ...string) {
	t.Helper()
	for _, name := range points {
		if p := r.Points[name]; p.Reached != each {
			t.Errorf("%s was reached %d times of %d", name, p.Reached, each)
		}
	}
}

// wayPoints are the points of a message's way, in their order.
func wayPoints() []string {
	return []string{
		crash.BeforeBody, crash.AfterBody, crash.BeforeCommit, crash.AfterCommit, crash.BeforeReply,
		crash.BeforeDot, crash.AfterDot, crash.BeforeRecord,
	}
}

func crashOnTheWay(t *testing.T, tr *killing, each int) {
	points := wayPoints()
	r := tr.run(t, crashtest.Options{Cycles: each * len(points), Points: points, Pass: 20, Rate: mostLoad})
	reached(t, r, each, points...)
}

// crashAlone has one message at a time on its way, and nothing left over from
// the life before: it goes out twice where the upstream had all of it and that
// was not on record, and not before it is tried. (At the other points its first
// try may run already, beside the 250 or for another recipient.)
func crashAlone(t *testing.T, tr *killing, each int) {
	points := []string{crash.AfterCommit, crash.AfterDot, crash.BeforeRecord}
	r := tr.run(t, crashtest.Options{Cycles: 1})
	for range each {
		for _, name := range points {
			r = tr.run(t, crashtest.Options{Cycles: 1, Points: []string{name}, Pass: 1, Senders: 1, Rate: 2})
		}
	}
	reached(t, r, each, points...)
	if n := r.Points[crash.AfterCommit].Duplicates; n > 0 {
		t.Errorf("%d duplicates at %s", n, crash.AfterCommit)
	}
	for _, name := range points[1:] {
		if n := r.Points[name].Duplicates; n < each {
			t.Errorf("%d duplicates at %s, want one at least each time: is the point where it says?", n, name)
		}
	}
}

// crashInRetention ends it while retention, at the start of a life, deletes what
// the life before left.
func crashInRetention(t *testing.T, tr *killing, each int) {
	points := []string{crash.BeforeExpiry, crash.AfterExpiry}
	var r crashtest.Report
	for n := range each {
		for _, name := range points {
			for try := 0; try < 10 && r.Points[name].Reached <= n; try++ { // a short life may leave nothing to delete
				tr.run(t, crashtest.Options{Cycles: 1, Rate: mostLoad, Load: 2 * time.Second})
				r = tr.run(t, crashtest.Options{Cycles: 1, Points: []string{name}, Pass: 1})
			}
		}
	}
	reached(t, r, each, points...)
}

// An upkept relay is compacted before each start, and ends itself in that.
type upkept struct {
	*crashtest.Process
	compact []string
	ended   int // times
}

// Start compacts, to the point, and starts.
func (u *upkept) Start(ctx context.Context, point string) (string, <-chan struct{}, error) {
	if point != "" {
		c := exec.CommandContext(ctx, u.compact[0], u.compact[1:]...)
		c.Env = append(os.Environ(), crashtest.PointVariable+"="+point)
		if c.Run() != nil && c.ProcessState.ExitCode() == -1 {
			u.ended++
		}
	}
	return u.Process.Start(ctx, "")
}

func crashInCompaction(t *testing.T, tr *killing, each int) {
	tr.run(t, crashtest.Options{Cycles: 1, Rate: mostLoad}) // something to compact
	u := &upkept{Process: tr.process(), compact: tr.command("compact")}
	tr.run(t, crashtest.Options{
		Relay: u, Cycles: 2 * each, Points: []string{crash.BeforeReplace, crash.AfterReplace}, Pass: 1, Rate: mostLoad, Load: 50 * time.Millisecond,
	})
	if u.ended != 2*each {
		t.Errorf("it ended in a compaction %d times of %d", u.ended, 2*each)
	}
}

// crashInMigration ends it while it brings a store of an earlier release up to
// date: the next start does, and everything is there.
func crashInMigration(t *testing.T, tr *killing, each int) {
	for range each {
		for _, point := range []string{crash.BeforeMigrate, crash.AfterMigrate} {
			earlier(t, filepath.Join(tr.dir, "data"))
			p := tr.process()
			if _, _, err := p.Start(t.Context(), point+":1"); err == nil {
				p.Kill()
				t.Fatalf("%s was not reached", point)
			}
			if _, _, err := p.Start(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			if n := len(decodeRows(t, runOK(t, tr.command("messages", "--json")))); n != migrated {
				t.Errorf("%d messages after %s, want %d", n, point, migrated)
			}
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
}

// migrated is how many messages the store of an earlier release has.
const migrated = 4

// earlier puts a store of an earlier release in a directory.
func earlier(t testing.TB, dir string) {
	t.Helper()
	from := filepath.Join("..", "..", "store", "bolt", "testdata", "schema1")
	err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(from)))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(filepath.Join(dir, "store.bolt.gz"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "store.bolt"), []byte(readAll(r)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runOK runs a program that must succeed and returns its output.
func runOK(t testing.TB, command []string) string {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	return string(out)
}

// A traced relay writes down the system calls of its first life.
type traced struct {
	*crashtest.Process
	first []string // its command line
}

// Start starts it, the first time under strace.
func (r *traced) Start(ctx context.Context, point string) (string, <-chan struct{}, error) {
	if r.first != nil {
		later := r.Command
		r.Command, r.first = r.first, nil
		defer func() { r.Command = later }()
	}
	return r.Process.Start(ctx, point)
}

// The power fails at any moment of a loaded life: the store opens, and every
// message that had been answered with 250 is there, byte for byte.
// BACKSTAMP_TEST_IMAGES sets how many moments are tried.
func TestPowerCut(t *testing.T) {
	strace := mailtest.Tool(t, "strace")
	tr := newKilling(t, crashtest.Flaky{Seed: rand.Uint64()}, "")
	trace := filepath.Join(tr.dir, "trace")
	r := &traced{Process: tr.process()}
	r.first = append([]string{strace, "-f", "-y", "-xx", "-s", "1000000", "--seccomp-bpf", "-e", "trace=" + crashtest.TraceCalls, "-o", trace}, r.Command...)
	tr.run(t, crashtest.Options{Relay: r, Cycles: 1, Load: 5 * time.Second})

	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	calls, err := crashtest.ReadTrace(f)
	if err != nil {
		t.Fatal(err)
	}
	images, answered := 0, 0
	cuts := crashtest.Cuts{
		Root: tr.dir, Answer: queuedAs, Number: times(t, "BACKSTAMP_TEST_IMAGES", 50), Random: rand.New(rand.NewPCG(tr.form.Seed, 3)),
	}
	err = crashtest.Images(calls, cuts, func(i crashtest.Image) error {
		images, answered = images+1, max(answered, len(i.Answered))
		return tr.whole(t.Context(), i)
	})
	t.Logf("%d images of %d system calls, the last with %d messages answered with 250, seed %d", images, len(calls), answered, tr.form.Seed)
	if err != nil || answered == 0 {
		t.Error(err)
	}
}

// queuedAs finds IDs in what is answered.
var queuedAs = regexp.MustCompile(`250 2\.0\.0 queued as (\w+)`)

// whole opens the store of an image and looks for every message that was
// answered.
func (tr *killing) whole(ctx context.Context, i crashtest.Image) error {
	s, err := bolt.Open(filepath.Join(i.Dir, "data"), bolt.Options{Create: true})
	if err != nil {
		return err
	}
	defer s.Close()
	for row, err := range s.Messages(ctx, store.Filter{}) {
		if err != nil {
			return err
		}
		if _, err := tr.same(ctx, s, row.Message.ID); err != nil {
			return err
		}
	}
	for _, text := range i.Answered {
		id, err := mail.ParseID(text)
		if err != nil {
			return err
		}
		if _, err := s.Message(ctx, id); err != nil {
			return fmt.Errorf("answered with 250: %w", err)
		}
	}
	return nil
}

// same returns the name of a message, and an error unless its content is what
// was sent.
func (tr *killing) same(ctx context.Context, s *bolt.Store, id mail.ID) (string, error) {
	content, err := s.Content(ctx, id)
	if err != nil {
		return "", err
	}
	defer content.Close()
	got, err := io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
	if err != nil {
		return "", err
	}
	name := crashtest.ID(got)
	if want, _ := tr.form.Message(name); !bytes.Equal(got, want) {
		return "", fmt.Errorf("message %v is not what was sent", id)
	}
	return name, nil
}

// No 250 leaves before the syncs that cover it. A trace of the system calls
// shows, for each message of one sender in lock-step, when its content was
// first written, the sync of the data after it, the sync of the page that makes
// it count, and the answer.
func TestSyncBefore250(t *testing.T) {
	strace := mailtest.Tool(t, "strace")
	upstream := mailtest.Start(t, mailtest.Script{Discard: true})
	dir := t.TempDir()
	file := filepath.Join(dir, "backstamp.yaml")
	if err := os.WriteFile(file, []byte(relayConfig(upstream.Addr, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(dir, "trace")
	c := spawn(t, file, strace, "-f", "-o", trace, "-e", "trace=write,pwrite64,fdatasync,fsync", "-s", "100000")
	const messages = 20
	s := mailtest.Dial(t, c.smtp)
	s.Cmd("EHLO load.test")
	for i := range messages {
		s.SendMail("app@shop.test", []string{"reader@example.com"}, fmt.Sprintf("From: app@shop.test\r\nSubject: m\r\n\r\nmessage %d of it\r\n", i))
	}
	s.Cmd("QUIT")
	c.kill()
	covered := 0
	for i, syncs := range syncsBeforeAnswer(t, trace) {
		if syncs >= 2 {
			covered++
		} else {
			t.Errorf("message %d was answered after %d syncs since its content was written, want 2", i, syncs)
		}
	}
	t.Logf("%d of %d answers came after both syncs that cover them", covered, messages)
	if covered != messages {
		t.Errorf("%d of %d answers were seen with their syncs", covered, messages)
	}
}

var synced = regexp.MustCompile(`(fdatasync|fsync)(\(| resumed).*= 0`)

// syncsBeforeAnswer reads a trace: for each answer, in order, how many syncs
// ended between the first write of that message's content and the answer; -1
// where the content was not written.
func syncsBeforeAnswer(t testing.TB, trace string) []int {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	syncs := -1
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.Contains(line, "pwrite64(") && strings.Contains(line, fmt.Sprintf("message %d of it", len(out))):
			syncs = max(syncs, 0)
		case synced.MatchString(line) && syncs >= 0:
			syncs++
		case strings.Contains(line, "write(") && strings.Contains(line, "250 2.0.0 queued as"):
			out = append(out, syncs)
			syncs = -1
		}
	}
	return out
}
