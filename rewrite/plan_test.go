package rewrite

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
	"backstamp/mail"
)

const head = "From: a@example.com\nMessage-ID: <1@example.com>\n"

func htmlMail(fields, page string) []byte {
	return []byte(mailtest.CRLF(head + fields + "Content-Type: text/html; charset=utf-8\n\n" + page))
}

func TestNewRefusesSettings(t *testing.T) {
	for _, tt := range []struct {
		key string
		s   Settings
	}{
		{"tracking.base_url", Settings{}},
		{"tracking.base_url", Settings{BaseURL: "track.example.com"}},
		{"tracking.base_url", Settings{BaseURL: "ftp://example.com"}},
		{"tracking.base_url", Settings{BaseURL: "https://example.com/?a=b"}},
		{"tracking.base_url", Settings{BaseURL: "https://user@example.com"}},
		{"tracking.base_url", Settings{BaseURL: `https://example.com/"x`}},
		{"tracking.base_urls_old.1", Settings{BaseURL: testBase, OldBaseURLs: []string{testBase, "x"}}},
		{"tracking.exclude.domains.0", Settings{BaseURL: testBase, ExcludeDomains: []string{""}}},
		{"tracking.exclude.selectors.0", Settings{BaseURL: testBase, Selectors: []string{"a["}}},
		{"tracking.exclude.patterns.1", Settings{BaseURL: testBase, Patterns: []string{"a", "("}}},
	} {
		_, err := New(tt.s, fakeLinker{})
		if s := (*mail.SettingError)(nil); !errors.As(err, &s) || s.Key != tt.key {
			t.Errorf("New(%+v): %v, want a mistake at %s", tt.s, err, tt.key)
		}
	}
}

func TestUntouched(t *testing.T) {
	r := newRewriter(t, nil)
	page := `<a href="https://example.com/">x</a>`
	linkless := `<p>x</p>`
	for _, tt := range []struct {
		reason string
		fields string
		page   string
		change func(*Request)
	}{
		{ReasonNoBaseURL, "", page, func(r *Request) { r.Off = ReasonNoBaseURL }},
		{ReasonPrivacy, "", page, func(r *Request) { r.Privacy = 0 }},
		{ReasonOff, "", page, func(r *Request) { r.Opens, r.Clicks = false, false }},
		{ReasonNothing, "", linkless, func(r *Request) { r.Opens = false }},
		{ReasonNothing, "", `<a href="https://example.com/" data-no-track>x</a>`, func(r *Request) { r.Opens = false }},
		{ReasonHTMLLimits, "", "<p " + attributes(maxAttrs+1) + ">" + page, nil},
		{ReasonCharsetBroken, "", "\x1b$B$3$s\n" + page, nil},
		{ReasonSigned, "", "-----BEGIN PGP SIGNED MESSAGE-----\n" + page, nil},
		{ReasonEncrypted, "", "-----BEGIN PGP MESSAGE-----\n" + page, nil},
		{ReasonMIMELimits, "X: " + strings.Repeat("x", maxHeader) + "\n", page, nil},
		{ReasonHeaderBroken, "Content-Type: text/plain\n", page, nil},
	} {
		content := htmlMail(tt.fields, tt.page)
		req := request(content)
		if tt.change != nil {
			tt.change(&req)
		}
		p := r.Plan(req)
		if p.Reason() != tt.reason || p.Edited() || p.Stamp() != "" {
			t.Errorf("%.40q: reason %q, want %q", tt.page, p.Reason(), tt.reason)
		}
		if out := rendered(t, p, content, 1); !bytes.Equal(out, content) {
			t.Errorf("%s: not byte for byte", tt.reason)
		}
		if _, err := p.OpenURL(fakeLinker{}, 1); err == nil {
			t.Errorf("%s: a pixel for an untracked message", tt.reason)
		}
	}
}

// A linker whose tokens or whose code fail must never stop mail.
type brokenLinker struct{ fakeLinker }

func (brokenLinker) Key() mail.KeyID { panic("no keys") }

func TestPanicLeavesMailUntouched(t *testing.T) {
	r, err := New(Settings{BaseURL: testBase}, brokenLinker{})
	if err != nil {
		t.Fatal(err)
	}
	content := htmlMail("", `<a href="https://example.com/">x</a>`)
	p := r.Plan(request(content))
	if p.Reason() != ReasonInternal || !bytes.Equal(rendered(t, p, content, 1), content) {
		t.Errorf("reason %q", p.Reason())
	}
}

func TestRecipients(t *testing.T) {
	r := newRewriter(t, nil)
	content := htmlMail("", `<a href="https://example.com/">x</a>`)
	for _, tt := range []struct {
		name       string
		shared     bool
		recipients int
		differ     bool
		tokens     []string // that the copies of the recipients hold, in order
	}{
		{"one", false, 1, false, []string{"Ac0000100001"}},
		{"split", false, 2, true, []string{"Ac0000100001", "Ac0000200001"}},
		{"shared", true, 2, false, []string{"Ac0000000001", "Ac0000000001"}},
		{"shared by one", true, 1, false, []string{"Ac0000100001"}},
	} {
		req := request(content)
		req.Shared, req.Recipients = tt.shared, tt.recipients
		p := r.Plan(req)
		if p.PerRecipient() != tt.differ {
			t.Errorf("%s: PerRecipient %v", tt.name, p.PerRecipient())
		}
		for i, want := range tt.tokens {
			out := rendered(t, p, content, i+1)
			url, err := p.ClickURL(fakeLinker{}, 1, i+1)
			if err != nil || !bytes.Contains(out, []byte(want)) || !bytes.Contains(out, []byte(url)) {
				t.Errorf("%s: copy %d lacks %s or %s (%v)", tt.name, i+1, want, url, err)
			}
			open, err := p.OpenURL(fakeLinker{}, i+1)
			if err != nil || !bytes.Contains(out, []byte(open)) {
				t.Errorf("%s: copy %d lacks %s (%v)", tt.name, i+1, open, err)
			}
		}
	}
	p := r.Plan(request(content))
	for _, bad := range []int{0, 2, -1} {
		if err := p.WriteBody(new(bytes.Buffer), bytes.NewReader(content), fakeLinker{}, bad); err == nil {
			t.Errorf("a copy for recipient %d of 1", bad)
		}
	}
}

func TestWriteBodyWantsItsContent(t *testing.T) {
	r := newRewriter(t, nil)
	content := htmlMail("", `<a href="https://example.com/">x</a>`)
	p := r.Plan(request(content))
	other := bytes.NewReader(content[:len(content)-1])
	if err := p.WriteBody(new(bytes.Buffer), other, fakeLinker{}, 1); !errors.Is(err, errContent) {
		t.Errorf("WriteBody: %v", err)
	}
	if _, err := p.Header(other); !errors.Is(err, errContent) || p.BodySize(other) != -1 {
		t.Error("a size or header for other content")
	}
}

func TestEncodeRoundTrip(t *testing.T) {
	r := newRewriter(t, nil)
	for _, content := range [][]byte{
		htmlMail("X-Backstamp: stale\n", `<a href="https://example.com/">x</a> <a href="#y" data-no-track>y</a>`),
		htmlMail("Content-Transfer-Encoding: base64\n", "PGEgaHJlZj0iaHR0cHM6Ly9leGFtcGxlLmNvbSI+eDwvYT4=\n"),
		htmlMail("", strings.Repeat(`<a href="https://example.com/">x</a>`, 30)),
		htmlMail("", ""),
		[]byte("Subject: x\r\n\r\nplain\r\n"),
	} {
		p := r.Plan(request(content))
		q, err := Decode(p.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(q.Encode(), p.Encode()) || !slices.Equal(p.Links(), q.Links()) || p.Stamp() != q.Stamp() || p.Key() != q.Key() || p.BaseURL() != q.BaseURL() {
			t.Error("the plan changed in store")
		}
		if !bytes.Equal(rendered(t, p, content, 1), rendered(t, q, content, 1)) {
			t.Error("the copy changed in store")
		}
		for n := range p.Encode() {
			if _, err := Decode(p.Encode()[:n]); err == nil {
				t.Fatalf("a plan cut at %d was read", n)
			}
		}
	}
}

// TestPlanVersions reads plans as this release and the one before wrote them.
func TestPlanVersions(t *testing.T) {
	content := htmlMail("", clipped)
	p := newRewriter(t, nil).Plan(request(content))
	mailtest.Golden(t, "testdata/plan.v2", p.Encode())
	first := htmlMail("", `<a href="https://example.com/">x</a>`)
	for file, content := range map[string][]byte{"testdata/plan.v1": first, "testdata/plan.v2": content} {
		p := newRewriter(t, nil).Plan(request(content))
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		q, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		want := rendered(t, p, content, 1)
		if file == "testdata/plan.v1" { // whose pixel stood in the line
			want = bytes.Replace(want, []byte(";position:absolute"), nil, 1)
		}
		if !bytes.Equal(rendered(t, q, content, 1), want) || !slices.Equal(p.Notes(), q.Notes()) {
			t.Errorf("%s renders otherwise", file)
		}
	}
}

// clipped is a page that its tracking link makes too long for Gmail.
var clipped = `<a href="https://example.com/">x</a>` + strings.Repeat("<p>padding</p>\n", (clip-100)/16)

func TestNoteClip(t *testing.T) {
	r := newRewriter(t, nil)
	for page, want := range map[string][]string{
		clipped:                            {NoteClip},
		clipped[:len(clipped)-1600]:        nil,
		clipped + strings.Repeat(" ", 200): nil, // too long as it came
	} {
		for _, cte := range []string{"8bit", "quoted-printable", "base64"} {
			p := r.Plan(request(wrapHTML([]byte(mailtest.CRLF(page)), cte)))
			if !p.Edited() || !slices.Equal(p.Notes(), want) {
				t.Errorf("%s, %d bytes: notes %q, want %q", cte, len(page), p.Notes(), want)
			}
		}
	}
}

func TestGrowth(t *testing.T) {
	r := newRewriter(t, nil)
	link := `<a href="https://example.com/">x</a>`
	for _, content := range [][]byte{
		htmlMail("X-Backstamp: stale\n", link),
		htmlMail("Content-Transfer-Encoding: base64\n", "PGEgaHJlZj0iaHR0cHM6Ly9leGFtcGxlLmNvbSI+eDwvYT4=\n"),
		htmlMail("", strings.Repeat(link, 30)),
		[]byte("Subject: x\r\n\r\nplain\r\n"),
	} {
		p := r.Plan(request(content))
		if got, want := p.Growth(), len(rendered(t, p, content, 1))-len(content); got != int64(want) {
			t.Errorf("growth %d, want %d", got, want)
		}
	}
}

func TestStamp(t *testing.T) {
	r := newRewriter(t, nil)
	for _, content := range [][]byte{
		htmlMail("", `<a href="https://example.com/">x</a>`),
		[]byte("Content-Type: text/html\r\n\r\n<p>no Message-ID</p>\r\n"),
	} {
		p := r.Plan(request(content))
		copied := stamped(p, rendered(t, p, content, 1))
		if again := r.Plan(request(copied)); again.Reason() != ReasonRewritten {
			t.Errorf("rewritten twice: %q", again.Reason())
		}
	}
	p := r.Plan(request(htmlMail("", "<p>x</p>")))
	stolen := append([]byte("X-Backstamp: "+p.Stamp()+"\r\nX-Backstamp: x\r\n"), bytes.ReplaceAll(htmlMail("", "<p>x</p>"), []byte("<1@"), []byte("<2@"))...)
	q := r.Plan(request(stolen))
	header, err := q.Header(bytes.NewReader(stolen))
	if err != nil || !q.Edited() || bytes.Contains(header, []byte("X-Backstamp")) {
		t.Errorf("a stamp of another message: %q\n%s", q.Reason(), header)
	}
}

func TestMessageIDOfTheRelay(t *testing.T) {
	r := newRewriter(t, nil)
	req := request([]byte("Content-Type: text/html\r\n\r\n<p>x</p>\r\n"))
	req.MessageID = "<added@relay.example>"
	p := r.Plan(req)
	_, text, _ := strings.Cut(p.Stamp(), " ")
	if _, err := (fakeLinker{}).Verify(mail.PurposeStamp, text, req.MessageID); err != nil {
		t.Error(err)
	}
}

func TestKeepForeign(t *testing.T) {
	r := newRewriter(t, nil)
	content := htmlMail("", `<a data-pm-no-track href="https://example.com/" data-no-track>x</a>`)
	req := request(content)
	for keep, want := range map[bool]string{
		false: `<a href="https://example.com/">x</a>`,
		true:  `<a data-pm-no-track href="https://example.com/">x</a>`,
	} {
		req.KeepForeign = keep
		if out := rendered(t, r.Plan(req), content, 1); !bytes.Contains(out, []byte(want)) {
			t.Errorf("KeepForeign %v: %s", keep, out)
		}
	}
}

func TestOpensAndClicksApart(t *testing.T) {
	r := newRewriter(t, nil)
	content := htmlMail("", `<a href="https://example.com/">x</a>`)
	for _, tt := range []struct{ opens, clicks bool }{{true, false}, {false, true}} {
		req := request(content)
		req.Opens, req.Clicks = tt.opens, tt.clicks
		p := r.Plan(req)
		out := rendered(t, p, content, 1)
		if got := bytes.Contains(out, []byte("/o/")); got != tt.opens {
			t.Errorf("opens %v: pixel %v", tt.opens, got)
		}
		if got := bytes.Contains(out, []byte("/c/")); got != tt.clicks {
			t.Errorf("clicks %v: link %v", tt.clicks, got)
		}
		if !tt.clicks && p.Links()[0].Reason != LinkClicksOff {
			t.Errorf("reason %q", p.Links()[0].Reason)
		}
	}
}

func TestMaxURL(t *testing.T) {
	content := htmlMail("", `<a href="https://example.com/`+strings.Repeat("x", 100)+`">x</a>`)
	free, err := newRewriter(t, nil).Plan(request(content)).ClickURL(fakeLinker{}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]string{len(free): "", len(free) - 1: LinkTooLong} {
		r := newRewriter(t, func(s *Settings) { s.MaxURL = limit })
		if got := r.Plan(request(content)).Links()[0].Reason; got != want {
			t.Errorf("max_url %d for %d: %q, want %q", limit, len(free), got, want)
		}
	}
}

func TestPixelTop(t *testing.T) {
	r := newRewriter(t, func(s *Settings) { s.PixelTop = true })
	for page, want := range map[string]string{
		"<html><head></head><body class=x>a</body></html>": "<body class=x>@a",
		"<html><head></head><p>a":                          "</head>@<p>a",
		"<!DOCTYPE html><title>t</title> <p>a":             "</title> @<p>a",
		"text":                                             "@text",
		"\ufeff<!DOCTYPE html><html><body>a</body></html>": "\ufeff<!DOCTYPE html><html><body>@a",
		"\ufefftext":                                       "\ufeff@text",
		"\x1b$)C\n<html><body>a":                           "<body>@a",
		"\x1b$)C\ntext":                                    "\x1b$)C@\r\ntext",
	} {
		out := rendered(t, r.Plan(request(htmlMail("", page))), htmlMail("", page), 1)
		got := regexp.MustCompile(`<img [^>]*>`).ReplaceAll(out, []byte("@"))
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s: %s", page, got)
		}
	}
}

// Replies to replies nest thousands of elements in each other: they are tracked,
// also where the tree is needed to decide.
func TestDeepNesting(t *testing.T) {
	deep := strings.Repeat("<div><span>", 2500)
	for _, page := range []string{
		deep + `<a href="https://example.com/">x</a>`,
		deep + `<a href="https://example.com/">here</a>`,
		`<p data-no-track>x</p>` + deep + `<a href="https://example.com/">x</a>`,
	} {
		p := newRewriter(t, nil).Plan(request(htmlMail("", page)))
		if !p.Edited() || len(p.Links()) != 1 || p.Links()[0].Decision != mail.Tracked {
			t.Errorf("%.40q: reason %q, links %v", page, p.Reason(), p.Links())
		}
	}
}

// What a message asks for wins over the settings.
func TestPixelTopOfOneMessage(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		settings bool
		request  *bool
		top      bool
	}{{false, nil, false}, {true, nil, true}, {false, &yes, true}, {true, &no, false}} {
		r := newRewriter(t, func(s *Settings) { s.PixelTop = tt.settings })
		content := htmlMail("", "<body><p>x</p></body>")
		req := request(content)
		req.PixelTop = tt.request
		out := rendered(t, r.Plan(req), content, 1)
		if top := bytes.Contains(out, []byte("<body><img ")); top != tt.top || bytes.Contains(out, []byte("</p><img ")) == tt.top {
			t.Errorf("settings %v, request %v: %q", tt.settings, tt.request, out)
		}
	}
}
