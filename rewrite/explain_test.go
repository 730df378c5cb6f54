package rewrite

import (
	"strings"
	"testing"
)

// TestExplain has every word explained, each in sentences of its own.
func TestExplain(t *testing.T) {
	by := map[string]string{}
	for _, prefix := range []string{"Reason", "Note", "Link"} {
		for _, word := range reasons(t, prefix) {
			text := Explain(word)
			if len(strings.Fields(text)) < 4 || !strings.HasSuffix(text, ".") || by[text] != "" {
				t.Errorf("%s: %q, which is too little, no sentence, or that of %q", word, text, by[text])
			}
			by[text] = word
		}
	}
	if len(by) != len(explanations) {
		t.Errorf("%d texts for %d words", len(explanations), len(by))
	}
	if text := Explain("moonlight"); text != "" {
		t.Errorf("an unknown word is explained: %q", text)
	}
}
