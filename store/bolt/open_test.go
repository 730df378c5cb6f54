package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"backstamp/mail"
	"backstamp/store"
)

var begin = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// aMessage makes a message with one delivery.
func aMessage(ids *mail.IDs) (*mail.Message, []mail.Delivery) {
	m := &mail.Message{ID: ids.Next(begin), Received: begin, Account: "shop", Provider: "shop/main", HeaderFrom: "a@shop.test"}
	return m, []mail.Delivery{{Message: m.ID, Index: 1, Recipient: "b@x.test", Provider: m.Provider, Status: mail.Queued}}
}

// filled makes a closed store of n messages with bodies of a few sizes, and
// returns its directory.
func filled(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	s := opened(t, dir, Options{Create: true})
	var ids mail.IDs
	for i := range n {
		m, ds := aMessage(&ids)
		if err := s.Put(t.Context(), m, ds, bytes.NewReader(bytes.Repeat([]byte{byte(i)}, i%7*1000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// files lists a directory with the content of its files.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDamaged opens stores that are not what was written: each is a named
// error, soon, and everything is left as it is.
func TestDamaged(t *testing.T) {
	pristine := filled(t, 50)
	path := func(dir string) string { return filepath.Join(dir, storeName) }
	change := func(f func(b []byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			b, err := os.ReadFile(path(dir))
			if err == nil {
				err = os.WriteFile(path(dir), f(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   error
	}{
		{"missing", func(t *testing.T, dir string) { os.Remove(path(dir)) }, store.ErrMissing},
		{"empty", change(func(b []byte) []byte { return nil }), store.ErrCorrupt},
		{"100 bytes", change(func(b []byte) []byte { return b[:100] }), store.ErrCorrupt},
		{"two pages", change(func(b []byte) []byte { return b[:2*os.Getpagesize()] }), store.ErrCorrupt},
		{"cut in half", change(func(b []byte) []byte { return b[:used(b)/2] }), store.ErrCorrupt},
		{"last byte gone", change(func(b []byte) []byte { return b[:used(b)-1] }), store.ErrCorrupt},
		{"garbage", change(func(b []byte) []byte { return noise(len(b)) }), store.ErrCorrupt},
		{"zeros", change(func(b []byte) []byte { return make([]byte, len(b)) }), store.ErrCorrupt},
		{"first meta page zeroed", change(func(b []byte) []byte { clear(b[:os.Getpagesize()]); return b }), store.ErrCorrupt},
		{"second meta page zeroed", change(func(b []byte) []byte { clear(b[os.Getpagesize() : 2*os.Getpagesize()]); return b }), store.ErrCorrupt},
		{"both meta pages zeroed", change(func(b []byte) []byte { clear(b[:2*os.Getpagesize()]); return b }), store.ErrCorrupt},
		{"200 flips in every page", change(flipped), store.ErrCorrupt},
		{"another program's", func(t *testing.T, dir string) { os.Remove(path(dir)); foreign(t, path(dir), nil) }, store.ErrCorrupt},
		{"no schema", func(t *testing.T, dir string) { os.Remove(path(dir)); foreign(t, path(dir), buckets[:]) }, store.ErrCorrupt},
		{"later schema", func(t *testing.T, dir string) { setSchema(t, path(dir), schema+1) }, store.ErrNewer},
	} {
		for _, readOnly := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(pristine)); err != nil {
					t.Fatal(err)
				}
				c.damage(t, dir)
				before := files(t, dir)
				start := time.Now()
				s, err := Open(dir, Options{Create: true, ReadOnly: readOnly})
				if err == nil {
					s.Close()
				}
				if !errors.Is(err, c.want) {
					t.Fatalf("error %v, want %v", err, c.want)
				}
				if !strings.Contains(err.Error(), storeName) {
					t.Errorf("error does not name the file: %v", err)
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("took %v", took)
				}
				for name, content := range files(t, dir) {
					if before[name] != content {
						t.Errorf("%s was changed", name)
					}
					delete(before, name)
				}
				if len(before) > 0 {
					t.Errorf("removed: %d files", len(before))
				}
			})
		}
	}
}

// used returns how much of a bbolt file its newer meta page says is used.
func used(b []byte) int {
	m, err := newestMeta(bytes.NewReader(b))
	if err != nil {
		panic(err)
	}
	return int(m.high) * int(m.pageSize)
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// flipped flips bits in every page behind the meta pages.
func flipped(b []byte) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	size := os.Getpagesize()
	for page := 2; page < used(b)/size; page++ {
		for range 200 {
			b[page*size+r.IntN(size)] ^= 1 << r.IntN(8)
		}
	}
	return b
}

// foreign makes a bbolt file with those buckets, empty.
func foreign(t *testing.T, path string, names []bucket) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(t *bbolt.Tx) error {
		_, err := t.CreateBucketIfNotExists([]byte("theirs"))
		for _, name := range names {
			_, e := t.CreateBucketIfNotExists([]byte(name))
			err = errors.Join(err, e)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func setSchema(t *testing.T, path string, n uint32) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(t *bbolt.Tx) error {
		return t.Bucket([]byte(metaBucket)).Put([]byte(schemaKey), binary.BigEndian.AppendUint32(nil, n))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNone expects that looking for a store makes none.
func TestNone(t *testing.T) {
	for name, o := range map[string]Options{"open": {}, "read-only": {ReadOnly: true}, "read-only create": {ReadOnly: true, Create: true}} {
		for _, sub := range []string{"", "not/there"} {
			dir := t.TempDir()
			if _, err := Open(filepath.Join(dir, sub), o); !errors.Is(err, store.ErrNone) {
				t.Errorf("%s: %v, want ErrNone", name, err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%s: made %v", name, left)
			}
		}
	}
}

// TestFreshStart expects that with the store and its marker gone all begins
// anew, and that a store that lost its marker alone gets it back.
func TestFreshStart(t *testing.T) {
	dir := filled(t, 3)
	os.Remove(filepath.Join(dir, markerName))
	opened(t, dir, Options{}).Close()
	os.Remove(filepath.Join(dir, storeName))
	if _, err := Open(dir, Options{Create: true}); !errors.Is(err, store.ErrMissing) {
		t.Fatalf("marker was not put back: %v", err)
	}
	os.Remove(filepath.Join(dir, markerName))
	s := opened(t, dir, Options{Create: true})
	for range s.Messages(t.Context(), store.Filter{}) {
		t.Error("a fresh store has messages")
	}
}

// TestHalfMade expects a start to clear what a crash left while a store was
// being made.
func TestHalfMade(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, strings.Replace(newPattern, "*", "123", 1))
	if err := os.WriteFile(half, noise(5000), 0o600); err != nil {
		t.Fatal(err)
	}
	opened(t, dir, Options{Create: true})
	if have, err := exists(half); have || err != nil {
		t.Errorf("half a store is left: %v", err)
	}
}

// TestLocked expects a second opener to be told soon, also one that only reads;
// readers share.
func TestLocked(t *testing.T) {
	dir := filled(t, 1)
	s := opened(t, dir, Options{})
	for name, o := range map[string]Options{"write": {Create: true}, "read": {ReadOnly: true}} {
		start := time.Now()
		_, err := Open(dir, o)
		if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want ErrLocked with the directory", name, err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
	s.Close()
	a, b := opened(t, dir, Options{ReadOnly: true}), opened(t, dir, Options{ReadOnly: true})
	for _, s := range []*Store{a, b} {
		n := 0
		for _, err := range s.Messages(t.Context(), store.Filter{}) {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("reader sees %d messages", n)
		}
	}
	m, ds := aMessage(new(mail.IDs))
	if err := a.Put(t.Context(), m, ds, octets(0)); err == nil {
		t.Error("a reader wrote")
	}
}

// TestTwoMake lets several make the store at once: one gets it, nobody breaks it.
func TestTwoMake(t *testing.T) {
	dir := t.TempDir()
	const n = 4
	results := make(chan error, n)
	winners := make(chan *Store, n)
	for range n {
		go func() {
			s, err := Open(dir, Options{Create: true})
			if err == nil {
				winners <- s
			}
			results <- err
		}()
	}
	for range n {
		if err := <-results; err != nil && !errors.Is(err, store.ErrLocked) {
			t.Errorf("opening at once: %v", err)
		}
	}
	close(winners)
	if len(winners) != 1 {
		t.Errorf("%d opened it", len(winners))
	}
	for s := range winners {
		s.Close()
	}
	opened(t, dir, Options{})
}

// TestFaultWhileOpen cuts the file under an open store: an error, not the end
// of the process.
func TestFaultWhileOpen(t *testing.T) {
	dir := filled(t, 200)
	s := opened(t, dir, Options{})
	if err := os.Truncate(filepath.Join(dir, storeName), int64(2*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	var err error
	for _, e := range s.Messages(t.Context(), store.Filter{}) {
		err = errors.Join(err, e)
	}
	if !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("listing: %v, want ErrCorrupt", err)
	}
	m, ds := aMessage(new(mail.IDs))
	if err := s.Put(t.Context(), m, ds, octets(0)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("put: %v, want ErrCorrupt", err)
	}
	if err := s.Healthy(); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("healthy: %v, want ErrCorrupt", err)
	}
}

// FuzzDamage changes some bytes of a store: it opens or is refused, and what
// opens can be read or is refused, without a panic or a fault.
func FuzzDamage(f *testing.F) {
	dir := filled(f, 30)
	whole, err := os.ReadFile(filepath.Join(dir, storeName))
	if err != nil {
		f.Fatal(err)
	}
	for i := range uint64(8) {
		f.Add(i, uint32(3), byte(1<<i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, n uint32, mask byte) {
		b := bytes.Clone(whole)
		r := rand.New(rand.NewPCG(seed, 1))
		for range n%64 + 1 {
			b[r.IntN(used(whole))] ^= mask | 1
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, storeName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{})
		if err != nil {
			return
		}
		defer s.Close()
		readAll(t.Context(), s)
	})
}

// readAll reads what there is and puts up with errors.
func readAll(ctx context.Context, s *Store) {
	for row, err := range s.Messages(ctx, store.Filter{}) {
		if err == nil {
			content(ctx, s, row.Message.ID)
			s.Message(ctx, row.Message.ID)
		}
	}
	for range s.Events(ctx, store.EventFilter{}) {
	}
	s.Claim(ctx, begin.Add(time.Hour), 100, time.Minute)
	m, ds := aMessage(new(mail.IDs))
	s.Put(ctx, m, ds, octets(0))
}
