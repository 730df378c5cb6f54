package mail

import "io"

// Content is the stored original of a message, read where it lies: in memory
// or in a file. It does not change while it is in use. A bytes.Reader, a
// strings.Reader and an io.SectionReader are Contents.
type Content interface {
	io.ReaderAt
	Size() int64 // in octets
}
