package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"sync"

	"backstamp/mail"
)

// A letter is a message in a file, read where it lies, as SMTP would carry it.
type letter struct {
	mail.Content              // with lines that end in CRLF
	file         mail.Content // as it lies
	bare         bool         // its lines end in LF, as those of mail at rest do
	mode         fs.FileMode  // who may read it
	closer       io.Closer
}

// openLetter opens a message in a file. What is no regular file, such as a
// pipe, is read whole.
func openLetter(name string) (*letter, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a directory; expected a file that holds a message", name)
	case !info.Mode().IsRegular():
		defer f.Close()
		return readLetter(f, name)
	}
	var l *letter
	if err == nil {
		l, err = newLetter(io.NewSectionReader(f, 0, info.Size()), info.Mode().Perm(), f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// readLetter reads a message to its end.
func readLetter(r io.Reader, name string) (*letter, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return newLetter(bytes.NewReader(b), 0o600, io.NopCloser(nil))
}

func newLetter(file mail.Content, mode fs.FileMode, closer io.Closer) (*letter, error) {
	l := &letter{Content: file, file: file, mode: mode, closer: closer}
	starts, bare, err := bareLines(file)
	if err != nil {
		return nil, err
	}
	if bare {
		l.bare, l.Content = true, &wired{file, starts}
	}
	return l, nil
}

func (l *letter) Close() error { return l.closer.Close() }

// copyTo writes the file as it is.
func (l *letter) copyTo(w io.Writer) error {
	_, err := io.Copy(w, io.NewSectionReader(l.file, 0, l.file.Size()))
	return err
}

// blockSize is how much of a file with bare line ends is looked at at a time.
const blockSize = 32 << 10

// bareLines reports whether lines end in LF and none in CRLF, and then where
// each block of the file begins once they end in CRLF. A file with both is
// left as it is: it could not be told afterwards which were which.
func bareLines(file mail.Content) (starts []int64, bare bool, err error) {
	buf := make([]byte, blockSize)
	wiredAt, last := int64(0), byte(0)
	for at := int64(0); at < file.Size(); at += blockSize {
		block := buf[:min(blockSize, file.Size()-at)]
		if n, err := file.ReadAt(block, at); n < len(block) {
			return nil, false, fmt.Errorf("read message: %w", err)
		}
		if last == '\r' && block[0] == '\n' || bytes.Contains(block, []byte("\r\n")) {
			return nil, false, nil
		}
		starts = append(starts, wiredAt)
		ends := bytes.Count(block, []byte("\n"))
		bare = bare || ends > 0
		wiredAt += int64(len(block) + ends)
		last = block[len(block)-1]
	}
	return append(starts, wiredAt), bare, nil
}

// wired is a file with bare line ends, read with CRLF in their place.
type wired struct {
	file   mail.Content
	starts []int64 // of its blocks, and of what would follow the last
}

func (c *wired) Size() int64 { return c.starts[len(c.starts)-1] }

func (c *wired) ReadAt(p []byte, offset int64) (n int, err error) {
	buf := blocks.Get().(*[blockSize]byte)
	defer blocks.Put(buf)
	block := sort.Search(len(c.starts), func(i int) bool { return c.starts[i] > offset }) - 1
	for ; n < len(p) && block < len(c.starts)-1; block++ {
		got, err := c.file.ReadAt(buf[:], int64(block)*blockSize)
		if err != nil && err != io.EOF {
			return n, err
		}
		skip := offset + int64(n) - c.starts[block]
		n += copyWired(p[n:], buf[:got], int(skip))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// blocks holds *[blockSize]byte that reads have done with.
var blocks = sync.Pool{New: func() any { return new([blockSize]byte) }}

// copyWired copies text with CRLF in the place of LF, without the first skip
// octets of that, as far as dst has room.
func copyWired(dst, text []byte, skip int) (n int) {
	put := func(b []byte) {
		left := min(skip, len(b))
		skip -= left
		n += copy(dst[n:], b[left:])
	}
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if n == len(dst) {
			break
		}
		put(line)
		text = text[len(line):]
		if len(text) > 0 {
			put([]byte("\r\n"))
			text = text[1:]
		}
	}
	return n
}

// A bareWriter writes CRLF as LF. It must be flushed.
type bareWriter struct {
	w   io.Writer
	buf []byte
	cr  bool // the last octet was a CR, which is not written yet
}

func (b *bareWriter) Write(p []byte) (int, error) {
	b.buf = b.buf[:0]
	for line := range bytes.Lines(p) {
		if b.cr && line[0] != '\n' {
			b.buf = append(b.buf, '\r')
		}
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		text, b.cr = bytes.CutSuffix(text, []byte("\r"))
		if b.buf = append(b.buf, text...); ended {
			b.buf, b.cr = append(b.buf, '\n'), false
		}
	}
	if _, err := b.w.Write(b.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (b *bareWriter) flush() error {
	if !b.cr {
		return nil
	}
	b.cr = false
	_, err := b.w.Write([]byte("\r"))
	return err
}
