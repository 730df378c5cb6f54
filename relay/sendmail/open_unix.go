//go:build !windows

package sendmail

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errBusy: another process hands the letter in.
var errBusy = errors.New("in use")

// openLetter opens a file for reading, and locks it until it is closed. It
// waits for nobody, whatever lies there.
func openLetter(root *os.Root, name string, lock bool) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil || !lock {
		return f, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}
