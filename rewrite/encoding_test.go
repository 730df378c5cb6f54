package rewrite

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"
	"testing"
)

// FuzzQuote asserts for any text: what is written as quoted-printable, in one
// piece or in two, decodes to it, here and elsewhere, in short lines none of
// which begins badly.
func FuzzQuote(f *testing.F) {
	for _, text := range []string{"", "a\r\n.b \r\nFrom c\t\r\n", "--x\r\n" + strings.Repeat("=é ", 40), "\r\r\n\n\r", strings.Repeat("x", 75) + ".y\r\n"} {
		f.Add([]byte(text), uint(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, cut uint) {
		var q, pieces quoter
		q.text(text)
		for rest := text; len(rest) > 0; {
			n := len(rest)
			if c := int(cut%50) + 1; n > c+lookahead {
				n = c
			}
			rest = rest[pieces.some(rest, n):]
		}
		if !bytes.Equal(pieces.out, q.out) {
			t.Fatalf("in pieces %q, at once %q", pieces.out, q.out)
		}
		if got, ok := decodeQuoted(nil, q.out); !ok || !bytes.Equal(got, text) {
			t.Fatalf("%q decodes to %q, want %q", q.out, got, text)
		}
		if got, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(q.out))); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%q is read as %q (%v), want %q", q.out, got, err, text)
		}
		for line := range bytes.SplitSeq(q.out, []byte("\r\n")) {
			if len(line) > quotedMax || beginsBadly(line) {
				t.Fatalf("the line %q", line)
			}
		}
	})
}

// FuzzQuoted asserts for any quoted-printable that decodes: another decoder
// reads the same, in place or not, and every character is found where it is.
func FuzzQuoted(f *testing.F) {
	for _, enc := range []string{"", "a=3Db=\n c  \n=C3=A9=\n=\n\n", "x=", "x= \n\n=20\n  ", "=3d==\n"} {
		f.Add([]byte(enc))
	}
	f.Fuzz(func(t *testing.T, enc []byte) {
		enc = wire(enc)
		text, ok := decodeQuoted(nil, enc)
		if !ok {
			return
		}
		if want, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(enc))); err == nil && !bytes.Equal(text, want) {
			t.Fatalf("%q decodes to %q, elsewhere to %q", enc, text, want)
		}
		var splices []splice
		for i := range text {
			splices = append(splices, splice{from: i, to: i + 1})
		}
		for i, r := range encodedRanges(enc, splices) {
			if got, _ := decodeQuoted(nil, bytes.TrimLeft(r.in(enc), " \t")); !bytes.HasSuffix(text[i:i+1], got) {
				t.Fatalf("%q: character %d, %q, found at %q", enc, i, text[i], r.in(enc))
			}
		}
		place := bytes.Clone(enc)
		if again, _ := decodeQuoted(place[:0], place); !bytes.Equal(again, text) {
			t.Fatalf("%q decodes in place to %q, want %q", enc, again, text)
		}
	})
}

// FuzzBase64 asserts for any base64: decoded piece by piece it is the same text
// as at once, or an error in both; and written anew it has the size that was
// said, and another decoder reads it.
func FuzzBase64(f *testing.F) {
	for _, enc := range []string{"", "QUJD", "QUJ D\r\nRA==\r\n", "QQ==QQ==", "QQ=\n=", "Q", "QQ==\n\n \nQUJD", strings.Repeat("QUJD", 40)} {
		f.Add([]byte(enc), uint(5), uint8(19))
	}
	f.Fuzz(func(t *testing.T, enc []byte, cut uint, width uint8) {
		text, ok := decodeBase64(nil, enc)
		var w writer
		d := unpacker{writer: &w, to: len(enc)}
		var pieces []byte
		for chunk := range slices.Chunk(enc, int(cut%100)+1) {
			d.at += len(chunk)
			d.decode(chunk)
			pieces = append(pieces, d.text...)
			d.text = nil
		}
		if got := w.err == nil; got != ok || ok && !bytes.Equal(pieces, text) {
			t.Fatalf("%q: %q %v in pieces, %q %v at once", enc, pieces, got, text, ok)
		}
		if !ok {
			return
		}
		r := region{codec: codecBase64, to: len(enc), width: 4 * (int(width) + 1)}
		var out bytes.Buffer
		if err := writeRegion(&out, enc, r); err != nil {
			t.Fatal(err)
		}
		if got, err := base64.StdEncoding.DecodeString(out.String()); err != nil || !bytes.Equal(got, text) || out.Len() != base64Len(len(text), r.width) {
			t.Fatalf("%q: written as %q, %d octets of %d, %v", text, out.String(), out.Len(), base64Len(len(text), r.width), err)
		}
	})
}
