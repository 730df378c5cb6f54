package track

import (
	"context"
	"strings"
	"testing"

	"backstamp/mail"
)

func TestSimulate(t *testing.T) {
	ks := fixedKeys(t)
	const url = "https://example.com/a?b=c"
	tests := []struct {
		actor, open, openRule, click, clickRule string
	}{
		{"human", "human", "browser", "human", "browser"},
		{"gmail", "proxy", "gmail-proxy", "proxy", "gmail-proxy"},
		{"yahoo", "proxy", "yahoo-proxy", "proxy", "yahoo-proxy"},
		{"apple-mpp", "prefetch", "apple-prefetch", "unknown", "none"},
		{"gmail-prefetch", "prefetch", "gmail-prefetch", "human", "browser"},
		{"safelinks", "scanner", "safelinks-referer", "scanner", "safelinks-referer"},
		{"barracuda", "scanner", "barracuda-network", "scanner", "barracuda-network"},
		{"head", "scanner", "head", "scanner", "head"},
	}
	if got := Actors(); len(got) != len(tests) || got[0] != "human" {
		t.Errorf("actors: %v", got)
	}
	for _, tt := range tests {
		var kept ledger
		h := newTestHandler(t, Settings{}, &kept)
		open, err := h.Simulate(context.Background(), "http://127.0.0.1:8080"+openPath(t, ks), tt.actor)
		if want := (Simulation{mail.Class(tt.open), tt.openRule, 200, ""}); err != nil || open != want {
			t.Errorf("%s opens: %+v, %v; want %+v", tt.actor, open, err, want)
		}
		click, err := h.Simulate(context.Background(), "https://example.com/c/o/base"+clickPath(t, ks, url), tt.actor)
		if want := (Simulation{mail.Class(tt.click), tt.clickRule, 302, url}); err != nil || click != want {
			t.Errorf("%s clicks: %+v, %v; want %+v", tt.actor, click, err, want)
		}
		if got := kept.all(); len(got) != 2 || got[0].Class != open.Class || got[1].Class != click.Class {
			t.Errorf("%s: events %+v", tt.actor, got)
		}
	}
}

func TestSimulateLongLink(t *testing.T) {
	h := newTestHandler(t, Settings{}, &ledger{})
	url := long + strings.Repeat("/c/", 2000)
	got, err := h.Simulate(context.Background(), "https://t.example"+clickPath(t, fixedKeys(t), url), "human")
	if err != nil || got.Location != url {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSimulateRefuses(t *testing.T) {
	var kept ledger
	h := newTestHandler(t, Settings{}, &kept)
	if _, err := h.Simulate(context.Background(), "https://example.com/", "human"); err == nil {
		t.Error("simulated a URL that is none of ours")
	}
	if _, err := h.Simulate(context.Background(), "https://t.example/o/x.gif", "martian"); err == nil || !strings.Contains(err.Error(), "apple-mpp") {
		t.Errorf("unknown actor: %v", err)
	}
	got, err := h.Simulate(context.Background(), "https://t.example/c/forged.abcd", "human")
	if want := (Simulation{Status: 404}); err != nil || got != want {
		t.Errorf("forged link: %+v, %v", got, err)
	}
	if len(kept.all()) > 0 {
		t.Error("events of nothing")
	}
}
