package ascii

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"

	"backstamp/mail"
)

// IsLong reports whether a line of raw bytes is longer than SMTP carries.
func IsLong(raw []byte) bool {
	for line := range bytes.Lines(raw) {
		if len(bytes.TrimRight(line, "\r\n")) > mail.LineMax {
			return true
		}
	}
	return false
}

// wordMax is the longest word that a folded line has room for, in octets.
const wordMax = 900

// Fold returns f folded (RFC 5322 section 2.2.3) if one of its lines is longer
// than SMTP carries, and f itself otherwise. Lines break at blanks. A word that
// fills a line by itself becomes encoded-words in text for people, and breaks
// behind commas and semicolons where blanks mean nothing; where it has none, it
// stays.
func Fold(f mail.Field) mail.Field {
	if !IsLong(f.Raw) {
		return f
	}
	name, value, _ := bytes.Cut(f.Raw, []byte(":"))
	w := &wordFolder{folder: folder{col: len(name) + 1}}
	w.structured = isAddresses(f.Name) || isParameters(f.Name) || ForMachines(f.Name) || bytes.HasPrefix(bytes.TrimSpace(value), []byte("{")) // JSON
	for rest := unfold(string(value)); strings.Trim(rest, " \t") != ""; {
		var blanks string
		blanks, rest = cutBlanks(rest)
		word := firstWord(rest)
		rest = rest[len(word):]
		w.word(blanks, word, strings.TrimLeft(rest, " \t"))
	}
	return mail.Field{Name: f.Name, Raw: []byte(string(name) + ":" + w.String() + "\r\n")}
}

// A wordFolder writes a value word by word.
type wordFolder struct {
	folder
	structured bool
	encoded    bool // the word before was
	quoted     bool // in a quoted string
}

func (f *wordFolder) word(blanks, word, next string) {
	switch {
	case len(word) <= wordMax:
		f.place(blanks, word)
		f.encoded = isEncoded(word)
		f.cut(word)
	case !f.structured && strings.Contains(word, "?==?") && isEncoded(word):
		f.part(blanks, word)
	case !f.structured && Is(word):
		f.encode(blanks, word, isEncoded(firstWord(next)))
	default:
		for i, piece := range f.cut(word) {
			if i > 0 && f.col+len(piece) > lineMax {
				blanks = " "
			}
			f.place(blanks, piece)
			blanks = ""
		}
	}
}

// place writes a word behind blanks, on a line of its own where it does not fit.
func (f *wordFolder) place(blanks, word string) {
	if blanks != "" && f.Len() > 0 && f.col+len(blanks)+len(word) > lineMax {
		f.put("\r\n")
	}
	f.put(blanks)
	f.put(word)
}

// part writes encoded-words that lack the blanks between them, which mean nothing.
func (f *wordFolder) part(blanks, words string) {
	for _, word := range strings.Split(strings.ReplaceAll(words, "?==?", "?= =?"), " ") {
		f.place(blanks, word)
		blanks = " "
	}
	f.encoded = true
}

// encode writes a word as encoded-words, with the blanks to encoded ones beside
// it, which would mean nothing (RFC 2047 section 6.2).
func (f *wordFolder) encode(blanks, word string, beforeEncoded bool) {
	const size = 39 // of which base64 makes 52
	if f.encoded {
		word = " " + word
	}
	if beforeEncoded {
		word += " "
	}
	for piece := range slices.Chunk([]byte(word), size) {
		f.place(blanks, "=?utf-8?b?"+base64.StdEncoding.EncodeToString(piece)+"?=")
		blanks = " "
	}
	f.encoded = true
}

// cut cuts a word behind commas and semicolons outside quotes.
func (f *wordFolder) cut(word string) (pieces []string) {
	from := 0
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case c == '\\':
			i++
		case c == '"':
			f.quoted = !f.quoted
		case (c == ',' || c == ';') && !f.quoted && i+1 < len(word):
			pieces = append(pieces, word[from:i+1])
			from = i + 1
		}
	}
	return append(pieces, word[from:])
}
