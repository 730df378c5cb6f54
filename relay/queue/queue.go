// Package queue decides when each Delivery is tried, by whom, within which
// limits, and when we give up.
//
// Put stores a Message with one Delivery for each recipient and returns nil
// only when they are durable. Where its provider has room, the first try
// starts at once, out of memory, and is marked as begun in that same commit; some
// more wait in memory for a connection. All else waits in the store, ordered by
// due time, from where one scheduler goroutine claims it into a bounded backlog
// and hands it to workers. Nothing polls: the scheduler sleeps until something is
// due or something happened.
//
// Limits, parking and quotas belong to a credential, its lane: every provider
// entry that uses the credential shares them. Lanes take turns, and so do the
// providers within a lane; a lane that hangs fills its own slots and backlog
// and nobody else's. What finds a backlog full stays in the store as it is.
//
// First tries go in order: through one provider entry, and so for one account,
// the first try of a message to a domain calls on the provider no sooner than
// those of the messages to that domain that were accepted before it.
//
// What a try comes to:
//
//   - taken: sent.
//   - temporary, throttling or no reply: deferred, to be tried again after 1,
//     5, 15, 30, 60, 120 minutes and then every 120, or when the reply asks
//     for it, until the account's time is over; then failed, with a record of
//     what was tried. That time stands still while held, and a wait counts
//     for no more than was planned for it and an hour, whatever the clock says.
//   - throttling: the lane also rests, longer each time, with fewer connections.
//   - auth: the lane is parked and its mail held, until a reload, a retry by
//     hand or a probe with one delivery every 15 minutes gets through.
//   - quota: the lane and its mail are held until the provider's day ends.
//   - account: held until a person has seen to it.
//   - sender, recipient, content, or another 5yz: failed, for that recipient.
//   - content that the store finds corrupt, that fails to render three times, or
//     on which three lives of the process ended: held as damaged, so that a
//     poisoned message stops nobody.
//
// A lane also keeps within Limits of its own: a meter in the gate counts what
// goes in each span, and what went before this process is read from the store. A
// limit for a day that is met holds the lane and its mail like a quota. Where the
// provider of a delivery is parked, or held or out of reach for long enough, a
// follower gets it (failover.go), unless it may have been taken already.
//
// What a try came to is kept in memory until the store has recorded it: a full
// disk may delay mail, and does not send it twice. Beside the tries that run, as
// many again may be recorded, so that connections need not wait for the disk. A
// process that dies in a try leaves the delivery marked; it is tried again
// with the same Message-ID and shows as uncertain.
package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/store"
)

// A Provider hands a transaction to an upstream and returns one Attempt for
// each of its recipients, in their order. It ends when ctx does.
type Provider interface {
	Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt
}

// A Renderer makes the copy of a message for one recipient, or for all where
// the index is 0.
type Renderer interface {
	Render(m *mail.Message, content mail.Content, recipient int, provider string) (mail.Copy, error)
}

// A Schedule keeps what is due and what became of it. See store/bolt for the
// meaning of the methods.
type Schedule interface {
	NewBody() mail.Body
	Put(ctx context.Context, m *mail.Message, ds []mail.Delivery, content mail.Content) error
	Claim(ctx context.Context, now time.Time, n int, lease time.Duration, except ...string) ([]mail.Delivery, error)
	Start(ctx context.Context, at time.Time, ds []mail.Delivery) error
	Conclude(ctx context.Context, os []mail.Outcome, letters ...mail.Letter) error
	Hold(ds []mail.Delivery)
	Release(ds []mail.Delivery)
	NextDue(ctx context.Context, except ...string) (time.Time, error)
}

// An Archive reads what is kept. The caller of Content closes it.
type Archive interface {
	Message(ctx context.Context, id mail.ID) (store.Row, error)
	Delivery(ctx context.Context, id mail.ID, index int) (mail.Delivery, error)
	Content(ctx context.Context, id mail.ID) (mail.ContentCloser, error)
	Unfinished(ctx context.Context) iter.Seq2[mail.Delivery, error]
}

// States keeps the states of credentials, and what they spent, over restarts.
type States interface {
	Spent(ctx context.Context, credential string, since time.Time) ([]store.Spent, error)
	SaveProvider(ctx context.Context, s store.ProviderState) error
	Providers(ctx context.Context) ([]store.ProviderState, error)
}

// A Store is all that the queue asks of a store.
type Store interface {
	Schedule
	Archive
	States
}

// A Route says how mail gets to one provider.
type Route struct {
	Provider      Provider
	Credential    string // whose limits and state count; "": the provider's own
	Connections   int    // transactions at once with this credential; 0: 4
	MaxRecipients int    // of one transaction; 0: 100
	Limits        Limits // of the credential
	Followed      bool   // there may be Followers
}

// Routes are all ways out. They are not changed once they were set.
type Routes struct {
	Providers map[string]Route         // by account/name
	Expire    map[string]time.Duration // by account; after this long, not counting holds, mail fails; 0: 96 h
	Failover  map[string]Failover      // by account
	Renderer  Renderer
	Notifier  Notifier // nil: nobody is told

	// Followers names those who may take a message when a provider cannot,
	// nearest first; nil: nobody may.
	Followers func(m *mail.Message, provider string) []string
}

// A way is a Route with its defaults filled in, and what belongs to all routes
// of its time: a try keeps to it, whatever is reloaded.
type way struct {
	Route
	renderer Renderer
	notifier Notifier
	expire   map[string]time.Duration
}

// way returns the way to a provider. Where there is none it is good enough to
// sort recipients by.
func (r Routes) way(provider string) (way, bool) {
	route, ok := r.Providers[provider]
	if route.Credential == "" {
		route.Credential = provider
	}
	if route.Connections <= 0 {
		route.Connections = defaultConnections
	}
	if route.MaxRecipients <= 0 {
		route.MaxRecipients = defaultMaxRecipients
	}
	return way{route, r.Renderer, r.Notifier, r.Expire}, ok
}

// Settings of a Queue; the zero Settings are good.
type Settings struct {
	Workers int            // transactions at once, in all; 0: 200. A credential always has room for one
	Backlog int            // due deliveries of one credential in memory; 0: 20000
	Drain   time.Duration  // how long running tries may go on when Run is told to end; 0: 25 s
	Notes   string         // a file that remembers over restarts which messages were in work; "": none
	Room    func() error   // asked before a message is kept; its error refuses the message. nil: there always is
	Rand    func() float64 // in [0,1), for any goroutine: the jitter of retries; nil: math/rand
}

// The defaults of a Route and of Routes. 100 recipients is what every server
// takes (RFC 5321 section 4.5.3.1.8).
const (
	defaultConnections   = 4
	defaultMaxRecipients = 100
	defaultExpire        = 96 * time.Hour
	defaultWorkers       = 200
	defaultBacklog       = 20000
	defaultDrain         = 25 * time.Second
)

// The errors of the operator's commands, beside mail.ErrNotFound.
var (
	ErrStopped    = errors.New("queue: stopped")
	ErrNoProvider = errors.New("queue: no such provider")
)

// A Queue is the schedule of all mail that is not yet sent. Its methods may be
// used by many goroutines; the state of the schedule itself belongs to the
// goroutine that runs Run, which the others reach through the inbox. The gate
// alone is shared with Put, which must not wait.
type Queue struct {
	store    Store
	settings Settings
	clock    clock.Clock
	log      *slog.Logger
	metrics  *metrics

	inbox   *inbox
	gate    *gate
	hearers hearers
	notes   *notes
	states  atomic.Pointer[[]store.ProviderState]
}

// New returns a queue that accepts mail. It tries none before Run and
// SetRoutes. A nil reg counts for nobody.
func New(st Store, s Settings, clk clock.Clock, log *slog.Logger, reg prometheus.Registerer) *Queue {
	if s.Workers <= 0 {
		s.Workers = defaultWorkers
	}
	if s.Backlog <= 0 {
		s.Backlog = defaultBacklog
	}
	if s.Drain <= 0 {
		s.Drain = defaultDrain
	}
	if s.Room == nil {
		s.Room = func() error { return nil }
	}
	if s.Rand == nil {
		s.Rand = rand.Float64
	}
	q := &Queue{
		store: st, settings: s, clock: clk, log: log, metrics: newMetrics(reg),
		inbox: newInbox(), gate: newGate(s.Workers, clk),
	}
	if s.Notes != "" {
		var err error
		if q.notes, err = openNotes(s.Notes); err != nil {
			log.Warn("messages that end the program will not be known by it", "err", err)
		}
	}
	return q
}

// SetRoutes replaces all routes. Called again, as a reload does, it also gives
// every parked credential another chance, and holds or brings back the mail of
// providers that went or came.
func (q *Queue) SetRoutes(r Routes) {
	q.gate.setRoutes(r)
	q.inbox.post(func(s *scheduler) { s.setRoutes(r) })
}

// NewBody returns where the content of a message goes as it comes in, unless
// there is no room for more mail.
func (q *Queue) NewBody() (mail.Body, error) {
	if err := q.settings.Room(); err != nil {
		return nil, err
	}
	return q.store.NewBody(), nil
}

// Put keeps a message that was accepted, for m.Recipients, through m.Provider.
// When it returns nil both are durable and will end as sent or as failed. The
// queue keeps m, which nobody may change any more, and closes the content, at
// once or after the first tries. Put waits for the store alone.
func (q *Queue) Put(ctx context.Context, m *mail.Message, content mail.ContentCloser) error {
	held := share(content)
	defer held.Close()
	if err := q.settings.Room(); err != nil {
		return fmt.Errorf("queueing message %s: %w", m.ID, err)
	}
	ds := deliveries(m, q.clock.Now())
	w, _ := q.gate.way(m.Provider)
	jobs, waiting, rest, inLine := q.reserve(w, m, ds, held)
	if len(jobs) > 0 { // before they can be found in the store
		q.inbox.post(func(s *scheduler) { s.expect(jobs) })
	}
	q.store.Hold(waiting)
	err := q.store.Put(ctx, m, ds, content)
	if err != nil {
		q.store.Release(waiting)
	}
	q.inbox.post(func(s *scheduler) {
		if err != nil {
			s.forget(jobs)
		} else {
			s.accepted(jobs, m.Provider, rest)
		}
		if inLine {
			s.gate.came(w.Credential)
		}
	})
	if err != nil {
		return fmt.Errorf("queueing message %s: %w", m.ID, err)
	}
	return nil
}

// reserve makes jobs of the first tries for which there is room: some begin once
// the message is kept, and are marked so, others wait in memory. Rest says that
// some are left for the store.
func (q *Queue) reserve(w way, m *mail.Message, ds []mail.Delivery, held holding) (jobs []*job, waiting []mail.Delivery, rest, inLine bool) {
	txs := transactions(m, ds, w.MaxRecipients)
	for _, tx := range txs[:min(len(txs), 2*w.Connections+1)] { // more than may begin and be ahead
		j := &job{id: m.ID, provider: m.Provider, way: w, message: m}
		for _, d := range tx {
			j.indexes = append(j.indexes, d.Index)
			j.goesTo(d)
		}
		jobs = append(jobs, j)
	}
	begin, ahead, inLine := q.gate.reserve(w.Credential, jobs, held.Size())
	rest = begin+ahead < len(txs)
	jobs = jobs[:begin+ahead]
	for i, j := range jobs {
		j.content, j.ahead = held.again(), i >= begin
		for _, index := range j.indexes {
			if d := &ds[index-1]; j.ahead {
				waiting = append(waiting, *d)
			} else {
				d.Started = d.NextAttempt
			}
		}
	}
	return jobs, waiting, rest, inLine
}

// A holding is content that several hold. The last of them to close it closes
// it for all.
type holding struct {
	mail.ContentCloser
	holders *atomic.Int32
}

func share(c mail.ContentCloser) holding { return holding{c, new(atomic.Int32)}.again() }

// again is for one more who holds it.
func (h holding) again() holding {
	h.holders.Add(1)
	return h
}

func (h holding) Close() error {
	if h.holders.Add(-1) > 0 {
		return nil
	}
	return h.ContentCloser.Close()
}

// deliveries makes the list of a message that nobody tried yet.
func deliveries(m *mail.Message, now time.Time) []mail.Delivery {
	ds := make([]mail.Delivery, len(m.Recipients))
	for i, rcpt := range m.Recipients {
		ds[i] = mail.Delivery{
			Message: m.ID, Index: i + 1, Recipient: rcpt, Provider: m.Provider,
			Status: mail.Queued, NextAttempt: now,
		}
		if m.Asked != nil {
			ds[i].Asked = m.Asked[i]
		}
	}
	return ds
}

// States returns the state of every credential that is in use or not well, in
// the order of their names.
func (q *Queue) States() []store.ProviderState {
	p := q.states.Load()
	if p == nil {
		return nil
	}
	return append([]store.ProviderState(nil), *p...)
}
