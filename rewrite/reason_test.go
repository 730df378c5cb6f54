package rewrite

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

// reasons returns the values of the constants of reason.go whose names begin
// so, sorted.
func reasons(t *testing.T, prefix string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, prefix) {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	slices.Sort(values)
	return values
}

// TestReasonsAreExplained compares each list of constants with its table in
// docs/reasons.md, which must say more than the bare word.
func TestReasonsAreExplained(t *testing.T) {
	doc, err := os.ReadFile("../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	for prefix, heading := range map[string]string{"Reason": "## Messages", "Note": "## Notes", "Link": "## Links"} {
		_, section, found := strings.Cut(string(doc), "\n"+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		var explained []string
		for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|(.*)\\|(.*)\\|$").FindAllStringSubmatch(section, -1) {
			if explained = append(explained, m[1]); len(strings.Fields(m[2])) < 3 || strings.TrimSpace(m[3]) == "" {
				t.Errorf("%s: says too little", m[1])
			}
		}
		slices.Sort(explained)
		if want := reasons(t, prefix); !found || !slices.Equal(explained, want) {
			t.Errorf("reason.go has\n%v\ndocs/reasons.md has under %q\n%v", want, heading, explained)
		}
	}
}

// TestEveryMessageReason has a message end with each reason: none is dead.
func TestEveryMessageReason(t *testing.T) {
	r := newRewriter(t, nil)
	const page = `<a href="https://example.com/">x</a>`
	plain := func(fields, body string) []byte { return []byte(mailtest.CRLF(head + fields + "\n" + body)) }
	stampedCopy := func() []byte {
		content := htmlMail("", page)
		p := r.Plan(request(content))
		return append([]byte("X-Backstamp: "+p.Stamp()+"\r\n"), content...)
	}
	var seen []string
	for _, tt := range []struct {
		reason  string
		content []byte
		change  func(*Request)
	}{
		{ReasonOff, htmlMail("", page), func(r *Request) { r.Opens, r.Clicks = false, false }},
		{ReasonControl, htmlMail("", page), func(r *Request) { r.Off = ReasonControl }},
		{ReasonNoBaseURL, htmlMail("", page), func(r *Request) { r.Off = ReasonNoBaseURL }},
		{ReasonNullSender, htmlMail("", page), func(r *Request) { r.Off = ReasonNullSender }},
		{ReasonPrivacy, htmlMail("", page), func(r *Request) { r.Privacy = 0 }},
		{ReasonRewritten, stampedCopy(), nil},
		{ReasonNoHTML, plain("", "text\n"), nil},
		{ReasonNothing, htmlMail("", "text"), func(r *Request) { r.Opens = false }},
		{ReasonSigned, plain("Content-Type: multipart/signed; boundary=b\n", "--b\nContent-Type: text/html\n\n"+page+"\n--b--\n"), nil},
		{ReasonEncrypted, plain("Content-Type: multipart/encrypted; boundary=b\n", "--b\nContent-Type: text/html\n\n"+page+"\n--b--\n"), nil},
		{ReasonReport, plain("Content-Type: multipart/report; boundary=b\n", "--b\nContent-Type: text/html\n\n"+page+"\n--b--\n"), nil},
		{ReasonAttachment, htmlMail("Content-Disposition: attachment; filename=a.html\n", page), nil},
		{ReasonForwarded, plain("Content-Type: message/rfc822\n", "Content-Type: text/html\n\n"+page), nil},
		{ReasonHeaderBroken, htmlMail("Content-Type: text/plain\n", page), nil},
		{ReasonMIMEBroken, plain("Content-Type: multipart/mixed\n", page), nil},
		{ReasonMIMELimits, htmlMail("X: "+strings.Repeat("x", maxHeader)+"\n", page), nil},
		{ReasonEncodingUnknown, htmlMail("Content-Transfer-Encoding: x-uuencode\n", page), nil},
		{ReasonEncodingBroken, htmlMail("Content-Transfer-Encoding: base64\n", "<!>"), nil},
		{ReasonCharsetUnknown, plain("Content-Type: text/html; charset=johab\n", page+"\xb0\xa1"), nil},
		{ReasonCharsetWide, plain("Content-Type: text/html; charset=utf-16\n", page), nil},
		{ReasonCharsetBroken, htmlMail("", "\x1b$B$3$s\n"+page), nil},
		{ReasonHTMLLimits, htmlMail("", strings.Repeat(page, maxAnchors+1)), nil},
	} {
		req := request(tt.content)
		if tt.change != nil {
			tt.change(&req)
		}
		if p := r.Plan(req); p.Reason() != tt.reason {
			t.Errorf("%.80q: %q, want %q", tt.content, p.Reason(), tt.reason)
		}
		seen = append(seen, tt.reason)
	}
	broken, err := New(Settings{BaseURL: testBase}, brokenLinker{})
	if err != nil {
		t.Fatal(err)
	}
	seen = append(seen, broken.Plan(request(htmlMail("", page))).Reason()) // internal
	slices.Sort(seen)
	if want := reasons(t, "Reason"); !slices.Equal(seen, want) {
		t.Errorf("seen\n%v\nof\n%v", seen, want)
	}
}

// TestEveryLinkReason has a link end with each reason: none is dead.
func TestEveryLinkReason(t *testing.T) {
	r := newRewriter(t, func(s *Settings) {
		s.ExcludeDomains, s.Selectors, s.Patterns = []string{"excluded.example"}, []string{".footer a"}, []string{"/keep/"}
	})
	var seen []string
	for _, tt := range []struct{ reason, fields, page string }{
		{LinkScheme, "", `<a href="mailto:a@example.com">x</a>`},
		{LinkFragment, "", `<a href="#top">x</a>`},
		{LinkEmpty, "", `<a href="">x</a>`},
		{LinkRelative, "", `<base href="https://example.com/"><a href="x">x</a>`},
		{LinkPlaceholder, "", `<a href="{{url}}">x</a>`},
		{LinkUnsubscribe, "", `<a href="https://example.com/">Unsubscribe</a>`},
		{LinkUnsubscribe, "", `<a href="https://example.com/unsubscribe">x</a>`},
		{LinkUnsubscribe, "", `<p>To unsubscribe click <a href="https://example.com/">here</a>.</p>`},
		{LinkUnsubscribe, "List-Unsubscribe: <mailto:a@example.com>,\n <https://example.com/u?x=1>\n", `<a href="https://example.com/u?x=1">x</a>`},
		{LinkOneTime, "", `<a href="https://example.com/reset-password?token=abc">x</a>`},
		{LinkOurs, "", `<a href="` + testBase + `/c/x">x</a>`},
		{LinkDomain, "", `<a href="https://www.excluded.example:8443/">x</a>`},
		{LinkSelector, "", `<div class="footer"><a href="https://example.com/">x</a></div>`},
		{LinkPattern, "", `<a href="https://example.com/keep/x">x</a>`},
		{LinkOptOut, "", `<div data-track="false"><a href="https://example.com/">x</a></div>`},
		{LinkTooLong, "", `<a href="https://example.com/` + strings.Repeat("x", 2000) + `">x</a>`},
		{LinkTooLong, "", `<a href="https://example.com/` + strings.Repeat("x", 9000) + `">x</a>`},
		{LinkCharset, "X-Charset: below\n", "<a href=\"https://example.com/\xff\">x</a>"},
		{LinkControl, "", `<a href="https://example.com/&#10;">x</a>`},
		{LinkBroken, "", `<a href="https:///x">x</a>`},
	} {
		links := r.Plan(request(htmlMail(tt.fields, tt.page))).Links()
		if len(links) != 1 || links[0].Reason != tt.reason {
			t.Errorf("%.80q: %+v, want %q", tt.page, links, tt.reason)
		}
		seen = append(seen, tt.reason)
	}
	req := request(htmlMail("", `<a href="https://example.com/">x</a>`))
	req.Clicks = false
	seen = append(seen, r.Plan(req).Links()[0].Reason) // clicks-off
	slices.Sort(seen)
	if want := reasons(t, "Link"); !slices.Equal(slices.Compact(seen), want) {
		t.Errorf("seen\n%v\nof\n%v", seen, want)
	}
}
