package bolt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"backstamp/mail"
)

// recipientsMax is how many deliveries a message may have: their index has two
// octets.
const recipientsMax = 1<<16 - 1

// Put keeps a message with its deliveries, whose Index counts from 1 in the
// order of ds, its content and an accepted event. When it returns nil all of
// it is durable; when not, nothing of it will be seen, and the caller may try
// again, with a body of its own. A delivery with Started set counts as claimed
// until Conclude or Release. Nothing that was passed may change before Put
// returns; bytes of its text that are no UTF-8 are replaced.
//
// A Body of this store is kept where it lies and can be read until its owner,
// still the caller, closes it; it is put once. Any other Content is copied.
//
// It wraps store.ErrFull while nothing can be written, store.ErrBroken once
// the disk failed.
func (s *Store) Put(ctx context.Context, m *mail.Message, ds []mail.Delivery, content mail.Content) error {
	if err := s.put(ctx, m, ds, content); err != nil {
		return fmt.Errorf("put message %s: %w", m.ID, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, m *mail.Message, ds []mail.Delivery, content mail.Content) error {
	if err := errors.Join(s.ready(ctx), checkPut(m, ds)); err != nil {
		return err
	}
	b, ours := content.(*body)
	if !ours || b.s != s {
		b = s.newBody()
		defer b.Close()
		if _, err := io.Copy(b, io.NewSectionReader(content, 0, content.Size())); err != nil {
			return err
		}
	}
	if b.err != nil {
		return b.err
	}
	return s.putBody(ctx, m, ds, b)
}

func (s *Store) putBody(ctx context.Context, m *mail.Message, ds []mail.Delivery, b *body) error {
	b.err = errPut // nothing more may be written to it
	p := newPut(&message{Message: *m, Sum: b.sum.Sum(nil), File: b.file != nil, Count: len(ds)}, ds)
	if !p.file {
		p.content = b.bytes()
	} else if s.has(m.ID) {
		return errTwice
	} else if err := b.keep(m.ID); err != nil {
		return err
	}
	started := startedOf(ds)
	s.leases.hold(started)
	err := s.write(ctx, len(p.content)+len(p.plan)+len(p.detail), p.apply)
	if err != nil {
		s.leases.end(started)
	}
	// A commit of which nobody knows whether it was done may still be seen: then
	// the body must stay.
	if err == nil || p.file && s.has(m.ID) {
		b.name = ""
	}
	if err == nil {
		s.metrics.body(b.size, p.file)
	}
	return err
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
		p.deliveries[i] = delivery{Delivery: ds[i], Account: m.Account, Tag: m.Tag}
		p.deliveries[i].schedule(m.Received)
	}
	return p
}

// newLetter prepares a message of our own, due at once.
func newLetter(l mail.Letter) *put {
	m := l.Message
	sum := sha256.Sum256(l.Content)
	ds := make([]mail.Delivery, len(m.Recipients))
	for i, to := range m.Recipients {
		ds[i] = mail.Delivery{Message: m.ID, Index: i + 1, Recipient: to, Provider: m.Provider, Status: mail.Queued, NextAttempt: m.Received}
	}
	p := newPut(&message{Message: *m, Sum: sum[:], Count: len(ds)}, ds)
	p.content = l.Content
	return p
}

func (p *put) apply(t *tx) error {
	if t.get(messages, p.id[:]) != nil {
		return errTwice
	}
	err := errors.Join(
		t.put(messages, p.id[:], p.message),
		t.put(details, p.id[:], p.detail),
		t.putBody(p.id, p.content),
		t.append(p.accepted))
	if len(p.plan) > 0 {
		err = errors.Join(err, t.put(plans, p.id[:], p.plan))
	}
	for i := range p.deliveries {
		err = errors.Join(err, t.save(&p.deliveries[i]))
	}
	return err
}
