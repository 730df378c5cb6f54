// Package near finds the name that somebody perhaps meant.
package near

import "strings"

// Name returns the name that takes the fewest edits, "" where none is near.
func Name(word string, names []string) string {
	best, least := "", len(word)/2+1
	for _, name := range names {
		if d := Distance(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// Hint says what to write in place of an unknown word: the nearest name, or
// which there are where none is near.
func Hint(word string, names []string) string {
	if name := Name(word, names); name != "" {
		return "did you mean " + name + "?"
	}
	return "expected " + List(names)
}

// List writes words as a person would: a, b or c.
func List(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " or " + words[n]
}

// Distance is the number of letters to insert, drop, replace or swap with
// their neighbour to make b of a.
func Distance(a, b string) int {
	if len(a) > 2*len(b)+8 {
		return len(a) - len(b)
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
