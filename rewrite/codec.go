package rewrite

import (
	"encoding/binary"
	"errors"
	"math"

	"backstamp/mail"
)

// planVersion is the first byte of an encoded plan. A release reads the plans
// of the one before: version 1 has no notes.
const planVersion = 2

// Encode returns the plan in the form that the store keeps.
func (p *Plan) Encode() []byte {
	e := encoder{make([]byte, 0, 256+300*len(p.links))}
	e.b = append(e.b, planVersion, byte(p.privacy), flag(p.shared))
	e.b = append(append(e.b, p.id[:]...), p.key[:]...)
	e.text(p.reason)
	e.num(p.size)
	e.num(p.bodyAt)
	e.num(p.recipients)
	e.text(p.baseURL)
	e.text(p.stamp)
	e.num(len(p.links))
	for _, l := range p.links {
		e.text(l.URL)
		e.text(l.Label)
		e.text(string(l.Decision))
		e.text(l.Reason)
	}
	e.num(len(p.notes))
	for _, note := range p.notes {
		e.text(note)
	}
	e.num(len(p.regions))
	for _, r := range p.regions {
		e.region(r)
	}
	return e.b
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

type encoder struct{ b []byte }

func (e *encoder) num(n int) { e.b = binary.AppendUvarint(e.b, uint64(n)) }

func (e *encoder) text(s string) {
	e.num(len(s))
	e.b = append(e.b, s...)
}

func (e *encoder) region(r region) {
	e.b = append(e.b, byte(r.codec))
	e.num(r.from)
	e.num(r.to)
	e.num(r.size)
	e.num(r.width)
	e.num(len(r.splices))
	for _, s := range r.splices {
		e.num(s.from)
		e.num(s.to)
		e.text(s.before)
		e.num(s.slot)
		e.text(s.after)
	}
}

var errPlan = errors.New("rewrite: malformed plan")

// Decode reads what Encode made. The plan keeps no reference to data.
func Decode(data []byte) (*Plan, error) {
	d := decoder{data: data, copied: string(data)}
	version := d.byte()
	if version < 1 || version > planVersion {
		return nil, errPlan
	}
	p := &Plan{privacy: mail.Privacy(d.byte()), shared: d.byte() == 1}
	copy(p.id[:], d.bytes(len(p.id)))
	copy(p.key[:], d.bytes(len(p.key)))
	p.reason = d.text()
	p.size, p.bodyAt, p.recipients = d.num(), d.num(), d.num()
	p.baseURL, p.stamp = d.text(), d.text()
	for i := range d.count(4) {
		p.links = append(p.links, mail.Link{
			Index: i + 1, URL: d.text(), Label: d.text(), Decision: mail.Decision(d.text()), Reason: d.text(),
		})
	}
	if version > 1 {
		for range d.count(1) {
			p.notes = append(p.notes, d.text())
		}
	}
	for range d.count(6) {
		p.regions = append(p.regions, d.region())
	}
	if d.failed || d.at < len(d.data) || !p.valid() {
		return nil, errPlan
	}
	return p, nil
}

// valid reports whether everything lies in order and within the content.
func (p *Plan) valid() bool {
	if p.bodyAt > p.size {
		return false
	}
	at := 0
	for i, r := range p.regions {
		inHeader := r.from < p.bodyAt
		switch {
		case r.from < at || r.to < r.from || r.to > p.size || !r.valid(len(p.links)):
			return false
		case inHeader && (i > 0 || r.codec != codecPlain || r.to > p.bodyAt || r.from > 0):
			return false
		case inHeader && r.hasSlot():
			return false
		}
		at = r.to
	}
	return true
}

func (r region) valid(links int) bool {
	at := 0
	for _, s := range r.splices {
		if s.from < at || s.to < s.from || s.slot >= slotLink+links {
			return false
		}
		at = s.to
	}
	switch r.codec {
	case codecPlain:
		return at <= r.to-r.from && r.size == plainRegion(r.from, r.to, r.splices).size
	case codecQuoted:
		return at <= r.to-r.from
	case codecBase64:
		return r.width >= 4 && r.width <= lineMax && r.width%4 == 0
	}
	return false
}

// A decoder reads what an encoder wrote. After a failure it returns zeros.
type decoder struct {
	data   []byte
	copied string // of data: what texts are cut from, without a copy of each
	at     int
	failed bool
}

// skip returns where the next n bytes begin.
func (d *decoder) skip(n int) (at int, ok bool) {
	if d.failed || n > len(d.data)-d.at {
		d.failed = true
		return 0, false
	}
	d.at += n
	return d.at - n, true
}

func (d *decoder) bytes(n int) []byte {
	at, ok := d.skip(n)
	if !ok {
		return nil
	}
	return d.data[at:d.at]
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// num reads a number.
func (d *decoder) num() int {
	v, n := binary.Uvarint(d.data[d.at:])
	if n <= 0 || v > math.MaxInt {
		d.failed = true
		return 0
	}
	d.skip(n)
	return int(v)
}

func (d *decoder) text() string {
	at, _ := d.skip(d.num())
	if d.failed {
		return ""
	}
	return d.copied[at:d.at]
}

// count reads how many things of at least size bytes follow.
func (d *decoder) count(size int) int {
	n := d.num()
	if n > (len(d.data)-d.at)/size {
		d.failed = true
		return 0
	}
	return n
}

func (d *decoder) region() region {
	r := region{codec: codec(d.byte()), from: d.num(), to: d.num(), size: d.num(), width: d.num()}
	n := d.count(5)
	r.splices = make([]splice, 0, n)
	for range n {
		s := splice{from: d.num(), to: d.num()}
		s.before = d.text()
		s.slot = d.num()
		s.after = d.text()
		r.splices = append(r.splices, s)
	}
	return r
}
