//go:build unix

package main

import (
	"os"
	"syscall"
)

// serveSignals are those that serve listens to.
var serveSignals = []os.Signal{syscall.SIGHUP, syscall.SIGTERM, os.Interrupt}

// isReload reports whether a signal asks for a reload.
func isReload(s os.Signal) bool { return s == syscall.SIGHUP }
