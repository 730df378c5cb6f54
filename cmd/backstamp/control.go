package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"

	"backstamp/web"
)

// socketPathMax is what every system takes as the path of a socket.
const socketPathMax = 100

// listenControl opens the private socket of the server on dir, whose store is
// locked by now: a socket that lies there was left behind. done takes it away.
func listenControl(dir string) (l net.Listener, done func(), err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	path, clean := filepath.Join(dir, "control.sock"), func() {}
	if len(path) > socketPathMax {
		temp, err := os.MkdirTemp("", "backstamp-")
		if err != nil {
			return nil, nil, fmt.Errorf("private socket: %w", err)
		}
		path, clean = filepath.Join(temp, "control.sock"), func() { os.RemoveAll(temp) }
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("private socket: %w", err)
	}
	l, err = net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	name := filepath.Join(dir, controlFile)
	if err == nil {
		err = os.WriteFile(name, []byte(path+"\n"), 0o600)
	}
	if err != nil {
		clean()
		return nil, nil, fmt.Errorf("private socket: %w", err)
	}
	return l, func() {
		os.Remove(name)
		clean()
	}, nil
}

// controlHandler serves the private socket: the API, and what is for those
// alone who may open the socket.
func (s *server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/backup", s.sendBackup)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("/", s.side((*web.Handler).Local))
	return mux
}
