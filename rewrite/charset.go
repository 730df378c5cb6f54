package rewrite

import (
	"bytes"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// A charset is what the engine needs to know of a part's charset label.
type charset struct {
	name string // as htmlindex knows it; "" for none or us-ascii
	hz   bool
}

func (c charset) utf8() bool { return c.name == "utf-8" }

// decoder returns what turns text of the charset into UTF-8 for labels.
func (c charset) decoder() *encoding.Decoder {
	if c.hz { // which htmlindex, for the web's sake, replaces
		return simplifiedchinese.HZGB2312.NewDecoder()
	}
	e, err := htmlindex.Get(c.name)
	if c.name == "" || c.utf8() || err != nil {
		return encoding.Nop.NewDecoder()
	}
	return e.NewDecoder()
}

// charsets is the allow-list: in none of these does a character beyond ASCII
// hold a byte that the tokenizer would mistake, or else (ISO-2022, HZ) its
// shifted runs can be masked. Johab, UTF-16 and their like are not on it.
// Each list holds the labels of one charset under the name htmlindex has.
var charsets = charsetLabels(map[string]string{
	"":             "us-ascii ascii ansi_x3.4-1968 iso646-us x-unknown unknown-8bit 8bit",
	"utf-8":        "utf-8 utf8 unicode-1-1-utf-8 cp65001",
	"euc-kr":       "euc-kr euc_kr euckr ks_c_5601-1987 ks_c_5601-1989 ksc_5601 ksc5601 ks_c_5601 csksc56011987 cseuckr korean cp949 ms949 uhc windows-949 x-windows-949 x-cp949 iso-2022-kr csiso2022kr",
	"shift_jis":    "shift_jis shift-jis sjis x-sjis csshiftjis ms_kanji ms932 cp932 windows-31j x-ms-cp932",
	"euc-jp":       "euc-jp eucjp x-euc-jp cseucpkdfmtjapanese",
	"iso-2022-jp":  "iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 iso-2022-jp-2004 iso-2022-jp-ms csiso2022jp cp50220 cp50221 cp50222",
	"gbk":          "gbk gb2312 gb_2312-80 gb_2312 euc-cn x-gbk cp936 ms936 windows-936 chinese csgb2312 iso-2022-cn iso-2022-cn-ext",
	"gb18030":      "gb18030 gb-18030",
	"big5":         "big5 big-5 big5-hkscs cn-big5 csbig5 x-x-big5 cp950 windows-950 x-euc-tw euc-tw",
	"hz-gb-2312":   "hz-gb-2312 hz",
	"iso-8859-2":   "iso-8859-2 iso8859-2 latin2 l2",
	"iso-8859-3":   "iso-8859-3 iso8859-3",
	"iso-8859-4":   "iso-8859-4 iso8859-4",
	"iso-8859-5":   "iso-8859-5 iso8859-5 cyrillic",
	"iso-8859-6":   "iso-8859-6 iso8859-6 arabic",
	"iso-8859-7":   "iso-8859-7 iso8859-7 greek",
	"iso-8859-8":   "iso-8859-8 iso8859-8 iso-8859-8-e hebrew",
	"iso-8859-8-i": "iso-8859-8-i",
	"iso-8859-10":  "iso-8859-10 iso8859-10",
	"iso-8859-13":  "iso-8859-13 iso8859-13",
	"iso-8859-14":  "iso-8859-14 iso8859-14",
	"iso-8859-15":  "iso-8859-15 iso8859-15 latin9 latin-9",
	"iso-8859-16":  "iso-8859-16",
	"koi8-r":       "koi8-r koi8r koi",
	"koi8-u":       "koi8-u koi8-ru",
	"macintosh":    "macintosh mac x-mac-roman macroman",
	"ibm866":       "ibm866 cp866",
	"windows-874":  "windows-874 cp874 tis-620 tis620 iso-8859-11 iso8859-11",
	"windows-1250": "windows-1250 cp1250",
	"windows-1251": "windows-1251 cp1251 win-1251",
	"windows-1252": "windows-1252 cp1252 iso-8859-1 iso8859-1 iso_8859-1 iso8859_1 iso-8859-9 iso8859-9 windows-1254 cp1254 latin1 latin-1 l1 ibm437 cp437 ibm850 cp850 ibm852 cp852 ibm858 cp858",
	"windows-1253": "windows-1253 cp1253",
	"windows-1255": "windows-1255 cp1255",
	"windows-1256": "windows-1256 cp1256",
	"windows-1257": "windows-1257 cp1257",
	"windows-1258": "windows-1258 cp1258",
})

func charsetLabels(lists map[string]string) map[string]charset {
	byLabel := map[string]charset{}
	for name, labels := range lists {
		for _, label := range strings.Fields(labels) {
			byLabel[label] = charset{name: name, hz: name == "hz-gb-2312"}
		}
	}
	return byLabel
}

// charsetOf judges the label of a part that holds text. reason is empty when
// the part may be edited.
func charsetOf(label string, text []byte) (c charset, reason string) {
	label = strings.ToLower(strings.Trim(label, " \t'\""))
	label, _, _ = strings.Cut(label, "*") // RFC 2231 section 5: a language
	if isWide(label, text) {
		return charset{}, ReasonCharsetWide
	}
	c, known := charsets[label]
	if !known && label != "" && !isASCII(text) {
		return charset{}, ReasonCharsetUnknown
	}
	return c, ""
}

func isWide(label string, text []byte) bool {
	for _, prefix := range []string{"utf-16", "utf16", "utf-32", "utf32", "utf-7", "utf7", "unicode-1-1-utf-7", "ucs-2", "ucs-4", "iso-10646", "csunicode"} {
		if strings.HasPrefix(label, prefix) {
			return true
		}
	}
	return label == "unicode" || bytes.HasPrefix(text, []byte{0xfe, 0xff}) || bytes.HasPrefix(text, []byte{0xff, 0xfe})
}

// isASCII reports whether no byte of s is above 0x7f.
func isASCII[T []byte | string](s T) bool {
	for len(s) >= 8 {
		if (s[0]|s[1]|s[2]|s[3]|s[4]|s[5]|s[6]|s[7])&0x80 != 0 {
			return false
		}
		s = s[8:]
	}
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

const (
	esc = 0x1b
	so  = 0x0e
	si  = 0x0f
)

// filler stands for a masked byte. It is no letter: a letter behind a bare <
// would make a tag of it.
const filler = '_'

// unshifted turns the runs of ISO-2022-KR and -CN, which are of the set that
// SO shifts to, into what EUC-KR and GBK have for them.
func unshifted(text string) string {
	var out []byte
	high := byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == so:
			high = 0x80
		case c == si:
			high = 0
		case c == esc && strings.HasPrefix(text[i+1:], "$)"):
			i += 3
		case c > ' ' && c < 0x7f:
			out = append(out, c|high)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// mask returns text with the bytes of shifted runs (ISO-2022-KR, -JP, -CN and
// HZ, whatever the label says) replaced, offset for offset; text itself where
// there are none. ok is false when a run does not end with its line: what
// follows would be markup to one reader and characters to another.
func mask(text []byte, hz bool) (masked []byte, ok bool) {
	if !hz && !hasByte(text, esc) && !hasByte(text, so) && !hasByte(text, si) && !bytes.Contains(text, []byte("~{")) {
		return text, true
	}
	masked = bytes.Clone(text)
	for at := 0; at < len(text); {
		line, ending := cutLine(text[at:])
		if !maskLine(masked[at:at+len(line)], line, hz) {
			return nil, false
		}
		at += len(line) + len(ending)
	}
	return masked, true
}

func hasByte(b []byte, c byte) bool { return bytes.IndexByte(b, c) >= 0 }

// maskLine masks the shifted runs of one line into dst.
func maskLine(dst, line []byte, hz bool) (ok bool) {
	shifted := false // G0 or G1 holds something other than ASCII
	tilde := false   // an HZ run, which the line end closes
	for i := 0; i < len(line); {
		n := 1
		hide := shifted || tilde
		switch rest := line[i:]; {
		case rest[0] == so:
			shifted, hide = true, true
		case rest[0] == si:
			shifted, hide = false, true
		case rest[0] == esc:
			var shifts, known bool
			if n, shifts, known = escape(rest); !known {
				return false
			}
			if shifts || isReturn(rest) {
				shifted = shifts
			}
			hide = true
		case shifted:
		case tilde && bytes.HasPrefix(rest, []byte("~}")):
			tilde, n = false, 2
		case tilde:
			n = min(2, len(rest))
		case bytes.HasPrefix(rest, []byte("~{")):
			tilde, hide, n = true, true, 2
		case hz && rest[0] == '~':
			hide, n = true, min(2, len(rest)) // ~~ is one tilde
		}
		if hide {
			for j := i; j < i+n; j++ {
				dst[j] = filler
			}
		}
		i += n
	}
	return !shifted
}

// isReturn reports an escape that brings back ASCII or its like (ISO 646-JP
// differs in two characters that mean nothing to HTML).
func isReturn(b []byte) bool {
	return len(b) >= 3 && b[1] == '(' && (b[2] == 'B' || b[2] == 'J')
}

// escape reads the escape sequence (ISO 2022) that b begins with: its length,
// a single shift with what it shifts included, and whether it leaves G0 with
// something other than ASCII.
func escape(b []byte) (n int, shifts, known bool) {
	i := 1
	for i < len(b) && b[i] >= 0x20 && b[i] <= 0x2f { // intermediate bytes; $ is 0x24
		i++
	}
	if i >= len(b) {
		return 0, false, false
	}
	mid, final := string(b[1:i]), b[i]
	switch mid {
	case "": // single shifts N and O take the next character along
		return min(i+3, len(b)), false, final == 'N' || final == 'O'
	case "(":
		return i + 1, final != 'B' && final != 'J', true
	case "$", "$(":
		return i + 1, true, true
	case ")", "*", "+", ".", "/", "$)", "$*", "$+", "&": // designations that do not shift by themselves
		return i + 1, false, true
	}
	return 0, false, false
}
