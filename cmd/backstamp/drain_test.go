//go:build unix

package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"backstamp/internal/mailtest"
)

// A draining is a server that was told to stop while a message was on its way
// out and a client stood about.
type draining struct {
	*child
	t        *testing.T
	config   string
	upstream *mailtest.Peer
	answer   chan struct{} // closed: the upstream answers the final dot
}

func drain(t *testing.T) *draining {
	d := &draining{t: t, answer: make(chan struct{}), config: filepath.Join(t.TempDir(), "backstamp.yaml")}
	d.upstream = mailtest.Start(t, mailtest.Script{})
	d.upstream.On(mailtest.Dot, mailtest.After(d.answer, mailtest.Normal()), mailtest.Normal())
	if err := os.WriteFile(d.config, []byte(relayConfig(d.upstream.Addr, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	d.child = spawn(t, d.config)
	reply := mailtest.SendMail(t, d.smtp, "app@shop.test", []string{"reader@example.com"}, mailtest.CRLF(page))
	if !strings.HasPrefix(reply, "250 ") {
		t.Fatal(reply)
	}
	d.upstream.Wait(t)
	idle := mailtest.Dial(t, d.smtp)
	d.signal()
	if bye, err := idle.Read(); err != nil || !strings.HasPrefix(bye, "421 ") {
		t.Errorf("an idle client was told %q, %v", bye, err)
	}
	if c, err := net.Dial("tcp", d.smtp); err == nil {
		c.Close()
		t.Error("a connection was taken after SIGTERM")
	}
	return d
}

func (d *draining) signal() {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
}

// code waits for the end of the process.
func (d *draining) code() int {
	select {
	case err := <-d.ended:
		d.ended <- err
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode()
		}
		return 0
	case <-time.After(10 * time.Second):
		d.t.Fatalf("goes on:\n%s", d.out.String())
		return 0
	}
}

// message returns the one delivery, as it was left.
func (d *draining) delivery() map[string]any {
	d.t.Helper()
	out, code := run(d.t, nil, "messages", "--json", "--config", d.config)
	rows := decodeRows(d.t, out)
	if code != exitDone || len(rows) != 1 {
		d.t.Fatalf("exit %d: %s", code, out)
	}
	return rows[0]["deliveries"].([]any)[0].(map[string]any)
}

// What is on its way out comes to its end.
func TestTermDrains(t *testing.T) {
	d := drain(t)
	close(d.answer)
	if code := d.code(); code != exitDone {
		t.Errorf("exit %d:\n%s", code, d.out.String())
	}
	if got := d.delivery(); got["status"] != "sent" || got["uncertain"] != false {
		t.Errorf("left as %v", got)
	}
	if d.upstream.Heard("QUIT") != 1 {
		t.Error("left the provider without a word")
	}
}

// Who cannot wait says so again: nothing is lost, only not known.
func TestSecondTermStopsAtOnce(t *testing.T) {
	d := drain(t)
	began := time.Now()
	d.signal()
	if code := d.code(); code != exitFailed {
		t.Errorf("exit %d:\n%s", code, d.out.String())
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("stopped after %v", took)
	}
	close(d.answer)
	spawn(t, d.config)
	d.upstream.Wait(t)
	for try := 0; ; try++ {
		if got := d.delivery(); got["status"] == "sent" && got["uncertain"] == true {
			break
		} else if try == 200 {
			t.Fatalf("in the next life: %v", got)
		}
	}
}
