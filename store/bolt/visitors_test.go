package bolt

import (
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"backstamp/mail"
)

// TestVisitorsOfOld opens a store that was made before there were visitors.
func TestVisitorsOfOld(t *testing.T) {
	dir := t.TempDir()
	if err := opened(t, dir, Options{Create: true}).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, storeName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(b *bbolt.Tx) error { return b.DeleteBucket([]byte(visitors)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := opened(t, dir, Options{ReadOnly: true})
	if all, err := s.Visitors(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("read %v, %v", all, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, dir, Options{})
	if err := s.SaveVisitors(t.Context(), []mail.Visitor{{Addr: "10.0.5.1"}}, nil); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Visitors(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("read %v, %v", all, err)
	}
}
