package mailtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Tool finds a program of the machine, or the file of a library by its whole
// path, or ends the test as Missing does.
func Tool(t testing.TB, name string) (path string) {
	t.Helper()
	if _, err := os.Stat(name); err == nil && filepath.IsAbs(name) {
		return name
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/bin") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	Missing(t, name+" is not installed")
	return ""
}

// Missing says why a test cannot run on this machine: it skips, or fails where
// BACKSTAMP_TEST_TOOLS is required.
func Missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("BACKSTAMP_TEST_TOOLS") == "required" {
		t.Fatal(why)
	}
	t.Skip(why)
}
