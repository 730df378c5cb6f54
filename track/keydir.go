package track

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"backstamp/internal/durable"
)

// The directory of keys holds one file a key, CREATED-ID.key, and nothing else.
// The name carries the time, so that copying the directory keeps the order.
const (
	keyNameTime = "20060102T150405.000Z" // UTC
	keySuffix   = ".key"
	keyFileMax  = 1 << 10 // octets; a key has some 60
)

// makeKeyDir makes dir durably, or checks the one that is there.
func makeKeyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if err := checkPrivate(dir, info); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// checkPrivate refuses what others on this machine may read or change.
func checkPrivate(path string, info fs.FileInfo) error {
	if runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	want := fs.FileMode(0o600)
	if info.IsDir() {
		want = 0o700
	}
	return fmt.Errorf("others may use %q: its mode is %04o; expected %04o", path, info.Mode().Perm(), want)
}

// readKeyDir returns the keys in dir, newest first.
func readKeyDir(dir string) ([]*key, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []*key
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), durable.Unfinished) {
			continue
		}
		k, err := readKey(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(o *key) bool { return o.id == k.id }) {
			return nil, fmt.Errorf("%q holds key %v, which another file holds too", filepath.Join(dir, e.Name()), k.id)
		}
		list = append(list, k)
	}
	if len(list) > keysMax {
		return nil, fmt.Errorf("%q holds %d keys; at most %d are allowed", dir, len(list), keysMax)
	}
	slices.SortStableFunc(list, func(a, b *key) int { return b.created.Compare(a.created) })
	return list, nil
}

func readKey(path string) (*key, error) {
	created, err := parseKeyName(filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > keyFileMax {
		return nil, fmt.Errorf("%q is no key file", path)
	}
	if err := checkPrivate(path, info); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	k, err := parseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	k.created = created
	return k, nil
}

func keyName(k *key) string {
	return k.created.Format(keyNameTime) + "-" + k.id.String() + keySuffix
}

func parseKeyName(name string) (created time.Time, err error) {
	stem, ok := strings.CutSuffix(name, keySuffix)
	when, _, ok2 := strings.Cut(stem, "-")
	created, err = time.Parse(keyNameTime, when)
	if !ok || !ok2 || err != nil {
		return time.Time{}, errors.New("this is no key file; nothing else may lie in the directory of keys")
	}
	return created, nil
}

// writeKey keeps k durably, or not at all: no reader ever sees half a key.
func writeKey(dir string, k *key) error {
	return durable.WriteFile(filepath.Join(dir, keyName(k)), []byte(k.text()+"\n"))
}
