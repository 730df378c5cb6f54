package sendmail

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"backstamp/mail"
)

// memoryMax is how much of a message lies in memory; the rest of a larger one
// goes to a temporary file.
const memoryMax = 1 << 20

// A draft is a message while it comes in, and then its content.
type draft struct {
	memory []byte
	file   *os.File // what does not fit
	size   int64
	high   bool // some byte is above 0x7f
	limit  int64
}

var errTooLarge = errors.New("message too large")

func (d *draft) Write(p []byte) (int, error) {
	if d.size+int64(len(p)) > d.limit {
		return 0, errTooLarge
	}
	d.size += int64(len(p))
	d.high = d.high || slices.ContainsFunc(p, func(c byte) bool { return c >= 0x80 })
	n := min(len(p), memoryMax-len(d.memory))
	d.memory = append(d.memory, p[:n]...)
	if n == len(p) {
		return n, nil
	}
	if d.file == nil {
		f, err := os.CreateTemp("", "backstamp-mail-*")
		if err != nil {
			return n, err
		}
		d.file = f
	}
	m, err := d.file.Write(p[n:])
	return n + m, err
}

// ReadAt reads what was written.
func (d *draft) ReadAt(p []byte, at int64) (n int, err error) {
	if at < int64(len(d.memory)) {
		n = copy(p, d.memory[at:])
	}
	if n == len(p) {
		return n, nil
	}
	if d.file == nil {
		return n, io.EOF
	}
	m, err := d.file.ReadAt(p[n:], at+int64(n)-int64(len(d.memory)))
	return n + m, err
}

// Size returns how much was written.
func (d *draft) Size() int64 { return d.size }

// Close lets go of it.
func (d *draft) Close() error {
	if d.file == nil {
		return nil
	}
	return errors.Join(d.file.Close(), os.Remove(d.file.Name()))
}

// copyOf is the content of a letter as it goes out.
type copyOf struct {
	from    string
	field   string // comes first
	content mail.Content
	high    bool
}

func (c copyOf) MailFrom() string { return c.from }
func (c copyOf) Size() int64      { return int64(len(c.field)) + c.content.Size() }
func (c copyOf) EightBit() bool   { return c.high }
func (c copyOf) UTF8() bool       { return false }

// SevenBit is never asked for: the relay takes eight bits.
func (c copyOf) SevenBit() (mail.Copy, error) { return nil, mail.ErrEightBit }

// WriteTo writes the content.
func (c copyOf) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.MultiReader(strings.NewReader(c.field), io.NewSectionReader(c.content, 0, c.content.Size())))
}
