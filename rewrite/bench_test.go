package rewrite

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"

	"backstamp/mail"
)

// newsletter returns a page as shops send it: 500 bytes a row, one link each,
// and one to unsubscribe.
func newsletter(rows int) []byte {
	var page bytes.Buffer
	page.WriteString("<!DOCTYPE html>\r\n<html><head><style>.c{padding:1px}</style><!--[if mso]><table><tr><td><![endif]--></head>\r\n<body><table width=\"600\">\r\n")
	for i := range rows {
		fmt.Fprintf(&page, "<tr><td class=\"col\" style=\"padding:12px 24px;font-family:Arial,Helvetica,sans-serif;font-size:14px;color:#333333\">\r\n"+
			"<img src=\"https://img.example.com/%d.jpg\" width=\"180\" alt=\"café\" style=\"display:block;border:0\">\r\n"+
			"<p style=\"margin:0 0 10px 0\">Season account order größe garden coffee travel weekly report team launch note.</p>\r\n"+
			"<a href=\"https://shop.example.com/p/%d/offer?utm_source=mail&amp;utm_campaign=c%d&amp;id=%06x\" target=\"_blank\" style=\"color:#0b57d0;text-decoration:underline\"><b>Order update.</b></a>\r\n</td></tr>\r\n", i, i, i%9, i*7919)
	}
	page.WriteString("</table>\r\n<p><a href=\"https://example.com/unsubscribe?u=1\">Unsubscribe</a></p>\r\n</body></html>\r\n")
	return page.Bytes()
}

// letter returns a message with the page and, where attached is not 0, an
// attachment of about so many bytes.
func letter(page []byte, encoding string, attached int) []byte {
	var b bytes.Buffer
	b.WriteString("From: News <a@example.com>\r\nMessage-ID: <b@example.com>\r\nContent-Type: multipart/mixed; boundary=\"=_m\"\r\n\r\n" +
		"--=_m\r\nContent-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nNews\r\n" +
		"--=_b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n")
	switch encoding {
	case "quoted-printable":
		w := quotedprintable.NewWriter(&b)
		w.Write(page)
		w.Close()
	case "base64":
		b.Write(base64Lines(page))
	default:
		b.Write(page)
	}
	b.WriteString("\r\n--=_b--\r\n")
	if attached > 0 {
		b.WriteString("--=_m\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		b.Write(base64Lines(bytes.Repeat([]byte("0123456789-\xff"), attached/16)))
	}
	b.WriteString("--=_m--\r\n")
	return b.Bytes()
}

func base64Lines(b []byte) []byte {
	var out bytes.Buffer
	for text := base64.StdEncoding.EncodeToString(b); text != ""; {
		n := min(76, len(text))
		out.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	return out.Bytes()
}

// BenchmarkDecide measures what it costs to decide about the links of a page
// of 42 KB with 82 links and to write it with them, the message round it
// included. Beside it stands what others would do with the page: parse, edit
// and render it with goquery; and read it with the tokenizer of x/net/html,
// which is as fast as anything can be that uses it.
func BenchmarkDecide(b *testing.B) {
	page := newsletter(81)
	content := letter(page, "8bit", 0)
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
	decide := func(r *Rewriter) func() {
		return func() {
			p := r.Plan(request(content))
			if !p.Edited() || len(p.Links()) != 82 {
				b.Fatal(p.Reason(), len(p.Links()))
			}
			if err := p.WriteBody(io.Discard, bytes.NewReader(content), plainLinker{}, 1); err != nil {
				b.Fatal(err)
			}
		}
	}
	run("plain", decide(newRewriter(b, nil)))
	run("selector", decide(newRewriter(b, func(s *Settings) { s.Selectors = []string{".footer a"} })))
	run("goquery", func() {
		doc, err := goquery.NewDocumentFromReader(bytes.NewReader(page))
		if err != nil {
			b.Fatal(err)
		}
		doc.Find("a[href]").SetAttr("href", testBase+"/c/token.destination")
		if _, err := doc.Html(); err != nil {
			b.Fatal(err)
		}
	})
	run("tokenizer", func() {
		for z := html.NewTokenizer(bytes.NewReader(page)); z.Next() != html.ErrorToken; {
		}
	})
}

// BenchmarkPlan plans messages of all sizes; those named after a file hold a
// page of the corpus.
func BenchmarkPlan(b *testing.B) {
	messages := []struct {
		name    string
		content []byte
	}{
		{"text-2K", wire([]byte(head + "Content-Type: text/plain\n\n" + strings.Repeat("A line of text, and nothing to track in it.\n", 45)))},
		{"html-10K", letter(newsletter(18), "quoted-printable", 0)},
		{"html-50K", letter(newsletter(98), "quoted-printable", 0)},
		{"html-50K-base64", letter(newsletter(98), "base64", 0)},
		{"html-100K", letter(newsletter(198), "quoted-printable", 0)},
		{"html-50K-attachment-1M", letter(newsletter(98), "quoted-printable", 1<<20)},
		{"html-50K-attachment-10M", letter(newsletter(98), "quoted-printable", 10<<20)},
	}
	for _, name := range []string{"sendwithus/templates/meow/receipt.html", "sendwithus/templates/goldstar/invoice.html", "foundation/templates/newsletter.html"} {
		page, err := os.ReadFile(filepath.Join(os.Getenv("BACKSTAMP_CORPUS"), "html", name))
		if err != nil {
			b.Logf("without the corpus: %v", err)
			continue
		}
		messages = append(messages, struct {
			name    string
			content []byte
		}{filepath.Base(name), letter(wire(page), "quoted-printable", 0)})
	}
	r := newRewriter(b, nil)
	for _, m := range messages {
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(int64(len(m.content)))
			b.ReportAllocs()
			for b.Loop() {
				r.Plan(request(m.content))
			}
		})
	}
}

// BenchmarkRecipient writes the copy of one more recipient, 2nd to 100th alike,
// beside a copy of the same bytes without a change.
func BenchmarkRecipient(b *testing.B) {
	r := newRewriter(b, nil)
	for _, encoding := range []string{"8bit", "quoted-printable", "base64"} {
		for _, attached := range []int{0, 10 << 20} {
			content := letter(newsletter(98), encoding, attached)
			req := request(content)
			req.Recipients = 100
			p := r.Plan(req)
			name := fmt.Sprintf("%s-%dK", encoding, len(content)>>10)
			b.Run(name, func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				b.ReportAllocs()
				for b.Loop() {
					if err := p.WriteBody(discard{}, bytes.NewReader(content), plainLinker{}, 2); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"-copy", func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				b.ReportAllocs()
				for b.Loop() {
					io.Copy(discard{}, io.NewSectionReader(bytes.NewReader(content), 0, int64(len(content))))
				}
			})
		}
	}
}

// A plainLinker makes tokens that cost nothing: what real ones cost is the
// business of package track.
type plainLinker struct{ fakeLinker }

func (plainLinker) AppendToken(dst []byte, _ mail.Token) ([]byte, error) {
	return append(dst, placeholder...), nil
}

// A discard is io.Discard without the short cuts.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkPlanEncode(b *testing.B) {
	p := newRewriter(b, nil).Plan(request(letter(newsletter(98), "quoted-printable", 0)))
	b.ReportMetric(float64(len(p.Encode())), "plan-bytes")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(p.Encode()); err != nil {
			b.Fatal(err)
		}
	}
}
