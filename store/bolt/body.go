package bolt

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"sync"

	"backstamp/internal/crash"
	"backstamp/mail"
)

var errPut = errors.New("store: a body is put once")

// A body is a mail.Body of a store: in memory up to Options.InlineBody octets,
// then in a temporary file among the bodies. Its checksum is made while it is
// written. After the first error it takes nothing more.
type body struct {
	s    *Store
	sum  hash.Hash
	size int64
	mem  []*block // of the store's pool, all but the last full; none once the body is a file
	file file
	name string // of the file, while it is temporary
	err  error

	closed bool
}

// NewBody returns an empty body for a message that comes in, to be handed to
// Put of this store once it is whole. Its Write returns what Put would: errors
// that wrap store.ErrFull or store.ErrBroken.
func (s *Store) NewBody() mail.Body { return s.newBody() }

func (s *Store) newBody() *body {
	return &body{s: s, sum: sha256.New()}
}

// A block is a piece of a body in memory. They are small, since many small
// messages may wait in memory, and used again, since content grows by them
// without a copy.
type block [8 << 10]byte

func newBlocks() *sync.Pool {
	return &sync.Pool{New: func() any { return new(block) }}
}

// Write adds to the body. It is called by one goroutine, before Put.
func (b *body) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.add(p)
	if err != nil {
		b.err = fmt.Errorf("write body: %w", b.s.troubled(err))
		return n, b.err
	}
	b.size += int64(n)
	b.sum.Write(p)
	return n, nil
}

// add puts p where the body lies.
func (b *body) add(p []byte) (int, error) {
	if b.file == nil && b.size+int64(len(p)) > b.s.o.InlineBody {
		if err := b.spill(); err != nil {
			return 0, err
		}
	}
	if b.file == nil {
		b.remember(p)
		return len(p), nil
	}
	return writeWhole(b.file, p)
}

// remember adds p to the blocks.
func (b *body) remember(p []byte) {
	for at := int(b.size); len(p) > 0; {
		if at/len(block{}) == len(b.mem) {
			b.mem = append(b.mem, b.s.blocks.Get().(*block))
		}
		n := copy(b.mem[len(b.mem)-1][at%len(block{}):], p)
		p, at = p[n:], at+n
	}
}

// bytes returns a body that lies in memory as one piece, which is the caller's.
func (b *body) bytes() []byte {
	whole := make([]byte, b.size)
	b.recall(whole, 0)
	return whole
}

// recall copies out of the blocks, from a place that is within the body.
func (b *body) recall(p []byte, at int64) (n int) {
	p = p[:min(int64(len(p)), b.size-at)]
	for n < len(p) {
		i := int(at) + n
		n += copy(p[n:], b.mem[i/len(block{})][i%len(block{}):])
	}
	return n
}

// spill moves the body from memory to a file.
func (b *body) spill() (err error) {
	crash.At(crash.BeforeBody)
	b.name = b.s.bodies.temporary()
	if b.file, err = b.s.bodies.disk.Create(b.name); err != nil {
		b.name = ""
		return err
	}
	for i := int64(0); i < b.size && err == nil; i += int64(len(block{})) {
		_, err = writeWhole(b.file, b.mem[i/int64(len(block{}))][:min(int64(len(block{})), b.size-i)])
	}
	b.giveBack()
	return err
}

// writeWhole writes p, or says that it did not.
func writeWhole(w io.Writer, p []byte) (int, error) {
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// giveBack returns the memory to the pool.
func (b *body) giveBack() {
	for _, m := range b.mem {
		b.s.blocks.Put(m)
	}
	b.mem = nil
}

// ReadAt reads what was written.
func (b *body) ReadAt(p []byte, at int64) (int, error) {
	switch {
	case b.file != nil:
		return b.file.ReadAt(p, at)
	case b.closed:
		return 0, fs.ErrClosed
	case at < 0 || at >= b.size:
		return 0, io.EOF
	}
	n := b.recall(p, at)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Size returns how many octets were written.
func (b *body) Size() int64 { return b.size }

// keep makes the file of the body durable under the name of a message, before
// anything names it there. What it leaves when it fails, Close removes. The
// file is closed for its new name, since Windows renames none that is open;
// what was synced is durable, whatever closing it says.
func (b *body) keep(id mail.ID) error {
	d, name := b.s.bodies.disk, b.s.bodies.name(id)
	err := b.file.Sync()
	b.file.Close()
	b.file = nil
	if err == nil {
		err = d.Rename(b.name, name)
	}
	if err == nil {
		b.name = name // temporary still, until it is committed
		err = d.SyncDir(b.s.bodies.dir)
	}
	if err == nil {
		b.file, err = d.Open(name)
	}
	if err != nil {
		return fmt.Errorf("write body: %w", b.s.troubled(err))
	}
	crash.At(crash.AfterBody)
	return nil
}

// Close lets go of the body, and removes a file that no commit names. What
// cannot be removed is swept at the next start.
func (b *body) Close() (err error) {
	b.closed = true
	b.giveBack()
	if b.file != nil {
		err = b.file.Close()
		b.file = nil
	}
	if b.name != "" {
		err = errors.Join(err, b.s.bodies.disk.Remove(b.name))
		b.name = ""
	}
	if b.err == nil {
		b.err = fs.ErrClosed
	}
	return err
}

// A storedFile is the content of a message that lies in a file.
type storedFile struct {
	file
	size int64
}

// Size returns the octets of the content.
func (f storedFile) Size() int64 { return f.size }

// storedBytes is the content of a message that lies in memory.
type storedBytes struct{ *bytes.Reader }

// Close does nothing: the memory belongs to the reader alone.
func (storedBytes) Close() error { return nil }
