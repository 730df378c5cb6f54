package rewrite

import (
	"cmp"
	"fmt"
	"io"
	"sync"

	"backstamp/mail"
)

// windowSize is how much of a message lies in memory at a time.
const windowSize = 64 << 10

// buffers holds []byte of windowSize that windows have done with.
var buffers = sync.Pool{New: func() any { return new([windowSize]byte) }}

// A window is the piece of a Content that lies in memory. What is read mostly
// in order costs one read for every windowSize octets.
type window struct {
	content mail.Content
	buf     *[windowSize]byte
	at, n   int // where in the content the first n octets of buf lie
	size    int // of the content, as far as it can be read
	err     error
}

// look opens a window on c. It must be closed.
func look(c mail.Content) window {
	return window{content: c, buf: buffers.Get().(*[windowSize]byte), size: int(c.Size())}
}

func (w *window) close() {
	if w.buf != nil {
		buffers.Put(w.buf)
		w.buf = nil
	}
}

// view returns the octets from at on, as many as lie in memory and n at least
// unless the content ends before; n may be up to windowSize. They are good until
// the next call. Where the content cannot be read it ends, and err says why.
func (w *window) view(at, n int) []byte {
	if at < w.at || min(at+n, w.size) > w.at+w.n {
		w.fill(at)
	}
	return w.buf[min(at-w.at, w.n):w.n]
}

func (w *window) fill(at int) {
	w.at, w.n = at, max(0, min(windowSize, w.size-at))
	n, err := w.content.ReadAt(w.buf[:w.n], int64(at))
	if n < w.n {
		w.n, w.size = n, at+n
		w.err = cmp.Or(w.err, unreadable(err))
	}
}

// unreadable is the error for content that ends early, or whose read fails
// with err.
func unreadable(err error) error {
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read message: %w", err)
}

// read returns the octets of c in a range.
func read(c mail.Content, from, to int) ([]byte, error) {
	b := make([]byte, to-from)
	if n, err := c.ReadAt(b, int64(from)); n < len(b) {
		return nil, unreadable(err)
	}
	return b, nil
}
