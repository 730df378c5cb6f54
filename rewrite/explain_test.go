package rewrite

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"backstamp/mail"
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

func TestMeanings(t *testing.T) {
	p := &Plan{
		reason: ReasonNothing, notes: []string{NoteClip},
		links: []mail.Link{{Reason: LinkEmpty}, {}, {Reason: LinkScheme}, {Reason: LinkEmpty}},
	}
	m := p.Meanings()
	got, want := slices.Sorted(maps.Keys(m)), []string{LinkEmpty, NoteClip, ReasonNothing, LinkScheme}
	if !slices.Equal(got, want) || m[LinkEmpty] != Explain(LinkEmpty) {
		t.Errorf("%q, want those of %q", m, want)
	}
	if m := new(Plan).Meanings(); len(m) != 0 {
		t.Errorf("nothing is explained as %q", m)
	}
}
