package bolt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"backstamp/mail"
)

// recipientsMax is how many deliveries a message may have: their index has two
// octets.
const recipientsMax = 1<<16 - 1

// Put keeps a message with its deliveries, whose Index counts from 1 in the
// order of ds, its content and an accepted event. When it returns nil all of
// it is durable; when not, nothing of it will be seen, and the caller may try
// again. A delivery with Started set counts as claimed until Conclude or
// Release. Nothing that was passed may change before Put returns;
// bytes of its text that are no UTF-8 are replaced.
//
// It wraps store.ErrFull while nothing can be written, store.ErrBroken once
// the disk failed.
func (s *Store) Put(ctx context.Context, m *mail.Message, ds []mail.Delivery, content []byte) error {
	if err := s.put(ctx, m, ds, content); err != nil {
		return fmt.Errorf("put message %s: %w", m.ID, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, m *mail.Message, ds []mail.Delivery, content []byte) error {
	if err := errors.Join(s.ready(ctx), checkPut(m, ds)); err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	p := newPut(&message{Message: *m, Sum: sum[:], File: int64(len(content)) > s.o.InlineBody, Count: len(ds)}, ds)
	if p.file {
		if err := s.putFile(m.ID, content); err != nil {
			return err
		}
	} else {
		p.content = content
	}
	started := startedOf(ds)
	s.leases.hold(started)
	err := s.write(ctx, len(p.content)+len(p.plan)+len(p.detail), p.apply)
	if err != nil {
		s.leases.end(started)
		s.dropFile(p)
		return err
	}
	s.metrics.body(len(content), p.file)
	return nil
}

func checkPut(m *mail.Message, ds []mail.Delivery) error {
	if m.ID.IsZero() || len(ds) == 0 || len(ds) > recipientsMax {
		return fmt.Errorf("store: message with id %s and %d deliveries, want an id and 1 to %d", m.ID, len(ds), recipientsMax)
	}
	for i := range ds {
		if ds[i].Message != m.ID || ds[i].Index != i+1 {
			return fmt.Errorf("store: delivery %d of message %s stands at place %d", ds[i].Index, ds[i].Message, i+1)
		}
	}
	return nil
}

func startedOf(ds []mail.Delivery) (places []place) {
	for i := range ds {
		if !ds[i].Started.IsZero() {
			places = append(places, placeOf(&ds[i]))
		}
	}
	return places
}

// putFile writes the body of a large message before anything names it.
func (s *Store) putFile(id mail.ID, content []byte) error {
	if s.has(id) {
		return errTwice
	}
	err := s.bodies.write(id, content)
	if err != nil {
		s.health.note(err)
		s.metrics.failed(err)
	}
	return err
}

// dropFile removes the body of a message that was not committed. A commit that
// failed at its last step may still be seen: then the body must stay.
func (s *Store) dropFile(p *put) {
	if p.file && !s.has(p.id) {
		s.bodies.disk.Remove(s.bodies.name(p.id))
	}
}

// has reports whether a message is there, or may be.
func (s *Store) has(id mail.ID) bool {
	there := false
	err := s.view(func(t *tx) error {
		there = t.get(messages, id[:]) != nil
		return nil
	})
	return there || err != nil
}

var errTwice = errors.New("store: there is a message with that id")

// A put is an acceptance, encoded before it waits for the writer.
type put struct {
	id                             mail.ID
	message, detail, plan, content []byte
	file                           bool
	deliveries                     []delivery
	accepted                       mail.Event
}

func newPut(m *message, ds []mail.Delivery) *put {
	detail := m.Detail
	detail.Plan = nil
	p := &put{
		id:         m.ID,
		message:    encode(m),
		detail:     encode(detail),
		plan:       m.Detail.Plan,
		file:       m.File,
		deliveries: make([]delivery, len(ds)),
		accepted:   mail.Event{Time: m.Received, Kind: mail.KindAccepted, Message: m.ID},
	}
	for i := range ds {
		p.deliveries[i] = delivery{Delivery: ds[i], Account: m.Account}
		p.deliveries[i].schedule(m.Received)
	}
	return p
}

func (p *put) apply(t *tx) error {
	if t.get(messages, p.id[:]) != nil {
		return errTwice
	}
	err := errors.Join(
		t.put(messages, p.id[:], p.message),
		t.put(details, p.id[:], p.detail),
		t.append(p.accepted))
	if len(p.plan) > 0 {
		err = errors.Join(err, t.put(plans, p.id[:], p.plan))
	}
	if !p.file {
		err = errors.Join(err, t.put(contents, p.id[:], p.content))
	}
	for i := range p.deliveries {
		err = errors.Join(err, t.save(&p.deliveries[i]))
	}
	return err
}
