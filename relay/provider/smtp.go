package provider

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

const (
	messagesMax  = 100             // on one connection
	lastWordsMax = 2 * time.Second // for what a server says that broke off
	leaveMax     = 2 * time.Second // for the reply to QUIT
)

// SMTP is a provider that is spoken to by SMTP (RFC 5321, RFC 6409).
type SMTP struct {
	set     Settings // with defaults
	clock   clock.Clock
	log     *slog.Logger
	metrics *metrics
	pool    *pool
	book    *addressBook

	chunking *chunking
	size     atomic.Int64 // the last SIZE of EHLO; 0: none yet
}

func newSMTP(s Settings, clk clock.Clock, log *slog.Logger) *SMTP {
	m := newMetrics(s.Reg)
	return &SMTP{
		set: s, clock: clk, metrics: m, book: newAddressBook(), chunking: new(chunking),
		log:  log.With("provider", s.Name),
		pool: newPool(s.Connections, s.Timeouts.Idle, m.open.WithLabelValues(s.Name)),
	}
}

// Deliver runs a transaction on a kept connection, or on a new one. A kept one
// that turns out to be dead before anything was accepted is replaced once, and
// so is one on which BDAT does not do.
func (s *SMTP) Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	attempts := s.deliver(ctx, t)
	s.metrics.count(s.set.Name, attempts)
	return attempts
}

func (s *SMTP) deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	if err := s.pool.acquire(ctx); err != nil {
		return all(t, failure("TCP", "broken", mail.ClassTemporary, err))
	}
	c := s.pool.take()
	settled := false
	defer func() {
		if c != nil && !settled { // a panic: the final dot must not follow
			c.close()
		}
		s.pool.release(c)
	}()
	for known := s.chunking; ; {
		if c == nil {
			var err error
			if c, err = s.open(ctx); err != nil {
				return all(t, err)
			}
		}
		x := s.exchange(c, t)
		x.chunking = known
		x.run(ctx)
		switch {
		case !x.stale && !x.again || ctx.Err() != nil:
			settled = true
			return x.attempts
		case x.again:
			known = nil // DATA from now on
		default:
			s.metrics.stale.WithLabelValues(s.set.Name).Inc()
		}
		s.pool.lose(c)
		c = nil
	}
}

func (s *SMTP) exchange(c *conn, t mail.Transaction) *exchange {
	x := newExchange(c, t)
	x.clock, x.observe = s.clock, s.metrics.verdict.WithLabelValues(s.set.Name).Observe
	return x
}

func (s *SMTP) open(ctx context.Context) (*conn, error) {
	c, err := open(ctx, &s.set, s.book)
	if err != nil {
		s.metrics.connections.WithLabelValues(s.set.Name, "failed").Inc()
		s.log.Debug("no connection", "err", err)
		return nil, err
	}
	s.metrics.connections.WithLabelValues(s.set.Name, "open").Inc()
	s.pool.opened()
	if n := c.sizeMax(); n > 0 {
		s.size.Store(n)
	}
	return c, nil
}

// MaxSize returns the largest message that the server takes, in octets: what it
// said last, else what is known of the preset for sure; 0 where nothing is.
func (s *SMTP) MaxSize() int64 {
	if n := s.size.Load(); n > 0 {
		return n
	}
	if fact := s.set.Data().Limits.Size; !fact.Unconfirmed {
		return int64(fact.Is)
	}
	return 0
}

// Close takes leave on idle connections.
func (s *SMTP) Close() { s.pool.close() }

// all decides the same for every recipient.
func all(t mail.Transaction, err error) []mail.Attempt {
	x := newExchange(nil, t)
	x.settle(err)
	return x.attempts
}
