package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/relay/provider"
	"backstamp/relay/provider/preset"
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

// TestSwitchOff: what goes to a provider keeps it from tracking a second time,
// and carries none of the fields by which an app could steer it.
func TestSwitchOff(t *testing.T) {
	const smtpapi = `X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":0}},"opentrack":{"settings":{"enable":0}},"subscriptiontrack":{"settings":{"enable":0}},"ganalytics":{"settings":{"enable":0}}}}`
	for preset, want := range map[string][]string{
		"mailgun":   {"X-Mailgun-Track: no"},
		"postmark":  {"X-PM-TrackLinks: None"},
		"mandrill":  {"X-MC-Track: none"},
		"mailjet":   {"X-Mailjet-TrackOpen: 0", "X-Mailjet-TrackClick: 0"},
		"sendgrid":  {smtpapi},
		"sparkpost": {`X-MSYS-API: {"options":{"open_tracking":false,"click_tracking":false}}`},
		"ses":       nil,
		"gmail":     nil,
	} {
		t.Run(preset, func(t *testing.T) {
			upstream := mailtest.Start(t, mailtest.Script{})
			in := start(t, strings.Replace(relayConfig(upstream.Addr, ""), "preset: generic", "preset: "+preset, 1))
			var steered strings.Builder
			for _, name := range steering() {
				steered.WriteString(name + ": 1\n")
			}
			in.send("", "b@y.test", "From: a@shop.test\n"+steered.String()+"Subject: hi\n\nhello\n")
			tx := upstream.Wait(t)
			if from := map[bool]string{true: "a@shop.test"}[preset == "ses"]; tx.MailFrom != from {
				t.Errorf("null reverse-path: got %q, want %q", tx.MailFrom, from)
			}
			header, _, _ := strings.Cut(string(tx.Content), "\r\n\r\n")
			lines := strings.Split(header, "\r\n")
			for _, field := range want {
				if !slices.Contains(lines, field) {
					t.Errorf("no %s in\n%s", field, header)
				}
			}
			for _, name := range steering() {
				if slices.Contains(lines, name+": 1") {
					t.Errorf("%s goes out", name)
				}
			}
		})
	}
}

// steering is a field for each by which apps steer some provider.
func steering() (names []string) {
	for _, name := range preset.Names() {
		p, _ := preset.Find(name)
		for _, pattern := range p.ControlFields.Is {
			names = append(names, strings.ReplaceAll(pattern, "*", "Other"))
		}
	}
	return names
}
