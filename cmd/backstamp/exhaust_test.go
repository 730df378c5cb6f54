//go:build unix

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backstamp/internal/crashtest"
	"backstamp/internal/mailtest"
)

// A gentle relay is asked to end where others are killed.
type gentle struct{ *crashtest.Process }

// Kill asks it to end.
func (g gentle) Kill() error {
	err := g.Stop()
	if code := g.ExitCode(); code != exitDone {
		err = errors.Join(err, errors.New("it ended with an error"))
	}
	return err
}

// SIGTERM under load loses nothing and, unlike a kill, sends nothing twice.
func TestStoppedUnderLoad(t *testing.T) {
	tr := newKilling(t, crashtest.Flaky{Seed: rand.Uint64()}, "")
	r := tr.run(t, crashtest.Options{Relay: gentle{tr.process()}, Cycles: 5, Rate: mostLoad})
	if r.Duplicates > 0 {
		t.Errorf("%d copies came twice", r.Duplicates)
	}
}

// load sends until ok, for so long at most, and reports whether it came to that.
func (tr *killing) load(ctx context.Context, addr string, cycle int, most time.Duration, ok func(crashtest.Report) bool) bool {
	ctx, stop := context.WithTimeout(ctx, most)
	done := make(chan struct{})
	go func() {
		crashtest.Load(ctx, addr, tr.ledger, cycle, 4, 20*time.Millisecond)
		close(done)
	}()
	defer func() { stop(); <-done }()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if ok(tr.ledger.Report()) {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// client runs another command of the program and returns all that it says.
func (tr *killing) client(args ...string) ([]byte, error) {
	command := exec.Command(tr.binary[0], tr.command(args...)[1:]...)
	command.Env = append(os.Environ(), tr.env...)
	return command.CombinedOutput()
}

// onSmallDisk puts the data on a file system of its own, and returns where that
// is mounted.
func (tr *killing) onSmallDisk(t *testing.T) (disk string) {
	t.Helper()
	disk = filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mailtest.Tool(t, "mount"), "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("no small disk can be mounted here: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", disk).Run() })
	text, err := os.ReadFile(tr.config)
	if err == nil {
		err = os.WriteFile(tr.config, []byte(strings.Replace(string(text), "data_dir: data", "data_dir: "+disk+"/data", 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// patient is as long as anything may take that must come.
const patient = 20 * time.Second

// The disk fills up under load and gets room again: mail is refused with 452
// meanwhile and taken afterwards, and nothing is lost. BACKSTAMP_TEST_FULL sets
// how often.
func TestDiskFull(t *testing.T) {
	tr := newKilling(t, crashtest.Flaky{Seed: rand.Uint64()}, "")
	disk := tr.onSmallDisk(t)
	p := tr.process()
	addr, _, err := p.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	fulls := times(t, "BACKSTAMP_TEST_FULL", 3)
	for n := range fulls {
		ballast := fill(t, disk)
		before := tr.ledger.Report()
		if !tr.load(t.Context(), addr, 2*n+1, patient, func(r crashtest.Report) bool { return r.Replies["452"] > before.Replies["452"] }) {
			t.Fatalf("full for the %dth time, it was never answered with 452: %v", n+1, tr.ledger.Report().Replies)
		}
		if out, err := tr.client("queue", "ls"); err != nil {
			t.Errorf("queue ls on a full disk: %v\n%s", err, out)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		before = tr.ledger.Report()
		if !tr.load(t.Context(), addr, 2*n+2, patient, func(r crashtest.Report) bool { return r.Accepted > before.Accepted+10 }) {
			t.Fatalf("with room again for the %dth time, it takes no mail: %v", n+1, tr.ledger.Report().Replies)
		}
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	tr.ledger.Killed(crashtest.Kill{Cycle: 1, Broken: tr.sink.Broken()})
	tr.run(t, crashtest.Options{})
}

// fill takes all the room on a disk and returns the file that holds it.
func fill(t *testing.T, disk string) (name string) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	return f.Name()
}

// A start on a disk that is read-only, with mail on it or without, fails and
// says why.
func TestReadOnlyStart(t *testing.T) {
	tr := newKilling(t, crashtest.Flaky{}, "")
	disk := tr.onSmallDisk(t)
	remount := func(how string) {
		if out, err := exec.Command("mount", "-o", "remount,"+how, disk).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	refused := func(when string) {
		remount("ro")
		out, err := tr.client("serve")
		if err == nil || !strings.Contains(string(out), "read-only") {
			t.Errorf("%s: %v: %s", when, err, out)
		}
		remount("rw")
	}
	refused("an empty disk")
	p := tr.process()
	addr, _, err := p.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if !tr.load(t.Context(), addr, 1, patient, func(r crashtest.Report) bool { return r.Accepted > 0 }) {
		t.Fatal("it took no mail")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	tr.ledger.Killed(crashtest.Kill{Cycle: 1, Broken: tr.sink.Broken()})
	refused("a disk with mail")
	tr.run(t, crashtest.Options{})
}

// Without descriptors left the program refuses politely or waits, and recovers.
func TestNoDescriptors(t *testing.T) {
	tr := newKilling(t, crashtest.Flaky{Seed: rand.Uint64()}, "")
	p := tr.process()
	p.Command = append([]string{"sh", "-c", `ulimit -n 40; exec "$@"`, "sh"}, p.Command...)
	addr, ended, err := p.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var idle []net.Conn
	for range 60 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		idle = append(idle, c)
	}
	tr.load(t.Context(), addr, 1, time.Second, func(r crashtest.Report) bool { return len(r.Replies) > 0 })
	for _, c := range idle {
		c.Close()
	}
	before := tr.ledger.Accepted()
	if !tr.load(t.Context(), addr, 2, patient, func(r crashtest.Report) bool { return r.Accepted > before+20 }) {
		t.Errorf("it takes no mail any more: %v", tr.ledger.Report().Replies)
	}
	for code := range tr.ledger.Report().Replies {
		if code[0] != '4' {
			t.Errorf("mail was answered with %s", code)
		}
	}
	select {
	case <-ended:
		t.Error("it ended")
	default:
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	tr.ledger.Killed(crashtest.Kill{Cycle: 1, Broken: tr.sink.Broken()})
	tr.run(t, crashtest.Options{})
}
