package rewrite

import (
	"strings"
	"unicode/utf8"

	"github.com/PuerkitoBio/goquery"
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
	unsubscribe map[string]bool // targets of List-Unsubscribe; nil where there are none
}

func newJudge(r *Rewriter, req Request, listUnsubscribe []mail.Field) *judge {
	j := &judge{Rewriter: r, req: req}
	for _, f := range listUnsubscribe {
		for _, item := range strings.Split(f.Value(), "<")[1:] {
			target, _, _ := strings.Cut(item, ">")
			if j.unsubscribe == nil {
				j.unsubscribe = map[string]bool{}
			}
			j.unsubscribe[strings.Join(strings.Fields(target), "")] = true
		}
	}
	return j
}

// page decides about the anchors of p, whose links count on from next. ok is
// false beyond a bound.
func (j *judge) page(p *page, next int, left *budget) (verdicts []verdict, ok bool) {
	verdicts = make([]verdict, len(p.anchors))
	vague := false
	for i := range p.anchors {
		if n := len(p.anchors[i].href); n <= mail.DestinationMax { // patterns look at no other
			left.urls -= n
		}
		if left.urls < 0 {
			return nil, false
		}
		verdicts[i] = j.anchor(p, &p.anchors[i])
		verdicts[i].link.Index = next + i
		vague = vague || verdicts[i].link.Decision == mail.Tracked && isVague(p.anchors[i].label)
	}
	if len(p.anchors) == 0 || len(j.matchers) == 0 && !p.holds && !vague {
		return verdicts, true
	}
	t, ok := newTree(p, left)
	if !ok || len(j.matchers) > 0 && t.deep > maxSelected {
		return nil, false
	}
	j.placed(t, verdicts)
	return verdicts, true
}

// maxSelected is how deep a tree may be that selectors run over: what they
// cost grows with it.
const maxSelected = 512

// anchor decides about a link by what it is.
func (j *judge) anchor(p *page, a *anchor) verdict {
	href := strings.Trim(a.href, " ")
	v := verdict{value: trimmed(p.text, a.value), quote: a.quote}
	v.link = mail.Link{URL: href, Label: a.label, Decision: mail.Left}
	masked := p.masked(v.value)
	s := scheme(href)
	v.link.Reason = j.reason(a, href, s)
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
		return v
	}
	v.link.URL = strings.ToValidUTF8(shorten(v.link.URL, mail.DestinationMax), "\uFFFD")
	if v.link.Reason == LinkOptOut && strings.HasSuffix(s, noTrackScheme) && !masked {
		v.strip = stripScheme(p.text, v.value, s)
	}
	return v
}

// reason says why a link stays for what it is; s is its scheme.
func (j *judge) reason(a *anchor, href, s string) string {
	web := s == "http" || s == "https"
	switch {
	case href == "":
		return LinkEmpty
	case web && j.isOurs(href):
		return LinkOurs
	case web && (len(href) > mail.DestinationMax || j.clickLen(href) > j.maxURL): // before anything that costs with its length
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
	case !web:
		return LinkScheme
	case a.optsOut:
		return LinkOptOut
	case !j.req.Clicks:
		return LinkClicksOff
	case j.unsubscribe[href], isUnsubscribeText(a.label):
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

// placed decides about links by where they stand: in what a selector or an
// opt-out names, or, where the label says no more than "here", in a sentence
// about ending a subscription.
func (j *judge) placed(t *tree, verdicts []verdict) {
	held := j.heldBack(t)
	for i, n := range t.links {
		v := &verdicts[i]
		if !isHeldFor(v.link.Reason) {
			continue
		}
		reason := held.reason(n)
		if reason == "" && v.link.Decision == mail.Tracked && isVague(v.link.Label) && isUnsubscribeText(sentence(n)) {
			reason = LinkUnsubscribe
		}
		if reason != "" {
			v.link.Decision, v.link.Reason = mail.Left, reason
		}
	}
}

// isHeldFor reports whether a place in the page may be the reason for a link
// that has this one so far: it counts more than what the URL looks like.
func isHeldFor(reason string) bool {
	switch reason {
	case "", LinkClicksOff, LinkUnsubscribe, LinkOneTime, LinkDomain, LinkPattern:
		return true
	}
	return false
}

// holders are the nodes that hold trackers off, each with the reason, and all
// nodes that were asked about, so that no way up is gone twice.
type holders map[*html.Node]string

// heldBack finds what the settings' selectors and opt-out attributes name.
func (j *judge) heldBack(t *tree) holders {
	held := holders{}
	doc := goquery.NewDocumentFromNode(&t.root)
	for _, m := range j.matchers {
		for _, n := range doc.FindMatcher(m).Nodes {
			held[n] = LinkSelector
		}
	}
	for _, n := range t.optedOut {
		held[n] = LinkOptOut
	}
	return held
}

// reason returns why n is held back, by itself or by what it lies in; "" where
// it is not.
func (h holders) reason(n *html.Node) (reason string) {
	var way []*html.Node
	for ; n != nil; n = n.Parent {
		known := false
		if reason, known = h[n]; known {
			break
		}
		way = append(way, n)
	}
	for _, n := range way {
		h[n] = reason
	}
	return reason
}

// sentence returns the text that a link stands in, "" where that is more than
// a sentence or two.
func sentence(link *html.Node) string {
	const most = 600
	for n := link.Parent; n != nil; n = n.Parent {
		switch n.Data {
		case "p", "td", "li", "div", "center", "body":
			text := textOf(n, most)
			if len(text) >= most {
				return ""
			}
			return text
		}
	}
	return ""
}

// textOf returns the text that n holds, blanks run together. It stops soon
// behind limit bytes: an element left open may hold the whole part.
func textOf(n *html.Node, limit int) string {
	var text []byte
	left := 50 * limit // nodes to look at
	for d := range n.Descendants() {
		if left--; left < 0 || len(text) >= 2*limit {
			break
		}
		if d.Type == html.TextNode {
			text = append(text, shorten(d.Data, 2*limit)...)
		}
	}
	return string(oneLine(text))
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
