package bolt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"backstamp/mail"
	"backstamp/store"
)

// A disk is the little that body files need of a file system; tests put one in
// its place that fails its nth call.
type disk interface {
	Create(name string) (file, error)
	Rename(from, to string) error
	SyncDir(name string) error
	Remove(name string) error
	ReadFile(name string) ([]byte, error)
}

// A file is one that is being written.
type file interface {
	io.WriteCloser
	Sync() error
}

// bodies are the bodies that lie in files: one each, under the message's ID.
type bodies struct {
	dir  string
	disk disk
}

// tmpSuffix marks files that are not yet whole.
const tmpSuffix = ".tmp"

func (b bodies) name(id mail.ID) string { return filepath.Join(b.dir, id.String()) }

// write makes the file durable before it returns nil. When it fails it leaves
// nothing.
func (b bodies) write(id mail.ID, content []byte) error {
	name := b.name(id)
	err := b.fill(name+tmpSuffix, content)
	if err == nil {
		err = b.disk.Rename(name+tmpSuffix, name)
	}
	if err == nil {
		err = b.disk.SyncDir(b.dir)
	}
	if err != nil {
		b.disk.Remove(name + tmpSuffix)
		b.disk.Remove(name) // what cannot be removed is swept at the next start
		return fmt.Errorf("write body: %w", classify(err))
	}
	return nil
}

func (b bodies) fill(name string, content []byte) error {
	f, err := b.disk.Create(name)
	if err != nil {
		return err
	}
	n, err := f.Write(content)
	if err == nil && n < len(content) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// read returns the file of a body.
func (b bodies) read(id mail.ID) ([]byte, error) {
	content, err := b.disk.ReadFile(b.name(id))
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, corruptf("read body: %w", err)
	}
	return content, classify(err)
}

// sweep removes files that a crash left without a message to name them, and
// returns how many.
func (s *Store) sweep() (n int, err error) {
	entries, err := os.ReadDir(s.bodies.dir)
	if err != nil {
		return 0, classify(err)
	}
	err = s.view(func(t *tx) error {
		for _, e := range entries {
			if s.orphan(t, e.Name()) && s.bodies.disk.Remove(filepath.Join(s.bodies.dir, e.Name())) == nil {
				n++
			}
		}
		return nil
	})
	return n, err
}

// orphan reports whether a file is ours and of no use. What we did not make,
// and the body of a message that cannot be read, stay.
func (s *Store) orphan(t *tx, name string) bool {
	text, tmp := strings.CutSuffix(name, tmpSuffix)
	id, err := mail.ParseID(text)
	if err != nil {
		return false
	}
	if tmp {
		return true
	}
	m, err := t.message(id)
	return errors.Is(err, store.ErrNotFound) || err == nil && !m.File
}

// osDisk is the disk of the machine.
type osDisk struct{}

func (osDisk) Create(name string) (file, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

func (osDisk) Rename(from, to string) error         { return os.Rename(from, to) }
func (osDisk) Remove(name string) error             { return os.Remove(name) }
func (osDisk) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// SyncDir makes names in a directory durable. Windows has no such call.
func (osDisk) SyncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
