package rewrite

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestContentType(t *testing.T) {
	for _, tt := range []struct{ field, media, charset, boundary string }{
		{`text/html; charset=utf-8`, "text/html", "utf-8", ""},
		{`TEXT/HTML; CHARSET="EUC-KR"; format=flowed`, "text/html", "EUC-KR", ""},
		{`text/html (c;omment (in it)) ; charset=utf-8 (x)`, "text/html", "utf-8", ""},
		{`text/html; charset=utf-8; charset=euc-kr`, "text/html", "utf-8", ""},
		{`multipart/mixed; boundary==_abc/1; charset="x`, "multipart/mixed", "x", "=_abc/1"},
		{`multipart/mixed; boundary="a\"b(c)"`, "multipart/mixed", "", `a"b(c)`},
		{`multipart/mixed; boundary="----=_a;b"; x`, "multipart/mixed", "", "----=_a;b"},
		{`multipart/mixed; boundary*0="ab"; boundary*1="cd"`, "multipart/mixed", "", "abcd"},
		{`text/html;;; charset = utf-8`, "text/html", "utf-8", ""},
		{``, "", "", ""},
	} {
		media, params := ContentType(tt.field)
		if media != tt.media || params["charset"] != tt.charset || params["boundary"] != tt.boundary {
			t.Errorf("%q: %q %q", tt.field, media, params)
		}
	}
}

func TestSplitKeepsParts(t *testing.T) {
	for _, tt := range []struct {
		body  string
		parts []string
	}{
		{"--b\n\none\n--b\n\ntwo\n--b--\n", []string{"one", "two"}},
		{"pre\n--b\n\none\n--b--\nepi\n--b\n\nno\n", []string{"one"}},
		{"--b\n\none\n--b", []string{"one", ""}},
		{"--b\n--b--", []string{""}},
		{"--b \n\none\n--b --\nepi\n", []string{"one"}},
		{"--b  \n\none\n--bb\nx\n--b--x\ny\n --b\nz\nx--b\n", []string{"one\r\n--bb\r\nx\r\n--b--x\r\ny\r\n --b\r\nz\r\nx--b\r\n"}},
	} {
		content := wire([]byte("Content-Type: multipart/mixed; boundary=b\n\n" + tt.body))
		var got []string
		for _, c := range splitAll(content).children {
			got = append(got, string(content[c.body:c.end]))
		}
		if strings.Join(got, "|") != strings.Join(tt.parts, "|") || len(got) != len(tt.parts) {
			t.Errorf("%q: %q, want %q", tt.body, got, tt.parts)
		}
	}
}

func TestMask(t *testing.T) {
	for _, tt := range []struct {
		text, masked string
		hz           bool
	}{
		{"plain <a>", "plain <a>", false},
		{"\x0e<a>\x0f<b>", "_____<b>", false},
		{"\x1b$)C\r\n\x0eG`\x0f<", "____\r\n____<", false},
		{"\x1b$B<>\x1b(B<b>", "________<b>", false},
		{"\x1b(I<\x1b(J<", "_______<", false},
		{"~{<>~}<b>", "______<b>", false},
		{"~{<>\n<b>", "____\n<b>", false},
		{"a~~b", "a~~b", false},
		{"a~~b~{xx~}", "a__b______", true},
		{"\x1bN<x<b>", "____<b>", false},
	} {
		got, ok := mask([]byte(tt.text), tt.hz)
		if !ok || string(got) != tt.masked {
			t.Errorf("%q: %q %v, want %q", tt.text, got, ok, tt.masked)
		}
	}
	for _, broken := range []string{"\x0ex", "\x0ex\n\x0f", "\x1b$Bxx\n", "\x1b", "\x1bQ"} {
		if _, ok := mask([]byte(broken), false); ok {
			t.Errorf("%q: taken for whole", broken)
		}
	}
}

// TestQuoteSplices cuts random ranges out of random quoted-printable and puts
// text in: a decoder that is not ours must find just that, in lines of at most
// 76 characters.
func TestQuoteSplices(t *testing.T) {
	bits := []string{"a", "word ", "=3D", "=\r\n", "\r\n", " ", "=C3=A9", ".", "From ", "-", "--------", "=20", "  \r\n", "long-text-without-a-break"}
	rapid.Check(t, func(t *rapid.T) {
		var enc []byte
		col := 0
		for _, b := range rapid.SliceOfN(rapid.SampledFrom(bits), 1, 60).Draw(t, "bits") {
			if col+len(b) > 76 || col+len(b) > 75 && !strings.HasSuffix(b, "\n") {
				enc, col = append(enc, "=\r\n"...), 0
			}
			enc = append(enc, b...)
			if col += len(b); strings.HasSuffix(b, "\n") {
				col = 0
			}
		}
		text, ok := decodeQuoted(nil, enc)
		if !ok {
			t.Fatalf("%q does not decode", enc)
		}
		var splices []splice
		want, at := []byte{}, 0
		for range rapid.IntRange(1, 4).Draw(t, "splices") {
			from := rapid.IntRange(at, len(text)).Draw(t, "from")
			to := rapid.IntRange(from, len(text)).Draw(t, "to")
			if from < to && (text[to-1] == '\r' || text[from] == '\n') || from > 0 && text[from-1] == '\r' {
				continue // never between CR and LF
			}
			s := splice{from: from, to: to, before: rapid.SampledFrom([]string{"", "x", `<img src="https://t.example.net/`, ".-=From "}).Draw(t, "before")}
			if rapid.Bool().Draw(t, "slot") {
				s.slot = slotOpen
			}
			s.after = rapid.SampledFrom([]string{"y", `.gif" alt="">`, strings.Repeat("z", 100)}).Draw(t, "after")
			want = append(append(want, text[at:from]...), s.before...)
			if s.slot != slotNone {
				want = append(want, placeholder...)
			}
			want = append(want, s.after...)
			at = to
			splices = append(splices, s)
		}
		want = append(want, text[at:]...)
		r := plainRegion(0, len(enc), quoteSplices(enc, splices))
		var out bytes.Buffer
		if err := writeRegion(&out, enc, r); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(out.Bytes())))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q with %v\nis %q\ngot  %q (%v)\nwant %q", enc, splices, out.Bytes(), got, err, want)
		}
		bad := 0 // lines more than there were that begin so
		for line := range bytes.SplitSeq(enc, []byte("\r\n")) {
			if beginsBadly(line) {
				bad--
			}
		}
		for line := range bytes.SplitSeq(out.Bytes(), []byte("\r\n")) {
			if len(line) > quotedMax {
				t.Fatalf("a line of %d: %q", len(line), line)
			}
			if beginsBadly(line) {
				bad++
			}
		}
		if bad > 0 {
			t.Fatalf("%q with %v\nbegins a line badly: %q", enc, splices, out.Bytes())
		}
		if out.Len() != r.size {
			t.Fatalf("size %d, wrote %d", r.size, out.Len())
		}
	})
}

// writeRegion writes one region of content, with placeholders for tokens.
func writeRegion(w io.Writer, content []byte, r region) error {
	out := newWriter(w, bytes.NewReader(content))
	defer out.close()
	out.region(r, tokens{})
	return out.err
}
