package relay

import (
	"fmt"
	"io"
	"mime"
	"strings"

	"backstamp/mail"
	"backstamp/relay/ascii"
)

// The most of a subject that is read and that is kept, in octets.
const (
	subjectRead = 8 << 10
	subjectKept = 500
)

// subject is the Subject as people read it, encoded words (RFC 2047) decoded, of
// a header whose raw bytes are encoded already. It serves listings alone; the
// field itself stays as it is.
func subject(h mail.Header) string {
	raw := h.Get("Subject")
	raw = raw[:min(len(raw), subjectRead)]
	words := mime.WordDecoder{CharsetReader: func(label string, r io.Reader) (io.Reader, error) {
		e := ascii.Encoding(label)
		if e == nil {
			return nil, fmt.Errorf("unknown charset %q", label)
		}
		return e.NewDecoder().Reader(r), nil
	}}
	text, err := words.DecodeHeader(raw)
	if err != nil {
		text = raw
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }), " ")
	text = strings.ToValidUTF8(text, "�")
	if len(text) > subjectKept {
		text = strings.ToValidUTF8(text[:subjectKept], "")
	}
	return text
}
