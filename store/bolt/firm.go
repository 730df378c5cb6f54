package bolt

import (
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"backstamp/store"
)

// firm makes sure that the newest commit which readers see is on the disk
// before another begins. One may be seen and not be there, after a process was
// killed before the last sync of a commit, or where that sync failed. The next
// commit uses the pages that it freed, which the one before it needs: should
// the power fail then, neither were whole. Both meta pages are written again as
// they are, since a sync alone does nothing for a page whose writing failed.
func firm(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := newestMeta(f)
	if err != nil {
		return err
	}
	pages := make([]byte, 2*m.pageSize)
	if _, err := f.ReadAt(pages, 0); err != nil {
		return err
	}
	if _, err := f.WriteAt(pages, 0); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// outcome says what a commit that returned an error came to. Where its last
// sync failed for want of space it is seen by all, and is made firm: then it
// did not fail. Where that fails too nobody knows what is on the disk.
func (w *writer) outcome(id int, err error) error {
	if errors.Is(classify(err), store.ErrBroken) || !w.seen(id) {
		return err
	}
	if again := w.firm(); again != nil {
		return fmt.Errorf("%w: a commit is neither done nor undone: %w", store.ErrBroken, errors.Join(err, again))
	}
	w.s.o.Log.Warn("commit done at the second try", "err", err)
	return nil
}

// seen reports whether readers see a transaction.
func (w *writer) seen(id int) (seen bool) {
	err := w.s.db.View(func(t *bbolt.Tx) error {
		seen = t.ID() >= id
		return nil
	})
	return seen || err != nil
}
