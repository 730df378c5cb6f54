//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"backstamp/internal/mailtest"
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

// A ledger holds what was answered with 250.
type ledger struct {
	mu    sync.Mutex
	taken map[string]bool
}

func (l *ledger) add(subject string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[subject] = true
}

// load sends mail as fast as one sender can until the server dies.
func (l *ledger) load(addr, name string) {
	for conn := 0; ; conn++ {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		r := bufio.NewReader(c)
		say := func(line string) string {
			fmt.Fprintf(c, "%s\r\n", line)
			reply, _ := r.ReadString('\n')
			for len(reply) > 3 && reply[3] == '-' {
				reply, _ = r.ReadString('\n')
			}
			return reply
		}
		r.ReadString('\n')
		say("EHLO load.test")
		for n := 0; ; n++ {
			subject := fmt.Sprintf("%s-%d-%d", name, conn, n)
			say("MAIL FROM:<app@shop.test>")
			say("RCPT TO:<reader@example.com>")
			say("DATA")
			body := "From: app@shop.test\r\nSubject: " + subject + "\r\nContent-Type: text/html\r\n\r\n<a href=\"https://example.com/\">x</a>" + strings.Repeat("padding ", 1000) + "\r\n."
			reply := say(body)
			if !strings.HasPrefix(reply, "250 ") {
				break
			}
			l.add(subject)
		}
		c.Close()
	}
}

var subjectField = regexp.MustCompile(`(?m)^Subject: (\S+)\r?$`)

// 250 means durable: whatever was answered with it arrives, though the program
// is killed under load again and again.
func TestKilledUnderLoad(t *testing.T) {
	cycles := 3
	if n, err := strconv.Atoi(os.Getenv("BACKSTAMP_TEST_KILLS")); err == nil {
		cycles = n
	}
	upstream := mailtest.Start(t, mailtest.Script{})
	dir := t.TempDir()
	file := filepath.Join(dir, "backstamp.yaml")
	if err := os.WriteFile(file, []byte(relayConfig(upstream.Addr, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &ledger{taken: map[string]bool{}}
	for cycle := range cycles {
		c := spawn(t, file)
		var senders sync.WaitGroup
		for s := range 8 {
			senders.Go(func() { l.load(c.smtp, fmt.Sprintf("c%d-s%d", cycle, s)) })
		}
		<-time.After(time.Duration(100+rand.IntN(700)) * time.Millisecond)
		c.kill()
		senders.Wait()
	}

	in := startIn(t, dir, file)
	missing := maps.Clone(l.taken)
	for len(missing) > 0 { // Wait gives up when nothing arrives any more
		delete(missing, subjectOf(upstream.Wait(t)))
	}
	in.stop()
	arrived := map[string]int{}
	for _, tx := range upstream.Transactions() {
		if subject := subjectOf(tx); subject != "" {
			arrived[subject]++
		}
	}
	twice, uncounted := 0, 0
	for subject, n := range arrived {
		twice += n - 1
		if !l.taken[subject] {
			uncounted++
		}
	}
	t.Logf("%d kills, %d messages answered with 250, %d lost, %d duplicates, %d arrived whose 250 the sender did not see", cycles, len(l.taken), len(missing), twice, uncounted)
	if len(l.taken) == 0 {
		t.Error("nothing was answered with 250")
	}
}

// subjectOf returns the Subject of a message that load sent, "" where a kill of
// the sender's connection cut it off.
func subjectOf(tx mailtest.Transaction) string {
	if m := subjectField.FindSubmatch(tx.Content); m != nil && tx.Complete {
		return string(m[1])
	}
	return ""
}

// No 250 leaves before the syncs that cover it. A trace of the system calls
// shows, for each message of one sender in lock-step, when its content was
// first written, the sync of the data after it, the sync of the page that makes
// it count, and the answer.
func TestSyncBefore250(t *testing.T) {
	strace := needTool(t, "strace")
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
