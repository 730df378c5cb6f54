package rewrite

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/encoding"

	"backstamp/mail"
)

// An Edit is what the copies change in one HTML part, for people.
type Edit struct {
	Part     string // its number, as IMAP counts parts (RFC 3501 section 6.4.5)
	Charset  string // as its header says, in lower case; may be empty
	Encoding string // its Content-Transfer-Encoding, in lower case; may be empty
	Became   string // that of the copies
	Changes  []Change
}

// A Change is one place of an HTML part: its text up to there, and what the
// copy has in the place of what was there. The last one of a part has neither
// and holds the rest of its text. All is in UTF-8, transfer encoding and
// charset undone, and entities as they stand; bytes that are no text in the
// charset became U+FFFD, or stay as they are where no charset is named.
type Change struct {
	Kept, Removed, Added string
}

// Edits returns the HTML parts that change in the copy of a recipient, from 1,
// in order. It decodes them anew from c and ends with the first error.
func (p *Plan) Edits(c mail.Content, l Linker, recipient int) iter.Seq2[Edit, error] {
	return func(yield func(Edit, error) bool) {
		index, err := p.index(recipient)
		if err == nil {
			err = p.check(c)
		}
		if err != nil {
			yield(Edit{}, err)
			return
		}
		s := splitter{window: look(c)}
		defer s.close()
		top, _ := s.part(0, 0, "text/plain")
		s.split(top)
		if s.err != nil {
			yield(Edit{}, s.err)
			return
		}
		top.numbered("", func(number string, part *part) bool {
			r, found := p.regionIn(part)
			if !found {
				return true
			}
			e, err := part.edit(c, r, tokens{p, l, index})
			e.Part = number
			return yield(e, err) && err == nil
		})
	}
}

// numbered calls do with each part that holds no others, until it returns
// false.
func (p *part) numbered(number string, do func(string, *part) bool) bool {
	if len(p.children) == 0 {
		if number == "" {
			number = "1"
		}
		return do(number, p)
	}
	if number != "" {
		number += "."
	}
	for i, child := range p.children {
		if !child.numbered(number+strconv.Itoa(i+1), do) {
			return false
		}
	}
	return true
}

// regionIn returns the region that changes the body of a part.
func (p *Plan) regionIn(part *part) (r region, found bool) {
	for _, r := range p.regions {
		if r.from >= part.body && r.to <= part.end && part.body < part.end {
			return r, true
		}
	}
	return region{}, false
}

// edit decodes what r changes in the part.
func (p *part) edit(c mail.Content, r region, t tokens) (Edit, error) {
	e := Edit{Charset: strings.ToLower(p.charset), Encoding: p.encoding, Became: p.encoding}
	enc, err := read(c, r.from, r.to)
	if err != nil {
		return e, err
	}
	codec, _ := codecOf(p.encoding)
	switch {
	case r.codec == codecQuoted:
		e.Became = "quoted-printable"
	case codec == codecBase64:
		var ok bool
		if enc, ok = codec.decode(enc); !ok {
			return e, fmt.Errorf("%w: a part is no base64", errContent)
		}
	}
	d := changeReader{tokens: t, quoted: codec == codecQuoted, charset: decoderOf(p.charset)}
	at := 0
	for _, s := range r.splices {
		if s.to > len(enc) {
			return e, errContent
		}
		change, err := d.change(enc[at:s.from], enc[s.from:s.to], s)
		if err != nil {
			return e, err
		}
		e.Changes = append(e.Changes, change)
		at = s.to
	}
	e.Changes = append(e.Changes, Change{Kept: d.rest(enc[at:])})
	return e, nil
}

// decoderOf returns what turns a charset into UTF-8, nil where there is nothing
// to turn.
func decoderOf(label string) *encoding.Decoder {
	c, why := charsetOf(label, nil)
	if why != "" || c.name == "" || c.utf8() {
		return nil
	}
	return c.decoder()
}

// A changeReader decodes splices for people, in order.
type changeReader struct {
	tokens
	quoted  bool // they are of quoted-printable as it lies
	charset *encoding.Decoder
	behind  []byte // kept, though the last splice wrote it anew
}

// change returns what a splice puts in the place of was, behind kept.
func (d *changeReader) change(kept, was []byte, s splice) (Change, error) {
	before, after := d.decode([]byte(s.before)), d.decode([]byte(s.after))
	added := bytes.Clone(before)
	if s.slot != slotNone {
		var err error
		if added, err = d.appendTo(added, s.slot); err != nil {
			return Change{}, err
		}
	}
	added = append(added, after...)
	removed := d.decode(was)
	head, tail := d.same(removed, before, after, s.slot)
	c := Change{
		Kept:    d.text(slices.Concat(d.behind, d.decode(kept), removed[:head])),
		Removed: d.text(removed[head : len(removed)-tail]),
		Added:   d.text(added[head : len(added)-tail]),
	}
	d.behind = removed[len(removed)-tail:]
	return c, nil
}

// rest returns what is kept behind the last splice.
func (d *changeReader) rest(kept []byte) string {
	if d.quoted {
		kept, _ = decodeQuoted(nil, kept)
	}
	return d.text(append(d.behind, kept...))
}

// same returns how many octets at the beginning and at the end of what a splice
// removes are put in again: quoted-printable takes a character along where it
// breaks a line. That an old and a new address begin alike means nothing.
func (d *changeReader) same(removed, before, after []byte, slot int) (head, tail int) {
	switch {
	case slot == slotNone:
		before = append(before, after...)
		head = commonPrefix(removed, before)
		after = before[head:]
	case slot >= slotLink:
		before = before[:max(0, bytes.LastIndex(before, []byte(d.plan.baseURL)))]
		destination := "." + mail.EncodeDestination(d.plan.links[slot-slotLink].URL)
		after = bytes.TrimPrefix(after, []byte(destination))
		fallthrough
	default:
		head = commonPrefix(removed, before)
	}
	return head, commonSuffix(removed[head:], after)
}

func commonPrefix(x, y []byte) (n int) {
	for n < len(x) && n < len(y) && x[n] == y[n] {
		n++
	}
	return n
}

func commonSuffix(x, y []byte) (n int) {
	for n < len(x) && n < len(y) && x[len(x)-1-n] == y[len(y)-1-n] {
		n++
	}
	return n
}

// decode undoes the transfer encoding of what does not end a line.
func (d *changeReader) decode(enc []byte) []byte {
	if !d.quoted {
		return enc
	}
	const more = '.' // keeps blanks before it
	text, _ := decodeQuoted(nil, append(bytes.Clone(enc), more))
	return bytes.TrimSuffix(text, []byte{more})
}

// text undoes the charset.
func (d *changeReader) text(b []byte) string {
	if d.charset == nil {
		return string(b)
	}
	text, _ := d.charset.String(unshifted(string(b)))
	return text
}
