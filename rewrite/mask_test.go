package rewrite

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestMaskKeepsPlaces: a mask is as long as its text, and each octet is either
// that of the text or hidden. Line ends are never hidden, nor is what stands
// outside shifted runs; within them nothing is left that markup is made of.
func TestMaskKeepsPlaces(t *testing.T) {
	const run = `<a href="x">&'`
	shifts := [][2]string{{"\x0e", "\x0f"}, {"\x1b$B", "\x1b(B"}, {"\x1b$(C", "\x1b(J"}, {"~{", "~}"}}
	rapid.Check(t, func(t *rapid.T) {
		var text, want []byte
		for range rapid.IntRange(1, 20).Draw(t, "pieces") {
			plain := rapid.SampledFrom([]string{"<p>", "text", "\r\n", "\n", "한", `<a href="y">`}).Draw(t, "plain")
			shift := rapid.SampledFrom(shifts).Draw(t, "shift")
			hidden := shift[0] + run + shift[1]
			text = append(append(text, plain...), hidden...)
			want = append(append(want, plain...), strings.Repeat(string(rune(filler)), len(hidden))...)
		}
		masked, ok := mask(text, false)
		if !ok || !bytes.Equal(masked, want) {
			t.Fatalf("%q: %q, want %q", text, masked, want)
		}
	})
}
