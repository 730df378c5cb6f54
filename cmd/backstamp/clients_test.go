package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"backstamp/config"
	"backstamp/internal/mailtest"
)

const clientsExtra = `
clients:
  app: {networks: ["127.0.0.1"], rate: 100/s}
`

// TestClients: who connected is shown while the server runs and after, and by
// show for each message.
func TestClients(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(peer.Addr, clientsExtra))
	if out := in.ok("clients", "--json"); out != "" {
		t.Errorf("before anybody came: %q", out)
	}
	id := in.send("app@shop.test", "kim@example.org", "From: app@shop.test\n\nhello\n")
	c := mailtest.Dial(t, in.smtp())
	c.Expect("EHLO client.test", "250")
	c.Expect("MAIL FROM:<>", "250")
	c.Expect("RCPT TO:<>", "501")
	c.Expect("QUIT", "221")
	look := func(when string) map[string]any {
		t.Helper()
		rows := in.rows("clients")
		if len(rows) != 1 {
			t.Fatalf("%s: %v", when, rows)
		}
		row := rows[0]
		if row["address"] != "127.0.0.1" || row["name"] != "app" || row["messages"] != 1.0 || row["refused"] != 1.0 || row["listener"] != "127.0.0.1:0" {
			t.Errorf("%s: %v", when, row)
		}
		return row
	}
	look("while it runs")
	client := in.show(id)["client"].(map[string]any)
	if !strings.HasPrefix(client["address"].(string), "127.0.0.1:") || client["name"] != "app" || client["helo"] != "client.test" {
		t.Errorf("show: %v", client)
	}
	if out := in.ok("show", id); !regexp.MustCompile(`(?m)^Client +app, 127\.0\.0\.1:\d+, client\.test, in the clear$`).MatchString(out) {
		t.Errorf("show:\n%s", out)
	}
	if out := in.ok("clients"); !strings.Contains(out, "LAST SEEN") || !strings.Contains(out, "client.test") {
		t.Errorf("table:\n%s", out)
	}
	in.stop()
	if row := look("offline"); row["connections"] != 2.0 || row["helo"] != "client.test" {
		t.Errorf("offline: %v", row)
	}
	in = startIn(t, in.dir, in.config)
	if row := look("after a restart"); row["connections"] != 2.0 {
		t.Errorf("after a restart: %v", row)
	}
}

// TestClientsNone: a listing makes no store.
func TestClientsNone(t *testing.T) {
	dir := t.TempDir()
	out, code := run(t, nil, "clients", "--set", "data_dir="+dir)
	if left, _ := os.ReadDir(dir); code != exitFailed || !strings.Contains(out, "no store in") || len(left) > 0 {
		t.Errorf("exit %d, %v\n%s", code, left, out)
	}
}

// TestClientsAllow: the lines that are printed, put where they say, let the
// machine send.
func TestClientsAllow(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "backstamp.yaml")
	text := `data_dir: data
listeners:
  - address: 127.0.0.1:2525
  - address: 10.0.5.2:25
    clients: [10.0.5.0/28]
accounts:
  shop: {networks: [10.0.5.0/28], providers: {c: {preset: capture}}}
clients:
  printers: {networks: [10.0.5.0/28], from: scan@shop.test}
`
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	allow := func(args ...string) (string, int) {
		return run(t, nil, append([]string{"--config", file, "clients", "allow"}, args...)...)
	}
	out, code := allow("10.0.5.77", "--as", "printers")
	want := fmt.Sprintf(`# %[1]s:5: listeners.1.clients: add 10.0.5.77
listeners:
  - address: "10.0.5.2:25"
    clients: ["10.0.5.0/28", "10.0.5.77"]
# %[1]s:7: accounts.shop.networks: add 10.0.5.77
accounts:
  shop:
    networks: ["10.0.5.0/28", "10.0.5.77"]
# %[1]s:9: clients.printers.networks: add 10.0.5.77
clients:
  printers:
    networks: ["10.0.5.0/28", "10.0.5.77"]
`, file)
	if code != 0 || out != want {
		t.Fatalf("exit %d\n%s\nwant\n%s", code, out, want)
	}
	for _, lists := range regexp.MustCompile(`\[.*\]`).FindAllString(out, 1) {
		text = strings.ReplaceAll(text, "[10.0.5.0/28]", lists)
	}
	write(text)
	if _, err := config.Load(file, nil, nil); err != nil {
		t.Fatal(err)
	}
	if out, code := allow("10.0.5.77", "--as", "printers"); code != exitDegraded || !strings.Contains(out, "nothing to do") {
		t.Errorf("a second time: exit %d\n%s", code, out)
	}
	if out, code := allow("10.0.5.77", "--as", "scanners"); code != 0 || !strings.HasPrefix(out, "# ") || !strings.Contains(out, "clients:\n  scanners:\n    networks: [\"10.0.5.77\"]\n") || strings.Contains(out, "listeners:") {
		t.Errorf("another name: exit %d\n%s", code, out)
	}
	for _, c := range [][]string{{"10.0.5.77"}, {"printer.local", "--as", "x"}, {"0.0.0.0", "--as", "x"}, {"--as", "x"}} {
		if out, code := allow(c...); code != exitUsage {
			t.Errorf("%q: exit %d\n%s", c, code, out)
		}
	}
	if out, code := run(t, nil, "clients", "allow", "10.0.5.77", "--as", "x"); code != exitFailed || !strings.Contains(out, "all are on loopback") {
		t.Errorf("loopback alone: exit %d\n%s", code, out)
	}
}

// TestClientsRate: a burst over the rate of a program on this machine takes its
// time, and all of it arrives; over a small one, 451 says when to try again.
func TestClientsRate(t *testing.T) {
	peer := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(peer.Addr, "clients:\n  app: {networks: [127.0.0.0/8], rate: 20/s}\n"))
	c := mailtest.Dial(t, in.smtp())
	c.Expect("EHLO app", "250")
	var replies []string
	for range 25 {
		r := c.SendMail("app@shop.test", []string{"kim@example.org"}, "From: app@shop.test\n\nx\n")
		replies = append(replies, r[:3])
	}
	if !slices.Equal(slices.Compact(replies), []string{"250"}) {
		t.Errorf("replies %v", replies)
	}
	in = start(t, relayConfig(peer.Addr, "clients:\n  app: {networks: [127.0.0.0/8], rate: 1/min}\n"))
	in.send("app@shop.test", "kim@example.org", "From: app@shop.test\n\nx\n")
	if r := mailtest.SendMail(t, in.smtp(), "app@shop.test", []string{"kim@example.org"}, "From: app@shop.test\n\nx\n"); !strings.HasPrefix(r, "451 4.7.1 too much mail at a time") {
		t.Errorf("over the rate: %q", r)
	}
}
