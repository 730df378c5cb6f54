package bolt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/store"
)

// schema1 lays out a store that an earlier release wrote: a queued message, one
// whose first try had begun, one in a file that is deferred for the first
// recipient and held for the second, and one that was sent and opened. The
// second recipient of each is another provider's.
func schema1(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/schema1")); err != nil {
		t.Fatal(err)
	}
	zipped := filepath.Join(dir, storeName+".gz")
	in, err := os.Open(zipped)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, storeName))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, z)
	if err := errors.Join(err, out.Close(), os.Remove(zipped)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestMigrate opens a store of an earlier release: all of it is there, in its
// turn, and it can be used as any other.
func TestMigrate(t *testing.T) {
	dir := schema1(t)
	if _, err := Open(dir, Options{ReadOnly: true}); !errors.Is(err, store.ErrOlder) {
		t.Errorf("opened to be read: %v, want ErrOlder", err)
	}
	for range 2 {
		s := opened(t, dir, Options{InlineBody: 10, Clock: clock.NewFake(begin)})
		checkMigrated(t, s)
		checkUsage(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	opened(t, dir, Options{ReadOnly: true})
}

// checkUsage expects the hits of before in the usage of their day, once.
func checkUsage(t *testing.T, s *Store) {
	t.Helper()
	var sums mail.Sums
	for u, err := range s.Usage(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		sums = sums.Add(u.Sums, 1)
	}
	if want := (mail.Sums{Opens: 1, UniqueOpens: 1}); sums != want {
		t.Errorf("usage has %+v, want %+v", sums, want)
	}
}

func checkMigrated(t *testing.T, s *Store) {
	t.Helper()
	var texts []string
	for row, err := range s.Messages(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := content(t.Context(), s, row.Message.ID)
		if err != nil || string(b) != row.Message.Subject {
			t.Errorf("%s: content %q, %v", row.Message.Subject, b, err)
		}
		texts = append(texts, row.Message.Subject)
	}
	if want := []string{"sent", "a body in a file", "begun", "queued"}; !slices.Equal(texts, want) {
		t.Errorf("messages %q, want %q", texts, want)
	}
	var waiting []time.Time
	for d, err := range s.Unfinished(t.Context()) {
		if err != nil || !d.Unfinished() {
			t.Errorf("unfinished: %+v, %v", d, err)
		}
		waiting = append(waiting, d.NextAttempt)
	}
	if len(waiting) != 6 || !waiting[4].Equal(begin.Add(time.Hour)) || !waiting[5].IsZero() {
		t.Errorf("waiting: %v", waiting)
	}
	ds, err := s.Claim(t.Context(), begin, 9, 0, "shop/spare")
	if err != nil || len(ds) != 2 || ds[0].Uncertain || !ds[1].Uncertain {
		t.Errorf("claimed %+v, %v", ds, err)
	}
}

// TestMigrationFails fails the step, and one that panics: the store stays as it
// was, and the next start brings it up to date.
func TestMigrationFails(t *testing.T) {
	dir := schema1(t)
	path := filepath.Join(dir, storeName)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(b *bbolt.Tx) error {
		tx := newTx(b)
		k, _ := tx.in(deliveries).Cursor().Last()
		return tx.put(deliveries, slices.Clone(k), []byte("{"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	for range 2 {
		if _, err := Open(dir, Options{}); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("opened: %v, want ErrCorrupt", err)
		}
		if files(t, dir)[string(filepath.Separator)+storeName] != before[string(filepath.Separator)+storeName] {
			t.Fatal("half a migration is in the file")
		}
	}
}

// TestMigrateMany migrates more than fits one page, and a delivery of each kind.
func TestMigrateMany(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, Options{Create: true})
	var ids mail.IDs
	err := s.write(t.Context(), 0, func(t *tx) error {
		for i := range 2000 {
			m, ds := aMessage(&ids)
			ds[0].Provider = []string{"a/b", "a/b2", "a"}[i%3]
			ds[0].NextAttempt = begin.Add(time.Duration(i%7) * time.Minute)
			if err := newPut(&message{Message: *m, Count: 1}, ds).apply(t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := due2000(t, s)
	s.Close()
	setSchema(t, filepath.Join(dir, storeName), 1)
	if got := due2000(t, opened(t, dir, Options{})); !slices.Equal(got, want) {
		t.Errorf("the order changed: %d deliveries, want %d", len(got), len(want))
	}
}

func due2000(t *testing.T, s *Store) (ids []mail.ID) {
	t.Helper()
	for d, err := range s.Unfinished(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n := len(ids); n > 0 && ids[n-1] == d.Message {
			t.Error("twice")
		}
		ids = append(ids, d.Message)
	}
	if len(ids) != 2000 {
		t.Errorf("%d wait", len(ids))
	}
	return ids
}

// TestBodyThatIsAValue: as the store of schema 2 had it, a body is read, backed
// up and deleted like one in a bucket of its own.
func TestBodyThatIsAValue(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true, Clock: clock.NewFake(begin)})
	var ids mail.IDs
	text := bytes.Repeat([]byte("all work and no play\r\n"), 200)
	var put []mail.ID
	for range 2 {
		m := &mail.Message{ID: ids.Next(begin), Received: begin, Account: "shop", Provider: "shop/main", Recipients: []string{"a@x.test"}}
		d := mail.Delivery{Message: m.ID, Index: 1, Recipient: "a@x.test", Provider: "shop/main", Status: mail.Sent}
		if err := s.Put(t.Context(), m, []mail.Delivery{d}, bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		put = append(put, m.ID)
	}
	if err := s.db.Update(func(b *bbolt.Tx) error {
		tx := newTx(b)
		if tx.in(contents).Bucket(put[1][:]) == nil {
			t.Fatal("the body has no bucket of its own")
		}
		return errors.Join(tx.deleteBody(put[0]), tx.put(contents, put[0][:], text))
	}); err != nil {
		t.Fatal(err)
	}
	for _, id := range put {
		if b, err := content(t.Context(), s, id); err != nil || !bytes.Equal(b, text) {
			t.Errorf("content of %d octets, %v", len(b), err)
		}
	}
	if gone, err := s.Expire(t.Context(), begin.Add(time.Hour), store.Retention{Content: time.Minute}); gone.Contents != 2 || err != nil {
		t.Errorf("Expire = %+v, %v", gone, err)
	}
	if err := s.view(func(tx *tx) error {
		if k, _ := tx.in(contents).Cursor().First(); k != nil {
			t.Errorf("%x is left", k)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
