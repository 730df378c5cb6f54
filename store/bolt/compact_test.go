package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// halfEmpty makes a store from which half was deleted, and says what is left.
func halfEmpty(t *testing.T) (dir string, left map[mail.ID]bool) {
	t.Helper()
	dir, left = t.TempDir(), map[mail.ID]bool{}
	s := opened(t, dir, Options{Create: true})
	var ids mail.IDs
	for i := range 100 {
		m, ds := aMessage(&ids)
		if err := s.Put(t.Context(), m, ds, octets(20<<10)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			left[m.ID] = true
			continue
		}
		if err := s.Conclude(t.Context(), []mail.Outcome{{Message: m.ID, Index: 1, At: begin, Status: mail.Sent}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Expire(t.Context(), begin.Add(time.Hour), store.Retention{Content: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, left
}

func checkHalf(t *testing.T, dir string, left map[mail.ID]bool) {
	t.Helper()
	s := opened(t, dir, Options{})
	defer s.Close()
	n := 0
	for row, err := range s.Messages(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		_, err = s.Content(t.Context(), row.Message.ID)
		if left[row.Message.ID] != (err == nil) || err != nil && !errors.Is(err, store.ErrExpired) {
			t.Errorf("content of %s: %v", row.Message.ID, err)
		}
	}
	due, err := s.Claim(t.Context(), begin, 1000, time.Minute)
	if err != nil || n != 100 || len(due) != len(left) {
		t.Errorf("%d messages, %d due, %v", n, len(due), err)
	}
}

// TestCompact expects a smaller file with the same in it.
func TestCompact(t *testing.T) {
	dir, left := halfEmpty(t)
	before, after, err := Compact(dir)
	if err != nil || after > before*2/3 {
		t.Errorf("%d octets became %d, %v", before, after, err)
	}
	checkHalf(t, dir, left)
	if names, _ := filepath.Glob(filepath.Join(dir, newPattern)); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}

// TestCompactRefused expects a store that is in use, or not there, or not
// whole, to be left alone.
func TestCompactRefused(t *testing.T) {
	dir, left := halfEmpty(t)
	s := opened(t, dir, Options{})
	if _, _, err := Compact(dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("in use: %v, want ErrLocked", err)
	}
	s.Close()
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for n := 1; n <= 2; n++ {
			d := &badDisk{disk: osDisk{}, n: n, err: fault}
			if _, _, err := compact(dir, d); err == nil || d.fired == "" {
				t.Errorf("%v at %q: %v", fault, d.fired, err)
			}
			checkHalf(t, dir, left)
		}
	}
	if _, _, err := Compact(t.TempDir()); !errors.Is(err, store.ErrNone) {
		t.Errorf("none: %v, want ErrNone", err)
	}
	path := filepath.Join(dir, storeName)
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Compact(dir); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("cut: %v, want ErrCorrupt", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 5000 {
		t.Errorf("a store that is not whole was touched: %v", err)
	}
}

// TestReplaced expects the file behind a lock to be told from the one that has
// taken its name.
func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, name := range []string{a, b} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !isFile(f, a) {
		t.Error("not taken for itself")
	}
	if err := os.Rename(b, a); err != nil {
		t.Fatal(err)
	}
	if isFile(f, a) {
		t.Error("taken for the file that replaced it")
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	if isFile(f, a) {
		t.Error("taken for a file that is gone")
	}
}
