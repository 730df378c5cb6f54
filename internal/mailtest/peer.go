package mailtest

import (
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Script says what a Peer offers. The zero Script is a plain server without
// login.
type Script struct {
	// Extensions are the lines of EHLO after the first. Nil: PIPELINING, SIZE,
	// 8BITMIME, SMTPUTF8, ENHANCEDSTATUSCODES, and STARTTLS and AUTH as the
	// fields below say. Not nil: exactly these.
	Extensions []string
	TLS        *tls.Config // for STARTTLS, or for the whole connection
	Implicit   bool        // TLS from the first byte
	Username   string      // not empty: a login is demanded before MAIL
	Password   string
	Discard    bool                 // keep no transactions, for benchmarks
	On         map[Stage]([]Action) // as Peer.On
}

// A Transaction is what one MAIL … DATA brought.
type Transaction struct {
	Connection int    // from 1
	Helo       string // the argument of EHLO or HELO
	User       string // who logged in
	TLS        bool
	Mail       string   // the MAIL line
	Rcpts      []string // the RCPT lines that were answered 2yz
	MailFrom   string   // what stands between < and >
	Recipients []string // what stands between < and > of Rcpts
	Raw        []byte   // every byte after 354, dots stuffed, the final dot too
	Content    []byte   // the message: Raw without stuffing and final dot
	Complete   bool     // the final dot came
}

// A Peer is a scripted SMTP server on the loopback.
type Peer struct {
	Addr string // host:port
	Host string // 127.0.0.1
	Port int

	script Script
	ln     net.Listener
	done   chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex
	on       map[Stage][]Action
	conns    map[net.Conn]struct{}
	count    int // connections so far
	most     int // connections at once
	commands []string
	kept     []Transaction
	waited   int           // transactions that Wait returned
	changed  chan struct{} // closed and renewed at every change of the above
}

// Start runs a peer until the test ends.
func Start(t testing.TB, s Script) *Peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr)
	p := &Peer{
		Addr: addr.String(), Host: addr.IP.String(), Port: addr.Port,
		script: s, ln: ln, done: make(chan struct{}),
		on: map[Stage][]Action{}, conns: map[net.Conn]struct{}{}, changed: make(chan struct{}),
	}
	for stage, actions := range s.On {
		p.On(stage, actions...)
	}
	p.wg.Go(p.serve)
	t.Cleanup(p.Close)
	return p
}

// On says what to do the next times a stage comes, one action each time; the
// last stays. Without actions the peer is ordinary there.
func (p *Peer) On(stage Stage, actions ...Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on[stage] = slices.Clone(actions)
}

// next takes the action for the first of the stages that has one; nil: none.
func (p *Peer) next(stages ...Stage) Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, stage := range stages {
		if as := p.on[stage]; len(as) > 0 {
			if len(as) > 1 {
				p.on[stage] = as[1:]
			}
			return as[0]
		}
	}
	return nil
}

// Close ends the peer and all its connections.
func (p *Peer) Close() {
	p.mu.Lock()
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	p.mu.Unlock()
	p.ln.Close()
	p.Drop()
	p.wg.Wait()
}

// Drop closes the connections that are open, as a server does that got tired
// of waiting.
func (p *Peer) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *Peer) serve() {
	for {
		conn, err := p.ln.Accept()
		if err != nil {
			return
		}
		n, ok := p.opened(conn)
		if !ok {
			conn.Close()
			return
		}
		p.wg.Go(func() {
			defer p.closed(conn)
			newSession(p, conn, n).run()
		})
	}
}

func (p *Peer) opened(conn net.Conn) (n int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return 0, false
	default:
	}
	p.count++
	p.conns[conn] = struct{}{}
	p.most = max(p.most, len(p.conns))
	p.changing()
	return p.count, true
}

func (p *Peer) closed(conn net.Conn) {
	conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	p.changing()
}

// changing wakes those who wait. The caller holds the lock.
func (p *Peer) changing() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Peer) heard(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands = append(p.commands, line)
	p.changing()
}

func (p *Peer) record(tx Transaction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, tx)
	p.changing()
}

// Connections returns how many connections there have been.
func (p *Peer) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Most returns how many connections there were at once.
func (p *Peer) Most() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

// Commands returns the lines of all connections in the order in which they
// came, answers to login prompts too.
func (p *Peer) Commands() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.commands)
}

// Heard returns how many of the lines start with verb, compared without case.
func (p *Peer) Heard(verb string) int {
	n := 0
	for _, line := range p.Commands() {
		if len(line) >= len(verb) && strings.EqualFold(line[:len(verb)], verb) {
			n++
		}
	}
	return n
}

// Transactions returns what came so far, also what was broken off.
func (p *Peer) Transactions() []Transaction {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.kept)
}

// Wait returns the next transaction that no Wait returned before; the test
// fails when none comes.
func (p *Peer) Wait(t testing.TB) Transaction {
	t.Helper()
	var tx Transaction
	p.until(t, "a transaction", func() bool {
		if p.waited == len(p.kept) {
			return false
		}
		tx = p.kept[p.waited]
		p.waited++
		return true
	})
	return tx
}

// WaitHeard waits for n lines that start with verb.
func (p *Peer) WaitHeard(t testing.TB, verb string, n int) {
	t.Helper()
	p.until(t, verb, func() bool {
		seen := 0
		for _, line := range p.commands {
			if len(line) >= len(verb) && strings.EqualFold(line[:len(verb)], verb) {
				seen++
			}
		}
		return seen >= n
	})
}

// WaitOpen waits until exactly n connections are open.
func (p *Peer) WaitOpen(t testing.TB, n int) {
	t.Helper()
	p.until(t, "connections", func() bool { return len(p.conns) == n })
}

// until waits for a condition that is looked at under the lock.
func (p *Peer) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		p.mu.Lock()
		done, changed := ok(), p.changed
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("peer: no %s within %v", what, patience)
		}
	}
}
