package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"backstamp/internal/mailtest"
)

// What a person gets wrong ends check and serve with exit 2 and one line that
// names file, line and key, and says what was expected.
func TestBadConfigurations(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct{ name, yaml, want string }{
		{"unknown key", "data_dir: data\ntraking: {}\n", `FILE:2: traking: `},
		{"wrong type", "limits: {recipients: many}\n", `FILE:1: limits.recipients: `},
		{"missing secret", "accounts:\n  a:\n    login: {username: a, password: \"file:nowhere\"}\n    providers: {c: {preset: capture}}\n", `FILE:3: accounts.a.login.password: `},
		{"port in use", "data_dir: data\nlisteners:\n  - {address: \"" + taken.Addr().String() + "\", clients: [127.0.0.0/8]}\ntracking: {listen: \"127.0.0.1:0\"}\nadmin: {listen: \"127.0.0.1:0\"}\n", `listeners.0.address: `},
		{"one address twice", "data_dir: data\nlisteners:\n  - {address: \"127.0.0.1:0\", clients: [127.0.0.0/8]}\ntracking: {listen: \"" + freeAddress(t) + "\"}\nadmin: {listen: \"SAME\"}\n", `admin.listen: `},
		{"one login twice", `
data_dir: data
listeners: [{address: "127.0.0.1:0"}]
accounts:
  a: {login: {username: x, password: y}, providers: {c: {preset: capture}}}
  b: {login: {username: x, password: z}, providers: {c: {preset: capture}}}
`, `FILE:6: accounts.b.login.username: `},
		{"overlapping networks", `
accounts:
  a: {networks: [10.0.0.0/8], providers: {c: {preset: capture}}}
  b: {networks: [10.1.0.0/16], providers: {c: {preset: capture}}}
`, `FILE:4: accounts.b.networks: `},
		{"base_url without scheme", "tracking: {base_url: track.example.com}\n", `FILE:1: tracking.base_url: `},
		{"open to the world", "listeners:\n  - {address: \"0.0.0.0:2525\"}\n", `FILE:2: listeners.0.clients: `},
		{"required AUTH in the clear", "listeners:\n  - {address: \"0.0.0.0:2525\", auth: required}\n", `FILE:2: listeners.0.clients: `},
		{"page off loopback", "admin: {listen: \"0.0.0.0:8025\"}\n", `FILE:1: admin.password: `},
		{"unknown preset", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: gmale}\n", `FILE:5: accounts.a.providers.p.preset: preset "gmale" is unknown; did you mean gmail`},
		{"no region", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: ses, username: AKIAIOSFODNN7EXAMPLE, password: x}\n", `FILE:5: accounts.a.providers.p.region: is missing; expected one such as us-east-1`},
		{"AWS secret", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: ses, region: eu-west-1, username: AKIAIOSFODNN7EXAMPLE, password: wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYxx}\n", `FILE:5: accounts.a.providers.p.password: has the 40 characters`},
		{"an address for SendGrid", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: sendgrid, username: me@example.com, password: SG.x}\n", `FILE:5: accounts.a.providers.p.username: cannot work; expected the word apikey`},
		{"port for another TLS", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: gmail, port: 465, tls: starttls, username: a@b.test, password: abcdefghijklmnop}\n", `FILE:5: accounts.a.providers.p.tls: starttls does not fit port 465`},
		{"TLS that is not offered", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: postmark, tls: implicit, username: t, password: t}\n", `FILE:5: accounts.a.providers.p.tls: implicit is offered on no port of postmark`},
		{"an address for SES", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: ses, region: eu-west-1, username: me@example.com, password: x}\n", `FILE:5: accounts.a.providers.p.username: is an address, and SES takes none`},
		{"one preset twice", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: gmail, username: a@b.test, password: abcdefghijklmnop}\n      q: {preset: gmail, username: c@b.test, password: abcdefghijklmnop}\n    default_provider: p\n", `FILE:6: accounts.a.providers.q.preset: gmail is used by "a/p" too`},
		{"one login twice at a service", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: gmail, username: a@b.test, password: abcdefghijklmnop}\n      q: {preset: generic, host: smtp.gmail.com, username: A@b.test, password: abcdefghijklmnop}\n    default_provider: p\n", `FILE:6: accounts.a.providers.q.username: the same login at the same host is used by "a/p" too`},
		{"free mail through a bulk mailer", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: sendgrid, username: apikey, password: SG.x, senders: [shop@gmail.com]}\n", `DMARC`},
		{"no default", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers: {c: {preset: capture}, d: {preset: capture}}\n", `accounts.a.default_provider: `},
		{"sender for all", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: generic, host: h.test, senders: [\"*\"]}\n", `FILE:5: accounts.a.providers.p.senders.0: `},
		{"sender for a whole country", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: generic, host: h.test, senders: [\"@co.kr\"]}\n", `FILE:5: accounts.a.providers.p.senders.0: "@co.kr" is open to all who register below co.kr; expected a domain of one owner, such as @example.co.kr`},
		{"secret that is a directory", "accounts:\n  a:\n    login: {username: a, password: \"file:/\"}\n    providers: {c: {preset: capture}}\n", `FILE:3: accounts.a.login.password: `},
		{"empty secret", "accounts:\n  a:\n    login: {username: a, password: \"file:/dev/null\"}\n    providers: {c: {preset: capture}}\n", `FILE:3: accounts.a.login.password: `},
		{"secret of no environment", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: gmail, username: a@b.test, password: \"env:NO_SUCH\"}\n", `FILE:5: accounts.a.providers.p.password: `},
		{"default that is none", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    default_provider: mian\n    providers: {main: {preset: capture}}\n", `FILE:4: accounts.a.default_provider: unknown provider "mian"; did you mean main?`},
		{"after one that is none", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    default_provider: main\n    providers:\n      main: {preset: capture}\n      spare: {preset: capture, after: mian}\n", `FILE:7: accounts.a.providers.spare.after: unknown provider "mian"; did you mean main?`},
		{"no TLS on the port of TLS", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: generic, host: h.test, port: 465, tls: \"off\"}\n", `FILE:5: accounts.a.providers.p.tls: off does not fit port 465; expected tls: implicit`},
		{"password with a broken reference", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      p: {preset: gmail, username: a@b.test, password: \"abc${defghijklmnop\"}\n", `FILE:5: accounts.a.providers.p.password: has no } after ${; expected`},
		{"shared after an account's own", "accounts:\n  a:\n    networks: [127.0.0.0/8]\n    providers:\n      main: {preset: capture}\nproviders:\n  s: {preset: generic, host: h.test, after: mian}\n", `FILE:7: providers.s.after: unknown provider "mian"; expected no after`},
		{"not there yet", "store: postgres://x\n", `FILE:1: store: `},
		{"second document", "hostname: a.test\n---\nhostname: b.test\n", `FILE:`},
		{"syntax", "a: [\n", `FILE:`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "c.yaml")
			if _, same, ok := strings.Cut(c.yaml, `tracking: {listen: "`); ok {
				same, _, _ = strings.Cut(same, `"`)
				c.yaml = strings.Replace(c.yaml, "SAME", same, 1)
			}
			if err := os.WriteFile(file, []byte(c.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, cmd := range []string{"check", "serve"} {
				out, code := run(t, nil, cmd, "--config", file)
				line, rest, _ := strings.Cut(out, "\n")
				if code != exitUsage || !strings.Contains(line, strings.ReplaceAll(c.want, "FILE", file)) || rest != "" {
					t.Errorf("%s: exit %d, said %q; want one line with %q", cmd, code, out, c.want)
				}
				if c.name != "second document" && c.name != "syntax" && !strings.Contains(line, "expected") && !strings.Contains(line, "did you mean") {
					t.Errorf("%s does not say what was expected: %s", cmd, line)
				}
			}
		})
	}
}

// A second server on one data_dir finds the first one before it touches ports.
func TestSecondServer(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	out, code := in.run("serve")
	if code != exitFailed || !strings.Contains(out, "in use by another server") {
		t.Errorf("exit %d: %s", code, out)
	}
	if out, code := in.run("check"); code != exitDone {
		t.Errorf("check beside the running server: exit %d, %s", code, out)
	}
}

// Listings read a store that no server runs on, and never make one.
func TestListingsWithoutServer(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	os.WriteFile(file, []byte("data_dir: data\n"), 0o600)
	for _, cmd := range [][]string{{"messages"}, {"events"}, {"queue", "ls"}, {"status", "--usage"}} {
		out, code := run(t, nil, append(cmd, "--config", file)...)
		if code != exitFailed || !strings.Contains(out, "no store in") {
			t.Errorf("%v: exit %d, %s", cmd, code, out)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("a listing made %v", entries)
	}

	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	in.status(id, "sent")
	before := in.ok("messages", "--json")
	in.stop()
	if after := in.ok("messages", "--json"); after != before || !strings.Contains(after, id) {
		t.Errorf("without the server it lists %q, with it %q", after, before)
	}
	if out, code := in.run("queue", "retry"); code != exitFailed || !strings.Contains(out, "no server runs") {
		t.Errorf("queue retry: exit %d, %s", code, out)
	}
	if out, code := in.run("show", "0000000000000000"); code != exitFailed {
		t.Errorf("show of nothing: exit %d, %s", code, out)
	}
}

// Whatever the upstream does, nothing is lost: the mail waits, says why, and
// goes out when the upstream is well again.
func TestUpstreamTrouble(t *testing.T) {
	for name, action := range map[string]struct {
		stage  mailtest.Stage
		action mailtest.Action
	}{
		"4xx at MAIL":    {mailtest.Mail, mailtest.Reply("451 4.3.0 not now")},
		"closes at DATA": {mailtest.Data, mailtest.Close()},
		"garbage":        {mailtest.Banner, mailtest.Garbage()},
		"resets":         {mailtest.Dot, mailtest.Reset()},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := mailtest.Start(t, mailtest.Script{})
			upstream.On(action.stage, action.action)
			in := start(t, relayConfig(upstream.Addr, ""))
			id := in.send("app@shop.test", "reader@example.com", page)
			d := in.status(id, "deferred")
			explain, _ := d["explain"].(map[string]any)
			if d["next_attempt"] == nil || explain["meaning"] == nil || d["attempts"] != 1.0 {
				t.Errorf("deferred: %v", d)
			}
			waiting := in.rows("queue", "ls")
			if len(waiting) != 1 || waiting[0]["message"] != id {
				t.Errorf("queue ls: %v", waiting)
			}
			upstream.On(action.stage)
			if out := in.ok("queue", "retry", id); !strings.Contains(out, "1") {
				t.Errorf("retry: %s", out)
			}
			in.status(id, "sent")
			if out, code := in.run("queue", "retry"); code != exitDegraded {
				t.Errorf("retry of nothing: exit %d, %s", code, out)
			}
		})
	}
}

// Down altogether, then up: over a restart.
func TestUpstreamDown(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := gone.Addr().String()
	gone.Close()
	in := start(t, relayConfig(addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	in.status(id, "deferred")
	if code := in.stop(); code != exitDone {
		t.Fatalf("exit %d", code)
	}
	upstream := mailtest.Start(t, mailtest.Script{})
	os.WriteFile(in.config, []byte(relayConfig(upstream.Addr, "")), 0o600)
	in = startIn(t, in.dir, in.config)
	in.ok("queue", "retry")
	upstream.Wait(t)
	in.status(id, "sent")
}

// A person may hold, move and drop what waits.
func TestQueueByHand(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	upstream.On(mailtest.Mail, mailtest.Reply("451 4.3.0 not now"))
	in := start(t, relayConfig(upstream.Addr, "      spare: {preset: capture}\n    default_provider: main\n"))
	a := in.send("app@shop.test", "a@example.com", page)
	b := in.send("app@shop.test", "b@example.com", page)
	in.status(a, "deferred")
	in.status(b, "deferred")

	in.ok("queue", "hold", a)
	if d := in.status(a, "held"); d["reason"] != "operator" || d["next_attempt"] != nil {
		t.Errorf("held: %v", d)
	}
	in.ok("queue", "move", "--to", "shop/spare", a)
	in.status(a, "sent")
	in.ok("queue", "drop", b)
	in.status(b, "failed")
	if out, code := in.run("queue", "drop", b); code != exitDegraded {
		t.Errorf("drop twice: exit %d, %s", code, out)
	}
	if out, code := in.run("queue", "hold", "zzzz"); code != exitFailed {
		t.Errorf("hold of nothing: exit %d, %s", code, out)
	}
}

// A reload takes all of a configuration or nothing.
func TestReload(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	good := relayConfig(upstream.Addr, "")

	write := func(yaml string) { os.WriteFile(in.config, []byte(yaml), 0o600) }
	write(good + "nonsense: true\n")
	if out, code := in.run("reload"); code != exitUsage || !strings.Contains(out, "nonsense") {
		t.Errorf("reload of a bad file: exit %d, %s", code, out)
	}
	in.send("app@shop.test", "reader@example.com", page) // the old one stays in force
	write(strings.Replace(good, "data_dir: data", "data_dir: elsewhere", 1))
	if out, code := run(t, nil, "reload", "--config", in.config, "--set", "data_dir="+filepath.Join(in.dir, "data")); code != exitUsage || !strings.Contains(out, "data_dir") {
		t.Errorf("reload with another data_dir: exit %d, %s", code, out)
	}
	write(strings.Replace(good, `admin: {listen`, `admin: {password: secret, listen`, 1))
	in.ok("reload")
	if a, err := http.Get("http://" + in.bound.Admin.String() + "/api/v1/messages"); err != nil || a.StatusCode != http.StatusUnauthorized {
		t.Errorf("a new password is not in force: %v, %v", a, err)
	} else {
		a.Body.Close()
	}
	write(strings.Replace(good, "@shop.test", "@other.test", 1))
	in.ok("reload")
	reply := mailtest.SendMail(t, in.smtp(), "app@shop.test", []string{"reader@example.com"}, mailtest.CRLF(page))
	if !strings.HasPrefix(reply, "550 5.7.1 ") {
		t.Errorf("after the reload the old sender is answered %q", reply)
	}
	write(good)
	in.signal <- syscall.SIGHUP
	for try := 0; ; try++ {
		reply := mailtest.SendMail(t, in.smtp(), "app@shop.test", []string{"reader@example.com"}, mailtest.CRLF(page))
		if strings.HasPrefix(reply, "250 ") {
			break
		}
		if try == 5000 {
			t.Fatalf("long after SIGHUP the old sender is answered %q", reply)
		}
	}
}

// A locked account keeps its providers until a reload has unlocked it.
func TestLocked(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	locked := strings.Replace(relayConfig(upstream.Addr, ""), "    providers:\n", "    locked: true\n    default_provider: main\n    providers:\n      spare: {preset: capture}\n", 1)
	in := start(t, locked)
	reload := func(yaml string) (string, int) {
		os.WriteFile(in.config, []byte(yaml), 0o600)
		return in.run("reload")
	}
	edit := func(old, new string) string { return strings.Replace(locked, old, new, 1) }
	for name, c := range map[string]struct{ yaml, key string }{
		"edited":           {edit(`["@shop.test"]`, `["@shop.test", "@else.test"]`), "providers"},
		"added":            {edit("spare:", "third: {preset: generic, host: h, tls: starttls}\n      spare:"), "providers"},
		"taken away":       {edit("      spare: {preset: capture}\n", ""), "providers"},
		"another default":  {edit("default_provider: main", "default_provider: spare"), "default_provider"},
		"no default":       {edit("    default_provider: main\n", ""), "default_provider"},
		"unlocked as well": {strings.Replace(edit("default_provider: main", "default_provider: spare"), "locked: true", "locked: false", 1), "default_provider"},
		"renamed":          {edit("  shop:\n", "  store:\n"), "providers"},
	} {
		out, code := reload(c.yaml)
		if code != exitUsage || !strings.Contains(out, "accounts.shop."+c.key+": cannot change, the account is locked; ") || !strings.Contains(out, "locked: false") {
			t.Errorf("%s: exit %d, %s", name, code, out)
		}
	}
	for _, yaml := range []string{
		edit("networks: [127.0.0.0/8]", "networks: [127.0.0.0/8, 10.0.0.0/8]"), // not of the providers
		"providers: {shared: {preset: generic, host: h, tls: starttls, senders: [\"@all.test\"]}}\n" + locked,
		edit("locked: true", "locked: false"),
		strings.Replace(edit("default_provider: main", "default_provider: spare"), "locked: true", "locked: false", 1),
	} {
		if out, code := reload(yaml); code != exitDone {
			t.Errorf("exit %d, %s\n%s", code, out, yaml)
		}
	}
}

// SIGTERM drains and ends well.
func TestStop(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	in.signal <- syscall.SIGTERM
	if code := in.stop(); code != exitDone {
		t.Errorf("exit %d", code)
	}
	d := in.show(id)["deliveries"].([]any)[0].(map[string]any)
	if d["status"] != "sent" && d["status"] != "queued" {
		t.Errorf("after the stop: %v", d)
	}
}

// The private page and API answer under their own name alone.
func TestPrivateSide(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	in.status(id, "sent")
	get := func(path, host string) (int, string, http.Header) {
		r, _ := http.NewRequest("GET", "http://"+in.bound.Admin.String()+path, nil)
		r.Host = host
		a, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		return a.StatusCode, readAll(a.Body), a.Header
	}
	own := in.bound.Admin.String()
	for path, want := range map[string]string{
		"/": id, "/messages/" + id: "hello", "/api/v1/messages": id, "/api/v1/messages/" + id: `"links"`,
		"/metrics": "backstamp_", "/livez": "ok", "/readyz": "ok", "/style.css": "--ink",
	} {
		code, body, h := get(path, own)
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d without %q: %.300s", path, code, want, body)
		}
		if h.Get("Content-Security-Policy") == "" {
			t.Errorf("%s has no policy", path)
		}
		if code, _, _ := get(path, "evil.example"); code != 403 {
			t.Errorf("%s for a foreign name: %d", path, code)
		}
	}
	if code, body, _ := get("/messages/"+id, own); strings.Contains(body, "<img") || code != 200 {
		t.Errorf("the page of a message loads something: %s", body)
	}
	if code, _, _ := get("/nothing", own); code != 404 {
		t.Errorf("/nothing: %d", code)
	}
}

// test sends one message through a provider and shows each step.
func TestProviderTest(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	os.WriteFile(file, []byte(relayConfig(upstream.Addr, "  other:\n    networks: [10.0.0.0/8]\n    providers: {main: {preset: capture}}\n")), 0o600)
	out, code := run(t, nil, "test", "shop/main", "--to", "me@example.com", "--json", "--config", file)
	var steps []string
	for _, row := range decodeRows(t, out) {
		steps = append(steps, row["step"].(string))
		if row["ok"] != true {
			t.Errorf("step %v", row)
		}
	}
	if got := strings.Join(steps, " "); code != exitDone || got != "DNS TCP TLS EHLO AUTH MAIL RCPT DATA" {
		t.Errorf("exit %d, steps %s", code, got)
	}
	if tx := upstream.Wait(t); tx.MailFrom != "postmaster@shop.test" || tx.Recipients[0] != "me@example.com" {
		t.Errorf("from %q to %q", tx.MailFrom, tx.Recipients)
	}

	upstream.On(mailtest.Rcpt, mailtest.Reply("550 5.1.1 nobody here"))
	out, code = run(t, nil, "test", "shop/main", "--to", "me@example.com", "--transcript", "--config", file)
	if code != exitFailed || !strings.Contains(out, "550 5.1.1 nobody here") || !strings.Contains(out, "\n  1. ") {
		t.Errorf("refused: exit %d\n%s", code, out)
	}
	out, code = run(t, nil, "test", "shop/main", "--to", "me@example.com", "--json", "--config", file)
	rows := out[:strings.LastIndexByte(out, '}')+1]
	last := decodeRows(t, rows)[6]
	explain, _ := last["explain"].(map[string]any)
	if steps, _ := explain["steps"].([]any); code != exitFailed || last["step"] != "RCPT" || last["ok"] != false || explain["title"] == "" || explain["meaning"] == "" || len(steps) == 0 {
		t.Errorf("refused, as JSON: exit %d\n%s", code, out)
	}
	for _, c := range []struct{ args, want string }{
		{"main --to a@b.test", "ambiguous"}, {"nope --to a@b.test", "no provider"}, {"shop/main", "--to"}, {"shop/main --to nobody", "--to"},
	} {
		if out, code := run(t, nil, append([]string{"test", "--config", file}, strings.Fields(c.args)...)...); code != exitUsage || !strings.Contains(out, c.want) {
			t.Errorf("test %s: exit %d, %s", c.args, code, out)
		}
	}
	if out, code := run(t, nil, "mesages"); code != exitUsage || !strings.Contains(out, "did you mean messages") {
		t.Errorf("unknown command: exit %d, %s", code, out)
	}
}
