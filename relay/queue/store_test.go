package queue

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
	"backstamp/store"
)

// memStore is a store in memory, with the leases and marks of a real one. It
// outlives a queue, as a real one outlives a process, after lose.
type memStore struct {
	mu       sync.Mutex
	clock    clock.Clock
	messages map[mail.ID]*mail.Message
	content  map[mail.ID]mail.Content
	rows     map[key]*mail.Delivery
	leases   map[key]time.Time
	states   map[string]store.ProviderState
	spent    map[string][]store.Spent // by credential, a row for each delivery
	counted  map[mail.ID]bool         // messages that are in it
	events   []mail.Event
	reads    int                               // of content
	fail     func(op string, id mail.ID) error // asked before each operation
	letters  []mail.Letter                     // put with outcomes, and never due
	recorded func()                            // called after the next Conclude
	changed  chan struct{}                     // closed and renewed by every Conclude
}

func newMemStore() *memStore {
	return &memStore{
		clock: clock.System{}, messages: map[mail.ID]*mail.Message{}, content: map[mail.ID]mail.Content{},
		rows: map[key]*mail.Delivery{}, leases: map[key]time.Time{}, states: map[string]store.ProviderState{},
		changed: make(chan struct{}), spent: map[string][]store.Spent{}, counted: map[mail.ID]bool{},
	}
}

// failing asks the test, without the lock, as it may block.
func (s *memStore) failing(op string, id mail.ID) error {
	s.mu.Lock()
	f := s.fail
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(op, id)
}

func (s *memStore) setFail(f func(op string, id mail.ID) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// lose forgets the leases, as the death of a process does.
func (s *memStore) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.leases)
}

func (s *memStore) Put(_ context.Context, m *mail.Message, ds []mail.Delivery, content mail.Content) error {
	if err := s.failing("put", m.ID); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages[m.ID], s.content[m.ID] = m, content
	for _, d := range ds {
		k := key{d.Message, d.Index}
		s.rows[k] = &d
		if !d.Started.IsZero() {
			s.leases[k] = time.Time{}
		}
	}
	return nil
}

func (s *memStore) free(k key, now time.Time) bool {
	end, held := s.leases[k]
	return !held || !end.IsZero() && !now.Before(end)
}

func (s *memStore) sorted() []*mail.Delivery {
	return slices.SortedFunc(maps.Values(s.rows), func(a, b *mail.Delivery) int {
		if c := a.NextAttempt.Compare(b.NextAttempt); c != 0 {
			return c
		}
		if c := slices.Compare(a.Message[:], b.Message[:]); c != 0 {
			return c
		}
		return a.Index - b.Index
	})
}

func (s *memStore) Claim(_ context.Context, now time.Time, n int, lease time.Duration, except ...string) (ds []mail.Delivery, err error) {
	if err := s.failing("claim", mail.ID{}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.sorted() {
		k := key{d.Message, d.Index}
		if len(ds) == n || d.NextAttempt.IsZero() || d.NextAttempt.After(now) || !s.free(k, now) || slices.Contains(except, d.Provider) {
			continue
		}
		if !d.Started.IsZero() {
			d.Started, d.Uncertain = time.Time{}, true
		}
		s.leases[k] = now.Add(lease)
		ds = append(ds, *d)
	}
	return ds, nil
}

func (s *memStore) Start(_ context.Context, at time.Time, ds []mail.Delivery) error {
	if err := s.failing("start", ds[0].Message); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		s.rows[key{d.Message, d.Index}].Started = at
	}
	return nil
}

func (s *memStore) Conclude(_ context.Context, os []mail.Outcome, letters ...mail.Letter) error {
	if err := s.failing("conclude", os[0].Message); err != nil {
		return err
	}
	s.mu.Lock()
	defer func() {
		f := s.recorded
		s.recorded = nil
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
		if f != nil {
			f()
		}
	}()
	for _, o := range os {
		if s.rows[key{o.Message, o.Index}] == nil {
			return store.ErrNotFound
		}
	}
	for _, o := range os {
		k := key{o.Message, o.Index}
		s.rows[k].Conclude(o)
		delete(s.leases, k)
		s.spend(o)
		if o.Kind != "" {
			s.events = append(s.events, mail.Event{Time: o.At, Kind: o.Kind, Message: o.Message, Recipient: o.Index, Text: o.Text})
		}
	}
	s.letters = append(s.letters, letters...)
	return nil
}

func (s *memStore) spend(o mail.Outcome) {
	if o.Credential == "" || o.Status != mail.Sent {
		return
	}
	row := store.Spent{Minute: o.At.Truncate(time.Minute), Recipients: 1}
	if !s.counted[o.Message] {
		s.counted[o.Message] = true
		row.Messages = 1
	}
	s.spent[o.Credential] = append(s.spent[o.Credential], row)
}

func (s *memStore) Hold(ds []mail.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		s.leases[key{d.Message, d.Index}] = time.Time{}
	}
}

func (s *memStore) Release(ds []mail.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		delete(s.leases, key{d.Message, d.Index})
	}
}

func (s *memStore) NextDue(_ context.Context, except ...string) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.sorted() {
		if !d.NextAttempt.IsZero() && s.free(key{d.Message, d.Index}, s.clock.Now()) && !slices.Contains(except, d.Provider) {
			return d.NextAttempt, nil
		}
	}
	return time.Time{}, nil
}

func (s *memStore) Message(_ context.Context, id mail.ID) (store.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.messages[id] == nil {
		return store.Row{}, fmt.Errorf("message %s: %w", id, store.ErrNotFound)
	}
	m := *s.messages[id]
	row := store.Row{Message: &m}
	for i := 1; s.rows[key{id, i}] != nil; i++ {
		row.Deliveries = append(row.Deliveries, *s.rows[key{id, i}])
	}
	return row, nil
}

func (s *memStore) Delivery(_ context.Context, id mail.ID, index int) (mail.Delivery, error) {
	if err := s.failing("delivery", id); err != nil {
		return mail.Delivery{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.rows[key{id, index}]; d != nil {
		return *d, nil
	}
	return mail.Delivery{}, store.ErrNotFound
}

// NewBody is for the relay: nobody asks for one here.
func (s *memStore) NewBody() mail.Body { panic("no body") }

// sheet is content that nobody need let go of.
func sheet(s string) mail.ContentCloser { return kept{strings.NewReader(s)} }

type kept struct{ mail.Content }

func (kept) Close() error { return nil }

func (s *memStore) Content(_ context.Context, id mail.ID) (mail.ContentCloser, error) {
	if err := s.failing("content", id); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return kept{s.content[id]}, nil
}

func (s *memStore) Unfinished(context.Context) iter.Seq2[mail.Delivery, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ds []mail.Delivery
	for _, d := range s.sorted() {
		if d.Unfinished() {
			ds = append(ds, *d)
		}
	}
	return func(yield func(mail.Delivery, error) bool) {
		for _, d := range ds {
			if !yield(d, s.failing("unfinished", d.Message)) {
				return
			}
		}
	}
}

func (s *memStore) Spent(_ context.Context, credential string, since time.Time) ([]store.Spent, error) {
	if err := s.failing("spent", mail.ID{}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.spent[credential]), func(m store.Spent) bool {
		return m.Minute.Before(since.Truncate(time.Minute))
	}), nil
}

func (s *memStore) SaveProvider(_ context.Context, st store.ProviderState) error {
	if err := s.failing("save", mail.ID{}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[st.Credential] = st
	return nil
}

func (s *memStore) Providers(context.Context) ([]store.ProviderState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.states)), nil
}

// image returns what is kept of deliveries, to come back to it by restore.
func (s *memStore) image() map[key]mail.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := map[key]mail.Delivery{}
	for k, d := range s.rows {
		rows[k] = *d
	}
	return rows
}

func (s *memStore) restore(rows map[key]mail.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, d := range rows {
		s.rows[k] = &d
	}
}
