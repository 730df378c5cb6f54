package bolt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"slices"

	"backstamp/mail"
	"backstamp/store"
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

// Content returns the content of a message as it was put; the caller must not
// modify it. It is checked against its checksum: store.ErrCorrupt when it is
// not what was put.
func (s *Store) Content(ctx context.Context, id mail.ID) ([]byte, error) {
	content, err := s.content(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("content of message %s: %w", id, err)
	}
	return content, nil
}

func (s *Store) content(ctx context.Context, id mail.ID) (content []byte, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var m *message
	err = s.view(func(t *tx) error {
		if m, err = t.message(id); err == nil {
			content = bytes.Clone(t.get(contents, id[:]))
		}
		return err
	})
	if err == nil && m.File {
		content, err = s.bodies.read(id)
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(content); !bytes.Equal(sum[:], m.Sum) {
		return nil, corruptf("body of %d octets does not fit its checksum", len(content))
	}
	return content, nil
}

// Message returns all that is kept of a message but its content. The caller
// owns the row.
func (s *Store) Message(ctx context.Context, id mail.ID) (row store.Row, err error) {
	if err = s.ready(ctx); err == nil {
		err = s.view(func(t *tx) error {
			if row, err = t.row(id, nil); err == nil {
				err = t.detail(row.Message)
			}
			return err
		})
	}
	if err != nil {
		return store.Row{}, fmt.Errorf("read message %s: %w", id, err)
	}
	return row, nil
}

// Delivery returns one delivery of a message. The caller owns it.
func (s *Store) Delivery(ctx context.Context, id mail.ID, index int) (mail.Delivery, error) {
	var d *delivery
	err := s.ready(ctx)
	if err == nil {
		err = s.view(func(t *tx) error {
			d, err = t.delivery(place{id, index})
			return err
		})
	}
	if err != nil {
		return mail.Delivery{}, fmt.Errorf("read delivery %d of message %s: %w", index, id, err)
	}
	return d.Delivery, nil
}

// detail fills in what listings leave out.
func (t *tx) detail(m *mail.Message) error {
	b := t.get(details, m.ID[:])
	if err := decode("detail of "+m.ID.String(), b, &m.Detail); err != nil {
		return err
	}
	m.Detail.Plan = bytes.Clone(t.get(plans, m.ID[:]))
	return nil
}

// row reads a message and its deliveries; where want refuses the message the
// deliveries are not read.
func (t *tx) row(id mail.ID, want func(*mail.Message) bool) (store.Row, error) {
	m, err := t.message(id)
	if err != nil {
		return store.Row{}, err
	}
	row := store.Row{Message: &m.Message}
	if want != nil && !want(row.Message) {
		return row, nil
	}
	if row.Deliveries, err = t.deliveriesOf(id, m.Count); err != nil {
		return store.Row{}, err
	}
	for i := range row.Deliveries {
		row.Message.Recipients = append(row.Message.Recipients, row.Deliveries[i].Recipient)
	}
	if m.Shared {
		c, err := t.count(id)
		if err != nil {
			return store.Row{}, err
		}
		row.Message.Tally = c.Tally
	}
	return row, nil
}

// deliveriesOf reads the n deliveries of a message in their order.
func (t *tx) deliveriesOf(id mail.ID, n int) ([]mail.Delivery, error) {
	ds := make([]mail.Delivery, 0, n)
	c := t.in(deliveries).Cursor()
	for k, v := c.Seek(id[:]); bytes.HasPrefix(k, id[:]); k, v = c.Next() {
		d, err := decodeDelivery(placeAt(k), v)
		if err != nil {
			return nil, err
		}
		ds = append(ds, d.Delivery)
	}
	if len(ds) != n {
		return nil, corruptf("message %s has %d deliveries of %d", id, len(ds), n)
	}
	return ds, nil
}

// Messages streams the messages that f selects, newest first, without Detail.
// It reads in small transactions, so what comes while it runs may be seen or
// not. A message that cannot be read comes as an error, and the next follows.
func (s *Store) Messages(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	m := newMatcher(f)
	rows := stream(ctx, s, func(t *tx, before []byte) ([]item[store.Row], []byte) {
		return t.rows(before, m)
	})
	return limit(rows, f.Limit)
}

// rows reads the next chunk of messages that lie before a key, or the newest.
func (t *tx) rows(before []byte, m *matcher) (rows []item[store.Row], next []byte) {
	c := t.in(messages).Cursor()
	k, _ := seekBefore(c, before)
	for range chunk {
		id := mail.ID{}
		if copy(id[:], k); k == nil || m.past(id) {
			return rows, nil
		}
		row, err := t.row(id, m.message)
		if err != nil || m.row(row) {
			rows = append(rows, item[store.Row]{row, err})
		}
		next = slices.Clone(k)
		k, _ = c.Prev()
	}
	return rows, next
}
