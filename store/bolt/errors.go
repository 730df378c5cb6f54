package bolt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"

	"backstamp/store"
)

// classify gives an error of the disk the name by which others know it.
func classify(err error) error {
	switch {
	case err == nil, errors.Is(err, store.ErrFull), errors.Is(err, store.ErrBroken), errors.Is(err, store.ErrCorrupt):
		return err
	case is(err, syscall.EIO), errors.Is(err, bolterrors.ErrInvalidMapping):
		return fmt.Errorf("%w: %w", store.ErrBroken, err)
	case is(err, syscall.ENOSPC), is(err, syscall.EDQUOT), is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission),
		errors.Is(err, io.ErrShortWrite), errors.Is(err, bolterrors.ErrMaxSizeReached):
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return err
}

// is reports whether errno caused err. bbolt keeps only the text of what went
// wrong when the file had to grow.
func is(err error, errno syscall.Errno) bool {
	return errors.Is(err, errno) || strings.Contains(err.Error(), errno.Error())
}

// advice says what a person can do about a store that does not open.
func advice(err error) string {
	const anew = "restore a backup into an empty data_dir, or move " + storeName + " and " + markerName +
		" away to begin anew without what is in them"
	switch {
	case errors.Is(err, store.ErrMissing):
		return "; bring it back, or " + anew
	case errors.Is(err, store.ErrCorrupt):
		return "; it is left as it is: " + anew
	case errors.Is(err, store.ErrNewer):
		return "; start that release again, or restore a backup that this one made"
	case errors.Is(err, store.ErrOlder):
		return "; start serve once, which brings it up to date"
	case errors.Is(err, store.ErrLocked):
		return "; end that process first"
	case errors.Is(err, store.ErrFull):
		return "; make room, or let the user who runs this write there"
	}
	return ""
}

// troubled notes that the disk refused a body, and names the error.
func (s *Store) troubled(err error) error {
	err = classify(err)
	s.health.note(err)
	s.metrics.failed(err)
	return err
}

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", store.ErrCorrupt, fmt.Errorf(format, args...))
}

// caught is deferred as `defer caught(&err)()` round whatever enters bbolt: it
// turns a fault in the mapped file, or bbolt's own panic over what it found
// there, into store.ErrCorrupt.
func caught(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			*err = panicked(p)
		}
	}
}

// panicked makes an error of a panic. A fault has an address, and bbolt's
// assertions panic with text; any other is a mistake in our own code.
func panicked(p any) error {
	if f, ok := p.(interface{ Addr() uintptr }); ok {
		return corruptf("fault at %#x", f.Addr())
	}
	if text, ok := p.(string); ok {
		return corruptf("%s", text)
	}
	return fmt.Errorf("store: panic: %v\n%s", p, debug.Stack())
}

// health is what is known of the store's fitness. Its mutex guards all.
type health struct {
	mu     sync.Mutex
	final  error // the store works no more
	last   error // how the last commit failed
	ended  bool
	failed chan struct{}
}

func newHealth() *health { return &health{failed: make(chan struct{})} }

// note keeps how a write went.
func (h *health) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = err
	if h.final == nil && (errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrCorrupt)) {
		h.final = err
		close(h.failed)
	}
}

// cause returns why the store works no more.
func (h *health) cause() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.final
}

func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.final != nil:
		return h.final
	case h.ended:
		return store.ErrClosed
	}
	return h.last
}

func (h *health) closed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}

// close reports whether it was the first to.
func (h *health) close() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := !h.ended
	h.ended = true
	return first
}
