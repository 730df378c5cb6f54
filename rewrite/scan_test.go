package rewrite

import (
	"fmt"
	"strings"
	"testing"

	"backstamp/mail"
)

// What the engine sees of a page: each link with its label, and why it is
// left.
func TestScan(t *testing.T) {
	const x, y = "https://x.example/", "https://y.example/"
	for _, tt := range []struct{ name, page, want string }{
		{"text", `<a href="` + x + `"> Our <b>big
			offer</b>&nbsp;now </a>`, x + " Our big offer now"},
		{"image", `<a href=` + x + `><img alt="The &quot;shop&quot;"><img alt="now"></a>`, x + ` The "shop" now`},
		{"text before images", `<a href=` + x + `><img alt=pic>go</a>`, x + " go"},
		{"title", `<a title=Shop href=` + x + `><img src=i.gif></a>`, x + " Shop"},
		{"nothing", `<a href=` + x + `></a>`, x},
		{"style is no text", `<a href=` + x + `><style>a{}</style>go</a>`, x + " go"},
		{"table in a link", `<a href=` + x + `><table><tr><td>in</td></tr></table>side</a>out`, x + " inside"},
		{"left open in a cell", `<table><tr><td><a href=` + x + `>one</td><td>two</td></tr></table>`, x + " one"},
		{"left open before another", `<a href=` + x + `>one <a href=` + y + `>two</a>`, x + " one|" + y + " two"},
		{"never closed", `<a href=` + x + `>one`, x + " one"},
		{"area", `<map><area href=` + x + ` alt="Seoul">text</map>`, x + " Seoul"},
		{"upper case", `<A HREF='` + x + `'>go</A>`, x + " go"},
		{"the first href counts", `<a href=` + x + ` href=` + y + `>go</a>`, x + " go"},
		{"no href", `<a name=top>go</a>`, ""},
		{"outlook", `<!--[if mso]><v:roundrect href="` + x + `" arcsize="8%"><w:anchorlock/><center>Buy</center></v:roundrect><![endif]--><!--[if !mso]><!--><a href=` + x + `>Buy</a><!--<![endif]-->`,
			x + " Buy|" + x + " Buy"},
		{"outlook, closed by itself", `<!--[if mso]><v:rect href="` + x + `"/>no<![endif]-->`, x},
		{"outlook, left open in its comment", `<!--[if mso]><v:rect href="` + x + `">in<![endif]-->out`, x + " in"},
		{"a comment is no text", `<!-- <a href=` + x + `>x</a> -->`, ""},
		{"noscript", `<noscript><a href=` + x + `>go</a></noscript>`, x + " go"},
		{"script", `<script>"<a href=` + x + `>go</a>"</script>`, ""},

		{"ours, as long as they come", `<a href=` + testBase + "/c/" + strings.Repeat("x", 1900) + `>go</a>`, testBase + "/c/" + strings.Repeat("x", 1900) + " go (ours)"},

		{"opt-out", `<a data-no-track href=` + x + `>go</a><a href=` + y + `>go</a>`, x + " go (opt-out)|" + y + " go"},
		{"opt-out of what it lies in", `<div clicktracking=off><p><a href=` + x + `>go</a></p></div><a href=` + y + `>go</a>`, x + " go (opt-out)|" + y + " go"},
		{"opt-out of the link that a button lies in", `<a data-track=false href=` + x + `><!--[if mso]><v:rect href=` + y + `>go</v:rect><![endif]--></a>`, x + " (opt-out)|" + y + " go (opt-out)"},
		{"opt-out of a place", `<a name=x data-no-track><!--[if mso]><v:rect href=` + y + `>go</v:rect><![endif]--></a>`, y + " go (opt-out)"},
		{"here, in a sentence about subscriptions", `<table><tr><td><p>To unsubscribe,</p> click <a href=` + x + `>here</a></td><td><a href=` + y + `>here</a></td></tr></table>`, x + " here (unsubscribe)|" + y + " here"},
	} {
		p := newRewriter(t, nil).Plan(request(htmlMail("", tt.page)))
		if got := listing(p); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// listing writes links as TestScan does.
func listing(p *Plan) string {
	var out []string
	for _, l := range p.Links() {
		s := strings.TrimSpace(l.URL + " " + l.Label)
		if l.Decision == mail.Left {
			s += fmt.Sprintf(" (%s)", l.Reason)
		}
		out = append(out, s)
	}
	return strings.Join(out, "|")
}

// The tree is a shortcut's other way: where nothing asks for it, decisions are
// the same with it. A selector that matches nothing asks for it.
func TestTreeDecidesTheSame(t *testing.T) {
	plain := newRewriter(t, nil)
	shadowed := newRewriter(t, func(s *Settings) { s.Selectors = []string{"no-such-element a"} })
	files := 0
	eachPage(t, func(page []byte) {
		files++
		content := htmlMail("Content-Transfer-Encoding: 8bit\n", string(page))
		a, b := plain.Plan(request(content)), shadowed.Plan(request(content))
		if listing(a) != listing(b) || a.Reason() != b.Reason() {
			t.Errorf("%.60q:\nwithout %s %s\nwith    %s %s", page, a.Reason(), listing(a), b.Reason(), listing(b))
		}
	})
	if files < 20 {
		t.Fatalf("%d files", files)
	}
}
