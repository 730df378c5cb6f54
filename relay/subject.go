package relay

import (
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/korean"

	"backstamp/mail"
)

// The most of a subject that is read and that is kept, in octets.
const (
	subjectRead = 8 << 10
	subjectKept = 500
)

// subject is the Subject as people read it: encoded words (RFC 2047) decoded,
// raw bytes of other charsets too, as far as that can be guessed. It serves
// listings alone; the field itself stays as it is.
func subject(h mail.Header) string {
	raw := h.Get("Subject")
	raw = raw[:min(len(raw), subjectRead)]
	words := mime.WordDecoder{CharsetReader: func(label string, r io.Reader) (io.Reader, error) {
		e := encodingOf(label)
		if e == nil {
			return nil, fmt.Errorf("unknown charset %q", label)
		}
		return e.NewDecoder().Reader(r), nil
	}}
	text, err := words.DecodeHeader(rawText(raw, h))
	if err != nil {
		text = rawText(raw, h)
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }), " ")
	text = strings.ToValidUTF8(text, "�")
	if len(text) > subjectKept {
		text = strings.ToValidUTF8(text[:subjectKept], "")
	}
	return text
}

// rawText reads raw bytes as UTF-8, else as the charset of the body says, else
// as Korean, else as Western European.
func rawText(s string, h mail.Header) string {
	if utf8.ValidString(s) {
		return s
	}
	_, params, _ := mime.ParseMediaType(h.Get("Content-Type"))
	for _, e := range []encoding.Encoding{encodingOf(params["charset"]), korean.EUCKR, charmap.Windows1252} {
		if e == nil {
			continue
		}
		text, err := e.NewDecoder().String(s)
		if err == nil && !strings.ContainsRune(text, utf8.RuneError) {
			return text
		}
	}
	return s
}

// encodingOf knows the labels that mail has, those of Korean software among
// them, which web browsers' lists do not all have; nil for others.
func encodingOf(label string) encoding.Encoding {
	switch label = strings.ToLower(label); label {
	case "cp949", "ms949", "x-windows-949", "windows949", "euc_kr", "ks_c_5601", "ksc5601", "ksc_5601", "uhc":
		return korean.EUCKR
	}
	e, _ := charset.Lookup(label)
	return e
}
