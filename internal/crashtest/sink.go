//go:build unix

package crashtest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// Flaky says how badly a sink behaves: the share of transactions that meet
// each trouble.
type Flaky struct {
	Refuse float64 // a 451 to MAIL or to the final dot
	Before float64 // the connection drops within the content
	After  float64 // it drops after the final dot, the message taken, the reply not sent
	Delay  float64 // a reply to the final dot comes late, by up to 300 ms
	Seed   uint64
}

const lateMost = 300 * time.Millisecond

// A Sink takes all mail, as the upstream of a relay.
type Sink struct {
	listener net.Listener
	take     func(rcpts []string, content []byte, answered bool)
	done     sync.WaitGroup

	mu     sync.Mutex // guards what follows
	flaky  Flaky
	random *rand.Rand
	conns  map[net.Conn]bool
	broken int // copies that came last on connections that broke off
	closed bool
}

// Listen returns a sink on an address. It calls take for each message that
// came whole, before its reply, from many goroutines; answered is false when
// there will be none. The content belongs to take.
func Listen(addr string, f Flaky, take func(rcpts []string, content []byte, answered bool)) (*Sink, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Sink{listener: l, take: take, flaky: f, random: rand.New(rand.NewPCG(f.Seed, 2)), conns: map[net.Conn]bool{}}
	s.done.Go(s.accept)
	return s, nil
}

// Addr is where the sink listens.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Broken waits until all connections have ended, as they do when the relay is
// killed, and returns how many copies came in the last two transactions on those
// that did so without QUIT and not by the sink's own doing, since it was called
// before. The relay may not have recorded the reply to each, so that as many may
// come again: it begins the next transaction while it records the last one.
func (s *Sink) Broken() int {
	for limit := time.Now().Add(patience); s.open() > 0 && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.broken
	s.broken = 0
	return n
}

func (s *Sink) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Calm ends all misbehaviour.
func (s *Sink) Calm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flaky = Flaky{}
}

// Close ends the sink and waits until nothing is taken any more.
func (s *Sink) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
	return err
}

func (s *Sink) accept() {
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // no descriptors, for a moment
			continue
		}
		s.mu.Lock()
		if s.closed {
			c.Close()
		}
		s.conns[c] = true
		s.mu.Unlock()
		s.done.Go(func() { s.serve(c) })
	}
}

// serve is the goroutine of one connection.
func (s *Sink) serve(c net.Conn) {
	in := &inbound{sink: s, Conn: c, r: bufio.NewReaderSize(c, 64<<10)}
	err := in.serve()
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if err != errDropped && err != errQuit {
		s.broken += in.last + in.prior
	}
}

// A fate is what happens to one transaction.
type fate struct {
	refuseMail, refuseDot, before, after bool
	late                                 time.Duration
}

func (s *Sink) fate() (f fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flaky.Refuse > s.random.Float64() {
		f.refuseMail = s.random.IntN(2) == 0
		f.refuseDot = !f.refuseMail
	}
	f.before = s.flaky.Before > s.random.Float64()
	f.after = s.flaky.After > s.random.Float64()
	if s.flaky.Delay > s.random.Float64() {
		f.late = time.Duration(s.random.Int64N(int64(lateMost)))
	}
	return f
}

// An inbound is one connection to the sink. Its goroutine owns it.
type inbound struct {
	net.Conn
	sink  *Sink
	r     *bufio.Reader
	fate  fate
	rcpts []string
	last  int // copies in the last transaction that was taken
	prior int // and in the one before
}

const refused = "451 4.3.0 not now"

func (c *inbound) serve() error {
	err := c.say("220 sink.invalid ESMTP")
	for err == nil {
		var line string
		if line, err = c.r.ReadString('\n'); err == nil {
			err = c.command(strings.TrimRight(line, "\r\n"))
		}
	}
	return err
}

func (c *inbound) say(reply string) error {
	_, err := io.WriteString(c, reply+"\r\n")
	return err
}

func (c *inbound) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		return c.say("250-sink.invalid\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
	case "MAIL":
		c.fate, c.rcpts = c.sink.fate(), nil
		if c.fate.refuseMail {
			return c.say(refused)
		}
	case "RCPT":
		if c.fate.refuseMail {
			return c.say("503 5.5.1 MAIL first")
		}
		_, to, _ := strings.Cut(arg, "<")
		to, _, _ = strings.Cut(to, ">")
		c.rcpts = append(c.rcpts, to)
	case "DATA":
		return c.data()
	case "QUIT":
		c.say("221 2.0.0 bye")
		return errQuit
	}
	return c.say("250 2.0.0 ok")
}

var (
	errQuit    = errors.New("crashtest: the client took leave")
	errDropped = errors.New("crashtest: connection dropped on purpose")
)

func (c *inbound) data() error {
	if len(c.rcpts) == 0 {
		return c.say("503 5.5.1 RCPT first")
	}
	if err := c.say("354 go ahead"); err != nil {
		return err
	}
	if c.fate.before {
		c.r.ReadSlice('\n')
		return errDropped
	}
	content, err := c.content()
	if err != nil {
		return err
	}
	if c.fate.late > 0 {
		time.Sleep(c.fate.late)
	}
	if c.fate.refuseDot {
		return c.say(refused)
	}
	c.sink.take(c.rcpts, content, !c.fate.after)
	c.rcpts, c.last, c.prior = nil, len(c.rcpts), c.last
	if c.fate.after {
		return errDropped
	}
	return c.say("250 2.0.0 taken")
}

// content reads up to the line that is a lone dot.
func (c *inbound) content() ([]byte, error) {
	var b bytes.Buffer
	start := true
	for {
		piece, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return nil, err
		}
		if start && string(piece) == ".\r\n" {
			return b.Bytes(), nil
		}
		if start && piece[0] == '.' {
			piece = piece[1:]
		}
		b.Write(piece)
		start = bytes.HasSuffix(piece, []byte("\r\n"))
	}
}
