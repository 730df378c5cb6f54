package main

import (
	"encoding/json"
	"strings"
	"testing"

	"backstamp/relay/provider"
)

func TestProviders(t *testing.T) {
	out, code := run(t, nil, "providers", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != len(provider.Presets()) {
		t.Fatalf("exit %d, %d rows of %d", code, len(lines), len(provider.Presets()))
	}
	for i, name := range provider.Presets() {
		var row struct{ Preset, Title string }
		if err := json.Unmarshal([]byte(lines[i]), &row); err != nil || row.Preset != name || row.Title == "" {
			t.Errorf("%s: %s (%v)", name, lines[i], err)
		}
		if text, code := run(t, nil, "providers", "show", name); code != 0 || !strings.HasPrefix(text, name+": ") {
			t.Errorf("show %s: exit %d, %q", name, code, text)
		}
	}
	if text, _ := run(t, nil, "providers", "show", "gmail"); !strings.Contains(text, "smtp.gmail.com") || !strings.Contains(text, "(Nylas: SMTP settings, 2026-11-22)") {
		t.Errorf("no source: %s", text)
	}
	if text, code := run(t, nil, "providers", "show", "gmale"); code != 2 || !strings.Contains(text, "did you mean gmail?") {
		t.Errorf("unknown: exit %d, %q", code, text)
	}
}
