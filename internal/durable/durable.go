// Package durable makes what is written outlive a loss of power.
package durable

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// Unfinished begins the names of files that WriteFile was about to write when the
// program ended: nothing needs them.
const Unfinished = ".new-"

// WriteFile gives a file, new or not, that content, for its owner alone. Neither
// readers nor a loss of power ever leave half of it.
func WriteFile(name string, content []byte) error {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, Unfinished+"*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a directory durable: that of a file which was
// created, renamed or linked there is sure only afterwards. Windows has no such
// call and needs none.
func SyncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
