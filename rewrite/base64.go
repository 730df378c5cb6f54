package rewrite

import (
	"bytes"
	"encoding/base64"
)

// A base64Form says how a part in base64 is laid out.
type base64Form struct {
	span      // without the blanks and line ends around
	width int // of a line, in characters
}

// formOf returns the form of enc. Its width is that of the first line.
func formOf(enc []byte) (f base64Form) {
	const blanks = " \t\r\n"
	packed := bytes.TrimRight(enc, blanks)
	f.to = len(packed)
	packed = bytes.TrimLeft(packed, blanks)
	f.from = f.to - len(packed)
	line, _ := cutLine(packed)
	f.width = len(bytes.TrimRight(line, blanks)) &^ 3
	if f.width < 4 || f.width > lineMax {
		f.width = quotedMax
	}
	return f
}

// base64Len returns how long n bytes of text are in lines of width characters,
// which end in CRLF but for the last.
func base64Len(n, width int) int {
	lines := (n + width/4*3 - 1) / (width / 4 * 3)
	return base64.StdEncoding.EncodedLen(n) + 2*max(0, lines-1)
}

// decodeBase64 appends to dst, which may be enc[:0], what enc encodes. It
// accepts line ends and blanks between characters and nothing else that is not
// of the alphabet.
func decodeBase64(dst, enc []byte) (text []byte, ok bool) {
	before := len(dst)
	dst = appendPacked(dst, enc)
	packed := dst[before:]
	n, err := base64.StdEncoding.Decode(packed, packed)
	return dst[:before+n], err == nil
}

// appendPacked appends enc to dst, which may be enc[:0], without line ends and
// blanks.
func appendPacked(dst, enc []byte) []byte {
	for line := range bytes.SplitSeq(enc, []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if bytes.IndexByte(line, ' ') < 0 && bytes.IndexByte(line, '\t') < 0 && bytes.IndexByte(line, '\r') < 0 {
			dst = append(dst, line...)
			continue
		}
		for _, c := range line {
			if c != ' ' && c != '\t' && c != '\r' {
				dst = append(dst, c)
			}
		}
	}
	return dst
}

// base64 encodes the region with its splices anew.
func (w *writer) base64(r region, t tokens) {
	d := unpacker{writer: w, at: r.from, to: r.to}
	p := packer{writer: w, width: r.width / 4 * 3}
	w.out, w.line = w.out[:0], w.line[:0]
	for i := range r.splices {
		s := &r.splices[i]
		d.pass(p.write, s.from)
		d.pass(drop, s.to)
		p.write(w.inserted(s, t))
	}
	for d.fill() {
		p.write(d.text)
		d.text = nil
	}
	p.finish()
}

func drop([]byte) {}

// An unpacker decodes a range of the content piece by piece.
type unpacker struct {
	*writer
	at, to int // what is still to be read
	rest   [3]byte
	rests  int    // octets of rest: less than what encodes something
	text   []byte // decoded, to be passed on
	passed int
	ended  bool // by padding
}

// pass hands text on up to an offset.
func (d *unpacker) pass(to func([]byte), offset int) {
	for d.passed < offset {
		if !d.fill() {
			d.fail(errContent)
			return
		}
		n := min(len(d.text), offset-d.passed)
		to(d.text[:n])
		d.text = d.text[n:]
		d.passed += n
	}
}

// fill sees to it that there is text, unless all was read or an error stopped
// the writer.
func (d *unpacker) fill() bool {
	for len(d.text) == 0 && d.at < d.to && d.err == nil {
		enc := d.some(d.at, d.to, 1)
		d.at += len(enc)
		d.decode(enc)
	}
	return len(d.text) > 0 && d.err == nil
}

func (d *unpacker) decode(enc []byte) {
	d.packed = appendPacked(append(d.packed[:0], d.rest[:d.rests]...), enc)
	whole := len(d.packed) &^ 3
	d.rests = copy(d.rest[:], d.packed[whole:])
	n, err := base64.StdEncoding.Decode(d.packed, d.packed[:whole])
	if err != nil || d.ended && n > 0 || d.at == d.to && d.rests > 0 {
		d.fail(errContent)
		return
	}
	d.ended = d.ended || n < whole/4*3
	d.text = d.packed[:n]
}

// A packer writes text in lines of base64.
type packer struct {
	*writer
	width int // of a line, in octets of text
	begun bool
}

func (p *packer) write(text []byte) {
	for len(text) > 0 {
		n := min(len(text), p.width-len(p.line))
		if n == p.width {
			p.encode(text[:n])
		} else if p.line = append(p.line, text[:n]...); len(p.line) == p.width {
			p.encode(p.line)
			p.line = p.line[:0]
		}
		text = text[n:]
	}
}

func (p *packer) encode(line []byte) {
	if p.begun {
		p.out = append(p.out, "\r\n"...)
	}
	p.begun = true
	p.out = base64.StdEncoding.AppendEncode(p.out, line)
	if len(p.out) >= windowSize/2 {
		p.writer.write(p.out)
		p.out = p.out[:0]
	}
}

func (p *packer) finish() {
	if len(p.line) > 0 {
		p.encode(p.line)
	}
	p.writer.write(p.out)
}
