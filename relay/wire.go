package relay

import (
	"net"
	"sync"
	"time"
)

// farewellTime is what is left for the last words of a session.
const farewellTime = time.Second

// A wire is the socket of one connection with the deadlines of whoever reads
// it: each Read may be silent for a while, and all of them end by a time.
// Under TLS it lies below the TLS layer, so that a record that trickles in is
// no silence. Deadlines of sockets are the system's time, not an injected one.
type wire struct {
	net.Conn

	// mu guards what the front sets and the drain reads.
	mu       sync.Mutex
	silence  time.Duration
	by       time.Time
	idle     bool // between commands: the drain may cut in
	draining bool
}

// expect sets the deadlines of the reads that follow. idle says that nothing
// is lost when a drain ends them.
func (w *wire) expect(silence time.Duration, by time.Time, idle bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silence, w.by, w.idle = silence, by, idle
}

// drain ends the connection's idle reads, now and from now on.
func (w *wire) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	w.arm()
}

// drained reports whether drain was called.
func (w *wire) drained() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

// arm sets the socket's deadline for the next Read. The caller holds mu.
func (w *wire) arm() {
	at := time.Now().Add(w.silence)
	if at.After(w.by) {
		at = w.by
	}
	if w.draining && w.idle {
		at = time.Unix(1, 0)
	}
	w.Conn.SetReadDeadline(at)
}

// Read reads once, within the silence that is allowed.
func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	w.arm()
	w.mu.Unlock()
	return w.Conn.Read(p)
}

// Write writes; a client that does not read its replies may not hold it up for
// longer than it may be silent, nor for long once the session is over.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	now := time.Now()
	at := now.Add(w.silence)
	if at.After(w.by) {
		at = w.by
	}
	if least := now.Add(farewellTime); at.Before(least) {
		at = least
	}
	w.Conn.SetWriteDeadline(at)
	w.mu.Unlock()
	return w.Conn.Write(p)
}
