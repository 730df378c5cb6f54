package rewrite

import (
	"bytes"
	"slices"
)

// lineMax is the longest line that SMTP carries, without its line end (RFC
// 5321 section 4.5.3.1.6).
const lineMax = 998

// encode adds the splices of an HTML part, given in its text, to the plan in
// the form its transfer encoding wants.
func (b *builder) encode(p *part, splices []splice) {
	enc := b.content[p.body:p.end]
	switch p.codec {
	case codecQuoted:
		b.plan.add(plainRegion(p.body, p.end, quoteSplices(enc, p.lines, splices)))
	case codecBase64:
		b.encodeBase64(p, enc, splices)
	default:
		if linesFit(enc, splices) {
			b.plan.add(plainRegion(p.body, p.end, splices))
			return
		}
		b.encodeQuoted(p, enc, splices)
	}
}

func plainRegion(from, to int, splices []splice) region {
	r := region{from: from, to: to, size: to - from, splices: splices}
	for _, s := range splices {
		r.size += s.grown()
	}
	return r
}

// encodeBase64 has the part encoded anew in lines as long as its first one.
// The blanks and line ends around it stay.
func (b *builder) encodeBase64(p *part, enc []byte, splices []splice) {
	const blanks = " \t\r\n"
	lead := len(enc) - len(bytes.TrimLeft(enc, blanks))
	if lead == len(enc) {
		lead = 0
	}
	from, to := p.body+lead, p.body+len(bytes.TrimRight(enc, blanks))
	line, _ := cutLine(b.content[from:to])
	width := len(bytes.TrimRight(line, blanks)) &^ 3
	if width < 4 || width > lineMax {
		width = quotedMax
	}
	text := len(p.page.text)
	for _, s := range splices {
		text += s.grown()
	}
	b.plan.add(region{codec: codecBase64, from: from, to: to, size: base64Len(text, width), width: width, splices: splices})
}

// encodeQuoted has a part whose lines would get too long for SMTP encoded as
// quoted-printable, and its header say so.
func (b *builder) encodeQuoted(p *part, enc []byte, splices []splice) {
	quoted, _ := quoteRegion(enc, splices, tokens{})
	b.plan.add(region{codec: codecQuoted, from: p.body, to: p.end, size: len(quoted), splices: splices})
	at := p.headEnd
	for _, f := range slices.Backward(p.header) {
		at -= len(f.Raw)
		if f.Is("Content-Transfer-Encoding") {
			b.setEncoding(p, at, at+len(f.Raw))
			return
		}
	}
	b.setEncoding(p, p.headEnd, p.headEnd)
}

// setEncoding puts a field at content[from:to], in the header of p.
func (b *builder) setEncoding(p *part, from, to int) {
	s := splice{from: from, to: to, before: []byte("Content-Transfer-Encoding: quoted-printable\r\n")}
	if p == b.top {
		b.plan.editHeader(s)
		return
	}
	s.from, s.to = 0, to-from
	b.plan.add(plainRegion(from, to, []splice{s}))
}

// linesFit reports whether every line with a splice stays within lineMax.
func linesFit(text []byte, splices []splice) bool {
	for i := 0; i < len(splices); {
		begin := bytes.LastIndexByte(text[:splices[i].from], '\n') + 1
		end, grown := begin, 0
		for first := i; i < len(splices) && (i == first || splices[i].from <= end); i++ {
			if to := splices[i].to; to >= end {
				line, _ := cutLine(text[to:])
				end = to + len(line)
			}
			grown += splices[i].grown()
		}
		if end-begin+grown > lineMax {
			return false
		}
	}
	return true
}
