package rewrite

import (
	"strings"
	"testing"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
)

// optOutSelector says in CSS which elements opt out.
const optOutSelector = `[data-track="false" i], [data-track="off" i], [data-track="no" i], [data-track="0"],
	[data-no-track]:not([data-no-track="false" i]),
	[clicktracking="off" i], [clicktracking="false" i],
	[disable-tracking]:not([disable-tracking="false" i]),
	[data-pm-no-track], [ses\:no-track], [data-msys-clicktrack="0"], [mc\:disable-tracking]:not([mc\:disable-tracking="false" i])`

func TestOptsOutAsTheSelector(t *testing.T) {
	selector := cascadia.MustCompile(optOutSelector)
	for _, name := range []string{
		"data-track", "data-no-track", "clicktracking", "disable-tracking", "data-pm-no-track", "ses:no-track", "data-msys-clicktrack",
		"mc:disable-tracking", "ses:tags", "href", "data-tracking", "track",
	} {
		for _, value := range []string{"", "false", "FALSE", "true", "True", "off", "Off", "on", "no", "NO", "yes", "0", "1", "opens", " off", "x:y;"} {
			n := &html.Node{Type: html.ElementNode, Data: "a", Attr: []html.Attribute{{Key: name, Val: value}}}
			if got, want := optsOut(name, value), selector.Match(n); got != want {
				t.Errorf("%s=%q: %v, want %v", name, value, got, want)
			}
		}
	}
}

// TestOptOutsHoldAndLeave sends links with every opt-out, in every spelling of
// an attribute, through the engine: they stay, and the attribute goes unless
// the provider is to read it.
func TestOptOutsHoldAndLeave(t *testing.T) {
	r := newRewriter(t, nil)
	for _, tt := range []struct {
		attr          string
		held          bool
		leaves, stays bool // the attribute: without KeepForeign, with it
	}{
		{`data-track="false"`, true, true, false},
		{`DATA-TRACK=OFF`, true, true, false},
		{`data-track='no'`, true, true, false},
		{`data-track=0`, true, true, false},
		{`data-track`, false, false, true},
		{`data-track="true"`, false, false, true},
		{`data-track="buy button"`, false, false, true},
		{`data-no-track`, true, true, false},
		{`data-no-track=""`, true, true, false},
		{`data-no-track="false"`, false, true, false},
		{`clicktracking="off"`, true, true, true},
		{`clicktracking=off`, true, true, true},
		{`ClickTracking='OFF'`, true, true, true},
		{`clicktracking="on"`, false, true, true},
		{`clicktracking`, false, true, true},
		{`disable-tracking="true"`, true, true, true},
		{`disable-tracking=true`, true, true, true},
		{`disable-tracking`, true, true, true},
		{`disable-tracking="false"`, false, true, true},
		{`data-pm-no-track`, true, true, true},
		{`data-pm-no-track=""`, true, true, true},
		{`ses:no-track`, true, true, true},
		{`SES:NO-TRACK=""`, true, true, true},
		{`ses:tags="campaign:winter;"`, false, true, true},
		{`data-msys-clicktrack="0"`, true, true, true},
		{`data-msys-clicktrack=0`, true, true, true},
		{`data-msys-clicktrack="1"`, false, true, true},
		{`mc:disable-tracking`, true, true, true},
		{`mc:disable-tracking="true"`, true, true, true},
	} {
		for _, keep := range []bool{false, true} {
			content := htmlMail("", `<a `+tt.attr+` href="https://example.com/">x</a><a href="https://example.com/2">y</a>`)
			req := request(content)
			req.KeepForeign = keep
			p := r.Plan(req)
			if held := p.Links()[0].Reason == LinkOptOut; held != tt.held || p.Links()[1].Reason != "" {
				t.Errorf("%s: held %v: %v", tt.attr, held, p.Links())
			}
			stays := tt.stays
			if !keep {
				stays = !tt.leaves
			}
			if got := strings.Contains(string(rendered(t, p, content, 1)), "<a "+tt.attr+" href"); got != stays {
				t.Errorf("%s with KeepForeign %v: stays %v", tt.attr, keep, got)
			}
		}
	}
}

func TestNoTrackScheme(t *testing.T) {
	r := newRewriter(t, nil)
	for href, want := range map[string]string{
		"https+notrack://example.com/": "https://example.com/",
		"http+notrack://example.com/":  "http://example.com/",
		"HTTPS+NoTrack://example.com/": "HTTPS://example.com/",
	} {
		content := htmlMail("", `<a href="`+href+`">x</a>`)
		p := r.Plan(request(content))
		if out := string(rendered(t, p, content, 1)); p.Links()[0].Reason != LinkOptOut || !strings.Contains(out, `<a href="`+want+`">`) {
			t.Errorf("%s: %v\n%s", href, p.Links(), out)
		}
	}
}
