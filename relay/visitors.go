package relay

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// A VisitorBook keeps visitors from one run of the program to the next.
type VisitorBook interface {
	Visitors(context.Context) ([]mail.Visitor, error)
	// SaveVisitors keeps those that changed and forgets the addresses in gone.
	SaveVisitors(ctx context.Context, changed []mail.Visitor, gone []string) error
}

// The bounds of what is known of visitors.
const (
	visitorsMax    = 1000 // beyond, those who never handed in mail are forgotten, then those who came least lately
	sightingsMax   = 1024 // that wait for the goroutine; more are lost, and counted
	visitorsEvery  = time.Minute
	visitorTextMax = 255 // octets of what a client says of itself
)

// Visitors is the account of who connected. The goroutine of Run owns it and
// writes it to the book once a minute, all that changed in one commit: a crash
// loses what was counted since.
type Visitors struct {
	book  VisitorBook
	clock clock.Clock
	log   *slog.Logger
	lost  prometheus.Counter

	sightings chan sighting
	asked     chan chan []mail.Visitor
	over      chan struct{} // closed when Run ended

	known   map[string]*mail.Visitor
	changed map[string]bool
	gone    []string
}

// NewVisitors returns an account that Run fills from the book. reg may be nil.
func NewVisitors(book VisitorBook, clk clock.Clock, log *slog.Logger, reg prometheus.Registerer) *Visitors {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	return &Visitors{
		book: book, clock: clk, log: log,
		lost: promauto.With(reg).NewCounter(prometheus.CounterOpts{
			Name: "backstamp_relay_sightings_lost_total", Help: "What clients did that is missing from the account of them.",
		}),
		sightings: make(chan sighting, sightingsMax),
		asked:     make(chan chan []mail.Visitor),
		over:      make(chan struct{}),
		known:     map[string]*mail.Visitor{},
		changed:   map[string]bool{},
	}
}

// A sighting is one thing that a client did.
type sighting struct {
	mail.Visitor // the address, what is known of it, and what to add to its numbers
	quirks       []string
}

// note takes a sighting, and never keeps a client waiting.
func (v *Visitors) note(s sighting) {
	select {
	case v.sightings <- s:
	default:
		v.lost.Inc()
	}
}

// All returns the visitors, the one seen last first.
func (v *Visitors) All(ctx context.Context) ([]mail.Visitor, error) {
	answer := make(chan []mail.Visitor, 1)
	select {
	case v.asked <- answer:
		return <-answer, nil
	case <-v.over:
		return v.book.Visitors(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Run keeps the account until ctx ends.
func (v *Visitors) Run(ctx context.Context) error {
	defer close(v.over)
	before, err := v.book.Visitors(ctx)
	if err != nil {
		v.log.Error("who connected before is not known", "err", err)
	}
	for _, b := range before {
		v.known[b.Addr] = &b
	}
	timer := v.clock.NewTimer(visitorsEvery)
	for {
		select {
		case s := <-v.sightings:
			v.add(s)
		case answer := <-v.asked:
			v.catchUp()
			answer <- v.list()
		case <-timer.C():
			v.save(ctx)
			timer = v.clock.NewTimer(visitorsEvery)
		case <-ctx.Done():
			timer.Stop()
			v.catchUp()
			v.save(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// catchUp takes what waits.
func (v *Visitors) catchUp() {
	for range len(v.sightings) {
		v.add(<-v.sightings)
	}
}

func (v *Visitors) add(s sighting) {
	k := v.known[s.Addr]
	if k == nil {
		v.makeRoom()
		k = &mail.Visitor{Addr: s.Addr, First: s.Last}
		v.known[s.Addr] = k
	}
	v.changed[s.Addr] = true
	k.Last, k.Listener, k.Name = s.Last, s.Listener, s.Name
	if s.Helo != "" {
		k.Helo, k.User, k.TLS = s.Helo, s.User, s.TLS
	}
	k.Connections += s.Connections
	k.Messages += s.Messages
	k.Refused += s.Refused
	if s.Refusal != "" {
		k.Refusal = s.Refusal
	}
	for _, q := range s.quirks {
		if k.Quirks == nil {
			k.Quirks = map[string]int{}
		}
		k.Quirks[q]++
	}
}

// makeRoom forgets a visitor where there is no room for another.
func (v *Visitors) makeRoom() {
	if len(v.known) < visitorsMax {
		return
	}
	var least *mail.Visitor
	for _, k := range v.known {
		if least == nil || dispensable(k, least) {
			least = k
		}
	}
	delete(v.known, least.Addr)
	delete(v.changed, least.Addr)
	v.gone = append(v.gone, least.Addr)
}

// dispensable reports whether a is forgotten before b.
func dispensable(a, b *mail.Visitor) bool {
	if (a.Messages == 0) != (b.Messages == 0) {
		return a.Messages == 0
	}
	return a.Last.Before(b.Last)
}

func (v *Visitors) list() []mail.Visitor {
	all := make([]mail.Visitor, 0, len(v.known))
	for _, k := range v.known {
		one := *k
		one.Quirks = maps.Clone(k.Quirks)
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b mail.Visitor) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.Addr, b.Addr)
	})
	return all
}

// save writes what changed since it was last written.
func (v *Visitors) save(ctx context.Context) {
	if len(v.changed)+len(v.gone) == 0 {
		return
	}
	changed := make([]mail.Visitor, 0, len(v.changed))
	for addr := range v.changed {
		changed = append(changed, *v.known[addr])
	}
	gone := slices.DeleteFunc(v.gone, func(addr string) bool { return v.known[addr] != nil })
	if err := v.book.SaveVisitors(ctx, changed, gone); err != nil {
		v.log.Warn("who connected is not kept yet", "err", err)
		v.gone = gone
		return
	}
	clear(v.changed)
	v.gone = nil
}

// SetVisitors has v told of who connects. It is called before Serve.
func (s *Server) SetVisitors(v *Visitors) { s.visitors = v }

// seen tells of something that the client did.
func (f *front) seen(s sighting) {
	if f.server.visitors == nil {
		return
	}
	s.Addr = f.peer.addr.Addr().String()
	s.Name = f.policy.client(f.peer.addr.Addr()).Name
	s.Helo, s.User, s.TLS = f.peer.helo, f.peer.user, f.peer.tls
	s.Listener, s.Last = f.door.Address, f.server.clock.Now()
	f.server.visitors.note(s)
}

// refused tells of a refusal, in words that go to a terminal.
func (f *front) refused(r mail.Reply) {
	if r.Temporary() || r.Permanent() {
		f.seen(sighting{Visitor: mail.Visitor{Refused: 1, Refusal: r.String()}})
	}
}

// clipped is what a client says of itself, as it is kept.
func clipped(s string) string {
	s = mail.Escape(s)
	if len(s) > visitorTextMax {
		s = strings.ToValidUTF8(s[:visitorTextMax], "") + "…"
	}
	return s
}
