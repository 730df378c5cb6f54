package rewrite_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"backstamp/internal/damage"
	"backstamp/rewrite"
)

// TestGrowth plans what is made to exhaust, and four times as much of it: that
// may take about four times as long and as much memory, not sixteen times.
func TestGrowth(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures, which says nothing beside the race detector; the full test runs it")
	}
	v := newProver(t)
	repeat := strings.Repeat
	page := func(html string) []byte { return damage.Mail([]byte(html), "utf-8", "8bit") }
	multipart := func(boundary, body string) []byte {
		return []byte("From: a@example.com\r\nContent-Type: multipart/mixed; boundary=\"" + boundary + "\"\r\n\r\n" + body)
	}
	const link = `<a href="https://example.com/">x</a>`
	for _, tt := range []struct {
		name string
		n    int // as many as are within bounds when four times as many
		make func(n int) []byte
	}{
		{"nested parts", 2_500, func(n int) []byte {
			return []byte(repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", n))
		}},
		{"parts", 2_400, func(n int) []byte { return multipart("b", repeat("--b\r\n\r\nx\r\n", n)) }},
		{"too many parts", 250_000, func(n int) []byte { return multipart("b", repeat("--b\r\n\r\nx\r\n", n)) }},
		{"what looks like a boundary", 250_000, func(n int) []byte { return multipart("bbbbbbbb", "--bbbbbbbb\r\n\r\n"+repeat("--bbbbbbb\r\n", n)) }},
		{"a long boundary", 250_000, func(n int) []byte { return multipart(repeat("b", n), "--"+repeat("b", n)+"\r\n\r\nx\r\n") }},
		{"an attribute", 1_500_000, func(n int) []byte { return page(`<p title="` + repeat("x", n) + `">` + link) }},
		{"quotes in a tag", 500_000, func(n int) []byte { return page("<p " + repeat(`"'`, n) + ">" + link) }},
		{"a tag without an end", 1_500_000, func(n int) []byte { return page(link + "<a href=" + repeat("x ", n)) }},
		{"attributes of one tag", 75_000, func(n int) []byte { return page("<p " + repeat("a ", n) + ">" + link) }},
		{"elements in each other", 25_000, func(n int) []byte { return page(repeat("<div>", n) + link) }},
		{"vague links in elements in each other", 1_000, func(n int) []byte {
			return page(repeat("<div>", 400) + repeat(`<a href="https://example.com/">here</a>`, n))
		}},
		{"opt-outs in each other", 10_000, func(n int) []byte { return page(repeat("<div data-no-track>", n) + link) }},
		{"links", 2_400, func(n int) []byte { return page(repeat(link+"\r\n", n)) }},
		{"links on one line", 2_400, func(n int) []byte { return page(repeat(link, n)) }},
		{"too many links", 25_000, func(n int) []byte { return page(repeat(link, n)) }},
		{"open comments", 250_000, func(n int) []byte { return page(link + repeat("<!--", n)) }},
		{"conditional comments in each other", 100_000, func(n int) []byte { return page(link + repeat("<!--[if mso]>", n)) }},
		{"noscript in each other", 100_000, func(n int) []byte { return page(link + repeat("<noscript>", n)) }},
		{"almost end tags", 250_000, func(n int) []byte { return page(link + "<style>" + repeat("</styl", n)) }},
		{"script that begins comments", 100_000, func(n int) []byte { return page(link + "<script>" + repeat("<!--<script>", n)) }},
		{"CDATA", 250_000, func(n int) []byte { return page(link + repeat("<![CDATA[", n)) }},
		{"entities", 100_000, func(n int) []byte { return page("<a href=\"https://example.com/" + repeat("&amp", n) + "\">x</a>") }},
		{"soft breaks", 250_000, func(n int) []byte {
			return []byte("From: a@example.com\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + repeat("=\r\n", n) + "<a href=3Dhttps://example.com/>x</a>\r\n")
		}},
		{"shifts", 250_000, func(n int) []byte { return page(repeat("\x0e!!\x0f", n) + link) }},
		{"List-Unsubscribe", 10_000, func(n int) []byte {
			return append([]byte("List-Unsubscribe: "+repeat("<https://example.com/>,", n)+"\r\n"), page(link)...)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			took, allocated := cost(v, tt.make(tt.n))
			took4, allocated4 := cost(v, tt.make(4*tt.n))
			t.Logf("%v, then %v; %d KB, then %d KB", took.Round(time.Microsecond), took4.Round(time.Microsecond), allocated>>10, allocated4>>10)
			if took4 > 10*took+200*time.Millisecond {
				t.Errorf("%v became %v", took, took4)
			}
			if allocated4 > 8*allocated+4<<20 {
				t.Errorf("%d KB became %d KB", allocated>>10, allocated4>>10)
			}
		})
	}
}

// cost returns the shortest time that planning took, and what it allocated.
func cost(v prover, content []byte) (took time.Duration, allocated uint64) {
	took = time.Hour
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		v.Plan(request(content))
		took = min(took, time.Since(start))
		runtime.ReadMemStats(&after)
		allocated = after.TotalAlloc - before.TotalAlloc
	}
	return took, allocated
}

// TestCutPages proves pages that end in the middle of something, and what else
// browsers forgive: the link before is tracked, and nothing is damaged.
func TestCutPages(t *testing.T) {
	v := newProver(t)
	const link = "<p>Hello <a href=\"https://example.com/\">x</a></p>\r\n"
	for _, end := range []string{
		"<!-- never closed", "<!--[if mso]>", "<!--", "<!-", "<!", "<", "<a", "<a ", "<a href", "<a href=", "<a href=\"", "<a href=\"https://example.com/", "<a href=https://example.com/", "</", "</a", "</a ",
		"<style>p{}", "<script>x", "<textarea>x", "<title>x", "<plaintext>", "<xmp>x", "<iframe>x", "<noscript>x", "<noscript><a href=", "<![CDATA[x", "<svg><![CDATA[x", "<?xml", "&amp", "&", "&#",
		"\x00", "\x00<a href=\"https://example.com/\x00\">", "</body", "</body>", "</body></html>", "</html><!--", "<select><option>", "<table><tr>", strings.Repeat("<font>", 5000), strings.Repeat("<div>", 5000),
	} {
		for _, encoding := range []string{"8bit", "quoted-printable", "base64"} {
			p, err := v.prove(damage.Mail([]byte(link+end), "utf-8", encoding))
			if err != nil {
				t.Errorf("%.40q, %s: %v", end, encoding, err)
			} else if len(p.seen.Links) == 0 || p.seen.Links[0] != "https://example.com/" || p.seen.Pixels != 1 {
				t.Errorf("%.40q, %s: links %q, %d pixels, reason %q", end, encoding, p.seen.Links, p.seen.Pixels, p.plan.Reason())
			}
		}
	}
	nested := damage.Mail([]byte(strings.Repeat("<div>", 5000)+link+strings.Repeat("</div>", 5000)), "utf-8", "8bit")
	if p, err := v.prove(nested); err != nil || len(p.seen.Links) != 1 {
		t.Errorf("5,000 elements in each other: %d links, %v", len(p.seen.Links), err)
	}
	many := damage.Mail([]byte("<p "+strings.Repeat("a ", 300_000)+">"+link), "utf-8", "8bit")
	if p, err := v.prove(many); err != nil || p.plan.Reason() != rewrite.ReasonHTMLLimits {
		t.Errorf("300,000 attributes: reason %q, %v", p.plan.Reason(), err)
	}
}
