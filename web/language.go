package web

import (
	"net/http"
	"slices"

	"golang.org/x/text/language"

	"backstamp/relay/provider/catalogue"
)

// languageOf returns in which language a request wants to read what replies
// mean: that of its parameter lang, else the first that its Accept-Language
// names of those there are words in.
func languageOf(r *http.Request) string {
	known := catalogue.Languages()
	if lang := r.URL.Query().Get("lang"); slices.Contains(known, lang) {
		return lang
	}
	wanted, _, _ := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	for _, tag := range wanted {
		if base, _ := tag.Base(); slices.Contains(known, base.String()) {
			return base.String()
		}
	}
	return known[0]
}
