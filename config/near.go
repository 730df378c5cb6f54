package config

import (
	"strings"

	"backstamp/internal/near"
)

// unknown says that a name is not among those known, and offers the nearest,
// or all where none is near.
func unknown(what, name string, known []string) string {
	best, least := "", len(name)/2+1
	for _, k := range known {
		if d := near.Distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return "unknown " + what + "; expected " + list(known)
	}
	return "unknown " + what + "; did you mean " + best + "?"
}

// list writes words as a person would: a, b or c.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " or " + words[n]
}
