package rewrite

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRandomPages puts pages of random pieces into mail of every encoding and
// has the copies judged by the checker, which shares no code with the engine.
func TestRandomPages(t *testing.T) {
	r := newRewriter(t, nil)
	bits := []string{
		"<html>", "<body class=x>", "</body>", "</BODY >", "</html>", "<p>", "</p>", "<div>", "</div>", "<table><tr><td>", "</td></tr></table>",
		`<a href="https://example.com/a?b=1&amp;c=2">`, `<a href='http://example.com/b'>`, `<a href=https://example.com/c>`, `<a class=x href = "https://example.com/d" title="t">`,
		`<a href="mailto:x@example.com">`, `<a href="#f">`, `<a href="https://example.com/e" data-track="false">`, `<a clicktracking=off href="https://example.com/f">`,
		"<a href=\"https://example.com/g\"\r\n  data-no-track\r\n  title=x>", `<a ses:no-track="x"href="https://example.com/h">`, `<td data-pm-no-track>`,
		`<a href="https://example.com/` + strings.Repeat("long/", 60) + `">`, "</a>", "text ", "한글 ", " \r\n", ".\r\n", "From me\r\n", "= ", "=3D", "<!-- ", " -->", "<!--[if mso]>",
		"<![endif]-->", `<v:rect href="https://example.com/v">`, "</v:rect>", "<style>", "</style>", "<textarea>", "</textarea>", "<noscript>", "</noscript>", "&nbsp;", "\"", "'", ">", "<",
		strings.Repeat("no break ", 120), `<area href="https://example.com/area">`, "-- \r\n",
	}
	rapid.Check(t, func(t *rapid.T) {
		page := strings.Join(rapid.SliceOfN(rapid.SampledFrom(bits), 1, 30).Draw(t, "page"), "")
		cte := rapid.SampledFrom([]string{"8bit", "quoted-printable", "base64"}).Draw(t, "cte")
		content := wrapHTML([]byte(page), cte)
		p := r.Plan(request(content))
		out, err := render(p, content, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := judgeCopy(p, content, out); err != nil {
			t.Fatalf("%v\n%s\n--\n%s", err, content, out)
		}
	})
}
