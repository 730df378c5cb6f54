package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"backstamp/internal/crash"
	"backstamp/mail"
	"backstamp/store"
)

// Expire deletes what at now is older than r keeps: the content of messages
// (body, plan and transcript), by when they were received, and events, by when
// they were recorded. What belongs to a message with an unfinished delivery
// stays, and so does the line of every message with its deliveries and
// counters. It goes in steps that keep others from writing for a moment only,
// and waits while a backup runs.
//
// Deleted octets lie in the file until their pages are used again, or Compact.
func (s *Store) Expire(ctx context.Context, now time.Time, r store.Retention) (gone store.Expired, err error) {
	if err := s.upkeep.lock(ctx); err != nil {
		return gone, fmt.Errorf("delete what is old: %w", err)
	}
	defer s.upkeep.unlock()
	if r.Content > 0 {
		gone.Contents, err = s.expireContents(ctx, now.Add(-r.Content))
	}
	if r.Events > 0 && err == nil {
		gone.Events, err = s.expireEvents(ctx, now.Add(-r.Events))
	}
	if err != nil {
		return gone, fmt.Errorf("delete what is old: %w", err)
	}
	return gone, nil
}

// expireContents deletes contents of messages received before a time.
func (s *Store) expireContents(ctx context.Context, before time.Time) (n int, err error) {
	for at := []byte(nil); ; {
		var old []*message
		err := s.look(ctx, func(t *tx) error {
			old, at = t.oldContents(at, before)
			return nil
		})
		if err == nil && len(old) > 0 {
			crash.At(crash.BeforeExpiry)
			err = s.write(ctx, 0, func(t *tx) error { return t.expire(old) })
			crash.At(crash.AfterExpiry)
		}
		if err != nil {
			return n, err
		}
		for _, m := range old {
			if m.File {
				s.removeBody(m.ID)
			}
		}
		n += len(old)
		if at == nil {
			return n, nil
		}
	}
}

// look is view for a step of a longer task.
func (s *Store) look(ctx context.Context, f func(*tx) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.view(f)
}

// removeBody removes the file of a content that is gone. What stays is swept at
// the next start.
func (s *Store) removeBody(id mail.ID) {
	if err := s.bodies.disk.Remove(s.bodies.name(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Log.Warn("body of a deleted content not removed yet", "msg", id, "err", err)
	}
}

// oldContents returns the messages of the next chunk whose content may go. The
// IDs sort by time, and none is later than its receipt.
func (t *tx) oldContents(after []byte, before time.Time) (old []*message, next []byte) {
	c := t.in(contents).Cursor()
	k, _ := seekAfter(c, after)
	for range chunk {
		id := mail.ID{}
		if copy(id[:], k); k == nil || !id.Time().Before(before) {
			return old, nil
		}
		if m, err := t.message(id); err == nil && m.Received.Before(before) && t.finished(m) {
			old = append(old, m)
		}
		next = slices.Clone(k)
		k, _ = c.Next()
	}
	return old, next
}

// finished reports whether nothing of a message waits to be tried. Of one that
// cannot be read that is not known.
func (t *tx) finished(m *message) bool {
	ds, err := t.deliveriesOf(m.ID, m.Count)
	return err == nil && !slices.ContainsFunc(ds, func(d mail.Delivery) bool { return d.Unfinished() })
}

// expire deletes the contents of messages. What is finished stays so.
func (t *tx) expire(old []*message) error {
	for _, m := range old {
		m.Expired = true
		err := errors.Join(
			t.deleteBody(m.ID),
			t.delete(plans, m.ID[:]),
			t.put(messages, m.ID[:], encode(m)),
			t.dropTranscript(m.ID))
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) dropTranscript(id mail.ID) error {
	var d mail.Detail
	if err := decode("detail of "+id.String(), t.get(details, id[:]), &d); err != nil || len(d.Transcript) == 0 {
		return nil // a damaged one is not made worse
	}
	d.Transcript = nil
	return t.put(details, id[:], encode(d))
}

// A logged is an event by its places in the log.
type logged struct{ key, ofMessage []byte }

// expireEvents deletes events recorded before a time.
func (s *Store) expireEvents(ctx context.Context, before time.Time) (n int, err error) {
	for at := []byte(nil); ; {
		var old []logged
		err := s.look(ctx, func(t *tx) error {
			old, at = t.oldEvents(at, before)
			return nil
		})
		if err == nil && len(old) > 0 {
			err = s.write(ctx, 0, func(t *tx) error { return t.forget(old) })
		}
		if err != nil {
			return n, err
		}
		n += len(old)
		if at == nil {
			return n, nil
		}
	}
}

// oldEvents returns the events of the next chunk that may go.
func (t *tx) oldEvents(after []byte, before time.Time) (old []logged, next []byte) {
	keep := map[mail.ID]bool{}
	c := t.in(events).Cursor()
	k, v := seekAfter(c, after)
	for range chunk {
		if k == nil || eventKeyOf(k).time >= nanos(before) {
			return old, nil
		}
		next = slices.Clone(k)
		var e mail.Event
		if decode("event", v, &e) == nil && !t.waits(e.Message, keep) {
			old = append(old, logged{next, slices.Concat(e.Message[:], next)})
		}
		k, v = c.Next()
	}
	return old, next
}

// waits reports whether a message has an unfinished delivery, or cannot be
// read. It looks once at each.
func (t *tx) waits(id mail.ID, known map[mail.ID]bool) bool {
	waits, looked := known[id]
	if !looked {
		m, err := t.message(id)
		waits = err == nil && !t.finished(m) || err != nil && !errors.Is(err, store.ErrNotFound)
		known[id] = waits
	}
	return waits
}

func (t *tx) forget(old []logged) error {
	for _, e := range old {
		if err := errors.Join(t.delete(events, e.key), t.delete(messageEvent, e.ofMessage)); err != nil {
			return err
		}
	}
	return nil
}

// An upkeep lets one long task at a time work on a store.
type upkeep chan struct{}

func newUpkeep() upkeep { return make(upkeep, 1) }

func (u upkeep) lock(ctx context.Context) error {
	select {
	case u <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u upkeep) unlock() { <-u }
