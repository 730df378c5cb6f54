package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"backstamp/internal/mailtest"
	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
	"backstamp/store"
)

// body checks that an answer is a page and returns it.
func (in house) body(t *testing.T, target string, status int) string {
	t.Helper()
	w := in.get(target)
	if w.Code != status || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%s: %d of type %q, want %d", target, w.Code, w.Header().Get("Content-Type"), status)
	}
	return w.Body.String()
}

func TestPages(t *testing.T) {
	in := newHouse(t, nil)
	for name, path := range map[string]string{
		"list": "/", "message": "/messages/" + fullID().String(), "bare": "/messages/" + bareID().String(), "shared": "/messages/" + sharedID().String(),
		"numbers": "/numbers", "clients": "/clients",
	} {
		mailtest.Golden(t, "testdata/"+name+".html", []byte(in.body(t, path, http.StatusOK)))
	}
}

// What the pages say is there in each language, with the same values in the same
// order, and no more than they say.
func TestPageWords(t *testing.T) {
	said := map[string]bool{}
	files, err := fs.Glob(pageFiles, "page/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := pageFiles.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\bsay "([^"]*)"`).FindAllSubmatch(text, -1) {
			said[string(m[1])] = true
		}
	}
	verbs := regexp.MustCompile(`%.`)
	for _, lang := range catalogue.Languages()[1:] {
		words, err := pageWords(lang)
		if err != nil {
			t.Fatal(err)
		}
		for en, word := range words {
			if !said[en] || word == "" || !slices.Equal(verbs.FindAllString(en, -1), verbs.FindAllString(word, -1)) {
				t.Errorf("%s: %q for %q", lang, word, en)
			}
		}
		for en := range said {
			if words[en] == "" {
				t.Errorf("%s: nothing for %q", lang, en)
			}
		}
	}
}

func TestKoreanPages(t *testing.T) {
	in := newHouse(t, nil)
	for path, want := range map[string]string{"/": "<h1>메시지</h1>", "/messages/" + fullID().String(): ">제공자의 응답<", "/numbers": "<h2 id=\"tags\">태그별</h2>", "/clients": "<h1>클라이언트</h1>", "/messages/nobody": "<h1>보여 줄 수 없음</h1>"} {
		status := http.StatusOK
		if strings.HasSuffix(path, "nobody") {
			status = http.StatusNotFound
		}
		got := in.body(t, path+"?lang=ko", status)
		if !strings.Contains(got, `<html lang="ko">`) || !strings.Contains(got, want) || strings.Contains(got, "%!") {
			t.Errorf("%s: no %s in %s", path, want, got)
		}
	}
}

// The pages show the times of the zone that the clock has.
func TestPageZone(t *testing.T) {
	s := newFakeStore(t)
	kst := func() time.Time { return now().In(time.FixedZone("KST", 9*3600)) }
	in := house{Handler: New(Settings{}, s, Actions{}, kst, nil, nil)}
	got := in.body(t, "/messages/"+bareID().String(), http.StatusOK)
	for _, want := range []string{`<time datetime="2026-03-04T05:06:07Z">2026-03-04 14:06:07</time>`, "Times are UTC&#43;09:00."} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

func TestListPage(t *testing.T) {
	damaged := listed[store.Row]{err: fmt.Errorf("message 7: %w", store.ErrCorrupt)}
	for name, c := range map[string]struct {
		query    string
		messages []listed[store.Row]
		limit    int
		want     []string
		not      string
	}{
		"empty":     {limit: listMax, want: []string{"No message yet. Send one to the SMTP listener"}, not: "Show all"},
		"no match":  {query: "?subject=none", limit: listMax, want: []string{"No message matches.", `value="none"`, `<a href="/">Show all</a>`}},
		"status":    {query: "?status=held", limit: listMax, want: []string{"<option selected>held</option>"}},
		"some":      {messages: rows(bareRow()), limit: listMax, want: []string{"(no subject)", "no <small>no-html</small>"}, not: "latest"},
		"full":      {query: "?limit=1", messages: rows(bareRow()), limit: 1, want: []string{"These are the latest 1; the search finds others."}},
		"too many":  {query: "?limit=99999", limit: listLimit},
		"damaged":   {messages: []listed[store.Row]{damaged, {row: bareRow()}, damaged}, limit: listMax, want: []string{"(no subject)", "2 damaged and left out; the log says more."}},
		"providers": {limit: listMax, want: []string{"Provider */pool is parked: auth.", `<b class="s-parked">parked</b> auth until <time datetime="2026-03-04T06:06:07Z">`, "4 of 450"}},
	} {
		in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) { s.messages = c.messages })
		got := in.body(t, "/"+c.query, http.StatusOK)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in %s", name, want, got)
			}
		}
		if c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%s: %q in %s", name, c.not, got)
		}
		if in.store.filter.Limit != c.limit {
			t.Errorf("%s: limit %d, want %d", name, in.store.filter.Limit, c.limit)
		}
	}
}

// A message to many takes one line, which counts how they stand.
func TestListMany(t *testing.T) {
	row := fullRow(t)
	for i := 3; i <= 40; i++ {
		row.Deliveries = append(row.Deliveries, mail.Delivery{Index: i, Recipient: fmt.Sprintf("r%d@example.com", i), Status: mail.Sent, Tally: mail.Tally{Opens: 1}})
	}
	l := newListLine(row)
	if l.To != "Kim@example.kr" || l.More != 39 || l.Opens != (hits{39, 4}) {
		t.Errorf("%+v", l)
	}
	want := []listState{{mail.Clicked, "", 1}, {mail.Held, "quota", 1}, {mail.Sent, "", 38}}
	if !slices.Equal(l.States, want) {
		t.Errorf("states %v, want %v", l.States, want)
	}
	in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) { s.messages = rows(row) })
	if got := in.body(t, "/", http.StatusOK); strings.Count(got, "example.com") > 3 || !strings.Contains(got, "and 39 more") {
		t.Errorf("%s", got)
	}
}

func TestErrorPages(t *testing.T) {
	broken := errors.New("read /var/lib/backstamp/mail.db: input/output error")
	in := newHouse(t, nil)
	trouble := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) {
		s.messages = []listed[store.Row]{{err: broken}}
	})
	for _, c := range []struct {
		in     house
		path   string
		status int
		want   string
	}{
		{in, "/messages/none", 404, "no such message: &#34;none&#34;"},
		{in, "/messages/" + noID().String(), 404, "no such message"},
		{in, "/?status=gone", 400, "status &#34;gone&#34; is none"},
		{in, "/?state=sent", 400, "parameter &#34;state&#34; is none"},
		{trouble, "/", 500, "internal error; the log says more"},
	} {
		got := c.in.body(t, c.path, c.status)
		if !strings.Contains(got, c.want) || strings.Contains(got, "/var/lib") {
			t.Errorf("%s: no %q in %s", c.path, c.want, got)
		}
	}
}

// What can be shown of a message with a damaged body is shown.
func TestPageTrouble(t *testing.T) {
	path := "/messages/" + fullID().String()
	damaged := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) {
		s.contentErr = fmt.Errorf("/var/lib/backstamp/mail.db: %w", store.ErrCorrupt)
	})
	got := damaged.body(t, path, http.StatusOK)
	if strings.Count(got, "It cannot be shown: what is stored is damaged; it is kept for a person to look at.") != 2 ||
		!strings.Contains(got, "250 queued as 7") || strings.Contains(got, "/var/lib") {
		t.Errorf("%s", got)
	}
	unmade := newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) { do.Renderer = shortRenderer{} })
	got = unmade.body(t, path, http.StatusOK)
	if strings.Count(got, "It cannot be shown: internal error; the log says more.") != 1 || strings.Contains(got, "/var/lib") || strings.Contains(got, "line\n") {
		t.Errorf("%s", got)
	}
}

// Source in another charset is shown as far as it is ASCII.
func TestPageCharset(t *testing.T) {
	in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) {
		s.content[fullID()] = []byte("Subject: \xb0\xa1\xb0\xa2\r\n\r\nend")
	})
	got := in.body(t, "/messages/"+fullID().String(), http.StatusOK)
	if want := "Subject: \uFFFD\n\nend</pre>"; !strings.Contains(got, want) {
		t.Errorf("no %q in %s", want, got)
	}
}

// A page stays readable whatever was sent and however often it was opened.
func TestPageBounds(t *testing.T) {
	in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) {
		s.content[fullID()] = []byte(strings.Repeat("x", sourceMax+5))
		for range eventMax + 3 {
			s.record(mail.Event{Time: now(), Kind: mail.KindOpen, Message: fullID(), Recipient: 1, Class: mail.Human, Rule: "many"})
		}
	})
	got := in.body(t, "/messages/"+fullID().String(), http.StatusOK)
	if n := strings.Count(got, ">many<"); n != eventMax {
		t.Errorf("%d events", n)
	}
	for _, want := range []string{"7 earlier events are not shown", "<p>5 more octets are not shown.</p>"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
}

// hostile has what strangers may write into everything that a page shows.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`,
		`"><img src=x onerror=alert(1)>`,
		`'><svg/onload=alert(1)>`,
		`</pre></td></table></title></select></textarea></style><iframe src=//evil.example>`,
		`<!-- --><b>`, `]]><b>`, `<?x ?><b>`, `{{.}}{{template "head"}}`, `&lt;script&gt;`, `&#60;b&#62;`,
		`javascript:alert(1)`, `data:text/html,<script>alert(1)</script>`, `" onmouseover="alert(1)`, `' style='x:url(//evil.example)`,
		"\x00<b>", "\xbc<b>\xa2", "+ADw-script+AD4-", "\x1b$B<b>\x1b(B", "\u2028<b>", "\u202e<b>", `<meta http-equiv=refresh content=0>`, `<base href=//evil.example>`,
	}
}

// hostileLinks is a message with two links, one tracked: the label of both and
// the URL of the other are a stranger's text.
func hostileLinks(x string) string {
	x = html.EscapeString(strings.ReplaceAll(strings.ToValidUTF8(x, "?"), "\x1b", "^"))
	return "Content-Type: text/html; charset=utf-8\r\n\r\n" +
		`<a href="https://example.com/">` + x + `</a><a href="mailto:` + x + `">` + x + "</a>\r\n"
}

// hostileHouse has a stranger's text in everything that a page shows.
func hostileHouse(t *testing.T, x string) house {
	return newHouse(t, func(_ *Settings, do *Actions, s *fakeStore) {
		row := fullRow(t)
		m := row.Message
		m.Account, m.Provider, m.MailFrom, m.MessageID, m.HeaderFrom, m.Subject, m.Tag, m.Reason = x, x, x, x, x, x, x, x
		m.Meta = map[string]string{x: x}
		m.Detail.Alignment = mail.Alignment{Rule: x, From: x, Identity: x, Action: x}
		m.Detail.Plan = testPlan(t, m.ID, hostileLinks(x), false)
		m.Detail.Quirks, m.Detail.Transcript = []string{x, x}, []string{x, x}
		for i := range row.Deliveries {
			d := &row.Deliveries[i]
			d.Recipient, d.Reply, d.UpstreamID, d.Reason, d.Basis = x, x, x, x, mail.Basis(x)
			d.Explain = &mail.Explain{ID: x, Class: x, Title: x, Meaning: x, Steps: []string{x}, Link: x}
		}
		s.messages, s.content[fullID()] = rows(row), []byte(x)
		for i := range s.events {
			e := &s.events[i].row
			e.Rule, e.IP, e.UserAgent, e.Text, e.Class, e.Kind, e.Basis = x, x, x, x, mail.Class(x), mail.Kind(x), mail.Basis(x)
		}
		s.usage = rows(store.Usage{Account: x, Provider: x, Day: "2026-03-04"})
		s.tags = rows(store.Usage{Account: x, Tag: x, Day: "2026-03-04"})
		do.Providers = func(context.Context) ([]Provider, error) {
			return []Provider{{Account: x, Name: x, Preset: x, State: store.ProviderState{State: x, Reason: x, LastError: x}}}, nil
		}
	})
}

// skeleton is all markup of a page, without the text and the attributes'
// values.
func skeleton(t *testing.T, page string) (out []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.TextNode {
			continue
		}
		out = append(out, fmt.Sprintf("%d %s", n.Type, n.Data))
		for _, a := range n.Attr {
			out = append(out, n.Data+"@"+a.Key)
		}
	}
	return out
}

// No text of a stranger becomes markup: the pages have the same skeleton
// whatever it says.
func TestHostileText(t *testing.T) {
	pages := []string{"/messages/" + fullID().String(), "/", "/numbers", "/clients", "/?status=sent&subject=%s&to=%s&from=%s"}
	for _, path := range pages {
		fill := func(x string) string { return strings.ReplaceAll(path, "%s", url.QueryEscape(x)) }
		want := skeleton(t, hostileHouse(t, "plain").body(t, fill("plain"), http.StatusOK))
		for _, x := range hostile() {
			page := hostileHouse(t, x).body(t, fill(x), http.StatusOK)
			if got := skeleton(t, page); !slices.Equal(got, want) {
				t.Errorf("%s: %q became markup:\n%s", path, x, page)
			}
			nothingLoads(t, page)
		}
	}
	for _, x := range hostile() {
		in := newHouse(t, nil)
		for _, target := range []string{"/messages/" + url.PathEscape(x), "/?status=" + url.QueryEscape(x), "/?" + url.QueryEscape(x) + "=1", "/numbers?days=" + url.QueryEscape(x)} {
			if w := in.get(target); strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") &&
				!slices.Equal(skeleton(t, w.Body.String()), skeleton(t, in.body(t, "/?status=plain", 400))) {
				t.Errorf("%s: %s", target, w.Body)
			}
		}
	}
}

// Text of a stranger is shown as it is.
func TestHostileTextShown(t *testing.T) {
	const x = `<b>"M&M's"</b> &amp; 한글`
	doc, err := html.Parse(strings.NewReader(hostileHouse(t, x).body(t, "/messages/"+fullID().String(), http.StatusOK)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Data == "h1" && n.FirstChild.Data != x {
			t.Errorf("subject %q", n.FirstChild.Data)
		}
	}
}

// nothingLoads checks that a page makes a browser ask nobody for anything but
// its own style sheet.
func nothingLoads(t *testing.T, page string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	elements := strings.Fields("html head meta title link body header nav main section footer h1 h2 p a b small strong code pre dl dt dd ol li table thead tbody tr th td details summary span time form label select option input button")
	attrs := strings.Fields("lang charset name content rel href class aria-label aria-labelledby id role scope data-label datetime tabindex method action type value selected open")
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if !slices.Contains(elements, n.Data) {
			t.Errorf("element %q in %s", n.Data, page)
		}
		for _, a := range n.Attr {
			if !slices.Contains(attrs, a.Key) || a.Key == "http-equiv" {
				t.Errorf("attribute %q in %s", a.Key, page)
			}
			switch {
			case n.Data == "link" && a.Key == "href" && a.Val != "/style.css":
				t.Errorf("it loads %q", a.Val)
			case a.Key == "action" && a.Val != "/" && a.Val != "/numbers":
				t.Errorf("the form goes to %q", a.Val)
			case a.Key == "href" && !plainLink(a.Val):
				t.Errorf("link to %q", a.Val)
			}
		}
	}
}

// plainLink reports whether following a link is no more than a visit.
func plainLink(href string) bool {
	u, err := url.Parse(href)
	return err == nil && (u.Scheme == "" || u.Scheme == "https")
}

func TestNothingLoads(t *testing.T) {
	in := newHouse(t, nil)
	for _, path := range []string{"/", "/numbers", "/clients", "/messages/" + fullID().String(), "/messages/" + bareID().String(), "/messages/" + sharedID().String()} {
		nothingLoads(t, in.body(t, path, http.StatusOK))
	}
	nothingLoads(t, in.body(t, "/messages/none", http.StatusNotFound))
	css := in.get("/style.css")
	if css.Code != http.StatusOK || !strings.HasPrefix(css.Header().Get("Content-Type"), "text/css") {
		t.Errorf("style sheet: %d of type %q", css.Code, css.Header().Get("Content-Type"))
	}
	if body := css.Body.String(); strings.Contains(body, "url(") || strings.Contains(body, "@import") {
		t.Error("the style sheet loads something")
	}
}

// What a page is made of has line ends that do not differ by system.
func TestPageFiles(t *testing.T) {
	fs.WalkDir(pageFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := pageFiles.ReadFile(path)
		if err != nil || strings.Contains(string(b), "\r") {
			t.Errorf("%s: CR in it, or %v", path, err)
		}
		return nil
	})
}
