package main

import (
	"errors"
	"testing"

	"backstamp/store"
)

func TestRoom(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		free, total uint64
		err         error
		full        bool
	}{
		{65 * mib, 1 << 40, nil, false},
		{63 * mib, 1 << 40, nil, true},
		{1 * mib, 8 * mib, nil, false}, // a small disk
		{mib / 4, 8 * mib, nil, true},
		{0, 0, errors.New("unknown"), false},
	} {
		err := room("data", func(string) (uint64, uint64, error) { return c.free, c.total, c.err })()
		if errors.Is(err, store.ErrFull) != c.full {
			t.Errorf("%d of %d free: %v", c.free, c.total, err)
		}
	}
	if free, total, err := space(t.TempDir()); err == nil && (total == 0 || free > total) {
		t.Errorf("%d of %d are free", free, total)
	}
}
