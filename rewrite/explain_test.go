package rewrite

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"backstamp/mail"
)

// TestExplain has every word explained, each in sentences of its own.
func TestExplain(t *testing.T) {
	by := map[string]string{}
	for _, prefix := range []string{"Reason", "Note", "Link"} {
		for _, word := range reasons(t, prefix) {
			for lang, least := range map[string]int{"en": 4, "ko": 3} {
				text := Explain(word, lang)
				korean := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Hangul, r) })
				if len(strings.Fields(text)) < least || !strings.HasSuffix(text, ".") || by[text] != "" || korean != (lang == "ko") {
					t.Errorf("%s in %s: %q, which is too little, no sentence, or that of %q", word, lang, text, by[text])
				}
				by[text] = word
			}
		}
	}
	if len(by) != 2*len(explanations) {
		t.Errorf("%d texts for %d words", len(explanations), len(by))
	}
	if text := Explain("moonlight", "en"); text != "" {
		t.Errorf("an unknown word is explained: %q", text)
	}
}

func TestMeanings(t *testing.T) {
	p := &Plan{
		reason: ReasonNothing, notes: []string{NoteClip},
		links: []mail.Link{{Reason: LinkEmpty}, {}, {Reason: LinkScheme}, {Reason: LinkEmpty}},
	}
	m := p.Meanings("ko")
	got, want := slices.Sorted(maps.Keys(m)), []string{LinkEmpty, NoteClip, ReasonNothing, LinkScheme}
	if !slices.Equal(got, want) || m[LinkEmpty] != Explain(LinkEmpty, "ko") {
		t.Errorf("%q, want those of %q", m, want)
	}
	if m := new(Plan).Meanings("en"); len(m) != 0 {
		t.Errorf("nothing is explained as %q", m)
	}
}
