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
		{"X-Track:  ON ", "true", "true"},
		{"X-Track: false", "false", "false"},
		{"X-Track: nonsense", "false", "false"},
		{"X-Track:", "false", "false"},

		{"X-AMP: skip", "false", "false"},
		{"X-AMP: Skip", "false", "false"},
		{"X-AMP: other", "-", "-"},
		{"X-No-Track: 1", "false", "false"},
		{"X-No-Track: f3Zk0q", "false", "false"},
		{"X-No-Track: false", "false", "false"},
		{"X-EE-Tracking-Enabled: no", "false", "false"},
		{"X-EE-Tracking-Enabled: true", "true", "true"},
		{"X-EE-Tracking-Enabled: anything", "false", "false"},

		{"X-PM-TrackOpens: true", "true", "-"},
		{"X-PM-TrackOpens: FALSE", "false", "-"},
		{"X-PM-TrackLinks: None", "-", "false"},
		{"X-PM-TrackLinks: TextOnly", "-", "false"},
		{"X-PM-TrackLinks: HtmlOnly", "-", "true"},
		{"X-PM-TrackLinks: HtmlAndText", "-", "true"},
		{"X-PM-TrackLinks: true", "-", "false"},

		{"X-Mailgun-Track: no", "false", "false"},
		{"X-Mailgun-Track: yes", "true", "true"},
		{"X-Mailgun-Track: false", "false", "false"},
		{"X-Mailgun-Track-Clicks: htmlonly", "-", "true"},
		{"X-Mailgun-Track-Clicks: No", "-", "false"},
		{"X-Mailgun-Track-Opens: no", "false", "-"},
		{"X-Mailgun-Track-Opens: yes", "true", "-"},
		{"X-Mailgun-Track-Pixel-Location-Top: no", "-", "-"},

		{"X-MC-Track: none", "false", "false"},
		{"X-MC-Track: opens", "true", "false"},
		{"X-MC-Track: opens,clicks", "true", "true"},
		{"X-MC-Track: opens, clicks_all", "true", "true"},
		{"X-MC-Track: Opens,Clicks_HtmlOnly", "true", "true"},
		{"X-MC-Track: clicks_textonly", "false", "false"},
		{"X-MC-Track: False, False", "false", "false"},
		{"X-MC-TrackingDomain: opens.example.com", "-", "-"},

		{"X-Mailjet-TrackOpen: 0", "false", "-"},
		{"X-Mailjet-TrackOpen: 1", "true", "-"},
		{"X-Mailjet-TrackClick: 0", "-", "false"},
		{"X-Mailjet-TrackClick: 1", "-", "true"},

		{`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":0}}}}`, "-", "false"},
		{`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":1,"enable_text":false}}}}`, "-", "true"},
		{`X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":1,"replace":"%open%"}}}}`, "true", "-"},
		{`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":false}},"opentrack":{"settings":{"enable":"0"}}}}`, "false", "false"},
		{`X-SMTPAPI: {"filters":{"clicktrack":{}}}`, "-", "-"},
		{`X-SMTPAPI: {"filters":{"clicktrack":{"settings":{"enable":null}}}}`, "-", "-"},
		{`X-SMTPAPI: {"filters":7,"options":{"click_tracking":false}}`, "-", "false"},
		{`X-SMTPAPI: {"to":["a@example.com"],"category":"x","filters":{"opentrack":{"settings":{"enable":0}}}}`, "false", "-"},
		{"X-SMTPAPI: {\"filters\":{\n \"opentrack\":{\"settings\":\n\t{\"enable\":0}}}}", "false", "-"},
		{"X-SMTPAPI: =?utf-8?Q?{=22filters=22:{=22opentrack=22:{=22settings=22:{=22enable=22:0}}}}?=", "false", "-"},
		{`X-SMTPAPI: not JSON`, "-", "-"},
		{`X-SMTPAPI:`, "-", "-"},

		{`X-MSYS-API: {"options":{"open_tracking":false}}`, "false", "-"},
		{`X-MSYS-API: {"options":{"open_tracking":true}}`, "true", "-"},
		{`X-MSYS-API: {"options":{"open_tracking":"false","click_tracking":0},"metadata":7}`, "false", "false"},
		{"X-MSYS-API: {\"options\" : {\n \"click_tracking\"\n : false }}", "-", "false"},

		{"X-SES-CONFIGURATION-SET: off", "-", "-"},
		{"X-SES-MESSAGE-TAGS: track=off", "-", "-"},
		{"X-Mailin-custom: track:off", "-", "-"},

		{"X-Track: both\nX-Track: off", "false", "false"},
		{"X-Track: off\nX-Track: both", "false", "false"},
		{"X-Track: both\nX-PM-TrackOpens: false", "false", "true"},
		{"X-PM-TrackOpens: false\nX-Track: both", "false", "true"},
		{"X-Mailgun-Track: no\nX-Mailgun-Track-Opens: yes", "false", "false"},
		{"X-Mailgun-Track: yes\nX-Mailgun-Track-Opens: no", "false", "true"},
		{"X-Track: opens\nX-Track: clicks", "false", "false"},
		{`X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":1}}}}` + "\n" + `X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":0}}}}`, "false", "-"},
	} {
		c := controls(t, tt.fields, false)
		if show(c.Opens) != tt.opens || show(c.Clicks) != tt.clicks {
			t.Errorf("%q: opens %s clicks %s, want %s %s", tt.fields, show(c.Opens), show(c.Clicks), tt.opens, tt.clicks)
		}
	}
}

func TestControlsPixelTop(t *testing.T) {
	for fields, want := range map[string]string{
		"X-Track: both": "<nil>",
		"X-Mailgun-Track-Pixel-Location-Top: yes":                                            "true",
		"x-mailgun-track-pixel-location-top: htmlonly":                                       "true",
		"X-Mailgun-Track-Pixel-Location-Top: no":                                             "false",
		"X-Mailgun-Track-Pixel-Location-Top: yes\nX-Mailgun-Track-Pixel-Location-Top: false": "false",
	} {
		got := "<nil>"
		if top := controls(t, fields, false).PixelTop; top != nil {
			got = fmt.Sprint(*top)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", fields, got, want)
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

// TestControlsNeverLeave has every field that speaks to a relay or a provider:
// ours and those of other relays always go, those of providers unless they are
// to pass.
func TestControlsNeverLeave(t *testing.T) {
	ours := []string{
		"X-Track", "X-Track-Tag", "X-Track-Meta-Order", "X-Track-Account", "X-AMP", "X-No-Track", "X-Postal-Tag", "X-Cuttlefish-Metadata-User",
		"X-EE-Account", "X-EE-Send-At", "X-EE-Idempotency-Key", "X-EE-Tracking-Enabled", "X-EE-Gateway", "X-EE-Delivery-Attempts", "X-Sending-Zone",
	}
	providers := []string{
		"X-SMTPAPI", "X-MSYS-API", "X-MC-Track", "X-MC-TrackingDomain", "X-MC-Metadata", "X-MC-Tags",
		"X-Mailgun-Track", "X-Mailgun-Track-Clicks", "X-Mailgun-Track-Opens", "X-Mailgun-Track-Pixel-Location-Top", "X-Mailgun-Variables",
		"X-Mailgun-Tag", "X-Mailgun-Drop-Message", "X-PM-TrackOpens", "X-PM-TrackLinks", "X-PM-Tag", "X-PM-Message-Stream",
		"X-Mailjet-TrackOpen", "X-Mailjet-TrackClick", "X-Mailjet-Campaign", "X-MJ-CustomID", "X-MJ-EventPayload",
		"X-SES-CONFIGURATION-SET", "X-SES-MESSAGE-TAGS", "X-Mailin-custom", "X-Mailin-Tag", "X-SIB-API",
	}
	fields := "Subject: x\nX-Mailer: y\nX-Tracker: z\nX-Priority: 1\nList-Unsubscribe: <mailto:a@example.com>\n"
	for _, name := range slices.Concat(ours, providers) {
		fields += name + ": 1\n" + strings.ToLower(name) + ": 2\n"
	}
	for keep, want := range map[bool][]string{true: ours, false: slices.Concat(ours, providers)} {
		if got := controls(t, strings.TrimSuffix(fields, "\n"), keep).Remove; !slices.Equal(got, want) {
			t.Errorf("keep %v: remove %v, want %v", keep, got, want)
		}
	}
}
