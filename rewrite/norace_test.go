//go:build !race

package rewrite

const slowness = 1
