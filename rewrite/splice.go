package rewrite

import (
	"bytes"
	"encoding/base64"
	"io"
	"slices"

	"backstamp/mail"
)

// What stands between the literals of a splice.
const (
	slotNone = 0
	slotOpen = 1
	slotLink = 2 // of the first link; those of the others follow
)

// A splice replaces bytes by a literal, the token of a slot and another
// literal.
type splice struct {
	from, to int
	before   []byte
	slot     int
	after    []byte
}

// grown returns by how much the splice lengthens what it stands in.
func (s splice) grown() int {
	n := len(s.before) + len(s.after) - (s.to - s.from)
	if s.slot != slotNone {
		n += mail.TokenLen
	}
	return n
}

// appendTo appends what the splice puts in.
func (s splice) appendTo(dst []byte, t tokens) ([]byte, error) {
	dst = append(dst, s.before...)
	if s.slot != slotNone {
		var err error
		if dst, err = t.appendTo(dst, s.slot); err != nil {
			return dst, err
		}
	}
	return append(dst, s.after...), nil
}

// A region is a range of the content that a plan changes. With codecPlain its
// splices are offsets into the range as it lies. With codecBase64 they are
// offsets into what it decodes to, encoded anew in lines of width characters;
// with codecQuoted into the plain range, encoded as quoted-printable.
type region struct {
	codec    codec
	from, to int
	size     int // of what is written in its place
	width    int // of base64 lines
	splices  []splice
}

// hasSlot reports whether copies may differ in the region.
func (r region) hasSlot() bool {
	return slices.ContainsFunc(r.splices, func(s splice) bool { return s.slot != slotNone })
}

// write writes the region in the copy that t makes tokens for.
func (r region) write(w io.Writer, content []byte, t tokens) error {
	raw := content[r.from:r.to]
	switch r.codec {
	case codecBase64:
		text, ok := decodeBase64(raw)
		if !ok {
			return errContent
		}
		text, err := applied(text, r.splices, t)
		if err != nil {
			return err
		}
		return writeBase64(w, text, r.width)
	case codecQuoted:
		quoted, err := quoteRegion(raw, r.splices, t)
		if err != nil {
			return err
		}
		_, err = w.Write(quoted)
		return err
	}
	return r.writePlain(w, raw, t)
}

// writePlain copies raw with its splices.
func (r region) writePlain(w io.Writer, raw []byte, t tokens) error {
	var buf []byte
	at := 0
	for _, s := range r.splices {
		if s.from < at || s.to < s.from || s.to > len(raw) {
			return errContent
		}
		if _, err := w.Write(raw[at:s.from]); err != nil {
			return err
		}
		var err error
		if buf, err = s.appendTo(buf[:0], t); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		at = s.to
	}
	_, err := w.Write(raw[at:])
	return err
}

// applied returns text with its splices.
func applied(text []byte, splices []splice, t tokens) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(len(text) + 200*len(splices))
	err := region{splices: splices}.writePlain(&out, text, t)
	return out.Bytes(), err
}

// writeBase64 writes text in lines of width characters, a multiple of 4, that
// end in CRLF but for the last.
func writeBase64(w io.Writer, text []byte, width int) error {
	const flush = 32 << 10
	var buf []byte
	first := true
	for chunk := range slices.Chunk(text, width/4*3) {
		if !first {
			buf = append(buf, "\r\n"...)
		}
		first = false
		buf = base64.StdEncoding.AppendEncode(buf, chunk)
		if len(buf) >= flush {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	_, err := w.Write(buf)
	return err
}

// base64Len returns how much writeBase64 writes for n bytes.
func base64Len(n, width int) int {
	lines := (n + width/4*3 - 1) / (width / 4 * 3)
	return base64.StdEncoding.EncodedLen(n) + 2*max(0, lines-1)
}
