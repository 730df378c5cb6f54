package bolt

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"backstamp/store"
)

// asNobody runs f with the rights of a user who owns nothing. The thread is
// thrown away after it.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		}
		f()
	}()
	<-done
}

// TestReadOnlyDir opens a store whose directory may not be written to, and one
// that is to be made there: it is told what to do, and nothing changes.
func TestReadOnlyDir(t *testing.T) {
	for name, dir := range map[string]string{"a store": filled(t, 3), "none": t.TempDir()} {
		path := filepath.Join(dir, storeName)
		if have, _ := exists(path); have {
			if err := os.Chmod(path, 0o444); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chmod(dir, 0o555), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
			t.Fatal(err)
		}
		before := files(t, dir)
		asNobody(t, func() {
			s, err := Open(dir, Options{Create: true})
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "let the user") {
				t.Errorf("%s: %v, want ErrFull with the directory and the next step", name, err)
			}
		})
		if !maps.Equal(before, files(t, dir)) {
			t.Errorf("%s: something changed", name)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
