package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

const threeLinks = `From: Shop <news@shop.test>
To: reader@example.com
Subject: three
X-Track-Tag: autumn
Content-Type: text/html; charset=utf-8

<html><body><a href="https://example.com/1">one</a> <a href="https://example.com/2">two</a> <a href="https://example.com/3">three</a></body></html>
`

// hitsOf are the classes and rules of the hits on a message.
func (in *instance) hitsOf(id string) (hits []string) {
	in.t.Helper()
	for _, e := range in.show(id)["events"].([]any) {
		e := e.(map[string]any)
		if e["class"] != nil && e["basis"] == nil {
			hits = append(hits, fmt.Sprint(e["class"], "/", e["rule"]))
		}
	}
	return hits
}

// sentLinks sends a message and returns its id and the tracking URLs of its
// links, once it is sent.
func (in *instance) sentLinks(upstream *mailtest.Peer, content string) (id string, links []string) {
	in.t.Helper()
	id = in.send("app@shop.test", "reader@example.com", content)
	links = clickURL.FindAllString(string(upstream.Wait(in.t).Content), -1)
	in.status(id, "sent")
	return id, links
}

// A machine that follows all links at once is found out by the last of them;
// what was counted before stays, until all is judged again. Hits that the
// operator plays have no pace.
func TestTimingAndReclassify(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	id, links := in.sentLinks(upstream, threeLinks)
	for _, link := range links {
		in.hit("GET", link, browser)
	}
	in.status(id, "clicked")
	h, s := "human/browser", "scanner/timing"
	if got := in.hitsOf(id); strings.Join(got, " ") != h+" "+h+" "+s {
		t.Errorf("hits: %v", got)
	}
	played, _ := in.sentLinks(upstream, threeLinks)
	for link := range 3 {
		in.ok("simulate", "click", played, "--link", fmt.Sprint(link+1))
	}

	sum := in.rows("events", "reclassify")[0]
	if fmt.Sprint(sum) != "map[changed:2 hits:6 left:0 messages:2]" {
		t.Errorf("sum: %v", sum)
	}
	if got := in.hitsOf(id); strings.Join(got, " ") != s+" "+s+" "+s {
		t.Errorf("hits, judged again: %v", got)
	}
	d := in.status(id, "sent")
	if d["clicks"] != 0.0 || d["machine_clicks"] != 3.0 || d["unique_opens"] != 0.0 || d["first_open"] != nil || d["basis"] != nil {
		t.Errorf("delivery: %v", d)
	}
	if got := in.hitsOf(played); strings.Join(got, " ") != h+" "+h+" "+h {
		t.Errorf("hits that were played: %v", got)
	}
	for _, listing := range []string{"--usage", "--tags"} {
		u := in.rows("status", listing)[0]
		if u["messages"] != 2.0 || u["clicks"] != 3.0 || u["machine_clicks"] != 3.0 || u["unique_clicks"] != 3.0 || u["unique_opens"] != 1.0 {
			t.Errorf("status %s: %v", listing, u)
		}
	}
	if u := in.rows("status", "--tags")[0]; u["tag"] != "autumn" {
		t.Errorf("status --tags: %v", u)
	}
	totals := in.show(played)["totals"].(map[string]any)
	if totals["clicks"] != 3.0 || totals["first_click"] == nil || totals["last_open"] == nil {
		t.Errorf("totals: %v", totals)
	}
}

// New rules judge old hits, whether the server runs or not, and are in force
// from then on.
func TestReclassifyByNewRules(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	dir := t.TempDir()
	file, rules := filepath.Join(dir, "backstamp.yaml"), filepath.Join(dir, "rules.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, strings.Replace(relayConfig(upstream.Addr, ""), `base_url:`, `classes: rules.yaml, base_url:`, 1))
	write(rules, "")
	in := startIn(t, dir, file)
	id, links := in.sentLinks(upstream, threeLinks)
	in.hit("GET", links[0], "Gadget/1.0")
	in.status(id, "clicked")

	write(rules, "rules:\n  - {name: gadget, class: scanner, user_agent: [gadget]}\n  - class: robot\n")
	if out, code := in.run("events", "reclassify"); code != exitFailed || !strings.Contains(out, "rules.yaml:3: rules.1: class is") {
		t.Errorf("broken rules: exit %d, %s", code, out)
	}
	if out, code := in.run("check"); code != exitUsage || !strings.Contains(out, "tracking.classes: "+rules+":3: rules.1: class is") {
		t.Errorf("check: exit %d, %s", code, out)
	}
	in.status(id, "clicked")
	write(rules, "rules: [{name: gadget, class: scanner, user_agent: [gadget]}]\n")
	if out := in.ok("events", "reclassify"); out != "1 of 1 hits on 1 messages have another class or rule now\n" {
		t.Errorf("%s", out)
	}
	in.status(id, "sent")
	in.hit("GET", links[0], "Gadget/1.0")
	if got := in.hitsOf(id); strings.Join(got, " ") != "scanner/gadget scanner/gadget" {
		t.Errorf("hits: %v", got)
	}
	in.stop()
	write(rules, "")
	if out := in.ok("events", "reclassify"); !strings.HasPrefix(out, "2 of 2 ") {
		t.Errorf("%s", out)
	}
	if d := in.show(id)["deliveries"].([]any)[0].(map[string]any); d["status"] != "clicked" || d["clicks"] != 2.0 {
		t.Errorf("delivery: %v", d)
	}
	if out, code := run(t, nil, "events", "reclassify", "--config", file, "--set", "data_dir="+t.TempDir()); code != exitFailed || !strings.Contains(out, "no store in") {
		t.Errorf("without a store: exit %d, %s", code, out)
	}
}

// A list of Apple's relays beside the keys is read when there is one: opens
// from there prove arrival alone, clicks are people's.
func TestAppleListFromDataDir(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	ranges := filepath.Join(in.dir, "data", "ranges")
	if err := os.MkdirAll(ranges, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(ranges, "egress-ip-ranges.csv"), []byte("127.0.0.0/8,KR,,Seoul,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in.ok("reload")
	id := in.send("app@shop.test", "reader@example.com", page)
	content := string(upstream.Wait(t).Content)
	in.status(id, "sent")
	in.hit(http.MethodGet, openURL.FindString(content), browser)
	if d := in.status(id, "delivered"); d["basis"] != "open" || d["opens"] != 0.0 || d["machine_opens"] != 1.0 || d["first_open"] != nil {
		t.Errorf("open: %v", d)
	}
	in.hit(http.MethodGet, clickURL.FindString(content), browser)
	if d := in.status(id, "clicked"); d["clicks"] != 1.0 {
		t.Errorf("click: %v", d)
	}
}
