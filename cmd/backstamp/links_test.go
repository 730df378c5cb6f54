package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

// A link in mail that was sent needs its key and nothing else: not the store,
// not the whole data directory.
func TestLinksOutliveTheDataDirectory(t *testing.T) {
	upstream := mailtest.Start(t, mailtest.Script{})
	dir := t.TempDir()
	file, data := filepath.Join(dir, "backstamp.yaml"), filepath.Join(dir, "data")
	config := relayConfig(upstream.Addr, "")
	serve := func(config string) *instance {
		t.Helper()
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return startIn(t, dir, file)
	}
	in := serve(config)
	_, links := in.sentLinks(upstream, page)
	old := links[0]
	in.ok("keys", "rotate")
	_, links = in.sentLinks(upstream, page)
	links = append(links, old)
	keys := strings.Fields(in.ok("keys", "export"))
	follow := func(what string, status int, location string) {
		t.Helper()
		for _, link := range links {
			a := in.hit(http.MethodGet, link, browser)
			if a.StatusCode != status || a.Header.Get("Location") != location {
				t.Errorf("%s: %d to %q, want %d to %q", what, a.StatusCode, a.Header.Get("Location"), status, location)
			}
			if status == 404 && !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s: %q is no page", what, a.Header.Get("Content-Type"))
			}
		}
		in.stop()
	}
	const where = "https://example.com/?a=1&b=2"
	follow("as sent", 302, where)

	entries, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "keys" {
			os.RemoveAll(filepath.Join(data, e.Name()))
		}
	}
	in = serve(config)
	follow("all gone but the keys", 302, where)

	os.RemoveAll(data)
	in = serve(strings.Replace(config, "tracking: {", `tracking: {keys: ["`+strings.Join(keys, `", "`)+`"], `, 1))
	follow("all gone, keys in the configuration", 302, where)

	os.RemoveAll(data)
	in = serve(config)
	follow("keys gone", 404, "")
}
