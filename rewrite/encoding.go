package rewrite

import (
	"bytes"
	"encoding/base64"
	"sort"
)

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

// decode undoes the encoding of enc; ok is false where decoders would differ.
// For codecPlain text is enc itself, for codecQuoted lines says where the
// lines lie.
func (c codec) decode(enc []byte) (text []byte, lines []mark, ok bool) {
	switch c {
	case codecQuoted:
		if strayEquals(enc) {
			return nil, nil, false
		}
		text, lines = decodeQuoted(enc)
		return text, lines, true
	case codecBase64:
		text, ok = decodeBase64(enc)
		return text, nil, ok
	}
	return enc, nil, true
}

// decodeBase64 accepts line ends and blanks between characters and nothing
// else that is not of the alphabet.
func decodeBase64(enc []byte) ([]byte, bool) {
	packed := make([]byte, 0, len(enc))
	for line := range bytes.FieldsSeq(enc) {
		packed = append(packed, line...)
	}
	n, err := base64.StdEncoding.Decode(packed, packed)
	return packed[:n], err == nil
}

// A mark pairs a decoded offset with the encoded one where its line begins.
type mark struct{ text, enc int }

// decodeQuoted decodes quoted-printable (RFC 2045 section 6.7) and returns
// where its lines lie. Blanks at the end of a line are no part of the text. An
// equals sign that escapes nothing stands for itself; decode refuses such text.
func decodeQuoted(enc []byte) (text []byte, lines []mark) {
	text = make([]byte, 0, len(enc))
	lines = make([]mark, 0, bytes.Count(enc, []byte("\n"))+1)
	for at := 0; at < len(enc); {
		lines = append(lines, mark{len(text), at})
		line, ending := cutLine(enc[at:])
		at += len(line) + len(ending)
		line = bytes.TrimRight(line, " \t")
		soft := bytes.HasSuffix(line, []byte("="))
		if soft {
			line = line[:len(line)-1]
		}
		text = appendUnquoted(text, line)
		if !soft {
			text = append(text, ending...)
		}
	}
	return text, lines
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

func appendUnquoted(text, line []byte) []byte {
	for {
		i := bytes.IndexByte(line, '=')
		if i < 0 {
			return append(text, line...)
		}
		text = append(text, line[:i]...)
		line = line[i:]
		if unitLen(line) == 3 {
			text = append(text, unhex(line[1])<<4|unhex(line[2]))
			line = line[3:]
		} else {
			text = append(text, '=')
			line = line[1:]
		}
	}
}

// strayEquals reports whether an equals sign escapes nothing and breaks no
// line: such text was not encoded by the rules, and is left as it is.
func strayEquals(enc []byte) bool {
	for len(enc) > 0 {
		line, ending := cutLine(enc)
		enc = enc[len(line)+len(ending):]
		line = bytes.TrimSuffix(bytes.TrimRight(line, " \t"), []byte("="))
		for i := bytes.IndexByte(line, '='); i >= 0; i = bytes.IndexByte(line, '=') {
			if line = line[i:]; unitLen(line) != 3 {
				return true
			}
			line = line[3:]
		}
	}
	return false
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
func encodedRanges(enc []byte, lines []mark, splices []splice) []span {
	l := locator{enc: enc, lines: lines, line: -1}
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

// A locator finds decoded offsets, which must not fall, in quoted-printable.
type locator struct {
	enc   []byte
	lines []mark
	line  int // index of the current line
	full  int // encoded offset of its line end
	last  int // encoded offset of what before that is no text: a soft break, dropped blanks
	enc0  int // encoded offset of the current character
	text0 int // and its decoded one
}

// find returns the range of enc that encodes the decoded byte at offset.
func (l *locator) find(offset int) span {
	n := sort.Search(len(l.lines), func(i int) bool { return l.lines[i].text > offset }) - 1
	if n != l.line {
		l.line, l.text0, l.enc0 = n, l.lines[n].text, l.lines[n].enc
		line, _ := cutLine(l.enc[l.enc0:])
		l.full = l.enc0 + len(line)
		l.last = l.enc0 + len(bytes.TrimSuffix(bytes.TrimRight(line, " \t"), []byte("=")))
	}
	for l.text0 < offset && l.enc0 < l.last {
		l.enc0 += unitLen(l.enc[l.enc0:l.last])
		l.text0++
	}
	if l.enc0 >= l.last { // in the line end
		at := l.full + offset - l.text0
		return span{at, at + 1}
	}
	return span{l.enc0, l.enc0 + unitLen(l.enc[l.enc0:l.last])}
}

// unitLen returns how many bytes encode the first character of b.
func unitLen(b []byte) int {
	if len(b) >= 3 && b[0] == '=' && unhex(b[1]) < 16 && unhex(b[2]) < 16 {
		return 3
	}
	return 1
}
