package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"backstamp/internal/durable"
)

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	if err := durable.SyncDir(dir); err != nil {
		t.Error(err)
	}
	if err := durable.SyncDir(filepath.Join(dir, "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// TestWriteFile: the new content replaces the old, for the owner alone, and where
// it cannot be written nothing is left.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	for _, want := range []string{"one", "two, which is longer"} {
		if err := durable.WriteFile(name, []byte(want)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		info, err2 := os.Stat(name)
		if string(got) != want || err != nil || err2 != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
			t.Errorf("%q, %v, %v", got, err, info)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(filepath.Join(dir, "b"), nil); err == nil {
		t.Error("a directory was replaced")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, durable.Unfinished+"*")); left != nil {
		t.Errorf("left: %q", left)
	}
}
