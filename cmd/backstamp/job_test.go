package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/track"
)

const browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

const page = `From: Shop <news@shop.test>
To: reader@example.com
Subject: =?EUC-KR?B?x9Gx2w==?=
Content-Type: text/html; charset=utf-8

<html><body><p><a href="https://example.com/?a=1&amp;b=2">hello</a></p></body></html>
`

var clickURL = regexp.MustCompile(publicBase + `/c/[A-Za-z0-9_-]+\.[A-Za-z0-9_/-]+`)
var openURL = regexp.MustCompile(publicBase + `/o/[A-Za-z0-9_-]+\.gif`)

// The whole job: an app sends, the provider gets a tracked copy, the reader
// opens and clicks, and the operator sees it.
func TestMainJob(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)

	got := upstream.Wait(t)
	if got.MailFrom != "app@shop.test" || len(got.Recipients) != 1 || got.Recipients[0] != "reader@example.com" {
		t.Errorf("envelope: from %q to %q", got.MailFrom, got.Recipients)
	}
	click := clickURL.FindString(string(got.Content))
	open := openURL.FindString(string(got.Content))
	if click == "" || open == "" {
		t.Fatalf("no link or no pixel in\n%s", got.Content)
	}
	h := header(got.Content)
	for _, name := range []string{"Received", "Date", "Message-Id", "Mime-Version", "X-Backstamp"} {
		if h.Get(name) == "" {
			t.Errorf("no %s in\n%s", name, got.Content)
		}
	}
	if d := in.status(id, "sent"); d["attempts"] != 1.0 || d["basis"] != nil {
		t.Errorf("after 250: %v", d)
	}

	if a := in.hit("HEAD", open, browser); a.StatusCode != 200 || a.Header.Get("Content-Type") != "image/gif" {
		t.Errorf("pixel, HEAD: %v", a)
	}
	in.status(id, "sent") // a scanner proves nothing
	if a := in.hit("GET", open, browser); a.StatusCode != 200 || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("pixel: %v", a)
	}
	if d := in.status(id, "opened"); d["opens"] != 1.0 || d["machine_opens"] != 1.0 || d["basis"] != "open" {
		t.Errorf("opened: %v", d)
	}
	a := in.hit("GET", click, browser)
	if a.StatusCode != 302 || a.Header.Get("Location") != "https://example.com/?a=1&b=2" {
		t.Errorf("click: %d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	if d := in.status(id, "clicked"); d["clicks"] != 1.0 || d["unique_clicks"] != 1.0 || d["basis"] != "click" {
		t.Errorf("clicked: %v", d)
	}

	show := in.show(id)
	if show["subject"] != "한글" || show["tracked"] != true || show["account"] != "shop" || show["provider"] != "main" {
		t.Errorf("show: subject %q tracked %v account %v provider %v", show["subject"], show["tracked"], show["account"], show["provider"])
	}
	link := show["links"].([]any)[0].(map[string]any)
	if link["url"] != "https://example.com/?a=1&b=2" || link["tracked"] != click || link["decision"] != "tracked" || link["clicks"] != 1.0 || link["label"] != "hello" {
		t.Errorf("link: %v", link)
	}
	var kinds []string
	for _, e := range show["events"].([]any) {
		kinds = append(kinds, fmt.Sprint(e.(map[string]any)["kind"], "/", e.(map[string]any)["class"]))
	}
	if got := strings.Join(kinds, " "); got != "accepted/<nil> sent/<nil> open/scanner open/human click/human" {
		t.Errorf("events: %s", got)
	}
	if raw := in.ok("show", id, "--raw"); raw != mailtest.CRLF(page) {
		t.Errorf("raw differs:\n%s", raw)
	}
	if sent := in.ok("show", id, "--sent"); sent != string(got.Content) {
		t.Errorf("sent differs:\n%s\nwant\n%s", sent, got.Content)
	}
}

// A link that was changed, cut or made up never redirects; a pixel never fails.
func TestForgedLinks(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	content := string(upstream.Wait(t).Content)
	click, open := clickURL.FindString(content), openURL.FindString(content)
	for name, url := range map[string]string{
		"destination changed": click[:len(click)-4] + "AAAA",
		"token changed":       strings.Replace(click, "/c/A", "/c/B", 1),
		"cut":                 click[:len(click)-1],
		"pixel's token":       publicBase + "/c/" + open[len(publicBase+"/o/"):len(open)-len(".gif")] + click[strings.LastIndex(click, "."):],
		"query in its place":  publicBase + "/c?u=https://evil.example",
	} {
		if a := in.hit("GET", url, browser); a.StatusCode != 404 || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d to %q", name, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if a := in.hit("GET", publicBase+"/o/junk.gif", browser); a.StatusCode != 200 || a.Header.Get("Content-Type") != "image/gif" {
		t.Errorf("junk pixel: %v", a)
	}
	if d := in.status(id, "sent"); d["opens"] != 0.0 || d["clicks"] != 0.0 {
		t.Errorf("a forged hit counted: %v", d)
	}
}

// Links need the signing key and nothing else.
func TestLinksOutliveTheStore(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	in.send("app@shop.test", "reader@example.com", page)
	click := clickURL.FindString(string(upstream.Wait(t).Content))
	in.ok("keys", "rotate")
	if a := in.hit("GET", click, browser); a.StatusCode != 302 {
		t.Errorf("after rotation: %d", a.StatusCode)
	}
	other := track.GenerateKey()
	config, err := os.ReadFile(in.config)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(in.config, []byte(strings.Replace(string(config), "tracking: {", `tracking: {keys: ["`+other+`"], `, 1)), 0o600)
	in.ok("reload")
	if a := in.hit("GET", click, browser); a.StatusCode != 302 {
		t.Errorf("with keys in the configuration: %d", a.StatusCode)
	}
	if exported := in.ok("keys", "export"); !strings.HasPrefix(exported, other+"\n") || strings.Count(exported, "\n") != 3 {
		t.Errorf("exported:\n%s", exported)
	}
	os.WriteFile(in.config, config, 0o600)
	if code := in.stop(); code != exitDone {
		t.Fatalf("exit %d", code)
	}
	entries, err := os.ReadDir(filepath.Join(in.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "keys" {
			os.RemoveAll(filepath.Join(in.dir, "data", e.Name()))
		}
	}
	in = startIn(t, in.dir, in.config)
	if a := in.hit("GET", click, browser); a.StatusCode != 302 || a.Header.Get("Location") != "https://example.com/?a=1&b=2" {
		t.Errorf("without the store: %d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	if out := in.ok("messages"); out != "" {
		t.Errorf("a new store lists %q", out)
	}
}

// Without a configuration everything works on this machine and nothing leaves.
func TestDefaults(t *testing.T) {
	in := start(t, `
data_dir: data
listeners: [{address: "127.0.0.1:0", clients: [127.0.0.0/8]}]
tracking: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
`)
	id := in.send("anybody@anywhere.test", "a@example.com,b@example.com", page)
	d := in.status(id, "sent")
	if d["upstream_id"] != "captured" {
		t.Errorf("delivery: %v", d)
	}
	show := in.show(id)
	if show["tracked"] != true || len(show["deliveries"].([]any)) != 2 {
		t.Errorf("show: %v", show)
	}
	for _, actor := range []struct{ as, class string }{
		{"gmail-prefetch", "prefetch"}, {"apple-mpp", "prefetch"}, {"yahoo", "proxy"}, {"gmail", "proxy"}, {"head", "scanner"}, {"human", "human"},
	} {
		hit := in.rows("simulate", "open", id, "--as", actor.as)[0]
		if hit["class"] != actor.class || hit["status"] != 200.0 {
			t.Errorf("open as %s: %v", actor.as, hit)
		}
	}
	hit := in.rows("simulate", "click", id, "--recipient", "b@example.com")[0]
	if hit["class"] != "human" || hit["location"] != "https://example.com/?a=1&b=2" {
		t.Errorf("click: %v", hit)
	}
	ds := in.show(id)["deliveries"].([]any)
	if a := ds[0].(map[string]any); a["status"] != "opened" || a["opens"] != 3.0 || a["machine_opens"] != 3.0 || a["clicks"] != 0.0 {
		t.Errorf("first: %v", a)
	}
	if b := ds[1].(map[string]any); b["status"] != "clicked" || b["unique_opens"] != 1.0 || b["opens"] != 0.0 {
		t.Errorf("second: %v", b)
	}
	if out, code := in.run("simulate", "open", id, "--as", "nobody"); code != exitUsage {
		t.Errorf("unknown actor: exit %d, %s", code, out)
	}
}

// A base_url that only this machine reaches would make dead links elsewhere.
func TestNoBaseURL(t *testing.T) {
	in := start(t, `
data_dir: data
listeners: [{address: "127.0.0.1:0", clients: [127.0.0.0/8]}]
tracking: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
accounts:
  shop:
    networks: [127.0.0.0/8]
    default_provider: away
    providers:
      away: {preset: generic, host: smtp.example.invalid, senders: ["@shop.test"]}
      here: {preset: capture, after: away}
`)
	id := in.send("app@shop.test", "reader@example.com", page)
	if show := in.show(id); show["tracked"] != false || show["reason"] != "no-base-url" {
		t.Errorf("tracked %v, reason %v", show["tracked"], show["reason"])
	}
	for _, cmd := range []string{"check", "status"} {
		out, _ := in.run(cmd)
		if !strings.Contains(out, "no-base-url") || !strings.Contains(out, "tracking.base_url") {
			t.Errorf("%s does not say it: %s", cmd, out)
		}
	}
	if !strings.Contains(in.out.String(), "no-base-url") {
		t.Errorf("serve does not say it: %s", in.out)
	}
}

// Who follows a link before it was sent is no reader, and keeps no mail back.
func TestHitBeforeSending(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	upstream.On(mailtest.Mail, mailtest.Reply("451 4.3.0 not now"))
	in := start(t, relayConfig(upstream.Addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	in.status(id, "deferred")
	if hit := in.rows("simulate", "click", id)[0]; hit["location"] != "https://example.com/?a=1&b=2" {
		t.Errorf("click: %v", hit)
	}
	if d := in.status(id, "deferred"); d["clicks"] != 0.0 || d["machine_clicks"] != 1.0 || d["next_attempt"] == nil {
		t.Errorf("after the click: %v", d)
	}
	upstream.On(mailtest.Mail)
	in.ok("queue", "retry", id)
	in.status(id, "sent")
}
