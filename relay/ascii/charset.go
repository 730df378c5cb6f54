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

// decode is false where the bytes are none of that charset.
func decode(s, label string) (text string, ok bool) {
	d := Decoder(label)
	if d == nil {
		return "", false
	}
	text, err := d.String(s)
	return text, err == nil && !strings.ContainsRune(text, utf8.RuneError)
}

// Decoder decodes the charset with a label; nil where it is not known, where
// ASCII is not ASCII in it, or where it is nothing else.
func Decoder(label string) *encoding.Decoder {
	const plain = "Aa0 \t:<@>\"\\"
	e := Encoding(label)
	if e == nil || Plain(label) {
		return nil
	}
	if same, err := e.NewDecoder().String(plain); err != nil || same != plain {
		return nil
	}
	return e.NewDecoder()
}

func looksKorean(s string) bool {
	var k Korean
	k.Write([]byte(s))
	return k.Likely()
}

// Korean looks at a text in an unknown charset as it is written: whether all
// bytes above ASCII come in pairs of KS X 1001 and at least half of these are
// hangul. Western letters hardly ever do.
type Korean struct {
	lead          byte // of a pair, 0 for none
	pairs, hangul int
	odd           bool // a byte is in no pair
}

// Write takes a piece of the text. It never fails.
func (k *Korean) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case k.lead != 0:
			k.odd = k.odd || c < 0xa1
			if k.pairs++; k.lead >= 0xb0 && k.lead <= 0xc8 {
				k.hangul++
			}
			k.lead = 0
		case c >= utf8.RuneSelf:
			k.odd = k.odd || c < 0xa1
			k.lead = c
		}
		if k.odd {
			return len(p), nil
		}
	}
	return len(p), nil
}

// Paired says whether there are pairs alone.
func (k *Korean) Paired() bool { return !k.odd && k.lead == 0 }

// Likely says whether that is what it seems to be.
func (k *Korean) Likely() bool { return k.Paired() && 2*k.hangul >= k.pairs }

// Encoding knows the labels that mail has, those of Korean software among
// them, which web browsers' lists do not all have; nil for others.
func Encoding(label string) encoding.Encoding {
	e, _ := lookup(label)
	return e
}

// Name returns the name of the charset with a label that is known best, "" where
// the label is not known.
func Name(label string) string {
	_, name := lookup(label)
	return name
}

func lookup(label string) (e encoding.Encoding, name string) {
	switch label = strings.ToLower(label); label {
	case "":
		return nil, ""
	case "cp949", "ms949", "x-windows-949", "windows949", "euc_kr", "ks_c_5601", "ksc5601", "ksc_5601", "uhc":
		return korean.EUCKR, "euc-kr"
	}
	return charset.Lookup(label)
}

// Plain reports whether a label says that there are no letters beyond ASCII.
func Plain(label string) bool {
	switch strings.ToLower(label) {
	case "us-ascii", "ascii", "ansi_x3.4-1968", "iso646-us":
		return true
	}
	return false
}
