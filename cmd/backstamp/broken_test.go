package main

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// A store that is not what was written stops serve within two seconds, with the
// reason and the next step; it is left as it is, so that the next start says
// the same and never begins a new, empty queue.
func TestBrokenStores(t *testing.T) {
	in := start(t, relayConfig("127.0.0.1:1", ""))
	for range 20 {
		in.send("app@shop.test", "reader@example.com", page)
	}
	in.stop()
	whole, err := os.ReadFile(filepath.Join(in.dir, "data", "store.bolt"))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for _, c := range []struct {
		name  string
		spoil func(b []byte) []byte // nil: the file is removed
		want  []string
	}{
		{"missing", nil, []string{"store.exists", "is gone", "bring it back"}},
		{"empty", func([]byte) []byte { return []byte{} }, []string{"corrupt", "is empty", "restore a backup"}},
		{"100 bytes", func(b []byte) []byte { return b[:100] }, []string{"corrupt", "restore a backup"}},
		{"cut in half", func(b []byte) []byte { return b[:len(bytes.TrimRight(b, "\x00"))/2] }, []string{"corrupt", "restore a backup"}},
		{"200 bit flips", func(b []byte) []byte { return flipBits(b, page) }, []string{"corrupt", "restore a backup"}},
		{"first meta page zeroed", func(b []byte) []byte { clear(b[:page]); return b }, []string{"corrupt", "meta page", "restore a backup"}},
		{"both meta pages zeroed", func(b []byte) []byte { clear(b[:2*page]); return b }, []string{"corrupt", "restore a backup"}},
		{"of a later release", laterSchema(t), []string{"later release", "start that release"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(in.dir)); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, "data", "store.bolt")
			err := os.Remove(name)
			if c.spoil != nil && err == nil {
				err = os.WriteFile(name, c.spoil(bytes.Clone(whole)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			before := contents(t, filepath.Join(dir, "data"))
			for range 2 {
				began := time.Now()
				out, code := run(t, nil, "serve", "--config", filepath.Join(dir, "backstamp.yaml"))
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %v", took)
				}
				if code != exitFailed || strings.Contains(out, "goroutine") {
					t.Errorf("exit %d\n%s", code, out)
				}
				for _, want := range append(c.want, filepath.Join(dir, "data")) {
					if !strings.Contains(out, want) {
						t.Errorf("no %q in: %s", want, out)
					}
				}
				if !maps.Equal(before, contents(t, filepath.Join(dir, "data"))) {
					t.Error("what was there was changed")
				}
			}
		})
	}
}

// contents are the files of a directory with what is in them.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// flipBits flips 200 bits of what is used behind the meta pages.
func flipBits(b []byte, page int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	used := len(bytes.TrimRight(b, "\x00")) - 2*page
	for range 200 {
		b[2*page+r.IntN(used)] ^= 1 << r.IntN(8)
	}
	return b
}

// laterSchema makes a store one of a release that is yet to come.
func laterSchema(t *testing.T) func([]byte) []byte {
	return func(b []byte) []byte {
		name := filepath.Join(t.TempDir(), "later")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(name, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(t *bbolt.Tx) error {
			return t.Bucket([]byte("meta")).Put([]byte("schema"), []byte{0, 0, 0, 99})
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if b, err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
		return b
	}
}
