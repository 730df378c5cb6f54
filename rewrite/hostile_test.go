package rewrite

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostileMax is far from what anything takes here, on a busy machine too, and
// from what it would take if the cost grew with the square of the size.
const hostileMax = slowness * 5 * time.Second

// TestHostile plans what is made to exhaust: within seconds, within a few
// times its size in memory, never an error, and rendered byte for byte where
// nothing may be edited.
func TestHostile(t *testing.T) {
	page := func(html string) []byte { return htmlMail("", html) }
	multipart := func(body string) []byte {
		return wire([]byte(head + "Content-Type: multipart/mixed; boundary=b\n\n" + body))
	}
	repeat := strings.Repeat
	for _, tt := range []struct {
		name    string
		content []byte
		reason  string // "": edited
	}{
		{"10,000 nested parts", nestedParts(10_000), ReasonMIMELimits},
		{"10,000 nested messages", []byte(repeat("Content-Type: message/rfc822\r\n\r\n", 10_000)), ReasonForwarded},
		{"100,000 parts", multipart(repeat("--b\n\nx\n", 100_000)), ReasonMIMELimits},
		{"the same boundary nested", multipart(repeat("--b\nContent-Type: multipart/mixed; boundary=b\n\n", 5000)), ReasonMIMEBroken},
		{"a boundary of 1 MB", wire([]byte("Content-Type: multipart/mixed; boundary=\"" + repeat("b", 1<<20) + "\"\n\nx\n")), ReasonMIMELimits},
		{"300,000 header fields", wire([]byte(repeat("a: b\n", 300_000) + "\nx\n")), ReasonMIMELimits},
		{"a header field of 10 MB", wire([]byte("a: " + repeat("b", 10<<20) + "\n\nx\n")), ReasonMIMELimits},
		{"a megabyte of stamps", []byte(repeat("X-Backstamp:\r\n", maxHeader/15) + "Content-Type: text/html\r\n\r\nx\r\n"), ""},
		{"an attribute of 10 MB", page(`<p title="` + repeat("x", 10<<20) + `"><a href="https://example.com/">x</a>`), ReasonHTMLLimits},
		{"an href of 10 MB", page(`<a href="https://example.com/` + repeat("x", 10<<20) + `">x</a>`), ReasonHTMLLimits},
		{"an image of 2 MB in its tag", page(`<img src="data:image/png;base64,` + repeat("x", 2<<20) + `"><a href="https://example.com/">x</a>`), ""},
		{"100,000 attributes", page(`<p ` + attributes(100_000) + `>`), ReasonHTMLLimits},
		{"100,000 divs", page(repeat("<div>", 100_000)), ""},
		{"100,000 divs round a vague link", page(repeat("<div>", 100_000) + `<a href="https://example.com/">here</a>`), ReasonHTMLLimits},
		{"options below an open paragraph", page("<p><table><tr><td>" + repeat("<span>", maxNesting-20) + repeat("<option></option><p></p>", 60_000) + `<a href="https://example.com/">here</a>`), ""},
		{"200,000 links", page(repeat(`<a href="https://example.com/">x</a>`, 200_000)), ReasonHTMLLimits},
		{"10,000 links on one line", page(repeat(`<a href="https://example.com/">x</a>`, 10_000)), ""},
		{"10,000 links on one line of quoted-printable", htmlMail("Content-Transfer-Encoding: quoted-printable\n", repeat(`<a href=3D"https://example.com/">x</a>`, 10_000)), ""},
		{"5,000 vague links in one paragraph", page("<p>" + repeat(`<a href="https://example.com/">here</a> x `, 5000)), ""},
		{"open links within each other", page(repeat(repeat(`<v:rect href="https://example.com/">`, 400)+repeat(`</v:rect>`, 400), 20) + repeat("text ", 200_000)), ""},
		{"addresses that patterns look at for long", page(repeat(`<a href="https://example.com/`+repeat("verify-/expires=auth", 60)+`">x</a>`, 10_000)), ReasonHTMLLimits},
		{"comments never closed", page(repeat("<!--", 500_000)), ReasonNothing},
		{"conditional comments", page(repeat("<!--[if mso]>", 100_000/slowness)), ReasonNothing}, // the race detector looks at all that is left for each
		{"unclosed tags", page(repeat("<a href=", 300_000)), ReasonNothing},
		{"formatting elements", page("<p>" + repeat("<font a=1><b c=2>", 200) + "</p>" + repeat("<p>x</p>", 50_000)), ""},
		{"stray end tags", page(repeat("<i>", 500) + repeat("</b>", 300_000)), ""},
		{"entities", page(`<a href="https://example.com/` + repeat("&amp", 300_000) + `">x</a>`), ""},
		{"HTML of 24 MB", page(repeat("<p>x</p>\n", 24<<20/9)), ReasonHTMLLimits},
		{"base64 of 24 MB in one line", wire([]byte("Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n" + repeat("QUFB", 6<<20) + "\n")), ReasonHTMLLimits},
		{"quoted-printable without text", wire([]byte("Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n" + repeat("=\n", 2_000_000))), ReasonNothing},
		{"parameters", wire([]byte("Content-Type: text/html;" + repeat(" a=b;", 100_000) + "\n\nx\n")), ""},
		{"comments in a field", wire([]byte("Content-Type: text/html " + repeat("(", 500_000) + "\n\nx\n")), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRewriter(t, nil)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			p := r.Plan(request(tt.content))
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			out := rendered(t, p, tt.content, 1)
			if p.Reason() != tt.reason {
				t.Errorf("reason %q, want %q", p.Reason(), tt.reason)
			}
			if !p.Edited() && !bytes.Equal(out, tt.content) {
				t.Error("it changed")
			}
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d KB: %v, %d KB allocated", len(tt.content)>>10, took.Round(time.Millisecond), allocated>>10)
			if took > hostileMax {
				t.Errorf("took %v", took)
			}
			if limit := uint64(128<<20 + 60*len(tt.content)); allocated > limit {
				t.Errorf("allocated %d MB", allocated>>20)
			}
		})
	}
}

func nestedParts(depth int) []byte {
	var b bytes.Buffer
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.Bytes()
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d=1 ", i)
	}
	return b.String()
}
