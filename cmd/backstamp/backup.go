package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"backstamp/config"
	"backstamp/internal/clock"
	"backstamp/internal/durable"
	"backstamp/store"
	"backstamp/store/bolt"
)

func (p *program) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Write store and keys to a tar archive, while the server runs or not", Args: cobra.ExactArgs(1),
		Long: `Write store and keys, as they are at one moment, to a tar archive: mail, events, and the keys that sign links, so keep it secret.
An existing FILE is never overwritten, and FILE appears only when it is whole.

To restore, with the server stopped, into a data_dir that is empty:
  tar -xf FILE -C DATA_DIR && cd DATA_DIR && sha256sum -c SHA256SUMS
Mail that still waited when the backup was made is sent by the restored server, also what went out since.`,
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := p.load()
			if err != nil {
				return err
			}
			damaged, err := p.backup(c.Context(), conf, args[0])
			if err != nil {
				return err
			}
			if damaged != "" {
				return exitf(exitDegraded, "%s is written; the bodies of these messages are damaged in the store and not in it: %s",
					args[0], strings.Join(strings.Fields(damaged), " "))
			}
			fmt.Fprintf(p.out, "%s is written\n", args[0])
			return nil
		},
	}
}

// backup writes the archive under another name first.
func (p *program) backup(ctx context.Context, conf *config.Config, name string) (damaged string, err error) {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return "", exitf(exitFailed, "%s exists; a backup overwrites nothing", name)
	}
	source, err := p.openBackup(ctx, conf)
	if err != nil {
		return "", err
	}
	defer source.Close()
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.part")
	if err != nil {
		return "", exitf(exitFailed, "%v", err)
	}
	defer os.Remove(f.Name())
	damaged, err = bolt.CheckBackup(io.TeeReader(source, f))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = claimName(f.Name(), name)
	}
	if err != nil {
		return "", exitf(exitFailed, "%s is not written: %v", name, err)
	}
	err = durable.SyncDir(filepath.Dir(name))
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) { // shares have no such call
		return "", exitf(exitFailed, "%s is written, but may be gone after a loss of power: %v", name, err)
	}
	return damaged, nil
}

// claimName gives a file a name that nobody else has taken meanwhile.
func claimName(temp, name string) error {
	err := os.Link(temp, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(name); err == nil { // a file system without links
		return fs.ErrExist
	}
	return os.Rename(temp, name)
}

// openBackup has the archive made by the server, or here where none runs.
func (p *program) openBackup(ctx context.Context, conf *config.Config) (io.ReadCloser, error) {
	if api := dialServer(conf.DataDir); api != nil {
		return api.get(ctx, "/backup", nil)
	}
	s, err := p.openStore(conf, true)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		err := s.Backup(ctx, w, os.DirFS(keysDir(conf)))
		s.Close()
		w.CloseWithError(err)
	}()
	return r, nil
}

// backupPatience is how long whoever reads a backup may take none of it: the
// store's file grows while it is being read.
const backupPatience = time.Minute

// sendBackup answers with the archive. One that breaks off lacks its end, which
// the reader knows.
func (s *server) sendBackup(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-tar")
	out := patientWriter{w, http.NewResponseController(w), s.clock}
	if err := s.store.Backup(r.Context(), out, os.DirFS(keysDir(s.current().conf))); err != nil {
		s.log.Error("backup broke off", "err", err)
		panic(http.ErrAbortHandler)
	}
	s.log.Info("backup made")
}

// A patientWriter gives each write its time.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	clock   clock.Clock
}

func (w patientWriter) Write(p []byte) (int, error) {
	if err := w.control.SetWriteDeadline(w.clock.Now().Add(backupPatience)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

func (p *program) compactCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compact", Short: "Give back the space of what was deleted; the server must be stopped", Args: cobra.NoArgs,
		Long: `Rewrite the store without what was deleted from it. The server must be stopped, and there must be room for a second copy.
Interrupted at any moment it leaves the store as it was.`,
		RunE: func(*cobra.Command, []string) error {
			conf, err := p.load()
			if err != nil {
				return err
			}
			before, after, err := bolt.Compact(conf.DataDir)
			switch {
			case errors.Is(err, store.ErrLocked):
				return exitf(exitFailed, "data_dir %s is in use; stop its server first", conf.DataDir)
			case errors.Is(err, store.ErrNone):
				return exitf(exitFailed, "no store in %s", conf.DataDir)
			case err != nil:
				return exitf(exitFailed, "%v", err)
			}
			fmt.Fprintf(p.out, "the store had %d octets and has %d\n", before, after)
			return nil
		},
	}
}
