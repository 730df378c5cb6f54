package rewrite

import (
	"fmt"
	"math/bits"
	"slices"
)

// words finds which of up to 64 words occur in a text, in one pass over it and
// whatever the case of letters of ASCII; bytes beyond ASCII count as they stand.
// So a word must be listed as capitals too where Unicode has some for it, and
// neither İ nor the Kelvin sign is a letter i or k.
type words struct {
	list []string
	at   [end + 1][4]uint64 // at[c][i] has the words that may hold byte c at place i
}

// end stands for the byte behind the text.
const end = 256

// newWords panics where words are too many or empty.
func newWords(list ...string) *words {
	if len(list) > 64 {
		panic(fmt.Sprintf("rewrite: %d words", len(list)))
	}
	w := &words{list: list}
	for n, word := range list {
		if word == "" {
			panic("rewrite: an empty word")
		}
		for c := range w.at {
			for i := range w.at[c] {
				if i >= len(word) || c != end && fold(word[i]) == fold(byte(c)) {
					w.at[c][i] |= 1 << n
				}
			}
		}
	}
	return w
}

// set returns the bits of some words of the list; it panics for others.
func (w *words) set(some ...string) (set uint64) {
	for _, word := range some {
		n := slices.Index(w.list, word)
		if n < 0 {
			panic(fmt.Sprintf("rewrite: %q is not on the list", word))
		}
		set |= 1 << n
	}
	return set
}

// in returns the words that occur in text, one bit each in the order of the
// list. It does not allocate.
func (w *words) in(text string) (found uint64) {
	var one, two, three uint64 // words of which that many bytes have just been seen
	for i := range len(text) + 3 {
		c := end
		if i < len(text) {
			c = int(text[i])
		}
		row := &w.at[c]
		four := three & row[3]
		three, two, one = two&row[2], one&row[1], row[0]
		if four &^= found; four != 0 {
			found |= w.begin(text[i-3:], four)
		}
	}
	return found
}

// begin returns those of some words that text begins with.
func (w *words) begin(text string, some uint64) (found uint64) {
	for ; some != 0; some &= some - 1 {
		if n := bits.TrailingZeros64(some); hasPrefixFold(text, w.list[n]) {
			found |= 1 << n
		}
	}
	return found
}

// hasPrefixFold reports whether text begins with prefix, whatever the case of
// letters of ASCII.
func hasPrefixFold(text, prefix string) bool {
	if len(text) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if fold(text[i]) != fold(prefix[i]) {
			return false
		}
	}
	return true
}

// fold returns a letter of ASCII in lower case, any other byte as it is.
func fold(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
