package provider

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A pool bounds the connections of one provider and keeps those that are idle.
// Each idle connection has a goroutine that listens on it, so that one that the
// server closes is gone before it is needed.
type pool struct {
	slots   chan struct{} // one for each connection that is busy
	maxIdle time.Duration
	gauge   prometheus.Gauge

	listeners sync.WaitGroup

	mu     sync.Mutex
	idle   []*idleConn // the last used comes last
	closed bool
}

type idleConn struct {
	conn   *conn
	usable chan bool // what its listener found, once it was taken
}

func newPool(size int, maxIdle time.Duration, gauge prometheus.Gauge) *pool {
	return &pool{slots: make(chan struct{}, size), maxIdle: maxIdle, gauge: gauge}
}

// acquire waits for the right to a connection.
func (p *pool) acquire(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take returns an idle connection that still lives, or nil.
func (p *pool) take() *conn {
	for {
		ic := p.pop()
		if ic == nil {
			return nil
		}
		ic.conn.net.SetReadDeadline(time.Unix(1, 0)) // wakes its listener
		if <-ic.usable {
			return ic.conn
		}
		p.lose(ic.conn)
	}
}

func (p *pool) pop() *idleConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	ic := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return ic
}

// release gives the right back. A connection that may be used again is kept,
// one that has done its share takes its leave, one that is broken is closed.
func (p *pool) release(c *conn) {
	switch {
	case c == nil:
	case c.broken:
		p.lose(c)
	case c.messages+1 >= c.set.messagesOn() || !p.keep(c):
		p.leave(c)
	}
	<-p.slots
}

// keep puts c among the idle ones, unless the pool is closed.
func (p *pool) keep(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	c.messages++
	c.reused = true
	c.net.SetReadDeadline(in(p.maxIdle))
	ic := &idleConn{conn: c, usable: make(chan bool, 1)}
	p.idle = append(p.idle, ic)
	p.listeners.Go(func() { p.listen(ic) })
	return true
}

// listen waits until the connection is taken, was idle for too long, or the
// server ends it or says something unasked, which would be mistaken for the
// reply to the next command.
func (p *pool) listen(ic *idleConn) {
	_, err := ic.conn.r.Peek(1)
	quiet := errors.Is(err, os.ErrDeadlineExceeded)
	if !p.forget(ic) { // it was taken
		ic.usable <- quiet
		return
	}
	if !quiet {
		p.lose(ic.conn)
		return
	}
	p.leave(ic.conn)
}

// forget removes ic from the idle ones and reports whether it was there.
func (p *pool) forget(ic *idleConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, o := range p.idle {
		if o == ic {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return true
		}
	}
	return false
}

func (p *pool) opened() { p.gauge.Inc() }

// lose closes a connection without a word.
func (p *pool) lose(c *conn) {
	c.close()
	p.gauge.Dec()
}

// leave takes leave on a connection.
func (p *pool) leave(c *conn) {
	c.quit()
	p.gauge.Dec()
}

// close takes leave on the idle connections and waits for that. Those that are
// busy take theirs when they are released.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	var leaving sync.WaitGroup
	for c := p.take(); c != nil; c = p.take() {
		leaving.Go(func() { p.leave(c) })
	}
	leaving.Wait()
	p.listeners.Wait()
}
