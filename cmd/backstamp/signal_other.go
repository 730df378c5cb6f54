//go:build !unix

package main

import "os"

// serveSignals are those that serve listens to.
var serveSignals = []os.Signal{os.Interrupt}

// isReload reports whether a signal asks for a reload: the command does, here.
func isReload(os.Signal) bool { return false }
