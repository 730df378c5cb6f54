package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"backstamp/store"
)

// lockWait is how long another process may keep the file before we give up.
const lockWait = time.Second

// newPattern matches stores that are being made.
const newPattern = storeName + ".new-*"

// create makes an empty store. It is built under another name and then linked,
// so that a store is whole or not there, and of two processes that make one at
// the same moment one wins.
func create(dir, path string) error {
	if err := makeDir(dir); err != nil {
		return classify(err)
	}
	f, err := os.CreateTemp(dir, newPattern)
	if err != nil {
		return classify(err)
	}
	f.Close()
	defer os.Remove(f.Name())
	if err := initialise(f.Name()); err != nil {
		return fmt.Errorf("make a new store: %w", classify(err))
	}
	if err := os.Link(f.Name(), path); err != nil {
		if have, _ := exists(path); have {
			return nil
		}
		if err := os.Rename(f.Name(), path); err != nil { // a file system without links
			return classify(err)
		}
	}
	return classify(osDisk{}.SyncDir(dir))
}

// makeDir makes a directory, and its name durable.
func makeDir(dir string) error {
	if there, err := exists(dir); there || err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return osDisk{}.SyncDir(filepath.Dir(dir))
}

// initialise writes the buckets and the schema version. bbolt syncs them.
func initialise(name string) error {
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{Timeout: lockWait})
	if err != nil {
		return err
	}
	err = db.Update(func(t *bbolt.Tx) error {
		for _, name := range append(buckets[:], visitors) {
			if _, err := t.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return setVersion(t, schema)
	})
	return errors.Join(err, db.Close())
}

const markerText = "A store was made beside this file. If it is gone, Backstamp does not start, so that no mail is lost unseen.\n"

// mark notes beside the store that it exists. The marker tells a store that
// vanished from one that never was, so it comes after the store is durable.
func mark(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, markerName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(markerText)
	return errors.Join(err, f.Sync(), f.Close(), osDisk{}.SyncDir(dir))
}

// openChecked opens the file and makes sure that bbolt can walk it. It is
// opened for reading first: that takes the lock, under which the file stands
// still, and touches no page that checkFile has not looked at.
func openChecked(path string, readOnly bool) (*bbolt.DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, classify(err)
	}
	if info.Size() == 0 {
		return nil, corruptf("%s is empty", path) // bbolt would make a new store of it
	}
	db, err := openBolt(path, true)
	if err != nil {
		return nil, err
	}
	err = checkFile(path)
	if err == nil {
		err = checkSchema(db, path, readOnly)
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	if readOnly {
		return db, nil
	}
	if err := db.Close(); err != nil {
		return nil, classify(err)
	}
	return openBolt(path, false)
}

func openBolt(path string, readOnly bool) (db *bbolt.DB, err error) {
	defer caught(&err)()
	o := &bbolt.Options{
		Timeout:        lockWait,
		ReadOnly:       readOnly,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
	}
	// A large map lets the file grow without waiting for readers. Windows would
	// make the file that large at once.
	if runtime.GOOS != "windows" && bits.UintSize == 64 {
		o.InitialMmapSize = 1 << 30
	}
	var f *os.File
	o.OpenFile = func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		f, err = os.OpenFile(name, flag, mode)
		return f, err
	}
	db, err = bbolt.Open(path, 0o600, o)
	var errno syscall.Errno
	switch {
	case err == nil && !isFile(f, path):
		// Whoever held the lock has put another file in its place.
		return nil, errors.Join(fmt.Errorf("%w: %s was replaced meanwhile", store.ErrLocked, path), db.Close())
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s is locked", store.ErrLocked, path)
	case errors.As(err, &errno):
		return nil, classify(err)
	}
	return nil, corruptf("%s: %v", path, err)
}

// isFile reports whether a file still has that name.
func isFile(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(ours, named)
}

// checkSchema tells our stores from others, and from those of later releases.
func checkSchema(db *bbolt.DB, path string, readOnly bool) (err error) {
	defer caught(&err)()
	return db.View(func(t *bbolt.Tx) error {
		for _, name := range buckets { // the first holds the version
			if t.Bucket([]byte(name)) == nil && (name == metaBucket || name.since() <= version(t)) {
				return corruptf("%s is no store of Backstamp: it has no bucket %q", path, name)
			}
		}
		return checkVersion(t, path, readOnly)
	})
}
