package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/relay/sendmail"
)

// sendmailConfig is relayConfig on an address that sendmail can know before the
// server runs.
func sendmailConfig(t *testing.T, upstream string) (dir, file, listen string) {
	t.Helper()
	dir, listen = t.TempDir(), freeAddress(t)
	file = filepath.Join(dir, "backstamp.yaml")
	conf := strings.Replace(relayConfig(upstream, ""), `address: "127.0.0.1:0"`, `address: "`+listen+`"`, 1)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, file, listen
}

// pipe runs sendmail with a message on its input.
func pipe(t *testing.T, file, message string, args ...string) (out string, code int) {
	t.Helper()
	return pipeIn(t, []string{"BACKSTAMP_CONFIG=" + file}, message, append([]string{"sendmail"}, args...)...)
}

func pipeIn(t *testing.T, env []string, message string, args ...string) (out string, code int) {
	t.Helper()
	var b lockedBuffer
	p := &program{in: strings.NewReader(message), out: &b, err: &b, env: env, clock: clock.System{}, signals: func() <-chan os.Signal { return nil }}
	code = p.run(t.Context(), args)
	return b.String(), code
}

const letterText = "From: app@shop.test\nTo: Kim <kim@b.test>\nBcc: secret@c.test\nSubject: order\n\nhello\n.\nnot this\n"

// TestSendmail hands mail in as programs do, while the server runs and while it
// does not: each message leaves once, without its Bcc field.
func TestSendmail(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	dir, file, _ := sendmailConfig(t, peer.Addr)
	if out, code := pipe(t, file, letterText, "-t", "-v", "lee@b.test"); code != 0 || !strings.Contains(out, "kept in "+filepath.Join(dir, "data", "spool")) {
		t.Fatalf("while the server is down: exit %d\n%s", code, out)
	}
	out, code := pipe(t, file, "", "-bp")
	if !strings.Contains(out, "kim@b.test") || !strings.Contains(out, "waits for the server") || !strings.Contains(out, "in 1 Request.") {
		t.Errorf("mailq: exit %d\n%s", code, out)
	}
	in := startIn(t, dir, file)
	in.logged("letter of the spool handed in")
	if out, code := pipe(t, file, letterText, "-t", "-v"); code != 0 || !strings.HasPrefix(out, "queued as ") {
		t.Fatalf("while it runs: exit %d\n%s", code, out)
	}
	var to []string
	in.until("all mail is sent", func() bool {
		to = nil
		for _, m := range in.rows("messages", "--status", "sent") {
			for _, d := range m["deliveries"].([]any) {
				to = append(to, d.(map[string]any)["recipient"].(string))
			}
		}
		return len(to) == 5
	})
	slices.Sort(to)
	if want := []string{"kim@b.test", "kim@b.test", "lee@b.test", "secret@c.test", "secret@c.test"}; !slices.Equal(to, want) {
		t.Errorf("sent to %q, want %q", to, want)
	}
	for _, m := range peer.Transactions() {
		if strings.Contains(string(m.Content), "Bcc") || strings.Contains(string(m.Content), "secret") || !strings.Contains(string(m.Content), "\r\n\r\nhello\r\n") || strings.Contains(string(m.Content), "not this") {
			t.Errorf("upstream got\n%s", m.Content)
		}
	}
	if out, code := pipe(t, file, "", "-bp"); code != 0 || out != "Mail queue is empty\n" {
		t.Errorf("mailq: exit %d\n%s", code, out)
	}
}

// TestSendmailNotices: what the sender wants to be told reaches the provider,
// by way of the spool too.
func TestSendmailNotices(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{Extensions: []string{"DSN"}})
	dir, file, _ := sendmailConfig(t, peer.Addr)
	args := []string{"-N", "success,delay", "-R", "hdrs", "-V", "order=42", "kim@b.test", "lee@b.test"}
	if out, code := pipe(t, file, letterText, args...); code != 0 {
		t.Fatalf("while the server is down: exit %d\n%s", code, out)
	}
	in := startIn(t, dir, file)
	in.logged("letter of the spool handed in")
	if out, code := pipe(t, file, letterText, args...); code != 0 {
		t.Fatalf("while it runs: exit %d\n%s", code, out)
	}
	in.until("all mail is sent", func() bool { return len(in.rows("messages", "--status", "sent")) == 2 })
	if n := peer.Heard("MAIL FROM:<app@shop.test> RET=HDRS ENVID=order+3D42"); n != 2 {
		t.Errorf("%d of 2: %q", n, peer.Commands())
	}
	for _, to := range []string{"kim", "lee"} {
		if n := peer.Heard("RCPT TO:<" + to + "@b.test> NOTIFY=SUCCESS,DELAY"); n != 2 {
			t.Errorf("%s: %d of 2: %q", to, n, peer.Commands())
		}
	}
}

// TestSendmailCodes: the caller learns what will not be sent, and why.
func TestSendmailCodes(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	dir, file, _ := sendmailConfig(t, peer.Addr)
	startIn(t, dir, file)
	for _, c := range []struct {
		name, message string
		args          []string
		code          int
		text          string
	}{
		{"taken", letterText, []string{"-t"}, 0, ""},
		{"no recipients", "Subject: x\n\n", nil, sendmail.ExUsage, "no recipients"},
		{"option", "", []string{"-Z"}, sendmail.ExUsage, "-Z"},
		{"not its From", "From: app@other.test\n\nx\n", []string{"a@b.test"}, sendmail.ExNoPerm, "550 5.7.1 app@other.test may not be used"},
		{"no address", "From: app@shop.test\n\nx\n", []string{"a@b@c"}, sendmail.ExDataErr, "a@b@c"},
		{"no configuration", letterText, []string{"-t", "--config", filepath.Join(dir, "none.yaml")}, sendmail.ExConfig, "none.yaml"},
		{"newaliases", "", []string{"-bi"}, 0, ""},
		{"a daemon", "", []string{"-bd"}, sendmail.ExUsage, "backstamp serve"},
		{"help", "", []string{"--help"}, 0, "Usage: sendmail"},
	} {
		out, code := pipe(t, file, c.message, c.args...)
		if code != c.code || !strings.Contains(out, c.text) || c.text == "" && out != "" {
			t.Errorf("%s: exit %d, want %d, with %q:\n%s", c.name, code, c.code, c.text, out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "data", "spool", "*.mail")); len(left) > 0 {
		t.Errorf("what was refused is in the spool as well: %q", left)
	}
}

// TestSendmailSpeaks talks SMTP through -bs.
func TestSendmailSpeaks(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	dir, file, _ := sendmailConfig(t, peer.Addr)
	if out, code := pipe(t, file, "QUIT\r\n", "-bs"); code != sendmail.ExTempFail || !strings.HasPrefix(out, "421 4.3.2 ") {
		t.Errorf("while the server is down: exit %d, %q", code, out)
	}
	startIn(t, dir, file)
	session := "EHLO app\r\nMAIL FROM:<app@shop.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\nFrom: app@shop.test\r\n\r\nx\r\n.\r\nQUIT\r\n"
	if out, code := pipe(t, file, session, "-bs"); code != 0 || !strings.Contains(out, "250 2.0.0 queued as ") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// TestSendmailRefusedLater: mail that was kept and is then refused stays, and
// mailq says why, until a person has it tried again.
func TestSendmailRefusedLater(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	dir, file, _ := sendmailConfig(t, peer.Addr)
	if out, code := pipe(t, file, "From: app@other.test\n\nx\n", "a@b.test"); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	in := startIn(t, dir, file)
	in.logged("letter of the spool refused")
	for range 2 {
		if out, code := pipe(t, file, "", "-bp"); code != 0 || !strings.Contains(out, "refused: 550 5.7.1 app@other.test may not be used") {
			t.Errorf("mailq: exit %d\n%s", code, out)
		}
		if out, code := pipe(t, file, "", "-q"); code != sendmail.ExUnavailable || !strings.Contains(out, "refused for a@b.test") {
			t.Errorf("-q: exit %d\n%s", code, out)
		}
	}
	rows := decodeRows(t, in.ok("sendmail", "-bp", "--json"))
	if len(rows) != 1 || rows[0]["from"] != "app@other.test" || len(rows[0]["refused"].([]any)) != 1 {
		t.Errorf("rows %v", rows)
	}
	conf, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	conf = bytes.Replace(conf, []byte(`"@shop.test"`), []byte(`"@shop.test", "@other.test"`), 1)
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	in.ok("reload")
	if out, code := pipe(t, file, "", "-q"); code != 0 || !strings.Contains(out, "queued as") {
		t.Errorf("-q: exit %d\n%s", code, out)
	}
}

// TestSendmailNames calls the program by the names that others know, as a user
// who may read neither configuration nor data.
func TestSendmailNames(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	dir, file, listen := sendmailConfig(t, peer.Addr)
	startIn(t, dir, file)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	call := func(name, input string, env []string, args ...string) (string, int) {
		link := filepath.Join(bin, name)
		if err := os.Symlink(self, link); err != nil && !os.IsExist(err) {
			t.Skip(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		c := exec.CommandContext(ctx, link, args...)
		c.Dir, c.Stdin = bin, strings.NewReader(input)
		c.Env = append([]string{"BACKSTAMP_TEST_MAIN=1", "PATH=" + os.Getenv("PATH")}, env...)
		out, err := c.CombinedOutput()
		if _, exited := err.(*exec.ExitError); err != nil && !exited {
			t.Fatal(err)
		}
		return string(out), c.ProcessState.ExitCode()
	}
	env := []string{"BACKSTAMP_CONFIG=" + file}
	if out, code := call("newaliases", "", env); code != 0 || out != "" {
		t.Errorf("newaliases: exit %d\n%s", code, out)
	}
	if out, code := call("mailq", "", env); code != 0 || out != "Mail queue is empty\n" {
		t.Errorf("mailq: exit %d\n%s", code, out)
	}
	if out, code := call("sendmail", letterText, env, "-t", "-i", "-v"); code != 0 || !strings.Contains(out, "queued as") {
		t.Errorf("sendmail: exit %d\n%s", code, out)
	}
	// Without the file: the address is the default one or that of the environment.
	spool := filepath.Join(bin, "spool")
	env = []string{"BACKSTAMP_LISTENERS_0_ADDRESS=" + listen, "BACKSTAMP_SPOOL=" + spool}
	if out, code := call("sendmail", letterText, env, "-t", "-v"); code != 0 || !strings.Contains(out, "queued as") {
		t.Errorf("without a configuration: exit %d\n%s", code, out)
	}
	env[0] = "BACKSTAMP_LISTENERS_0_ADDRESS=" + freeAddress(t)
	if out, code := call("sendmail", letterText, env, "-t", "-v"); code != 0 || !strings.Contains(out, "kept in "+spool) {
		t.Errorf("without a server: exit %d\n%s", code, out)
	}
}

// TestSendmailMany: many programs hand in mail at once while the server comes
// and goes; each message is there once.
func TestSendmailMany(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	dir, file, _ := sendmailConfig(t, peer.Addr)
	in := startIn(t, dir, file)
	const n = 40
	done := make(chan string, n)
	for i := range n {
		go func() {
			out, code := pipe(t, file, fmt.Sprintf("From: app@shop.test\nSubject: %d\n\nx\n", i), "-v", "a@b.test")
			if code != 0 {
				t.Errorf("exit %d\n%s", code, out)
			}
			done <- out
		}()
		if i == n/2 {
			in.stop()
		}
	}
	for range n {
		<-done
	}
	in = startIn(t, dir, file)
	seen := map[string]int{}
	in.until("all mail is there", func() bool {
		clear(seen)
		for _, m := range in.rows("messages") {
			seen[m["subject"].(string)]++
		}
		return len(seen) == n
	})
	for subject, times := range seen {
		if times != 1 {
			t.Errorf("%s is there %d times", subject, times)
		}
	}
}
