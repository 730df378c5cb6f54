package sendmail

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/durable"
	"backstamp/mail"
)

// The bounds of a spool.
const (
	lettersMax  = 10_000  // in it; more are not taken
	envelopeMax = 8 << 20 // octets of one
)

// The names in a spool: those of letters, and of what is being written.
const (
	suffix     = ".mail"
	newPattern = ".new-*"
	newMax     = 24 * time.Hour // older ones were left behind
)

// A Spool is a directory of mail that waits for the relay. Each letter is one
// file, which is whole or not there: a line of JSON, the envelope, and the
// content. Whoever may read a letter may hand it in; the file is locked
// meanwhile.
//
// A spool of several users is a directory like /tmp, open to all and sticky,
// whose group is that of the server: mode 3777. Letters in such a one can be
// read by its group, in any other by their owner alone.
type Spool struct {
	Dir   string
	Room  func() error // nil, or why the disk has no room for more
	Clock clock.Clock

	ids mail.IDs
}

// An envelope is the first line of a letter in the spool.
type envelope struct {
	From    string    `json:"from"`
	To      []string  `json:"to"`                // for whom it waits
	Why     string    `json:"why,omitempty"`     // what the relay said last to them
	Refused []Refusal `json:"refused,omitempty"` // for whom it never will be taken
	Arrived time.Time `json:"arrived"`
	Size    int64     `json:"size"` // of the content
	Wishes
	High bool `json:"high,omitempty"`
	Bare bool `json:"bare,omitempty"`
}

// Make makes the directory if it is not there.
func (s *Spool) Make() error {
	if _, err := os.Stat(s.Dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(s.Dir))
}

// add keeps a letter. It is durable when add returns its name.
func (s *Spool) add(l *Letter, why string) (name string, err error) {
	if err := s.Make(); err != nil {
		return "", err
	}
	names, err := s.names()
	if err != nil {
		return "", err
	}
	if len(names) >= lettersMax {
		return "", fmt.Errorf("%d letters wait in %s, and no more are taken", len(names), s.Dir)
	}
	if s.Room != nil {
		if err := s.Room(); err != nil {
			return "", err
		}
	}
	now := s.Clock.Now()
	name = s.ids.Next(now).String()
	e := envelope{From: l.From, To: l.To, Why: why, Arrived: now, Size: l.Content.Size(), Wishes: l.Wishes, High: l.high, Bare: l.bare}
	return name, s.write(name, e, l.Content)
}

// write puts a letter in its place, whole, durable and in one step.
func (s *Spool) write(name string, e envelope, content mail.Content) error {
	f, err := os.CreateTemp(s.Dir, newPattern)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	line, err := json.Marshal(e)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
	}
	if err == nil {
		_, err = io.Copy(f, io.NewSectionReader(content, 0, content.Size()))
	}
	if err == nil {
		err = f.Chmod(s.mode())
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.path(name)); err != nil {
		return err
	}
	return durable.SyncDir(s.Dir)
}

// mode is that of letters: the group of a directory that hands its group on is
// meant to read them.
func (s *Spool) mode() fs.FileMode {
	if info, err := os.Stat(s.Dir); err == nil && info.Mode()&fs.ModeSetgid != 0 {
		return 0o640
	}
	return 0o600
}

func (s *Spool) path(name string) string { return filepath.Join(s.Dir, name+suffix) }

// names lists the letters, oldest first. A spool that is not there has none.
func (s *Spool) names() (names []string, err error) {
	all, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range all {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if _, err := mail.ParseID(name); ok && err == nil && e.Type().IsRegular() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// sweep removes what was left behind by those who died while they wrote.
func (s *Spool) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.Dir, newPattern))
	for _, name := range left {
		if info, err := os.Lstat(name); err == nil && s.Clock.Now().Sub(info.ModTime()) > newMax {
			os.Remove(name) // at worst it stays
		}
	}
}

// A stored letter is open. As Content it is that of the letter.
type stored struct {
	*io.SectionReader
	envelope envelope
	file     *os.File
}

func (l *stored) Close() error { return l.file.Close() }

// open opens a letter. Names in a spool are given by whoever may write there:
// only a plain file that holds what we wrote is taken for a letter.
func (s *Spool) open(name string, lock bool) (*stored, error) {
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := openLetter(root, name+suffix, lock)
	if err != nil {
		return nil, err
	}
	named, err := root.Lstat(name + suffix) // once it is locked: it may be done with
	if err != nil {
		f.Close()
		return nil, err
	}
	l := &stored{file: f}
	if err := l.read(named); err != nil {
		f.Close()
		return nil, fmt.Errorf("letter %s: %w", name, err)
	}
	return l, nil
}

var errNoLetter = errors.New("no letter")

func (l *stored) read(named fs.FileInfo) error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || !os.SameFile(info, named) {
		return errNoLetter
	}
	line, err := bufio.NewReader(io.NewSectionReader(l.file, 0, envelopeMax)).ReadBytes('\n')
	if err != nil {
		return errNoLetter
	}
	e := &l.envelope
	if err := json.Unmarshal(line, e); err != nil || e.Size+int64(len(line)) != info.Size() {
		return errNoLetter
	}
	l.SectionReader = io.NewSectionReader(l.file, int64(len(line)), e.Size)
	return nil
}

// A Waiting is a letter in the spool, as it is shown.
type Waiting struct {
	Spool   string    `json:"spool"` // its file
	From    string    `json:"from"`
	To      []string  `json:"to"`
	Why     string    `json:"why"`
	Refused []Refused `json:"refused"`
	Arrived time.Time `json:"arrived"`
	Size    int64     `json:"size"`
}

// Name is what the letter is called in listings.
func (w Waiting) Name() string { return strings.TrimSuffix(filepath.Base(w.Spool), suffix) }

// A Refused is a recipient for whom a letter will never be taken, and why.
type Refused struct {
	Recipient string `json:"recipient"`
	Reply     string `json:"reply"`
}

// List shows the letters, oldest first. Those that cannot be read are left out
// and counted.
func (s *Spool) List() (all []Waiting, hidden int, err error) {
	names, err := s.names()
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		l, err := s.open(name, false)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was handed in meanwhile
		}
		if err != nil {
			hidden++
			continue
		}
		all = append(all, l.envelope.shown(s.path(name)))
		l.Close()
	}
	return all, hidden, nil
}

func (e envelope) shown(path string) Waiting {
	w := Waiting{Spool: path, From: e.From, To: e.To, Why: e.Why, Refused: []Refused{}, Arrived: e.Arrived, Size: e.Size}
	for _, r := range e.Refused {
		w.Refused = append(w.Refused, Refused{r.Recipient, r.Reply.String()})
	}
	if w.To == nil {
		w.To = []string{}
	}
	return w
}
