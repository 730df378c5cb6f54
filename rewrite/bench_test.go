package rewrite

import (
	"bytes"
	"fmt"
	"io"
	"mime/quotedprintable"
	"testing"
)

// newsletter returns a multipart/alternative of about 60 KB of HTML with 80
// links, quoted-printable as mail software writes it.
func newsletter() []byte {
	var page bytes.Buffer
	page.WriteString("<!DOCTYPE html>\r\n<html><head><style>.c{padding:1px}</style><!--[if mso]><table><tr><td><![endif]--></head>\r\n<body><table width=\"600\">\r\n")
	for i := range 80 {
		fmt.Fprintf(&page, "<tr><td class=\"col\" style=\"padding:12px 24px;font-family:Arial,Helvetica,sans-serif;font-size:14px;color:#333333\">\r\n"+
			"<img src=\"https://img.example.com/%d.jpg\" width=\"180\" alt=\"café\" style=\"display:block;border:0\">\r\n"+
			"<p style=\"margin:0 0 10px 0\">Season account order größe garden coffee travel weekly report team launch note price winter summer naïve reader thanks invoice delivery account garden coffee travel weekly report team launch note price winter.</p>\r\n"+
			"<a href=\"https://shop.example.com/p/%d/offer?utm_source=mail&amp;utm_campaign=c%d&amp;id=%06x\" target=\"_blank\" style=\"color:#0b57d0;text-decoration:underline\"><b>Offer order update.</b></a>\r\n</td></tr>\r\n", i, i, i%9, i*7919)
	}
	page.WriteString("</table>\r\n<p><a href=\"https://example.com/unsubscribe?u=1\">Unsubscribe</a></p>\r\n</body></html>\r\n")
	var b bytes.Buffer
	b.WriteString("From: News <a@example.com>\r\nMessage-ID: <b@example.com>\r\nContent-Type: multipart/alternative; boundary=\"=_b\"\r\n\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nNews\r\n" +
		"--=_b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	w.Write(page.Bytes())
	w.Close()
	b.WriteString("\r\n--=_b--\r\n")
	return b.Bytes()
}

func BenchmarkPlan(b *testing.B) {
	r, content := newRewriter(b, nil), newsletter()
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		if p := r.Plan(request(content)); !p.Edited() {
			b.Fatal(p.Reason())
		}
	}
}

func BenchmarkPlanEncode(b *testing.B) {
	r, content := newRewriter(b, nil), newsletter()
	p := r.Plan(request(content))
	b.ReportMetric(float64(len(p.Encode())), "plan-bytes")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(p.Encode()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteBody(b *testing.B) {
	r, content := newRewriter(b, nil), newsletter()
	p := r.Plan(request(content))
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.WriteBody(io.Discard, bytes.NewReader(content), fakeLinker{}, 1); err != nil {
			b.Fatal(err)
		}
	}
}
