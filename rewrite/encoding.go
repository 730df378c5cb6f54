package rewrite

import "bytes"

// A codec is a Content-Transfer-Encoding (RFC 2045 section 6).
type codec byte

const (
	codecPlain  codec = iota // 7bit, 8bit, binary or nothing
	codecQuoted              // quoted-printable
	codecBase64
)

// codecOf returns the codec of that name.
func codecOf(name string) (c codec, ok bool) {
	switch name {
	case "", "7bit", "8bit", "binary", "7bits", "8bits", "7-bit", "8-bit":
		return codecPlain, true
	case "quoted-printable":
		return codecQuoted, true
	case "base64":
		return codecBase64, true
	}
	return 0, false
}

// decode undoes the encoding of enc, in whose memory the text comes to lie; ok
// is false where decoders would differ.
func (c codec) decode(enc []byte) (text []byte, ok bool) {
	switch c {
	case codecQuoted:
		return decodeQuoted(enc[:0], enc)
	case codecBase64:
		return decodeBase64(enc[:0], enc)
	}
	return enc, true
}

// decodeQuoted appends to dst, which may be enc[:0], what enc encodes in
// quoted-printable (RFC 2045 section 6.7). Blanks at the end of a line are no
// part of the text. ok is false where an equals sign escapes nothing and breaks
// no line: such text was not encoded by the rules.
func decodeQuoted(dst, enc []byte) (text []byte, ok bool) {
	for len(enc) > 0 {
		line, ending := cutLine(enc)
		enc = enc[len(line)+len(ending):]
		line, soft := cutSoft(line)
		if dst, ok = unquote(dst, line); !ok {
			return dst, false
		}
		if !soft {
			dst = append(dst, ending...)
		}
	}
	return dst, true
}

// cutSoft takes off a line what is no text: blanks at its end, and the equals
// sign of a soft break.
func cutSoft(line []byte) (text []byte, soft bool) {
	if n := len(line); n == 0 || line[n-1] > '=' { // nearly all
		return line, false
	}
	return bytes.CutSuffix(bytes.TrimRight(line, " \t"), []byte("="))
}

// unquote appends the text of a line to dst.
func unquote(dst, line []byte) (text []byte, ok bool) {
	for {
		i := bytes.IndexByte(line, '=')
		if i < 0 {
			return append(dst, line...), true
		}
		dst = append(dst, line[:i]...)
		for line = line[i:]; len(line) > 0 && line[0] == '='; line = line[3:] {
			if unitLen(line) != 3 {
				return dst, false
			}
			dst = append(dst, unhex(line[1])<<4|unhex(line[2]))
		}
	}
}

// cutLine cuts the first line of b from its line end.
func cutLine(b []byte) (line, ending []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	if i > 0 && b[i-1] == '\r' {
		return b[:i-1], b[i-1 : i+1]
	}
	return b[:i], b[i : i+1]
}

// unhex returns the value of a hexadecimal digit, or 255.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// encodedRanges maps the ranges of the splices, which are in order, to the
// ranges of enc that encode them: from the first byte of the first character
// to the last of the last one, without the soft breaks and dropped blanks
// around it. An empty range lies right behind the character before it.
func encodedRanges(enc []byte, splices []splice) []span {
	l := locator{enc: enc}
	out := make([]span, len(splices))
	for i, s := range splices {
		switch {
		case s.from < s.to:
			out[i].from = l.find(s.from).from
			if out[i].from == l.full { // else the blanks before the line end would come to life
				out[i].from = l.last
			}
			out[i].to = l.find(s.to - 1).to
		case s.from > 0:
			end := l.find(s.from - 1).to
			out[i] = span{end, end}
		}
	}
	return out
}

// A locator finds decoded offsets, which must not fall, in quoted-printable
// that decodeQuoted has accepted.
type locator struct {
	enc      []byte
	at, text int // encoded offset of the current character, and its decoded one
	last     int // encoded offset of what ends the line and is no text
	full     int // encoded offset of the line end
	next     int // encoded offset of the next line
	nextText int // and its decoded one
}

// find returns the range of enc that encodes the decoded byte at offset.
func (l *locator) find(offset int) span {
	for l.nextText <= offset && l.next < len(l.enc) {
		l.line()
	}
	for l.text < offset && l.at < l.last {
		l.at += unitLen(l.enc[l.at:l.last])
		l.text++
	}
	if l.at >= l.last { // in the line end
		at := l.full + offset - l.text
		return span{at, at + 1}
	}
	return span{l.at, l.at + unitLen(l.enc[l.at:l.last])}
}

// line moves to the next line.
func (l *locator) line() {
	line, ending := cutLine(l.enc[l.next:])
	kept, soft := cutSoft(line)
	l.at, l.text = l.next, l.nextText
	l.last, l.full = l.at+len(kept), l.at+len(line)
	l.next = l.full + len(ending)
	l.nextText += len(kept) - 2*bytes.Count(kept, []byte("="))
	if !soft {
		l.nextText += len(ending)
	}
}

// unitLen returns how many bytes encode the first character of b.
func unitLen(b []byte) int {
	if len(b) >= 3 && b[0] == '=' && unhex(b[1]) < 16 && unhex(b[2]) < 16 {
		return 3
	}
	return 1
}
