package render

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"sync"

	"backstamp/mail"
	"backstamp/relay/ascii"
)

// copied is a mail.Copy.
type copied struct {
	signatures string
	head       []byte // the fields, without the empty line
	body       func(io.Writer) error
	size       int64
	eightBit   bool
	mailFrom   string
	utf8       bool // eight bits in the header are meant to be there
	sevenBit   func() (mail.Copy, error)
}

// Size returns how many octets WriteTo writes.
func (c *copied) Size() int64 { return c.size }

// EightBit reports whether one of them is above 0x7f.
func (c *copied) EightBit() bool { return c.eightBit }

// MailFrom returns the reverse-path, "" for the null one.
func (c *copied) MailFrom() string { return c.mailFrom }

// UTF8 reports whether the header is UTF-8, as RFC 6532 has it.
func (c *copied) UTF8() bool { return c.utf8 }

// SevenBit returns the copy in ASCII.
func (c *copied) SevenBit() (mail.Copy, error) {
	if !c.eightBit {
		return c, nil
	}
	seven, err := c.sevenBit()
	if err != nil {
		return nil, fmt.Errorf("downgrade: %w", err)
	}
	return seven, nil
}

// WriteTo writes the copy. It fails rather than write another number of octets
// than Size.
func (c *copied) WriteTo(w io.Writer) (int64, error) {
	m, err := c.write(w)
	if err == nil && m.size != c.size {
		err = fmt.Errorf("render: wrote %d octets, measured %d", m.size, c.size)
	}
	return m.size, err
}

// finish writes the copy to its signers and measures it.
func (c *copied) finish(s signers) error {
	m, err := c.write(s)
	signatures, closeErr := s.close()
	if err = cmp.Or(err, closeErr); err != nil {
		return err
	}
	c.signatures = signatures
	c.size, c.eightBit = m.size+int64(len(signatures)), m.eightBit
	return nil
}

// blockSize is how much is written at once.
const blockSize = 32 << 10

// blocks holds *bufio.Writer between copies, for their memory.
var blocks = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, blockSize) }}

// write writes signatures, fields and body, and a line end where the last line
// has none.
func (c *copied) write(w io.Writer) (*meter, error) {
	block := blocks.Get().(*bufio.Writer)
	defer blocks.Put(block)
	defer block.Reset(nil)
	block.Reset(w)
	m := &meter{w: block}
	if err := writeAll(m, []byte(c.signatures), c.head); err != nil {
		return m, err
	}
	if err := c.body(m); err != nil {
		return m, err
	}
	if m.last != [2]byte{'\r', '\n'} {
		if err := writeAll(m, []byte("\r\n")); err != nil {
			return m, err
		}
	}
	return m, m.w.Flush()
}

// A meter measures what is written through it.
type meter struct {
	w        *bufio.Writer
	size     int64
	eightBit bool
	last     [2]byte
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.size += int64(n)
	m.eightBit = m.eightBit || !ascii.Is(p[:n])
	switch {
	case n == 1:
		m.last = [2]byte{m.last[1], p[0]}
	case n > 1:
		m.last = [2]byte(p[n-2 : n])
	}
	return n, err
}

// ReadFrom writes what r has, by way of the writer's own memory.
func (m *meter) ReadFrom(r io.Reader) (size int64, err error) {
	for {
		if m.w.Available() == 0 {
			if err := m.w.Flush(); err != nil {
				return size, err
			}
		}
		p := m.w.AvailableBuffer()
		n, readErr := r.Read(p[:cap(p)])
		size += int64(n)
		if _, err := m.Write(p[:n]); err != nil {
			return size, err
		}
		if readErr == io.EOF {
			return size, nil
		}
		if readErr != nil {
			return size, readErr
		}
	}
}
