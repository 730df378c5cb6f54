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
// these labels, else as Korean, else as Western European, of which every byte
// is a letter. An empty label is none.
func Text(s string, charsets ...string) string {
	if utf8.ValidString(s) {
		return s
	}
	guesses := make([]encoding.Encoding, 0, len(charsets)+1)
	for _, label := range charsets {
		guesses = append(guesses, Encoding(label))
	}
	for _, e := range append(guesses, korean.EUCKR) {
		if e == nil {
			continue
		}
		text, err := e.NewDecoder().String(s)
		if err == nil && !strings.ContainsRune(text, utf8.RuneError) {
			return text
		}
	}
	text, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		return strings.ToValidUTF8(s, "\ufffd")
	}
	return text
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
