package catalogue

import (
	"slices"
	"strings"

	"backstamp/mail"
)

// Languages returns those that there are words in, the one first that is used
// where no other was asked for.
func Languages() []string { return []string{"en", "ko"} }

// Find returns what an id means, in one of Languages; ok is false where no
// entry has it.
func Find(id, lang string) (x mail.Explain, ok bool) {
	e := find(id)
	if e == nil {
		return x, false
	}
	w := e.En
	if lang == "ko" {
		w = e.Ko
	}
	return mail.Explain{ID: id, Class: e.Class, Title: w.Title, Meaning: w.Meaning, Steps: slices.Clone(w.Steps), Link: e.Link}, true
}

// Shown returns an explanation with its words in a language, for a person to
// read, those of the catalogue where it has the id. Else they are the words that
// an earlier version kept, or those of the class. What x has of its own follows
// the meaning. nil is nil.
func Shown(x *mail.Explain, lang string) *mail.Explain {
	if x == nil {
		return nil
	}
	shown, ok := Find(x.ID, lang)
	if !ok && x.Title != "" {
		return x
	}
	if !ok {
		shown, _ = Find("generic."+x.Class, lang)
	}
	shown.ID, shown.Class = x.ID, x.Class
	if x.Detail != "" {
		shown.Meaning = strings.TrimSpace(shown.Meaning + " (" + strings.ReplaceAll(x.Detail, "\n", " / ") + ")")
	}
	return &shown
}
