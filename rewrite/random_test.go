package rewrite_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"backstamp/internal/damage"
)

// pieces are what random pages are made of: links in every spelling, what ends
// and hides them, what transfer encodings and relays trip over, and letters of
// charsets that shift.
var pieces = []string{
	"<html>", "<body class=x>", "</body>", "</BODY >", "</html>", "<p>", "</p>", "<div>", "</div>", "<table><tr><td>", "</td></tr></table>", "<head>", "</head>",
	`<a href="https://example.com/a?b=1&amp;c=2">`, `<a href='http://example.com/b'>`, `<a href=https://example.com/c>`, `<a class=x href = "https://example.com/d" title="t">`,
	`<A HREF="HTTPS://EXAMPLE.COM/">`, `<a href="https://example.com/1" href="https://example.com/2">`, `<a href=" https://example.com/blank ">`, `<a href="https://example.com/&#x41;&lt;&copy=1">`,
	`<a href="mailto:x@example.com">`, `<a href="#f">`, `<a href="https://example.com/e" data-track="false">`, `<a clicktracking=off href="https://example.com/f">`,
	"<a href=\"https://example.com/g\"\r\n  data-no-track\r\n  title=x>", `<a ses:no-track="x"href="https://example.com/h">`, `<td data-pm-no-track>`, `<a href=https+notrack://example.com/>`,
	`<a href="https://example.com/` + strings.Repeat("long/", 60) + `">`, "</a>", "text ", "한글 ", " \r\n", ".\r\n", "From me\r\n", "= ", "=3D", "<!-- ", " -->", "--!>", "<!--[if mso]>", "<!--[if !mso]><!-->",
	"<![endif]-->", `<v:rect href="https://example.com/v">`, "</v:rect>", "<style>", "</style>", "<textarea>", "</textarea>", "<noscript>", "</noscript>", "<script>", "</script>", "<![CDATA[", "]]>", "<svg>", "</svg>",
	"&nbsp;", "\"", "'", ">", "<", "</", "<a", "<?x>", "<!doctype html>", "<plaintext>", "\t", "\f", strings.Repeat("no break ", 120), `<area href="https://example.com/area">`, "-- \r\n", "--=_inner\r\n",
	"\x1b$B$3$s\x1b(B", "\x1b$)C\r\n", "\x0e1b\x0f", "~{<:Ky~}", "\n", "\xb0\xa1", "\x80", "\xef\xbb\xbf", `<a href="https://t.example.net/c/x">`, `<img src=x alt="here">`,
}

// randomMail draws a message, its lines ending as on the wire or as they like.
func randomMail(t *rapid.T) []byte {
	content := append([]byte("From: a@example.com\r\nMessage-ID: <1@example.com>\r\n"), randomEntity(t, 0)...)
	if rapid.Bool().Draw(t, "wire") {
		return damage.Wire(content)
	}
	return content
}

// randomEntity draws a part: a page of pieces, something that is none, or a
// multipart of parts, well made or not.
func randomEntity(t *rapid.T, depth int) []byte {
	switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
	case kind < 5 || depth > 3:
		page := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 30).Draw(t, "page"), "")
		charset := rapid.SampledFrom([]string{"utf-8", "euc-kr", "iso-2022-jp", "iso-2022-kr", "hz-gb-2312", "us-ascii", "", "shift_jis"}).Draw(t, "charset")
		encoding := rapid.SampledFrom([]string{"8bit", "quoted-printable", "base64"}).Draw(t, "encoding")
		media := rapid.SampledFrom([]string{"text/html", "TEXT/HTML", "text/html (a page)", "\r\n text/html"}).Draw(t, "media")
		return damage.Entity(media, []byte(page), charset, encoding)
	case kind < 7:
		media := rapid.SampledFrom([]string{"text/plain", "image/png; name=x.png", "text/html; name=x.html", "message/rfc822", "text/x-amp-html", "text/calendar"}).Draw(t, "media")
		return damage.Entity(media, []byte("<a href=\"https://example.com/\">x</a>\r\n"), "", "7bit")
	}
	media := rapid.SampledFrom([]string{"mixed", "alternative", "related", "mixed", "signed", "report", "digest"}).Draw(t, "multipart")
	boundary := rapid.SampledFrom([]string{"b", "bb", "b-", "--b", "=_x", "b b", "B"}).Draw(t, "boundary")
	var out bytes.Buffer
	fmt.Fprintf(&out, "Content-Type: multipart/%s; boundary=%q\r\n\r\n", media, boundary)
	out.WriteString(rapid.SampledFrom([]string{"", "preamble\r\n", "--b-\r\n"}).Draw(t, "preamble"))
	for range rapid.IntRange(0, 3).Draw(t, "parts") {
		fmt.Fprintf(&out, "--%s%s\r\n%s%s", boundary, rapid.SampledFrom([]string{"", "", " \t"}).Draw(t, "blanks"), randomEntity(t, depth+1),
			rapid.SampledFrom([]string{"\r\n", "\r\n", ""}).Draw(t, "line end"))
	}
	out.WriteString(rapid.SampledFrom([]string{"--" + boundary + "--\r\n", "--" + boundary + "--", "", "--" + boundary + "--\r\nepilogue\r\n"}).Draw(t, "close"))
	return out.Bytes()
}

// TestRandomMail proves of random mail what is proven of real mail.
func TestRandomMail(t *testing.T) {
	v := newProver(t)
	edited := 0
	rapid.Check(t, func(t *rapid.T) {
		content := randomMail(t)
		p, err := v.prove(content)
		if err != nil {
			t.Fatalf("%v\n%q\n--\n%q", err, content, p.copied)
		}
		if p.plan.Edited() {
			edited++
		}
	})
	if edited == 0 {
		t.Error("nothing was edited")
	}
}

// TestRandomLines proves it of lines of every length in quoted-printable that
// no encoder would write: blanks at their ends, soft breaks anywhere, escapes
// in lower case, lines of 76 and more.
func TestRandomLines(t *testing.T) {
	v := newProver(t)
	bits := []string{"=\r\n", " =\r\n", "=\t\r\n", "=3d", "=3D", "=20", "=20\r\n", " \r\n", "\r\n", "x", strings.Repeat("x", 30), strings.Repeat("=EA=B0=80", 8), ".", "From ", "-",
		"<a href=3D\"https://example.com/\">", "<a hr=\r\nef=3D\"https://exa=\r\nmple.com/\">", "<a href=3Dhttps://example.com/ >", "</a>", "<p data-no-track>", "</body>", strings.Repeat("y", 74), strings.Repeat("z", 76)}
	rapid.Check(t, func(t *rapid.T) {
		body := strings.Join(rapid.SliceOfN(rapid.SampledFrom(bits), 1, 40).Draw(t, "body"), "")
		content := fmt.Appendf(nil, "From: a@example.com\r\nMessage-ID: <1@example.com>\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n%s\r\n", body)
		if p, err := v.prove(content); err != nil {
			t.Fatalf("%v\n%q\n--\n%q", err, content, p.copied)
		}
	})
}

// TestRandomBase64 proves it of base64 in lines of any width, with blanks and
// empty lines around, and without a last line end.
func TestRandomBase64(t *testing.T) {
	v := newProver(t)
	rapid.Check(t, func(t *rapid.T) {
		content := damage.Mail([]byte(strings.Repeat("<a href=https://example.com/>x</a> 한글\r\n", rapid.IntRange(1, 20).Draw(t, "links"))), "utf-8", "base64")
		head, body, _ := bytes.Cut(content, []byte("\r\n\r\n"))
		packed := bytes.Join(bytes.Fields(body), nil)
		out := append(bytes.Clone(head), "\r\n\r\n"...)
		out = append(out, rapid.SampledFrom([]string{"", "\r\n", " ", "\t\r\n\r\n"}).Draw(t, "lead")...)
		width := rapid.IntRange(1, 200).Draw(t, "width")
		for len(packed) > 0 {
			n := min(width, len(packed))
			out = append(append(out, packed[:n]...), rapid.SampledFrom([]string{"\r\n", " \r\n"}).Draw(t, "end")...)
			packed = packed[n:]
		}
		out = append(bytes.TrimRight(out, "\r\n"), rapid.SampledFrom([]string{"", "\r\n", "\r\n\r\n"}).Draw(t, "tail")...)
		if p, err := v.prove(out); err != nil || !p.plan.Edited() {
			t.Fatalf("%v %q\n%q\n--\n%q", err, p.plan.Reason(), out, p.copied)
		}
	})
}
