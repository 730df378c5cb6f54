package rewrite

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

func controls(t *testing.T, fields string, keep bool) Controls {
	t.Helper()
	h, _, _ := mail.ParseHeader([]byte(mailtest.CRLF(fields + "\n\n")))
	return ReadControls(h, keep)
}

func TestControlsChoose(t *testing.T) {
	show := func(b *bool) string {
		if b == nil {
			return "-"
		}
		return fmt.Sprint(*b)
	}
	for _, tt := range []struct{ fields, opens, clicks string }{
		{"Subject: x", "-", "-"},
		{"X-Track: off", "false", "false"},
		{"x-track: Opens", "true", "false"},
		{"X-Track: clicks", "false", "true"},
		{"X-Track: both", "true", "true"},
		{"X-Track: nonsense", "false", "false"},
		{"X-Track: both\nX-Track: off", "false", "false"},
		{"X-Track: off\nX-Track: both", "false", "false"},
		{"X-Track: both\nX-PM-TrackOpens: false", "false", "true"},
		{"X-AMP: skip", "false", "false"},
		{"X-AMP: other", "-", "-"},
		{"X-No-Track: 1", "false", "false"},
		{"X-PM-TrackOpens: true", "true", "-"},
		{"X-PM-TrackLinks: None", "-", "false"},
		{"X-PM-TrackLinks: TextOnly", "-", "false"},
		{"X-PM-TrackLinks: HtmlAndText", "-", "true"},
		{"X-Mailgun-Track: no", "false", "false"},
		{"X-Mailgun-Track-Clicks: htmlonly", "-", "true"},
		{"X-Mailgun-Track-Opens: no", "false", "-"},
		{"X-MC-Track: none", "false", "false"},
		{"X-MC-Track: opens,clicks_htmlonly", "true", "true"},
		{"X-MC-Track: clicks_textonly", "false", "false"},
		{"X-EE-Tracking-Enabled: no", "false", "false"},
		{"X-Mailjet-TrackOpen: 0", "false", "-"},
		{"X-Mailjet-TrackClick: 1", "-", "true"},
		{`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":0}}}}`, "-", "false"},
		{`X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":1}}}}`, "true", "-"},
		{`X-MSYS-API: {"options":{"open_tracking":false}}`, "false", "-"},
		{`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":false}},"opentrack":{"settings":{"enable":"0"}}}}`, "false", "false"},
		{`X-MSYS-API: {"options":{"open_tracking":"false","click_tracking":0},"metadata":7}`, "false", "false"},
		{`X-MSYS-API: {"options":{"open_tracking":true}}`, "true", "-"},
		{`X-SMTPAPI: {"filters":{"clicktrack":{}}}`, "-", "-"},
		{`X-SMTPAPI: {"filters":7,"options":{"click_tracking":false}}`, "-", "false"},
		{`X-SMTPAPI: not JSON`, "-", "-"},
	} {
		c := controls(t, tt.fields, false)
		if show(c.Opens) != tt.opens || show(c.Clicks) != tt.clicks {
			t.Errorf("%q: opens %s clicks %s, want %s %s", tt.fields, show(c.Opens), show(c.Clicks), tt.opens, tt.clicks)
		}
	}
}

func TestControlsCarry(t *testing.T) {
	c := controls(t, "X-Postal-Tag: theirs\nX-Track-Tag: =?utf-8?q?caf=C3=A9?=\nX-Track-Meta-Order: 42\nX-Track-Meta-order: 43\nX-Cuttlefish-Metadata-user: me\nX-Track-Meta-: x", false)
	if c.Tag != "café" || !maps.Equal(c.Meta, map[string]string{"order": "42", "user": "me"}) {
		t.Errorf("tag %q meta %v", c.Tag, c.Meta)
	}
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "X-Track-Meta-%d: %s\n", i, strings.Repeat("가", 2000))
	}
	c = controls(t, many.String(), false)
	if len(c.Meta) != maxMeta || len(c.Meta["0"]) > maxMetaValue {
		t.Errorf("%d values, the first of %d bytes", len(c.Meta), len(c.Meta["0"]))
	}
}

func TestControlsNeverLeave(t *testing.T) {
	const fields = "Subject: x\nX-Track: off\nX-Track-Account: a\nX-AMP: skip\nX-EE-Send-At: x\nX-SMTPAPI: {}\nx-smtpapi: {}\nX-SES-CONFIGURATION-SET: c\nX-Mailgun-Tag: t\nX-MJ-CustomID: 1\nX-Mailer: y"
	ours := []string{"X-Track", "X-Track-Account", "X-AMP", "X-EE-Send-At"}
	for keep, want := range map[bool][]string{
		true:  ours,
		false: append(slices.Clone(ours), "X-SMTPAPI", "X-SES-CONFIGURATION-SET", "X-Mailgun-Tag", "X-MJ-CustomID"),
	} {
		if got := controls(t, fields, keep).Remove; !slices.Equal(got, want) {
			t.Errorf("keep %v: remove %v, want %v", keep, got, want)
		}
	}
}
