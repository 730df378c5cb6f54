package bolt

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"

	"backstamp/internal/crash"
)

// compactStep is how many octets one transaction of a compaction copies.
const compactStep = 16 << 20

// Compact rewrites the store in dir without the pages that it does not use, and
// so without what was deleted from it. It returns how large the file was and
// is. Nobody else may have the store open: it fails with store.ErrLocked while
// a server runs. It needs room for the second file; until that is whole and
// durable the first one stays as it is, and takes its place in one step.
func Compact(dir string) (before, after int64, err error) {
	before, after, err = compact(dir, osDisk{})
	if err != nil {
		return 0, 0, fmt.Errorf("compact store in %q: %w", dir, err)
	}
	return before, after, nil
}

func compact(dir string, d disk) (before, after int64, err error) {
	s := &Store{dir: dir, o: Options{}.filled()}
	path := filepath.Join(dir, storeName)
	if err := s.ensure(path); err != nil {
		return 0, 0, err
	}
	old, err := openChecked(path, false)
	if err != nil {
		return 0, 0, err
	}
	defer old.Close()
	f, err := os.CreateTemp(dir, newPattern)
	if err != nil {
		return 0, 0, classify(err)
	}
	f.Close()
	defer os.Remove(f.Name())
	if err := copyBolt(f.Name(), old); err != nil {
		return 0, 0, classify(err)
	}
	if before, after, err = sizes(path, f.Name()); err != nil {
		return 0, 0, classify(err)
	}
	if runtime.GOOS == "windows" {
		old.Close() // an open file cannot be replaced there
	}
	crash.At(crash.BeforeReplace)
	if err := d.Rename(f.Name(), path); err != nil {
		return 0, 0, classify(err)
	}
	crash.At(crash.AfterReplace)
	return before, after, classify(d.SyncDir(dir))
}

// copyBolt copies all that a file holds to a new one, and makes it durable.
func copyBolt(name string, old *bbolt.DB) (err error) {
	defer caught(&err)()
	fresh, err := bbolt.Open(name, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	defer fresh.Close()
	if err := bbolt.Compact(fresh, old, compactStep); err != nil {
		return err
	}
	if err := fresh.Sync(); err != nil {
		return err
	}
	if err := fresh.Close(); err != nil {
		return err
	}
	return checkFile(name)
}

func sizes(a, b string) (int64, int64, error) {
	first, err := os.Stat(a)
	if err != nil {
		return 0, 0, err
	}
	second, err := os.Stat(b)
	if err != nil {
		return 0, 0, err
	}
	return first.Size(), second.Size(), nil
}
