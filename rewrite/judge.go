package rewrite

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/PuerkitoBio/goquery"
	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"

	"backstamp/mail"
)

// A verdict is what was decided about one anchor.
type verdict struct {
	link  mail.Link
	value span // what a tracking URL replaces
	quote byte
	strip span // bytes to take out where it is left, a +notrack; empty otherwise
}

// A judge decides about the links of one message.
type judge struct {
	*Rewriter
	req         Request
	unsubscribe map[string]bool // targets of List-Unsubscribe
}

var optOutMatcher = cascadia.MustCompile(optOutSelector)

func newJudge(r *Rewriter, req Request, h mail.Header) *judge {
	j := &judge{Rewriter: r, req: req, unsubscribe: map[string]bool{}}
	for _, f := range h.All("List-Unsubscribe") {
		for _, item := range strings.Split(f.Value(), "<")[1:] {
			target, _, _ := strings.Cut(item, ">")
			j.unsubscribe[strings.Join(strings.Fields(target), "")] = true
		}
	}
	return j
}

// page decides about the anchors of p, whose links count on from next.
func (j *judge) page(p *page, next int) []verdict {
	doc := goquery.NewDocumentFromNode(&p.tree.root)
	held := j.heldBack(doc, len(p.optOuts) > 0)
	verdicts := make([]verdict, 0, len(p.anchors))
	for i, a := range p.anchors {
		v := j.anchor(p, a, held)
		v.link.Index = next + i
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// heldBack returns the nodes that the settings' selectors and the opt-out
// attributes name, with the reason for them and all they hold.
func (j *judge) heldBack(doc *goquery.Document, optOuts bool) map[*html.Node]string {
	held := map[*html.Node]string{}
	for _, m := range j.matchers {
		for _, n := range doc.FindMatcher(m).Nodes {
			held[n] = LinkSelector
		}
	}
	if optOuts {
		for _, n := range doc.FindMatcher(optOutMatcher).Nodes {
			held[n] = LinkOptOut
		}
	}
	return held
}

// anchor decides about one link.
func (j *judge) anchor(p *page, a anchor, held map[*html.Node]string) verdict {
	href := strings.Trim(a.href, " ")
	sel := goquery.NewDocumentFromNode(a.node).Selection
	v := verdict{value: trimmed(p.text, a.value), quote: a.quote}
	v.link = mail.Link{URL: strings.ToValidUTF8(shorten(href, mail.DestinationMax), "\uFFFD"), Label: label(sel), Decision: mail.Left}
	v.link.Reason = j.reason(p, a, href, sel, v.link.Label, held)
	masked := string(v.value.in(p.text)) != string(v.value.in(p.mask))
	if v.link.Reason == "" {
		var dest string
		if dest, v.link.Reason = destination(href, masked, p.charset.utf8()); dest != "" {
			v.link.URL = dest
		}
	}
	if v.link.Reason == "" && (len(v.link.URL) > mail.DestinationMax || j.clickLen(v.link.URL) > j.maxURL) {
		v.link.Reason = LinkTooLong
	}
	if v.link.Reason == "" {
		v.link.Decision = mail.Tracked
	}
	if s := scheme(href); v.link.Reason == LinkOptOut && strings.HasSuffix(s, noTrackScheme) && !masked {
		v.strip = stripScheme(p.text, v.value, s)
	}
	return v
}

// reason says why a link stays for what it is and where it stands.
func (j *judge) reason(p *page, a anchor, href string, sel *goquery.Selection, label string, held map[*html.Node]string) string {
	switch s := scheme(href); {
	case a.broken:
		return LinkTag
	case href == "":
		return LinkEmpty
	case len(href) > mail.DestinationMax && (s == "http" || s == "https"):
		return LinkTooLong
	case isPlaceholder(href):
		return LinkPlaceholder
	case href[0] == '#':
		return LinkFragment
	case s == "http"+noTrackScheme, s == "https"+noTrackScheme:
		return LinkOptOut
	case s == "" && hasControl(href): // a line end before the scheme, say
		return LinkControl
	case s == "":
		return LinkRelative
	case s != "http" && s != "https":
		return LinkScheme
	case j.isOurs(href):
		return LinkOurs
	}
	for n := a.node; n != nil && len(held) > 0; n = n.Parent {
		if reason := held[n]; reason != "" {
			return reason
		}
	}
	switch {
	case !j.req.Clicks:
		return LinkClicksOff
	case j.unsubscribe[href], isUnsubscribe(label, sel):
		return LinkUnsubscribe
	}
	if reason := urlReason(href); reason != "" {
		return reason
	}
	switch {
	case j.isExcludedDomain(href):
		return LinkDomain
	case j.isExcludedPattern(href):
		return LinkPattern
	}
	return ""
}

// isUnsubscribe judges by the label, and where it says no more than "here", by
// the sentence it stands in.
func isUnsubscribe(label string, sel *goquery.Selection) bool {
	if isUnsubscribeText(label) {
		return true
	}
	if !isVague(label) {
		return false
	}
	const sentence = 600
	block := sel.ParentsFiltered("p, td, li, div, center, body").First()
	text := textOf(block, sentence)
	return len(text) < sentence && isUnsubscribeText(text)
}

// label returns what a reader sees of a link: its text, else what its images
// say instead.
func label(sel *goquery.Selection) string {
	text := textOf(sel, labelMax)
	if text == "" {
		text = sel.AttrOr("alt", sel.AttrOr("title", ""))
	}
	return shorten(strings.ToValidUTF8(text, "\uFFFD"), labelMax)
}

// labelMax is the longest label kept, in bytes.
const labelMax = 200

// textOf returns the text that the selection holds, blanks run together, or
// where there is none the alt texts of its images. It stops soon behind limit
// bytes: an element left open may hold the whole part.
func textOf(sel *goquery.Selection, limit int) string {
	var text, alts []byte
	for _, root := range sel.Nodes {
		left := 50 * limit // nodes to look at
		for n := range root.Descendants() {
			if left--; left < 0 || len(text) >= 2*limit {
				break
			}
			switch {
			case n.Type == html.TextNode:
				text = append(text, shorten(n.Data, 2*limit)...)
			case n.Data == "img" && len(alts) < limit:
				alts = append(append(alts, ' '), goquery.NewDocumentFromNode(n).AttrOr("alt", "")...)
			}
		}
	}
	if words := bytes.Fields(text); len(words) > 0 {
		return string(bytes.Join(words, []byte(" ")))
	}
	return string(bytes.Join(bytes.Fields(alts), []byte(" ")))
}

// shorten cuts s to at most n bytes without splitting a character.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// trimmed takes the spaces round a value off.
func trimmed(text []byte, v span) span {
	for v.from < v.to && text[v.from] == ' ' {
		v.from++
	}
	for v.from < v.to && text[v.to-1] == ' ' {
		v.to--
	}
	return v
}

// stripScheme returns where +notrack stands in the value, if it does so plainly.
func stripScheme(text []byte, v span, scheme string) span {
	if !strings.EqualFold(string(text[v.from:min(v.to, v.from+len(scheme))]), scheme) {
		return span{}
	}
	end := v.from + len(scheme)
	return span{end - len(noTrackScheme), end}
}
