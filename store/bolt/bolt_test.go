package bolt

import (
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, name string, now time.Time) storetest.Backend {
		return opened(t, name, Options{Create: true, Clock: clock.NewFake(now)})
	})
}

// opened opens a store that must open, and closes it with the test.
func opened(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
