// Package near finds the name that somebody perhaps meant.
package near

import "slices"

// Name returns the name that takes the fewest edits. There is one at least.
func Name(word string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int { return Distance(word, a) - Distance(word, b) })
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
