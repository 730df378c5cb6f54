package main

import (
	"os"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

// Content that is older than the configuration keeps it is gone after a start,
// and every surface says so; the line of the message and its links stay.
func TestRetention(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	in := start(t, relayConfig(upstream.Addr, ""))
	id := in.send("app@shop.test", "reader@example.com", page)
	in.status(id, "sent")
	click := clickURL.FindString(string(upstream.Wait(t).Content))
	in.stop()

	conf, err := os.ReadFile(in.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in.config, append([]byte("retention: {content: 1ms}\n"), conf...), 0o600); err != nil {
		t.Fatal(err)
	}
	in = startIn(t, in.dir, in.config)
	in.logged("retention deleted")
	if m := in.show(id); m["expired"] != true || m["subject"] == "" || len(m["deliveries"].([]any)) != 1 || len(m["transcript"].([]any)) != 0 {
		t.Errorf("what is left of it: %v", m)
	}
	if out := in.ok("show", id); !strings.Contains(out, "older than retention.content") {
		t.Errorf("show does not say why the content is gone:\n%s", out)
	}
	for _, flag := range []string{"--raw", "--sent"} {
		if out, code := in.run("show", id, flag); code != exitFailed || !strings.Contains(out, "retention.content") {
			t.Errorf("show %s: exit %d, %s", flag, code, out)
		}
	}
	if r := in.hit("GET", click, "Mozilla/5.0"); r.StatusCode != 302 {
		t.Errorf("its link answers %d", r.StatusCode)
	}
}
