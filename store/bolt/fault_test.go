package bolt

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"backstamp/mail"
	"backstamp/store"
)

// A badDisk fails its nth call, and works before and after.
type badDisk struct {
	disk
	mu    sync.Mutex
	n     int   // calls left until the one that fails
	err   error // nil: a write is short
	fired string
}

func (d *badDisk) fails(what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n--
	if d.n == 0 {
		d.fired = what
	}
	return d.n == 0
}

func (d *badDisk) Create(name string) (file, error) {
	if d.fails("create") {
		return nil, &os.PathError{Op: "open", Path: name, Err: d.fault()}
	}
	f, err := d.disk.Create(name)
	return &badFile{f, d}, err
}

func (d *badDisk) Open(name string) (file, error) {
	if d.fails("open") {
		return nil, &os.PathError{Op: "open", Path: name, Err: d.fault()}
	}
	f, err := d.disk.Open(name)
	return &badFile{f, d}, err
}

func (d *badDisk) Remove(name string) error {
	if d.fails("remove") {
		return &os.PathError{Op: "remove", Path: name, Err: d.fault()}
	}
	return d.disk.Remove(name)
}

func (d *badDisk) Rename(from, to string) error {
	if d.fails("rename") {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: d.fault()}
	}
	return d.disk.Rename(from, to)
}

func (d *badDisk) SyncDir(name string) error {
	if d.fails("syncdir") {
		return &os.PathError{Op: "sync", Path: name, Err: d.fault()}
	}
	return d.disk.SyncDir(name)
}

func (d *badDisk) fault() error {
	if d.err == nil {
		return syscall.ENOSPC
	}
	return d.err
}

type badFile struct {
	file
	d *badDisk
}

func (f *badFile) Write(b []byte) (int, error) {
	if f.d.fails("write") {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, f.d.err
	}
	return f.file.Write(b)
}

func (f *badFile) ReadAt(b []byte, at int64) (int, error) {
	if f.d.fails("read") {
		return 0, f.d.fault()
	}
	return f.file.ReadAt(b, at)
}

func (f *badFile) Sync() error {
	if f.d.fails("sync") {
		return f.d.fault()
	}
	return f.file.Sync()
}

func (f *badFile) Close() error {
	err := f.file.Close()
	if f.d.fails("close") {
		return f.d.fault()
	}
	return err
}

// TestBodyFaults fails each call that writing a large body makes, in turn: the
// message is refused, nothing of it is left, and the next is taken.
func TestBodyFaults(t *testing.T) {
	for _, c := range []struct {
		err  error // nil: short write
		want error
	}{
		{syscall.ENOSPC, store.ErrFull},
		{syscall.EDQUOT, store.ErrFull},
		{syscall.EROFS, store.ErrFull},
		{syscall.EACCES, store.ErrFull},
		{nil, store.ErrFull},
		{syscall.EIO, store.ErrBroken},
	} {
		reached := map[string]bool{}
		for n := 1; ; n++ {
			dir := t.TempDir()
			s := opened(t, dir, Options{Create: true, InlineBody: 10})
			bad := &badDisk{disk: s.bodies.disk, n: n, err: c.err}
			s.bodies.disk = bad
			var ids mail.IDs
			m, ds := aMessage(&ids)
			err := s.Put(t.Context(), m, ds, octets(100))
			if bad.fired == "" {
				break // it made fewer than n calls
			}
			reached[bad.fired] = true
			if bad.fired == "close" { // it was durable before
				if err != nil || s.Healthy() != nil {
					t.Errorf("%v at close: %v", c.err, err)
				}
				continue
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%v at %s: %v, want %v", c.err, bad.fired, err, c.want)
			}
			if left, _ := os.ReadDir(s.bodies.dir); len(left) > 0 {
				t.Errorf("%v at %s: %s is left", c.err, bad.fired, left[0].Name())
			}
			if c.want == store.ErrBroken {
				checkBroken(t, s)
				continue
			}
			if _, err := s.Message(t.Context(), m.ID); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%v at %s: message is there: %v", c.err, bad.fired, err)
			}
			if err := s.Put(t.Context(), m, ds, octets(100)); err != nil {
				t.Errorf("%v at %s: put again: %v", c.err, bad.fired, err)
			}
			if err := s.Healthy(); err != nil {
				t.Errorf("%v at %s: healthy: %v", c.err, bad.fired, err)
			}
		}
		if len(reached) != 7 {
			t.Errorf("%v: failed only %v", c.err, reached)
		}
	}
}

// checkBroken expects a store to take and give nothing more.
func checkBroken(t *testing.T, s *Store) {
	t.Helper()
	m, ds := aMessage(new(mail.IDs))
	if err := s.Put(t.Context(), m, ds, octets(0)); !errors.Is(err, store.ErrBroken) {
		t.Errorf("put into a broken store: %v", err)
	}
	if _, err := s.Claim(t.Context(), begin, 1, 0); !errors.Is(err, store.ErrBroken) {
		t.Errorf("claim from a broken store: %v", err)
	}
	if err := s.Healthy(); !errors.Is(err, store.ErrBroken) {
		t.Errorf("healthy: %v", err)
	}
	select {
	case <-s.Failed():
	default:
		t.Error("nobody was told")
	}
}

// TestCommitFaults fails commits: without space the store works again
// afterwards, after a disk error never.
func TestCommitFaults(t *testing.T) {
	for _, c := range []struct{ err, want error }{
		{&os.PathError{Op: "write", Err: syscall.ENOSPC}, store.ErrFull},
		{errors.New("file resize error: " + syscall.EDQUOT.Error()), store.ErrFull}, // as bbolt tells it
		{errors.New("file sync error: " + syscall.EIO.Error()), store.ErrBroken},
		{syscall.EIO, store.ErrBroken},
	} {
		dir := t.TempDir()
		s := opened(t, dir, Options{Create: true, InlineBody: 10})
		var ids mail.IDs
		for _, size := range []int{1, 100} {
			s.writer.commit = func(t *bbolt.Tx) error { t.Rollback(); return c.err }
			m, ds := aMessage(&ids)
			ds[0].Started = begin
			if err := s.Put(t.Context(), m, ds, octets(size)); !errors.Is(err, c.want) {
				t.Errorf("%v: put: %v, want %v", c.err, err, c.want)
			}
			if err := s.Healthy(); !errors.Is(err, c.want) {
				t.Errorf("%v: healthy: %v", c.err, err)
			}
			if left, _ := os.ReadDir(s.bodies.dir); len(left) > 0 {
				t.Errorf("%v: body is left", c.err)
			}
			s.writer.commit = (*bbolt.Tx).Commit
			if c.want == store.ErrBroken {
				checkBroken(t, s)
				break
			}
			if err := s.Put(t.Context(), m, ds, octets(size)); err != nil {
				t.Errorf("%v: put again: %v", c.err, err)
			}
			if err := s.Healthy(); err != nil {
				t.Errorf("%v: healthy again: %v", c.err, err)
			}
		}
		s.Close()
		opened(t, dir, Options{})
	}
}

// TestCommitPanics panics in a commit, as bbolt does over a damaged page: the
// store is over, and closing it does not hang.
func TestCommitPanics(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true})
	s.writer.commit = func(*bbolt.Tx) error { panic("assertion failed") }
	m, ds := aMessage(new(mail.IDs))
	for range 2 {
		if err := s.Put(t.Context(), m, ds, octets(0)); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("put: %v, want ErrCorrupt", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestSeenThoughFailed has the last sync of a commit fail, so that readers see
// it: it is made firm, and then it was done; or the store is over, and what may
// be on the disk stays whole.
func TestSeenThoughFailed(t *testing.T) {
	for _, c := range []struct{ sync, firm, want error }{
		{syscall.ENOSPC, nil, nil},
		{syscall.ENOSPC, syscall.ENOSPC, store.ErrBroken},
		{syscall.ENOSPC, syscall.EIO, store.ErrBroken},
		{syscall.EIO, nil, store.ErrBroken},
	} {
		dir := t.TempDir()
		s := opened(t, dir, Options{Create: true, InlineBody: 10})
		s.writer.commit = func(t *bbolt.Tx) error { return errors.Join(t.Commit(), c.sync) }
		firm := s.writer.firm
		s.writer.firm = func() error { return errors.Join(firm(), c.firm) }
		m, ds := aMessage(new(mail.IDs))
		if err := s.Put(t.Context(), m, ds, octets(100)); !errors.Is(err, c.want) {
			t.Errorf("%v, %v: put: %v, want %v", c.sync, c.firm, err, c.want)
		}
		if err := s.Healthy(); !errors.Is(err, c.want) {
			t.Errorf("%v, %v: healthy: %v, want %v", c.sync, c.firm, err, c.want)
		}
		s.Close()
		if _, err := content(t.Context(), opened(t, dir, Options{}), m.ID); err != nil {
			t.Errorf("%v, %v: after a restart: %v", c.sync, c.firm, err)
		}
	}
}

// TestFirm expects the file to be as it was.
func TestFirm(t *testing.T) {
	dir := filled(t, 20)
	before := files(t, dir)
	if err := firm(filepath.Join(dir, storeName)); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(before, files(t, dir)) {
		t.Error("the store was changed")
	}
}

// TestBodyDamaged changes bodies on disk: each is told as corrupt, and the
// other message stays whole.
func TestBodyDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"changed": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte{1}, 100), 0o600) },
		"cut":     func(path string) error { return os.Truncate(path, 99) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"longer":  func(path string) error { return os.WriteFile(path, make([]byte, 101), 0o600) },
		"gone":    os.Remove,
	} {
		s := opened(t, t.TempDir(), Options{Create: true, InlineBody: 10})
		var ids mail.IDs
		bad, ds := aMessage(&ids)
		good, ds2 := aMessage(&ids)
		err := errors.Join(s.Put(t.Context(), bad, ds, octets(100)), s.Put(t.Context(), good, ds2, octets(100)))
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(s.bodies.name(bad.ID)); err != nil {
			t.Fatal(err)
		}
		if _, err := content(t.Context(), s, bad.ID); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		if _, err := content(t.Context(), s, good.ID); err != nil {
			t.Errorf("%s: the other: %v", name, err)
		}
		if err := s.Healthy(); err != nil {
			t.Errorf("%s: one body stops the store: %v", name, err)
		}
	}
}

// TestInlineBodyDamaged changes a body inside the file.
func TestInlineBodyDamaged(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, Options{Create: true})
	m, ds := aMessage(new(mail.IDs))
	if err := s.Put(t.Context(), m, ds, strings.NewReader("unmistakable content")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	path := filepath.Join(dir, storeName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte("unmistakable"), []byte("unmistakeble"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := content(t.Context(), opened(t, dir, Options{}), m.ID); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}

// TestSweep expects a start to remove bodies that no message names, and nothing
// else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, Options{Create: true, InlineBody: 10})
	var ids mail.IDs
	m, ds := aMessage(&ids)
	if err := s.Put(t.Context(), m, ds, octets(100)); err != nil {
		t.Fatal(err)
	}
	inline, ds := aMessage(&ids)
	if err := s.Put(t.Context(), inline, ds, octets(0)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	orphan, half := ids.Next(begin).String(), ids.Next(begin).String()+tmpSuffix
	for _, name := range []string{orphan, half, inline.ID.String(), m.ID.String() + tmpSuffix, "README"} {
		if err := os.WriteFile(filepath.Join(dir, bodiesName, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opened(t, dir, Options{ReadOnly: true}).Close()
	if left, _ := os.ReadDir(filepath.Join(dir, bodiesName)); len(left) != 6 {
		t.Errorf("a reader swept: %d files are left", len(left))
	}
	s = opened(t, dir, Options{})
	var names []string
	left, _ := os.ReadDir(s.bodies.dir)
	for _, e := range left {
		names = append(names, e.Name())
	}
	if len(names) != 2 || names[0] != m.ID.String() && names[1] != m.ID.String() {
		t.Errorf("left: %q", names)
	}
	if _, err := content(t.Context(), s, m.ID); err != nil {
		t.Error(err)
	}
}

// TestFull fills the store to a limit in the midst of bbolt's own commit: what
// was taken stays, and with room again it goes on.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, Options{Create: true})
	s.db.MaxSize = 20 << 20
	var ids mail.IDs
	var taken []mail.ID
	var full error
	var m *mail.Message
	var ds []mail.Delivery
	for full == nil {
		m, ds = aMessage(&ids)
		if full = s.Put(t.Context(), m, ds, octets(32<<10)); full == nil {
			taken = append(taken, m.ID)
		}
	}
	if !errors.Is(full, store.ErrFull) || len(taken) == 0 {
		t.Fatalf("after %d messages: %v", len(taken), full)
	}
	if _, err := s.Message(t.Context(), m.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the message that was refused: %v", err)
	}
	s.db.MaxSize = 0
	if err := s.Put(t.Context(), m, ds, octets(32<<10)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	s.Close()
	s = opened(t, dir, Options{})
	for _, id := range append(taken, m.ID) {
		if _, err := content(t.Context(), s, id); err != nil {
			t.Error(err)
		}
	}
}
