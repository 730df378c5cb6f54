package bolt

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// unpacked unpacks a backup as tar would.
func unpacked(t testing.TB, archive []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		head, err := r.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, head.Name)
		if head.Typeflag == tar.TypeDir {
			err = os.Mkdir(name, head.FileInfo().Mode())
		} else {
			var b []byte
			if b, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(name, b, head.FileInfo().Mode())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackup backs up a store that is being written to: what was there when it
// began is in it, whole, and unpacked it is a store like any other.
func TestBackup(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true})
	var ids mail.IDs
	acked := map[mail.ID]bool{}
	put := func() mail.ID {
		m, ds := aMessage(&ids)
		if err := s.Put(t.Context(), m, ds, bytes.NewReader(victimBody(m.ID))); err != nil {
			t.Error(err)
		}
		return m.ID
	}
	for range 40 {
		acked[put()] = true
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				put()
			}
		}
	}()
	var b bytes.Buffer
	err := s.Backup(t.Context(), &b, fstest.MapFS{"k1": {Data: []byte("secret")}})
	close(stop)
	<-ended
	if err != nil {
		t.Fatal(err)
	}
	if damaged, err := CheckBackup(bytes.NewReader(b.Bytes())); damaged != "" || err != nil {
		t.Fatalf("check: %q, %v", damaged, err)
	}
	dir := unpacked(t, b.Bytes())
	if key, err := os.ReadFile(filepath.Join(dir, "keys", "k1")); string(key) != "secret" {
		t.Errorf("key: %q, %v", key, err)
	}
	again := opened(t, dir, Options{})
	checkAcked(t, again, acked)
	m, ds := aMessage(&ids)
	if err := again.Put(t.Context(), m, ds, octets(1)); err != nil {
		t.Error(err)
	}
}

// TestBackupCut cuts a backup at many places, and changes it: each is told.
func TestBackupCut(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true, InlineBody: 10})
	m, ds := aMessage(new(mail.IDs))
	if err := s.Put(t.Context(), m, ds, octets(2000)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Backup(t.Context(), &b, nil); err != nil {
		t.Fatal(err)
	}
	sumsAt := bytes.LastIndex(b.Bytes(), []byte(sumsName))
	for n := 0; n <= sumsAt+tarBlock; n += tarBlock / 2 {
		if _, err := CheckBackup(bytes.NewReader(b.Bytes()[:n])); err == nil {
			t.Errorf("cut after %d of %d octets: no error", n, b.Len())
		}
	}
	changed := bytes.Clone(b.Bytes())
	changed[bytes.LastIndex(changed, make([]byte, 100))-5000]++
	if _, err := CheckBackup(bytes.NewReader(changed)); err == nil {
		t.Error("changed: no error")
	}
	if _, err := Open(unpacked(t, b.Bytes()[:tarBlock*2]), Options{Create: true}); !errors.Is(err, store.ErrMissing) {
		t.Errorf("unpacked in part: %v, want ErrMissing", err)
	}
}

const tarBlock = 512

// TestBackupFails fails the nth write of a backup, and ends its context: it is
// an error and the store goes on.
func TestBackupFails(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true, InlineBody: 10})
	var ids mail.IDs
	m, ds := aMessage(&ids)
	if err := s.Put(t.Context(), m, ds, octets(2000)); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		w := &fragile{left: n}
		err := s.Backup(t.Context(), w, fstest.MapFS{"k": {}})
		if w.left > 0 {
			if err != nil || n < 10 {
				t.Errorf("after %d writes: %v", n, err)
			}
			break
		}
		if err == nil || !strings.Contains(err.Error(), errFragile.Error()) { // bbolt keeps the text alone
			t.Errorf("write %d: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ctx, io.Discard, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	m, ds = aMessage(&ids)
	if err := errors.Join(s.Put(t.Context(), m, ds, octets(1)), s.Healthy()); err != nil {
		t.Error(err)
	}
}

var errFragile = errors.New("broken pipe")

// A fragile writer fails its write number left.
type fragile struct{ left int }

func (w *fragile) Write(p []byte) (int, error) {
	if w.left--; w.left <= 0 {
		return 0, errFragile
	}
	return len(p), nil
}

// TestBackupDamaged names the body that is gone; the rest is in the backup.
func TestBackupDamaged(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true, InlineBody: 10})
	var ids mail.IDs
	var all []mail.ID
	for range 3 {
		m, ds := aMessage(&ids)
		if err := s.Put(t.Context(), m, ds, octets(2000)); err != nil {
			t.Fatal(err)
		}
		all = append(all, m.ID)
	}
	if err := os.Remove(s.bodies.name(all[1])); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Backup(t.Context(), &b, nil); err != nil {
		t.Fatal(err)
	}
	damaged, err := CheckBackup(&b)
	if strings.TrimSpace(damaged) != all[1].String() || err != nil {
		t.Errorf("damaged %q, %v, want %s", damaged, err, all[1])
	}
}

// TestBackupAlone expects retention to leave a backup its bodies.
func TestBackupAlone(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true, InlineBody: 10})
	m, ds := aMessage(new(mail.IDs))
	err := s.Put(t.Context(), m, ds, octets(2000))
	if err == nil {
		err = s.Conclude(t.Context(), []mail.Outcome{{Message: m.ID, Index: 1, At: begin, Status: mail.Failed}})
	}
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := s.Backup(t.Context(), w, nil)
		w.CloseWithError(err)
		ended <- err
	}()
	first := make([]byte, 1)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	expired := make(chan error, 1)
	go func() {
		_, err := s.Expire(t.Context(), begin.Add(time.Hour), store.Retention{Content: 1})
		expired <- err
	}()
	if damaged, err := CheckBackup(io.MultiReader(bytes.NewReader(first), r)); damaged != "" || err != nil {
		t.Errorf("damaged %q, %v", damaged, err)
	}
	if err := errors.Join(<-ended, <-expired); err != nil {
		t.Error(err)
	}
	if _, err := s.Content(t.Context(), m.ID); !errors.Is(err, store.ErrExpired) {
		t.Errorf("retention did not go on: %v", err)
	}
}
