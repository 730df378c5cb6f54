package rewrite_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/korean"

	"backstamp/internal/damage"
	"backstamp/mail"
	"backstamp/rewrite"
)

// koreanPage has letters that EUC-KR lacks (똠, 펲, 햏) where wide is set.
func koreanPage(wide bool) string {
	word := "뜻"
	if wide {
		word = "똠펲햏"
	}
	return "<html><body><p>안녕하세요, " + word + " 고객님.</p>\r\n<p><a href=\"https://example.com/sale?a=1&amp;b=2\">여름 " + word +
		" 할인</a> <a href='https://example.com/unsub'>수신거부</a></p>\r\n<p>가격: <b>1,000원</b></p></body></html>\r\n"
}

// inCharset encodes a page in CP949, of which EUC-KR is a part.
func inCP949(t testing.TB, page string) []byte {
	t.Helper()
	b, err := korean.EUCKR.NewEncoder().Bytes([]byte(page))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shiftOut writes EUC-KR as ISO-2022-KR (RFC 1557): a designator in the first
// line, and runs of Korean between SO and SI.
func shiftOut(text []byte) []byte {
	out := []byte("\x1b$)C\r\n")
	high := false
	for _, c := range text {
		if now := c >= 0x80; now != high {
			high = now
			out = append(out, map[bool]byte{true: 0x0e, false: 0x0f}[now])
		}
		out = append(out, c&0x7f)
	}
	return out
}

// A koreanMail is a page in some charset, labelled rightly or not.
type koreanMail struct {
	name   string
	page   []byte
	label  string // of Content-Type, "" for none
	shown  string // in what a browser must be told the page is, to read it
	labels bool   // the engine can read the labels of links
}

func koreanMails(t testing.TB) []koreanMail {
	t.Helper()
	plain, wide := koreanPage(false), koreanPage(true)
	euc, cp949 := inCP949(t, plain), inCP949(t, wide)
	return []koreanMail{
		{"UTF-8", []byte(wide), "utf-8", "utf-8", true},
		{"EUC-KR", euc, "euc-kr", "euc-kr", true},
		{"ks_c_5601-1987", euc, "ks_c_5601-1987", "euc-kr", true},
		{"CP949", cp949, "cp949", "euc-kr", true},
		{"CP949 labelled euc-kr", cp949, "euc-kr", "euc-kr", true},
		{"CP949 labelled ks_c_5601-1987", cp949, "ks_c_5601-1987", "euc-kr", true},
		{"ISO-2022-KR", shiftOut(euc), "iso-2022-kr", "iso-2022-kr", true},
		{"ISO-2022-KR labelled euc-kr", shiftOut(euc), "euc-kr", "iso-2022-kr", true},
		{"EUC-KR labelled utf-8", euc, "utf-8", "euc-kr", false},
		{"UTF-8 labelled euc-kr", []byte(wide), "euc-kr", "utf-8", false},
		{"EUC-KR without a label", euc, "", "euc-kr", false},
		{"CP949 labelled us-ascii", cp949, "us-ascii", "euc-kr", false},
	}
}

// TestKorean proves Korean mail in every charset and encoding, under right and
// wrong labels: the link is tracked, the other left for what it says where the
// label can be read, and nothing else changes.
func TestKorean(t *testing.T) {
	v := newProver(t)
	for _, m := range koreanMails(t) {
		for _, encoding := range []string{"8bit", "quoted-printable", "base64"} {
			for shape, wrap := range map[string]func([]byte, string, string) []byte{"alone": damage.Mail, "nested": damage.Nested} {
				t.Run(m.name+", "+encoding+", "+shape, func(t *testing.T) {
					p, err := v.prove(wrap(m.page, m.label, encoding))
					if err != nil {
						t.Fatal(err)
					}
					links := p.plan.Links()
					if len(links) != 2 || links[0].Decision != mail.Tracked || p.seen.Pixels != 1 {
						t.Fatalf("links %v, %d pixels, reason %q", links, p.seen.Pixels, p.plan.Reason())
					}
					if m.labels && (!strings.HasPrefix(links[0].Label, "여름 ") || links[1].Label != "수신거부" || links[1].Reason != rewrite.LinkUnsubscribe) {
						t.Errorf("links %+v", links)
					}
				})
			}
		}
	}
}

// Raw 8-bit text without any MIME header is plain text, whatever stands in it.
func TestKoreanWithoutMIME(t *testing.T) {
	v := newProver(t)
	for _, page := range [][]byte{inCP949(t, koreanPage(true)), []byte(koreanPage(true)), shiftOut(inCP949(t, koreanPage(false)))} {
		content := slices.Concat([]byte("From: a@example.com\r\nSubject: x\r\n\r\n"), page)
		p, err := v.prove(content)
		if err != nil || p.plan.Reason() != rewrite.ReasonNoHTML || !bytes.Equal(p.copied, content) {
			t.Errorf("reason %q, %v", p.plan.Reason(), err)
		}
	}
}

// TestKoreanInChromium has a browser read the pages before and after.
func TestKoreanInChromium(t *testing.T) {
	v := newProver(t)
	var views []view
	for _, m := range koreanMails(t) {
		for _, encoding := range []string{"8bit", "quoted-printable", "base64"} {
			p, err := v.prove(damage.Mail(m.page, m.label, encoding))
			if err != nil || len(p.seen.Edited) != 1 {
				t.Fatalf("%s: %v", m.name, err)
			}
			e := p.seen.Edited[0]
			e.Part = damage.Split(damage.Mail(nil, m.shown, "8bit"))
			views = append(views, newView(m.name+", "+encoding, e))
		}
	}
	b := newBrowser(t, views)
	b.each(t, views, func(ctx context.Context, i int) {
		before, err := b.look(ctx, fmt.Sprintf("/%d/before", i))
		if err != nil {
			t.Errorf("%s: %v", views[i].name, err)
			return
		}
		after, err := b.look(ctx, fmt.Sprintf("/%d/after", i))
		if err != nil || words(before.text) != words(after.text) || !bytes.Equal(before.picture, after.picture) {
			t.Errorf("%s: text %q became %q, %v", views[i].name, before.text, after.text, err)
		}
		if !strings.Contains(before.text, "안녕하세요, ") || !strings.Contains(before.text, " 고객님.") {
			t.Errorf("%s: the browser reads %q", views[i].name, before.text)
		}
	})
}
