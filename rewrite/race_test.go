//go:build race

package rewrite

// slowness is how much longer than alone the race detector may take.
const slowness = 10
