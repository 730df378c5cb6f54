//go:build !windows

package sendmail

import (
	"syscall"
	"testing"
)

// pipe makes a named pipe, which would keep a careless reader for ever.
func pipe(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}
