package sendmail

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// errBusy: another process hands the letter in.
var errBusy = errors.New("in use")

// The way in which a file is shared, of CreateFile.
const (
	shareDelete     = 4
	sharingViolated = syscall.Errno(32)
)

// openLetter opens a file for reading. With lock nobody else can open it until
// it is closed.
func openLetter(root *os.Root, name string, lock bool) (*os.File, error) {
	if !lock {
		return root.Open(name)
	}
	path := filepath.Join(root.Name(), name)
	name16, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name16, syscall.GENERIC_READ, shareDelete, nil, syscall.OPEN_EXISTING, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, sharingViolated) {
		return nil, errBusy
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}
