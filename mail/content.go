package mail

import "io"

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
