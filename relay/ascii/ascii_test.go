package ascii

import (
	"bytes"
	"mime"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/korean"

	"backstamp/mail"
)

func field(raw string) mail.Field {
	h, _, _ := mail.ParseHeader([]byte(raw + "\r\n"))
	return h[0]
}

func euckr(s string) string {
	b, err := korean.EUCKR.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return b
}

// What people read must be the same before and after.
func TestTextStays(t *testing.T) {
	long := strings.Repeat("아주 긴 제목 ", 40)
	for _, c := range []struct{ raw, want string }{
		{"Subject: 안녕하세요", "안녕하세요"},
		{"Subject: Re: 안녕 하세요 and plain", "Re: 안녕 하세요 and plain"},
		{"Subject: =?utf-8?B?64K0?= 용", "내 용"},
		{"Subject: 내 =?utf-8?B?7Jqp?=", "내 용"},
		{"Subject: " + euckr("주문 확인") + " #12", "주문 확인 #12"},
		{"Subject: caf\xe9", "café"},
		{"Subject: one\r\n 둘\r\n three", "one 둘 three"},
		{"Subject: " + long, strings.TrimSpace(long)},
		{"X-Odd:" + "둘", "둘"},
	} {
		f, err := Field(field(c.raw))
		if err != nil {
			t.Errorf("%q: %v", c.raw, err)
			continue
		}
		check(t, f)
		got, err := new(mime.WordDecoder).DecodeHeader(f.Value())
		if err != nil || got != c.want {
			t.Errorf("%q: %q reads %q (%v), want %q", c.raw, f.Raw, got, err, c.want)
		}
	}
}

func check(t testing.TB, f mail.Field) {
	t.Helper()
	for line := range bytes.Lines(f.Raw) {
		if !bytes.HasSuffix(line, []byte("\r\n")) || bytes.Count(line, []byte("\r")) != 1 || len(line) > 998+2 {
			t.Errorf("line %q", line)
		}
	}
	h, _, _ := mail.ParseHeader(f.Raw)
	if len(h) != 1 || Has(f) {
		t.Errorf("no field of one kind in ASCII: %q", f.Raw)
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"From: 홍길동 <hong@example.com>", "홍길동 hong@example.com"},
		{`From: "홍, 길동" <hong@example.com>`, "홍, 길동 hong@example.com"},
		{"To: 가 나 <a@example.com>, plain <b@example.com>,\r\n c@example.com", "가 나 a@example.com|plain b@example.com| c@example.com"},
		{"To: <a@한국.kr>", " a@xn--3e0b707e.kr"},
		{"Cc: a@한국.kr, 나 <b@한국.kr>", " a@xn--3e0b707e.kr|나 b@xn--3e0b707e.kr"},
		{"From: " + euckr("주문") + "<order@example.com>", "주문 order@example.com"},
		{"From: hong@example.com (홍길동 (서울))", "홍길동 [서울] hong@example.com"},
	} {
		f, err := Field(field(c.raw))
		if err != nil {
			t.Errorf("%q: %v", c.raw, err)
			continue
		}
		check(t, f)
		list, err := netmail.ParseAddressList(f.Value())
		if err != nil {
			t.Errorf("%q became %q: %v", c.raw, f.Raw, err)
			continue
		}
		var got []string
		for _, a := range list {
			got = append(got, a.Name+" "+a.Address)
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%q became %q: %q, want %q", c.raw, f.Raw, s, c.want)
		}
	}
	for _, raw := range []string{"To: 길동@example.com", "To: a <길동@example.com>"} {
		if f, err := Field(field(raw)); err != mail.ErrUTF8 {
			t.Errorf("%q: %q, %v", raw, f.Raw, err)
		}
	}
}

func TestParameters(t *testing.T) {
	name := strings.Repeat("보고서 ", 12) + ".pdf"
	for _, raw := range []string{
		`Content-Disposition: attachment; filename="` + name + `"; size=12`,
		`Content-Disposition: attachment; filename="` + euckr(name) + `"; size=12`,
		"Content-Disposition: attachment;\r\n\tfilename=" + strings.ReplaceAll(name, " ", "\\ ") + ";size=12",
	} {
		f, err := Field(field(raw))
		if err != nil {
			t.Fatal(err)
		}
		check(t, f)
		_, params, err := mime.ParseMediaType(f.Value())
		if err != nil || params["size"] != "12" || strings.ReplaceAll(params["filename"], `\`, "") != name {
			t.Errorf("%q became %q: %q, %v", raw, f.Raw, params, err)
		}
	}
}

// Whatever bytes come, one field of ASCII goes.
func FuzzField(f *testing.F) {
	for _, s := range []string{"홍 <a@b.c>", "\"\xff", "(\xff", "<\xff@\xfe", "text/\xff; a=\xff; b", "\xff\r\n \xfe"} {
		f.Add("To", []byte(s))
		f.Add("Content-Type", []byte(s))
		f.Add("Subject", []byte(s))
	}
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		value = bytes.Map(func(r rune) rune {
			if r == 0 {
				return -1
			}
			return r
		}, value)
		h, end, _ := mail.ParseHeader(slices.Concat([]byte(name+": "), bytes.ReplaceAll(bytes.ReplaceAll(value, []byte("\r"), nil), []byte("\n"), []byte("\r\n ")), []byte("\r\n")))
		if len(h) != 1 || end == 0 || h[0].Name != name || !utf8.ValidString(name) {
			return
		}
		for line := range bytes.Lines(h[0].Raw) {
			if len(line) > 900 || len(bytes.TrimSpace(line)) == 0 {
				return
			}
		}
		if out, err := Field(h[0]); err == nil {
			check(t, out)
		}
	})
}
