package rewrite

import (
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
	before   string
	slot     int
	after    string
}

// grown returns by how much the splice lengthens what it stands in.
func (s splice) grown() int {
	n := len(s.before) + len(s.after) - (s.to - s.from)
	if s.slot != slotNone {
		n += mail.TokenLen
	}
	return n
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
