package bolt

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"backstamp/internal/durable"
	"backstamp/mail"
	"backstamp/store"
)

// A disk is the little that body files need of a file system; tests put one in
// its place that fails its nth call.
type disk interface {
	Create(name string) (file, error)
	Open(name string) (file, error) // to be read
	Rename(from, to string) error
	SyncDir(name string) error
	Remove(name string) error
}

// A file is one that is being written, or read.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
}

// bodies are the bodies that lie in files: one each, under the message's ID.
type bodies struct {
	dir  string
	disk disk
	made atomic.Uint64 // temporary files so far
}

// tmpSuffix marks files that no message names yet.
const tmpSuffix = ".tmp"

func (b *bodies) name(id mail.ID) string { return filepath.Join(b.dir, id.String()) }

// temporary is the name of a new file. One process uses the directory, and
// sweeps it when it starts.
func (b *bodies) temporary() string {
	return filepath.Join(b.dir, fmt.Sprintf("%d%s", b.made.Add(1), tmpSuffix))
}

// open opens the file of a body once all of it was read and found to be what
// was put.
func (b *bodies) open(id mail.ID, sum []byte) (mail.ContentCloser, error) {
	f, err := b.disk.Open(b.name(id))
	if err != nil {
		return nil, readError(err)
	}
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62))
	if err == nil && !bytes.Equal(h.Sum(nil), sum) {
		err = errSum(n)
	}
	if err != nil {
		f.Close()
		return nil, readError(err)
	}
	return storedFile{f, n}, nil
}

// readError tells what is gone or cannot be read any more from what may work
// the next time, such as a lack of descriptors.
func readError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EIO) {
		return corruptf("read body: %w", err)
	}
	return classify(err)
}

func errSum(n int64) error {
	return corruptf("body of %d octets does not fit its checksum", n)
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
	if strings.HasSuffix(name, tmpSuffix) {
		return true
	}
	id, err := mail.ParseID(name)
	if err != nil {
		return false
	}
	m, err := t.message(id)
	return errors.Is(err, store.ErrNotFound) || err == nil && (!m.File || m.Expired)
}

// osDisk is the disk of the machine.
type osDisk struct{}

func (osDisk) Create(name string) (file, error) {
	return handle(os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600))
}

func (osDisk) Open(name string) (file, error) { return handle(os.Open(name)) }
func (osDisk) Rename(from, to string) error   { return os.Rename(from, to) }
func (osDisk) Remove(name string) error       { return os.Remove(name) }
func (osDisk) SyncDir(name string) error      { return durable.SyncDir(name) }

// handle keeps a nil file from being a file.
func handle(f *os.File, err error) (file, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}
