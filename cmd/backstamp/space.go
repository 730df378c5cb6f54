package main

import (
	"fmt"

	"backstamp/store"
)

// reserveMost is what of a disk is kept free of new mail, so that what becomes
// of the mail that is there can still be written: no more than a twentieth.
const reserveMost = 64 << 20

// reserve is what is kept free of a disk of that size, in octets.
func reserve(total uint64) uint64 { return min(reserveMost, total/20) }

// room returns a check of whether the disk of a directory has room for mail.
func room(dir string, space func(dir string) (free, total uint64, err error)) func() error {
	return func() error {
		free, total, err := space(dir)
		if err != nil {
			return nil // the store will tell
		}
		if kept := reserve(total); free < kept {
			return fmt.Errorf("%w: %d MiB are free, and %d MiB are reserved for what is in the queue", store.ErrFull, free>>20, kept>>20)
		}
		return nil
	}
}
