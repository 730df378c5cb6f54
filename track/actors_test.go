package track_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	"backstamp/internal/readers"
	"backstamp/mail"
)

const (
	chrome  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	iphone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
	gmail   = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
	edge12  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
	yahoo   = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
	reader  = "203.0.113.7"
	relay   = "172.224.225.9"
	outlook = "https://nam02.safelinks.protection.outlook.com/"
	hour    = time.Hour
)

// An actor is somebody who makes hits on a message with three links, with what
// comes of it: the class and rule of each hit, the status and its basis. again
// is the same after all was judged again.
type actor struct {
	name, shows string
	unsent      bool
	links       int // 0: three
	hits        []readers.Hit
	want, again string
}

func open(after time.Duration, userAgent, addr string) readers.Hit {
	return readers.Hit{After: after, Method: "GET", UserAgent: userAgent, Addr: addr}
}

func click(after time.Duration, link int, userAgent, addr string) readers.Hit {
	return readers.Hit{After: after, Link: link, Method: "GET", UserAgent: userAgent, Addr: addr}
}

// clicks are on links 1 to n, a time apart.
func clicks(after, apart time.Duration, n int, userAgent, addr string) (hits []readers.Hit) {
	for link := 1; link <= n; link++ {
		hits = append(hits, click(after+time.Duration(link-1)*apart, link, userAgent, addr))
	}
	return hits
}

func from(referer string) []readers.Hit {
	h := click(10*time.Second, 1, chrome, "52.1.2.3")
	h.Referer = referer
	return []readers.Hit{h}
}

func one(h readers.Hit) []readers.Hit { return []readers.Hit{h} }

func actors() []actor {
	head := click(10*time.Second, 1, chrome, reader)
	head.Method = "HEAD"
	ahead := open(hour, chrome, reader)
	ahead.Purpose = "prefetch;prerender"
	const s = time.Second
	return []actor{
		{"a person", "opens, then clicks, in a browser", false, 0, []readers.Hit{open(30*s, chrome, reader), click(40*s, 2, chrome, reader)}, "human browser, human browser: clicked by click", ""},
		{"a person", "opens in Outlook", false, 0, one(open(hour, "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)", reader)), "human mail-program: opened by open", ""},
		{"a person", "clicks without loading pictures", false, 0, one(click(hour, 1, iphone, reader)), "human browser: clicked by click", ""},
		{"a person", "opens all links at once, in tabs behind, an hour later", false, 0, clicks(hour, s/2, 3, chrome, reader), "human browser, human browser, human browser: clicked by click", ""},
		{"a person", "clicks both links of a mail with two at once, 2 s after it was sent", false, 2, clicks(2*s, s/2, 2, chrome, reader), "human browser, human browser: clicked by click", ""},
		{"a person", "clicks all links 3 s after it was sent, in 4 s", false, 0, clicks(3*s, 2*s, 3, chrome, reader), "human browser, human browser, human browser: clicked by click", ""},
		{"Gmail's image proxy", "fetches when somebody opens", false, 0, one(open(hour, gmail, "66.249.84.1")), "proxy gmail-proxy: opened by open", ""},
		{"Yahoo's image proxy", "fetches when somebody opens", false, 0, one(open(hour, yahoo, "87.248.112.9")), "proxy yahoo-proxy: opened by open", ""},
		{"Gmail's prefetch", "fetches while the program runs, under one exact name", false, 0, one(open(60*s, edge12, "66.249.93.5")), "prefetch gmail-prefetch: delivered by open", ""},
		{"Apple Mail Privacy Protection", "fetches after delivery, under a bare name", false, 0, one(open(90*s, "Mozilla/5.0", "104.28.40.9")), "prefetch apple-prefetch: delivered by open", ""},
		{"Apple Mail Privacy Protection", "fetches from Apple's list under another name", false, 0, one(open(90*s, iphone, relay)), "prefetch apple-relay: delivered by open", ""},
		{"a person with an iPhone", "clicks from an address of Apple's list", false, 0, one(click(hour, 1, iphone, relay)), "human browser: clicked by click", ""},
		{"a browser", "loads ahead of need, and says so", false, 0, one(ahead), "prefetch fetched-ahead: delivered by open", ""},
		{"Microsoft Safe Links", "from its wrapped link", false, 0, from(outlook), "scanner safelinks-referer: sent", ""},
		{"Microsoft Safe Links", "all links within 2 s, 1 s after it was sent, as a browser", false, 0, clicks(s, s/2, 3, chrome, "20.1.2.3"), "human browser, human browser, scanner timing: clicked by click", "scanner timing, scanner timing, scanner timing: sent"},
		{"Microsoft Safe Links", "the same, with the pixel", false, 0, append(one(open(s, chrome, "20.1.2.3")), clicks(s+s/2, s/2, 3, chrome, "20.1.2.3")...), "human browser, human browser, human browser, scanner timing: clicked by click", "scanner timing, scanner timing, scanner timing, scanner timing: sent"},
		{"Outlook.com's preview", "names itself", false, 0, one(click(10*s, 1, "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/534+ (KHTML, like Gecko) BingPreview/1.0b", "40.77.1.2")), "scanner microsoft-preview: sent", ""},
		{"Barracuda", "the first link, as a browser, from its network", false, 0, one(click(2*s, 1, chrome, "64.235.150.9")), "scanner barracuda-network: sent", ""},
		{"Barracuda", "from its wrapped link", false, 0, from("https://linkprotect.cudasvc.com/url"), "scanner barracuda-referer: sent", ""},
		{"Barracuda", "names itself", false, 0, one(click(2*s, 1, "Barracuda Sentinel (EE)", "52.1.2.3")), "scanner security-gateway: sent", ""},
		{"Proofpoint", "from its wrapped link", false, 0, from("https://urldefense.com/v3/"), "scanner proofpoint-referer: sent", ""},
		{"Proofpoint", "from its network", false, 0, one(click(2*s, 1, chrome, "148.163.130.1")), "scanner proofpoint-network: sent", ""},
		{"Mimecast", "from its wrapped link", false, 0, from("https://protect-eu.mimecast.com/s/x"), "scanner mimecast-referer: sent", ""},
		{"Mimecast", "from its network", false, 0, one(open(2*s, chrome, "91.220.42.7")), "scanner mimecast-network: sent", ""},
		{"Cisco", "from its wrapped link", false, 0, from("https://secure-web.cisco.com/1x"), "scanner cisco-referer: sent", ""},
		{"anybody", "asks with HEAD", false, 0, one(head), "scanner head: sent", ""},
		{"KakaoTalk", "looks what a link is", false, 0, one(click(hour, 1, "facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/scrap/33984", "211.1.2.3")), "scanner link-preview: sent", ""},
		{"Slack", "looks what a link is", false, 0, one(click(hour, 1, "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "52.1.2.3")), "scanner link-preview: sent", ""},
		{"Gmail", "samples what is behind a link", false, 0, one(click(hour, 1, strings.TrimSuffix(edge12, "Mozilla/5.0")+"Gmail-content-sampling", "66.249.93.5")), "scanner google-sampling: sent", ""},
		{"anybody", "before a try began to send it", true, 0, one(click(0, 1, chrome, reader)), "scanner unsent: queued", ""},
		{"the operator", "from a network of `self:`", false, 0, []readers.Hit{open(30*s, chrome, "192.0.2.7"), click(40*s, 1, chrome, "192.0.2.7")}, "self self, self self: sent", ""},
		{"curl", "says what it is, and not what for", false, 0, one(click(hour, 1, "curl/8.5.0", reader)), "unknown none: clicked by click", ""},
	}
}

// Every actor that is known is judged as what it is, through the real handler
// and store, and its hits prove what they prove. The table is in
// docs/tracking.md; -update writes it.
func TestActors(t *testing.T) {
	l := newLab(t)
	all := actors()
	ids := make([]mail.ID, len(all))
	now := func(a actor, id mail.ID) string {
		var judged []string
		for _, e := range l.hits(id) {
			judged = append(judged, string(e.Class)+" "+e.Rule)
		}
		d, err := l.store.Delivery(t.Context(), id, 1)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(judged, ", ") + ": " + string(d.Status)
		if d.Basis != "" {
			text += " by " + string(d.Basis)
		}
		return text
	}
	for i, a := range all {
		ids[i] = l.put(cmp.Or(a.links, 3), !a.unsent)
		l.play(ids[i], a.hits)
		if got := now(a, ids[i]); got != a.want {
			t.Errorf("%s %s: %s; want %s", a.name, a.shows, got, a.want)
		}
	}
	l.reclassify()
	var b strings.Builder
	b.WriteString("| who | what it does | class and rule: status | judged again |\n|---|---|---|---|\n")
	for i, a := range all {
		if got, want := now(a, ids[i]), cmp.Or(a.again, a.want); got != want {
			t.Errorf("%s %s, judged again: %s; want %s", a.name, a.shows, got, want)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", a.name, a.shows, a.want, cmp.Or(a.again, "the same"))
	}
	writeSection(t, "actors", b.String())
}
