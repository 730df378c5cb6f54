package rewrite

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// occurring says by definition what words.in finds.
func occurring(list []string, text string) (found uint64) {
	for n, word := range list {
		if strings.Contains(lowerASCII(text), lowerASCII(word)) {
			found |= 1 << n
		}
	}
	return found
}

// lowerASCII is strings.ToLower for letters of ASCII alone.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func TestWordsAreThoseThatOccur(t *testing.T) {
	bits := []string{"a", "b", "A", "B", "ab", "-", "{", "수신", "거부", "수", "é", "É", "İ", "K", "k", "i", " "}
	rapid.Check(t, func(t *rapid.T) {
		join := func(s []string) string { return strings.Join(s, "") }
		list := rapid.SliceOfN(rapid.Map(rapid.SliceOfN(rapid.SampledFrom(bits), 1, 5), join), 0, 64).Draw(t, "words")
		text := join(rapid.SliceOfN(rapid.SampledFrom(bits), 0, 30).Draw(t, "text"))
		w := newWords(list...)
		if got, want := w.in(text), occurring(list, text); got != want {
			t.Fatalf("%q in %q: %b, want %b", list, text, got, want)
		}
	})
}

func TestWordsFoldASCIIAlone(t *testing.T) {
	w := newWords("kind", "수신", "é", "list")
	for text, want := range map[string]uint64{
		"KIND": 1 << 0, "mankind": 1 << 0, "kin": 0, "\u212aind": 0, // the Kelvin sign
		"수신거부": 1 << 1, "수\u200b신": 0,
		"CAFÉ": 0, "café": 1 << 2,
		"LIST": 1 << 3, "Lİst": 0, "lıst": 0, "": 0,
	} {
		if got := w.in(text); got != want {
			t.Errorf("%q: %b, want %b", text, got, want)
		}
	}
}

func TestWordsPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"too many": func() { newWords(make([]string, 65)...) },
		"empty":    func() { newWords("") },
		"unknown":  func() { newWords("a").set("b") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
