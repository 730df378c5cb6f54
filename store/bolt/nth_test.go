package bolt

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// A scene is a store with one large message that waits and one that is over,
// and a file that no message names.
type scene struct {
	*Store
	ids           mail.IDs
	waiting, over mail.ID
}

func newScene(t *testing.T) *scene {
	t.Helper()
	sc := &scene{Store: opened(t, t.TempDir(), Options{Create: true, InlineBody: 10})}
	sc.waiting, sc.over = sc.put(t), sc.put(t)
	err := sc.Conclude(t.Context(), []mail.Outcome{{Message: sc.over, Index: 1, At: begin, Status: mail.Sent}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sc.bodies.name(sc.ids.Next(begin)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return sc
}

func (sc *scene) put(t *testing.T) mail.ID {
	t.Helper()
	m, ds := aMessage(&sc.ids)
	if err := sc.Put(t.Context(), m, ds, octets(100)); err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// TestNthCall fails each call to the disk that an operation makes, one after
// the other: the operation says so or was done all the same, and once the disk
// works again, so does everything, and nothing that was accepted is missing.
func TestNthCall(t *testing.T) {
	write := func(t *testing.T, sc *scene) error {
		b := sc.NewBody()
		defer b.Close()
		for range 20 {
			if _, err := b.Write(make([]byte, 10)); err != nil {
				return err
			}
		}
		m, ds := aMessage(&sc.ids)
		err := sc.Put(t.Context(), m, ds, b)
		if _, missing := sc.Message(t.Context(), m.ID); (err == nil) != (missing == nil) && !errors.Is(err, store.ErrBroken) {
			t.Errorf("put: %v, and then %v", err, missing)
		}
		return err
	}
	for name, op := range map[string]func(*testing.T, *scene) error{
		"put": write,
		"content": func(t *testing.T, sc *scene) error {
			b, err := content(t.Context(), sc.Store, sc.waiting)
			if err == nil && len(b) != 100 {
				t.Errorf("content of %d octets", len(b))
			}
			return err
		},
		"expire": func(t *testing.T, sc *scene) error {
			_, err := sc.Expire(t.Context(), begin.Add(time.Hour), store.Retention{Content: 1, Events: 1})
			return err
		},
		"sweep": func(t *testing.T, sc *scene) error {
			_, err := sc.sweep()
			return err
		},
		"backup": func(t *testing.T, sc *scene) error {
			r, w := io.Pipe()
			go func() { w.CloseWithError(sc.Backup(t.Context(), w, nil)) }()
			damaged, err := CheckBackup(r)
			if damaged != "" {
				err = errors.Join(err, errors.New("damaged"))
			}
			return err
		},
	} {
		for _, fault := range []error{syscall.ENOSPC, syscall.EIO, syscall.EMFILE, nil} {
			calls := 0
			for n := 1; ; n++ {
				sc := newScene(t)
				bad := &badDisk{disk: sc.bodies.disk, n: n, err: fault}
				sc.bodies.disk = bad
				err := op(t, sc)
				if bad.fired == "" {
					if err != nil {
						t.Errorf("%s without a fault: %v", name, err)
					}
					break
				}
				calls++
				if err == nil && bad.fired != "close" && bad.fired != "remove" {
					t.Errorf("%s: %v at %s, and it was done", name, fault, bad.fired)
				}
				checkScene(t, sc, name)
			}
			if calls == 0 {
				t.Errorf("%s makes no calls", name)
			}
		}
	}
}

// checkScene expects a scene to be whole, after a restart where it has to be.
func checkScene(t *testing.T, sc *scene, name string) {
	t.Helper()
	dir := sc.dir
	if sc.Healthy() == nil {
		sc.put(t)
	}
	sc.Close()
	sc.Store = opened(t, dir, Options{InlineBody: 10})
	defer sc.Close()
	if b, err := content(t.Context(), sc.Store, sc.waiting); err != nil || len(b) != 100 {
		t.Errorf("%s: what waits is damaged: %v", name, err)
	}
	if b, err := content(t.Context(), sc.Store, sc.over); !errors.Is(err, store.ErrExpired) && (err != nil || len(b) != 100) {
		t.Errorf("%s: what is over is damaged: %v", name, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, bodiesName, "*"+tmpSuffix)); len(left) > 0 {
		t.Errorf("%s: left behind: %q", name, left)
	}
	sc.put(t)
	if err := sc.Healthy(); err != nil {
		t.Errorf("%s: not well after a restart: %v", name, err)
	}
}
