package ascii

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/korean"
)

// Text reads raw bytes of a header as UTF-8, else as one of the charsets with
// these labels, else as Korean where they look like nothing else, else as Western
// European, of which every byte is a letter. An empty label is none.
func Text(s string, charsets ...string) string {
	if utf8.ValidString(s) {
		return s
	}
	for _, label := range charsets {
		if text, ok := decode(s, label); ok {
			return text
		}
	}
	if text, ok := decode(s, "euc-kr"); ok && looksKorean(s) {
		return text
	}
	text, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		return strings.ToValidUTF8(s, "\ufffd")
	}
	return text
}

// decode is false where the bytes are none of that charset, or where ASCII is
// not ASCII in it.
func decode(s, label string) (text string, ok bool) {
	const plain = "Aa0 \t:<@>\"\\"
	e := Encoding(label)
	if e == nil || strings.EqualFold(label, "us-ascii") {
		return "", false
	}
	if same, err := e.NewDecoder().String(plain); err != nil || same != plain {
		return "", false
	}
	text, err := e.NewDecoder().String(s)
	return text, err == nil && !strings.ContainsRune(text, utf8.RuneError)
}

// looksKorean reports whether all bytes above ASCII come in pairs of KS X 1001
// and at least half of these are hangul. Western letters hardly ever do.
func looksKorean(s string) bool {
	pairs, hangul := 0, 0
	for i := 0; i < len(s); i++ {
		if s[i] < utf8.RuneSelf {
			continue
		}
		if i+1 == len(s) || s[i] < 0xa1 || s[i+1] < 0xa1 {
			return false
		}
		if pairs++; s[i] >= 0xb0 && s[i] <= 0xc8 {
			hangul++
		}
		i++
	}
	return 2*hangul >= pairs
}

// Encoding knows the labels that mail has, those of Korean software among
// them, which web browsers' lists do not all have; nil for others.
func Encoding(label string) encoding.Encoding {
	switch label = strings.ToLower(label); label {
	case "":
		return nil
	case "cp949", "ms949", "x-windows-949", "windows949", "euc_kr", "ks_c_5601", "ksc5601", "ksc_5601", "uhc":
		return korean.EUCKR
	}
	e, _ := charset.Lookup(label)
	return e
}
