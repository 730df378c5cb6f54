package rewrite

import "bytes"

// lineMax is the longest line that SMTP carries, without its line end (RFC
// 5321 section 4.5.3.1.6).
const lineMax = 998

// encode adds the splices of an HTML part, given in its text, to the plan in
// the form its transfer encoding wants. It fails where the content cannot be
// read again.
func (b *builder) encode(p *part, splices []splice) error {
	switch p.codec {
	case codecQuoted:
		p.page = nil // the text has served: its encoded form takes its place
		enc, err := read(b.req.Content, p.body, p.end)
		if err == nil {
			b.plan.add(plainRegion(p.body, p.end, quoteSplices(enc, splices)))
		}
		return err
	case codecBase64:
		b.encodeBase64(p, splices)
		return nil
	}
	if linesFit(p.page.text, splices) {
		b.plan.add(plainRegion(p.body, p.end, splices))
		return nil
	}
	return b.encodeQuoted(p, splices)
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
func (b *builder) encodeBase64(p *part, splices []splice) {
	text := len(p.page.text)
	for _, s := range splices {
		text += s.grown()
	}
	b.plan.add(region{
		codec: codecBase64, from: p.body + p.form.from, to: p.body + p.form.to,
		size: base64Len(text, p.form.width), width: p.form.width, splices: splices,
	})
}

// encodeQuoted has a part whose lines would get too long for SMTP encoded as
// quoted-printable, and its header say so.
func (b *builder) encodeQuoted(p *part, splices []splice) error {
	r := region{codec: codecQuoted, from: p.body, to: p.end, splices: splices}
	var size counter
	w := newWriter(&size, b.req.Content)
	defer w.close()
	w.region(r, tokens{})
	r.size = int(size)
	b.plan.add(r)
	b.setEncoding(p)
	return w.err
}

// A counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// setEncoding has the header of p name quoted-printable.
func (b *builder) setEncoding(p *part) {
	s := splice{from: p.field.from, to: p.field.to, before: "Content-Transfer-Encoding: quoted-printable\r\n"}
	if p == b.top {
		b.plan.editHeader(s)
		return
	}
	s.from, s.to = 0, p.field.to-p.field.from
	b.plan.add(plainRegion(p.field.from, p.field.to, []splice{s}))
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
