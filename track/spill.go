package track

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"backstamp/mail"
)

const (
	notSpilled = -1
	spillMax   = 256 << 20 // octets; more than a million events
	lineMax    = 64 << 10  // octets; an event has some 300
)

// A spillFile holds events as lines of JSON, in the order in which they came. A
// line is struck out, by a # in place of its {, once the store has its event;
// when all are, the file is emptied. So no event is read twice, even after a
// crash, but for the few that were on their way to the store in that moment.
type spillFile struct {
	f    disk
	size int64 // where the next line goes
	next int64 // where reading goes on
	left int   // lines that are not struck out
}

// A disk holds one file: an *os.File, or what a test has in its place.
type disk interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// openSpill opens or makes the file, and finds out what it holds.
func openSpill(path string) (*spillFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spill file: %w", err)
	}
	s := &spillFile{f: f}
	if err := s.scan(); err != nil {
		f.Close()
		return nil, fmt.Errorf("spill file %q: %w", path, err)
	}
	return s, nil
}

// scan counts the lines that are left. A last line without its end is what a
// crash left of a write, and goes.
func (s *spillFile) scan() error {
	err := s.lines(0, func(at int64, line []byte) bool {
		s.size = at + int64(len(line))
		if !settled(line) {
			s.left++
		}
		return true
	})
	if err != nil {
		return err
	}
	return s.tidy(s.f.Truncate(s.size))
}

// lines calls each with the whole lines from offset on, until it returns false.
func (s *spillFile) lines(offset int64, each func(at int64, line []byte) bool) error {
	r := bufio.NewReaderSize(io.NewSectionReader(s.f, offset, spillMax+lineMax), lineMax)
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !each(offset, line) {
			return nil
		}
		offset += int64(len(line))
	}
}

// settled reports whether a line is struck out, or has nothing to strike out.
func settled(line []byte) bool { return line[0] == '#' || line[0] == '\n' }

// unread returns how many octets wait to be read.
func (s *spillFile) unread() int64 { return s.size - s.next }

// append adds a line, or leaves the file as it was.
func (s *spillFile) append(e mail.Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if s.size+int64(len(line)) > spillMax {
		return errors.New("the spill file is full")
	}
	if _, err := s.f.WriteAt(line, s.size); err != nil {
		return errors.Join(err, s.f.Truncate(s.size))
	}
	s.size += int64(len(line))
	s.left++
	return nil
}

// read returns up to n of the oldest events not read yet, and how many lines
// were no events.
func (s *spillFile) read(n int) (list []*waiting, broken int, err error) {
	var bad []int64
	err = s.lines(s.next, func(at int64, line []byte) bool {
		if len(list) == n || at >= s.size {
			return false
		}
		s.next = at + int64(len(line))
		if settled(line) {
			return true
		}
		var e mail.Event
		if json.Unmarshal(bytes.TrimSpace(line), &e) != nil || e.Message.IsZero() {
			bad = append(bad, at)
			return true
		}
		list = append(list, &waiting{Event: e, line: at})
		return true
	})
	for _, at := range bad {
		err = errors.Join(err, s.strike(at))
	}
	return list, len(bad), err
}

// strike marks a line as done with.
func (s *spillFile) strike(at int64) error {
	if _, err := s.f.WriteAt([]byte{'#'}, at); err != nil {
		return err
	}
	s.left--
	return s.tidy(nil)
}

// tidy empties the file when nothing in it is left to do.
func (s *spillFile) tidy(err error) error {
	if err != nil || s.left > 0 || s.size == 0 {
		return err
	}
	s.size, s.next = 0, 0
	return s.f.Truncate(0)
}

func (s *spillFile) close() error {
	return errors.Join(s.f.Sync(), s.f.Close())
}
