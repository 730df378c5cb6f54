package bolt

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"backstamp/store"
)

// lastEvent returns the newest key of the log.
func lastEvent(t *tx) eventKey {
	k, _ := t.in(events).Cursor().Last()
	return eventKeyOf(k)
}

// Events streams the events that f selects in the order in which they were
// recorded, which is that of their times but for late ones. An After that no
// row had is as good as any other.
func (s *Store) Events(ctx context.Context, f store.EventFilter) iter.Seq2[store.EventRow, error] {
	return stream(ctx, s, func(t *tx, after []byte) ([]item[store.EventRow], []byte) {
		if after == nil {
			after = firstAfter(f)
		}
		if f.Message.IsZero() {
			return t.log(after, f)
		}
		return t.logOf(after, f)
	})
}

// firstAfter is a key before all that f can select. No event stands in the log
// before its own time.
func firstAfter(f store.EventFilter) []byte {
	var from []byte
	if n := nanos(f.Since); n > 0 && !f.Since.IsZero() {
		from = eventKey{n - 1, 1<<32 - 1}.bytes()
	}
	if bytes.Compare(f.After, from) > 0 {
		return f.After
	}
	return from
}

// log reads the next chunk of the log.
func (t *tx) log(after []byte, f store.EventFilter) (rows []item[store.EventRow], next []byte) {
	c := t.in(events).Cursor()
	k, v := seekAfter(c, after)
	for range chunk {
		if k == nil {
			return rows, nil
		}
		rows = appendEvent(rows, k, v, f)
		next = slices.Clone(k)
		k, v = c.Next()
	}
	return rows, next
}

// logOf reads the next chunk of the log of one message.
func (t *tx) logOf(after []byte, f store.EventFilter) (rows []item[store.EventRow], next []byte) {
	c := t.in(messageEvent).Cursor()
	id := f.Message[:]
	k, _ := seekAfter(c, slices.Concat(id, after))
	for range chunk {
		if !bytes.HasPrefix(k, id) {
			return rows, nil
		}
		next = slices.Clone(k[len(id):])
		rows = appendEvent(rows, next, t.get(events, next), f)
		k, _ = c.Next()
	}
	return rows, next
}

func appendEvent(rows []item[store.EventRow], key, value []byte, f store.EventFilter) []item[store.EventRow] {
	row := store.EventRow{Cursor: slices.Clone(key)}
	err := decode(fmt.Sprintf("event %x", key), value, &row.Event)
	if err == nil && (f.Kind != "" && row.Kind != f.Kind || row.Time.Before(f.Since)) {
		return rows
	}
	return append(rows, item[store.EventRow]{row, err})
}

// Watch returns a channel that is closed when an event is next recorded. Who
// follows the log takes it before reading, and so misses nothing.
func (s *Store) Watch() <-chan struct{} { return s.watch.next() }

// A watch wakes those who follow the log. Its mutex guards the channel.
type watch struct {
	mu sync.Mutex
	c  chan struct{}
}

func newWatch() *watch { return &watch{c: make(chan struct{})} }

func (w *watch) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.c
}

func (w *watch) notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.c)
	w.c = make(chan struct{})
}
