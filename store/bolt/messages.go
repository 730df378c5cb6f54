package bolt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"

	"backstamp/mail"
	"backstamp/store"
)

// Content returns the content of a message as it was put, which the caller
// closes. All of it was checked against its checksum: store.ErrCorrupt when it
// is not what was put, store.ErrExpired when retention deleted it. A body that is a file is read, not held in memory.
func (s *Store) Content(ctx context.Context, id mail.ID) (mail.ContentCloser, error) {
	content, err := s.content(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("content of message %s: %w", id, err)
	}
	return content, nil
}

func (s *Store) content(ctx context.Context, id mail.ID) (mail.ContentCloser, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var m *message
	var inline []byte
	err := s.view(func(t *tx) (err error) {
		if m, err = t.message(id); err == nil {
			inline = bytes.Clone(t.body(id))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if m.Expired {
		return nil, store.ErrExpired
	}
	if m.File {
		return s.bodies.open(id, m.Sum)
	}
	if sum := sha256.Sum256(inline); !bytes.Equal(sum[:], m.Sum) {
		return nil, errSum(int64(len(inline)))
	}
	return storedBytes{bytes.NewReader(inline)}, nil
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
