package bolt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"backstamp/mail"
	"backstamp/store"
)

// TestDiskFull fills a small disk to its last octet and makes room again, 20
// times, while messages of both kinds come in: what does not fit is refused and
// leaves nothing, the store works again by itself, and nothing that was taken
// is lost.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("no small disk to be had: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, err := Open(filepath.Join(dir, "data"), Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	var ids mail.IDs
	acked := map[mail.ID]bool{}
	refused := 0
	for range 20 {
		ballast := fillDisk(t, dir)
		refused += putSome(t, s, &ids, acked, store.ErrFull)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		putSome(t, s, &ids, acked, nil)
		if err := s.Healthy(); err != nil {
			t.Fatalf("with room again: %v", err)
		}
	}
	if refused < 20 {
		t.Errorf("a full disk refused %d messages", refused)
	}
	if left, _ := filepath.Glob(filepath.Join(s.bodies.dir, "*"+tmpSuffix)); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(filepath.Join(dir, "data"), Options{}); err != nil {
		t.Fatal(err)
	}
	checkAcked(t, s, acked)
	n := 0
	for range s.Messages(t.Context(), store.Filter{}) {
		n++
	}
	if n != len(acked) {
		t.Errorf("%d messages are there, %d were taken", n, len(acked))
	}
}

// fillDisk writes a file until nothing more fits.
func fillDisk(t *testing.T, dir string) (name string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		b := make([]byte, size)
		for err = nil; err == nil; {
			_, err = f.Write(b)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// putSome puts messages from several goroutines and returns how many were
// refused; other errors than the one that may be are told.
func putSome(t *testing.T, s *Store, ids *mail.IDs, acked map[mail.ID]bool, may error) (refused int) {
	t.Helper()
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 5 {
				m, ds := aMessage(ids)
				err := s.Put(t.Context(), m, ds, bytes.NewReader(victimBody(m.ID)))
				mu.Lock()
				switch {
				case err == nil:
					acked[m.ID] = true
				case may != nil && errors.Is(err, may):
					refused++
				default:
					t.Errorf("put: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return refused
}
