package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Content is the stored original of a message, read where it lies: in memory
// or in a file. It does not change while it is in use. A bytes.Reader, a
// strings.Reader and an io.SectionReader are Contents.
type Content interface {
	io.ReaderAt
	Size() int64 // in octets
}

// A ContentCloser is Content that holds something, such as an open file, until
// it is closed. It must not be read after that.
type ContentCloser interface {
	Content
	io.Closer
}

// A Body is Content on its way in: written to its end, by one goroutine, and
// then read, by any number. It lies in memory while it is small and in a file
// once it is not, so that a large message never lies in memory whole. Close
// lets go of it; what no store has kept by then is gone.
type Body interface {
	io.Writer
	ContentCloser
}

// HeaderMax is how much of a message may be its header, with the line that ends
// it, in octets.
const HeaderMax = 1 << 20

// ErrHeader says that a header does not end within HeaderMax.
var ErrHeader = errors.New("header too large")

// headerFirst is how much of a message is read at first to find its header.
const headerFirst = 4 << 10

// ReadHeader is ParseHeader for content that need not lie in memory. It reads
// on until the line that ends the header is there whole. Its errors are those
// of the content, and ErrHeader.
func ReadHeader(content Content) (h Header, end, body int, err error) {
	for n := int64(headerFirst); n <= HeaderMax; n *= 4 {
		b := make([]byte, min(n, content.Size()))
		if _, err := io.ReadFull(io.NewSectionReader(content, 0, int64(len(b))), b); err != nil {
			return nil, 0, 0, fmt.Errorf("read header: %w", err)
		}
		h, end, body = ParseHeader(b)
		if int64(len(b)) == content.Size() || bytes.IndexByte(b[end:], '\n') >= 0 {
			return h, end, body, nil
		}
	}
	return nil, 0, 0, ErrHeader
}
