// Package bolt keeps what Backstamp remembers in one bbolt file, with large
// bodies as files beside it.
//
// One goroutine writes. It takes all that waits, commits it with one sync and
// wakes everybody; so a sync is shared by those who came while the last one
// ran, and nobody waits for company. Readers use short read transactions, since
// a long one would keep freed pages from being used again.
//
// Leases on deliveries live in memory: a process that ends has none.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/store"
)

// The names of what lies in the directory of a store.
const (
	storeName  = "store.bolt"
	markerName = "store.exists"
	bodiesName = "bodies"
)

// inlineBody is the largest body that lies in the bbolt file unless told.
const inlineBody = 128 << 10

// Options say how a store is opened. The zero Options open one that exists.
type Options struct {
	Clock      clock.Clock           // nil: the machine's
	Log        *slog.Logger          // nil: none
	Reg        prometheus.Registerer // nil: a registry of its own
	Create     bool                  // make the store if there never was one
	ReadOnly   bool                  // read alone, and share the file with others who only read
	InlineBody int64                 // larger bodies, in octets, become files; 0: 128 KiB
}

// A Store is an open store. It may be used by many goroutines.
type Store struct {
	dir     string
	o       Options
	db      *bbolt.DB
	bodies  *bodies
	blocks  *sync.Pool // of *block, for bodies that come in
	writer  *writer
	leases  *leases
	watch   *watch
	upkeep  upkeep // held by retention or a backup
	health  *health
	metrics *metrics
	timing  atomic.Pointer[mail.Timing]
	pending sync.WaitGroup // releases that write behind their caller
}

// Open opens the store in dir. Its errors wrap store.ErrNone (none yet and not
// Create), ErrMissing (there was one), ErrCorrupt, ErrLocked (in use, found
// within about a second), ErrNewer or ErrFull. A store that it refuses is left
// as it is.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, o: o.filled(), leases: newLeases(), blocks: newBlocks(), watch: newWatch(), upkeep: newUpkeep(), health: newHealth()}
	s.SetTiming(mail.Timing{})
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open store in %q: %w%s", dir, err, advice(err))
	}
	return s, nil
}

func (o Options) filled() Options {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Reg == nil {
		o.Reg = prometheus.NewRegistry()
	}
	if o.InlineBody == 0 {
		o.InlineBody = inlineBody
	}
	return o
}

func (s *Store) open() (err error) {
	path := filepath.Join(s.dir, storeName)
	s.bodies = &bodies{dir: filepath.Join(s.dir, bodiesName), disk: osDisk{}}
	if err := s.ensure(path); err != nil {
		return err
	}
	if s.db, err = openChecked(path, s.o.ReadOnly); err != nil {
		return err
	}
	if !s.o.ReadOnly {
		if err := s.settle(); err != nil {
			s.db.Close()
			return err
		}
	}
	s.metrics = newMetrics(s.o.Reg, path)
	s.writer = newWriter(s)
	if !s.o.ReadOnly {
		go s.writer.run()
	}
	return nil
}

// ensure finds the store or makes it, if it may.
func (s *Store) ensure(path string) error {
	marker := filepath.Join(s.dir, markerName)
	have, err := exists(path)
	if err != nil || have {
		return err
	}
	marked, err := exists(marker)
	switch {
	case err != nil:
		return err
	case marked:
		return fmt.Errorf("%w: %s says that there was one, but %s is gone", store.ErrMissing, markerName, storeName)
	case s.o.ReadOnly || !s.o.Create:
		return store.ErrNone
	}
	return create(s.dir, path)
}

// settle brings the store up to date, and puts right what a crash may have
// left: a store without its marker,
// temporary files, bodies that no commit names.
func (s *Store) settle() error {
	if err := firm(s.db.Path()); err != nil {
		return fmt.Errorf("make its last commit firm: %w", classify(err))
	}
	if err := s.migrate(); err != nil {
		return fmt.Errorf("bring it up to date: %w", err)
	}
	if err := s.complete(); err != nil {
		return fmt.Errorf("complete it: %w", classify(err))
	}
	if err := mark(s.dir); err != nil {
		return fmt.Errorf("mark that the store exists: %w", classify(err))
	}
	left, err := filepath.Glob(filepath.Join(s.dir, newPattern))
	if err != nil {
		return err
	}
	for _, name := range left {
		os.Remove(name) // at worst it stays until the next start
	}
	if err := makeDir(s.bodies.dir); err != nil {
		return classify(err)
	}
	n, err := s.sweep()
	if n > 0 {
		s.o.Log.Warn("removed bodies that no message names", "dir", s.bodies.dir, "files", n)
	}
	return err
}

// Close ends the writer after what it has begun and closes the file. What
// still waits fails with store.ErrClosed.
func (s *Store) Close() error {
	s.pending.Wait()
	first := s.health.close()
	if !first {
		return nil
	}
	if !s.o.ReadOnly {
		s.writer.close()
	}
	if errors.Is(s.health.cause(), store.ErrCorrupt) {
		return nil // a transaction hangs in the damaged file and would keep us for ever
	}
	if !s.o.ReadOnly && s.health.cause() == nil {
		s.syncFreelist()
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close store in %q: %w", s.dir, err)
	}
	return nil
}

// syncFreelist writes the list of free pages, so that the next start need not
// find them. It is a convenience: without it the start is slower.
func (s *Store) syncFreelist() {
	s.db.NoFreelistSync = false
	if err := s.db.Update(func(*bbolt.Tx) error { return nil }); err != nil {
		s.o.Log.Warn("free pages not written", "err", err)
	}
}

// Healthy returns nil while the store works. It wraps store.ErrBroken or
// ErrCorrupt once it never will again, and ErrFull from a commit that failed so
// until the next that does not.
func (s *Store) Healthy() error { return s.health.err() }

// Failed returns a channel that is closed when the store can take nothing more
// in this process: Healthy then tells why.
func (s *Store) Failed() <-chan struct{} { return s.health.failed }

// ready says why nothing can be asked of the store, if so.
func (s *Store) ready(ctx context.Context) error {
	if err := s.health.cause(); err != nil {
		return err
	}
	if s.health.closed() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// exists reports whether there is a file of that name.
func exists(name string) (bool, error) {
	_, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, classify(err)
	}
	return true, nil
}
