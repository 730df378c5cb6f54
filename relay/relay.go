// Package relay is where mail comes in: it listens for SMTP, decides who may
// hand in what, and answers 250 once the queue has made a message durable, not
// before. A front owns each connection's socket, writes content to where it will
// stay, and hands well-formed commands to a go-smtp server behind it; the session
// there judges them, and accept makes a mail.Message of content.
//
// Nobody gets in who has neither a login nor a listed network, and every error
// becomes a reply in one place.
package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// A Queue takes messages over. When Put returns nil, the message is durable;
// only then is it answered with 250. Of its errors, those that are
// mail.ErrFull and mail.ErrBroken have replies of their own, any other is
// temporary trouble.
type Queue interface {
	// NewBody returns where the content of a message goes as it comes in.
	NewBody() (mail.Body, error)
	// Put closes the content, at once or later, whatever it returns.
	Put(ctx context.Context, m *mail.Message, content mail.ContentCloser) error
	// PutAndHear is Put that then waits, not for long, for what the provider
	// says. Where that is a refusal for all recipients it returns it.
	PutAndHear(ctx context.Context, m *mail.Message, content mail.ContentCloser) (refused *mail.Attempt, err error)
}

// drainTime is how long Serve waits for messages that are on their way in when
// its context ends.
const drainTime = 20 * time.Second

// A Server takes mail in on all listeners of its policy.
type Server struct {
	queue   Queue
	clock   clock.Clock
	log     *slog.Logger
	metrics *metrics
	ids     mail.IDs
	policy  atomic.Pointer[Policy]
	drain   time.Duration
	wide    sync.Pool // of *bufio.Reader, for fronts that take content in

	visitors *Visitors // nil: nobody keeps account
	rates    rates
	guesses  guesses

	running context.Context // ends when nothing is waited for any more
	stop    context.CancelFunc

	listeners []net.Listener // set by Listen

	mu     sync.Mutex // guards what follows
	fronts map[*front]struct{}
	counts map[netip.Prefix]int // connections by client
	conns  sync.WaitGroup
}

// New returns a server that hands what it takes in to the queue. reg may be
// nil.
func New(p *Policy, q Queue, clk clock.Clock, log *slog.Logger, reg prometheus.Registerer) *Server {
	s := &Server{
		queue:   q,
		clock:   clk,
		log:     log,
		metrics: newMetrics(reg),
		drain:   drainTime,
		fronts:  map[*front]struct{}{},
		counts:  map[netip.Prefix]int{},
		rates:   rates{buckets: map[netip.Prefix]*bucket{}},
		guesses: guesses{known: map[guesser]*guessing{}},
		wide:    sync.Pool{New: func() any { return bufio.NewReaderSize(nil, wideBuffer) }},
	}
	s.running, s.stop = context.WithCancel(context.Background())
	s.policy.Store(p)
	return s
}

// SetPolicy swaps the policy. Connections keep the limits with which they
// began; each new message obeys the new policy. Listeners cannot be added,
// removed or moved: the error is a *mail.SettingError.
func (s *Server) SetPolicy(p *Policy) error {
	old := s.policy.Load()
	for i, d := range old.doors {
		if i >= len(p.doors) || p.doors[i].Address != d.Address {
			return mail.Settingf(fmt.Sprintf("listeners.%d.address", i),
				"is not what it was when the server started; expected %s, or a restart", d.Address)
		}
	}
	if len(p.doors) > len(old.doors) {
		return mail.Settingf(fmt.Sprintf("listeners.%d.address", len(old.doors)),
			"was not there when the server started; expected a restart")
	}
	s.policy.Store(p)
	return nil
}

// Listen binds all listeners, or none. Its error is a *mail.SettingError that
// names the address.
func (s *Server) Listen() error {
	for i, d := range s.policy.Load().doors {
		l, err := net.Listen("tcp", d.Address)
		if err != nil {
			s.Close()
			return mail.Settingf(fmt.Sprintf("listeners.%d.address", i),
				"cannot listen: %v; expected an address of this machine with a free port", err)
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

// Addrs returns the addresses that Listen bound, in the order of the policy.
func (s *Server) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, l := range s.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// Close frees what Listen bound, for those who do not Serve.
func (s *Server) Close() error {
	var errs []error
	for _, l := range s.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Serve takes connections until ctx ends. Then it takes no more, tells idle
// clients so, lets messages that are on their way in arrive for a while, and
// returns when the last connection is closed.
func (s *Server) Serve(ctx context.Context) error {
	defer s.stop()
	var accepting sync.WaitGroup
	for i, l := range s.listeners {
		accepting.Go(func() { s.listen(ctx, i, l) })
	}
	<-ctx.Done()
	err := s.Close()
	accepting.Wait() // from here on no connection is added

	done := make(chan struct{})
	go func() { s.conns.Wait(); close(done) }()
	s.each((*front).drain)
	timer := s.clock.NewTimer(s.drain)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C():
		s.log.Warn("connections cut after waiting for them to end", "waited", s.drain)
		s.stop()
		s.each((*front).cut)
		<-done
	}
	return err
}

// each calls do for every connection that is open.
func (s *Server) each(do func(*front)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.fronts {
		do(f)
	}
}
