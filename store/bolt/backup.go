package bolt

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"backstamp/mail"
)

// The names in a backup beside those of the store's own files.
const (
	sumsName    = "SHA256SUMS" // the last, as sha256sum writes it
	damagedName = "DAMAGED"    // there if some body could not be kept whole
	keysName    = "keys"
)

// Backup writes the store as it is at one moment to w, as a tar archive with
// the layout of its directory: unpacked into an empty one it is the store
// again. Of keys, the directory of the signing keys, all files go along; nil is
// none. Its last file holds the checksums of the others, so that an archive
// that was cut off is known.
//
// The store goes on meanwhile. While its own file is being read, which is done
// first and at the speed of w, pages that others free are not used again, so
// that the file may grow; the bodies are read after that. Retention waits for
// the end. A body that is gone or damaged is named in a file DAMAGED and stops
// nothing.
func (s *Store) Backup(ctx context.Context, w io.Writer, keys fs.FS) error {
	err := s.upkeep.lock(ctx)
	if err == nil {
		defer s.upkeep.unlock()
		err = s.backup(ctx, w, keys)
	}
	if err != nil {
		return fmt.Errorf("back up store in %q: %w", s.dir, err)
	}
	return nil
}

func (s *Store) backup(ctx context.Context, w io.Writer, keys fs.FS) error {
	a := &archive{Writer: tar.NewWriter(whileWanted{ctx, w}), now: s.o.Clock.Now()}
	// The marker comes first: what was unpacked in part must not be taken for a
	// store that is new.
	if err := a.text(markerName, markerText); err != nil {
		return err
	}
	var large []*message
	err := s.look(ctx, func(t *tx) (err error) {
		if large, err = t.largeBodies(); err != nil {
			return err
		}
		return a.file(storeName, t.Size(), func(w io.Writer) error {
			_, err := t.WriteTo(w)
			return err
		})
	})
	if err != nil {
		return err
	}
	damaged, err := s.backupBodies(a, large)
	if err == nil && keys != nil {
		err = a.tree(keysName, keys)
	}
	if err == nil && damaged != "" {
		err = a.text(damagedName, damaged)
	}
	if err == nil {
		err = a.text(sumsName, a.sums.String())
	}
	if err != nil {
		return err
	}
	return a.Close()
}

// largeBodies lists the messages whose bodies are files.
func (t *tx) largeBodies() (large []*message, err error) {
	c := t.in(contents).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if v == nil || len(v) > 0 { // in a bucket of its own, or a value
			continue
		}
		id := mail.ID{}
		copy(id[:], k)
		m, err := t.message(id)
		if err != nil {
			return nil, err
		}
		if m.File {
			large = append(large, &message{Message: mail.Message{ID: id}, Sum: m.Sum})
		}
	}
	return large, nil
}

// backupBodies adds the bodies and returns a line for each that is not whole.
func (s *Store) backupBodies(a *archive, large []*message) (damaged string, err error) {
	if err := a.dir(bodiesName); err != nil {
		return "", err
	}
	for _, m := range large {
		f, err := s.bodies.open(m.ID, m.Sum)
		if err != nil {
			s.o.Log.Error("body not in the backup", "msg", m.ID, "err", err)
			damaged += m.ID.String() + "\n"
			continue
		}
		err = a.file(bodiesName+"/"+m.ID.String(), f.Size(), func(w io.Writer) error {
			_, err := io.Copy(w, io.NewSectionReader(f, 0, f.Size()))
			return err
		})
		if f.Close(); err != nil {
			return "", err
		}
	}
	return damaged, nil
}

// An archive is a tar archive that is being written, with the checksums of what
// is in it.
type archive struct {
	*tar.Writer
	now  time.Time
	sums bytes.Buffer
}

// file adds a file of a size that is known.
func (a *archive) file(name string, size int64, write func(io.Writer) error) error {
	if err := a.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: a.now}); err != nil {
		return err
	}
	h := sha256.New()
	if err := write(io.MultiWriter(a, h)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(&a.sums, "%x  %s\n", h.Sum(nil), name)
	return a.Flush() // an error where less than size was written
}

func (a *archive) text(name, text string) error {
	return a.file(name, int64(len(text)), func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

func (a *archive) dir(name string) error {
	return a.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o700, ModTime: a.now})
}

// tree adds the files of a directory that has no others in it.
func (a *archive) tree(name string, files fs.FS) error {
	entries, err := fs.ReadDir(files, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = a.dir(name)
	}
	for _, e := range entries {
		if err != nil {
			break
		}
		if !e.Type().IsRegular() {
			continue
		}
		var b []byte
		if b, err = fs.ReadFile(files, e.Name()); err == nil {
			err = a.text(name+"/"+e.Name(), string(b))
		}
	}
	return err
}

// whileWanted writes until the context ends.
type whileWanted struct {
	ctx context.Context
	w   io.Writer
}

func (w whileWanted) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// CheckBackup reads an archive that Backup wrote to its end. It fails unless
// all of it is there and fits its checksums. damaged names the messages whose
// bodies were not whole in the store, one a line.
func CheckBackup(r io.Reader) (damaged string, err error) {
	var sums, listed, names bytes.Buffer
	t := tar.NewReader(r)
	for {
		head, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", fmt.Errorf("read backup: %w", err)
		}
		if head.Typeflag != tar.TypeReg {
			continue
		}
		h := sha256.New()
		var keep io.Writer = io.Discard
		switch head.Name {
		case sumsName:
			keep = &listed
		case damagedName:
			keep = &names
		}
		if _, err := io.Copy(io.MultiWriter(h, keep), t); err != nil {
			return "", fmt.Errorf("read backup: %s: %w", head.Name, err)
		}
		if head.Name != sumsName {
			fmt.Fprintf(&sums, "%x  %s\n", h.Sum(nil), head.Name)
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return "", fmt.Errorf("read backup: %w", err)
	}
	if listed.Len() == 0 || !bytes.Equal(listed.Bytes(), sums.Bytes()) {
		return "", errors.New("read backup: it is not whole: its files do not fit its checksums")
	}
	return names.String(), nil
}
