package bolt

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, name string, now time.Time) storetest.Backend {
		return opened(t, name, Options{Create: true, Clock: clock.NewFake(now)})
	})
}

// opened opens a store that must open, and closes it with the test.
func opened(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// octets is content of n zeros.
func octets(n int) mail.Content { return bytes.NewReader(make([]byte, n)) }

// content reads the whole content of a message.
func content(ctx context.Context, s *Store, id mail.ID) ([]byte, error) {
	c, err := s.Content(ctx, id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
}

// A body that got no file is let go of without a further word.
func TestBodyWithoutAFile(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, Options{Create: true, InlineBody: 10})
	if err := os.RemoveAll(filepath.Join(dir, bodiesName)); err != nil {
		t.Fatal(err)
	}
	b := s.NewBody()
	if _, err := b.Write(make([]byte, 100)); err == nil {
		t.Fatal("written to no directory")
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
