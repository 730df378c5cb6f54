// Package durable makes what is written outlive a loss of power.
package durable

import (
	"errors"
	"os"
	"runtime"
)

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
