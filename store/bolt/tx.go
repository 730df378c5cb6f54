package bolt

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"backstamp/mail"
	"backstamp/store"
)

// A tx is a transaction in the words of the layout.
type tx struct {
	*bbolt.Tx
	handles map[bucket]*bbolt.Bucket
	writes  int      // so far
	last    eventKey // the newest in the log
	tab     tab      // of the hits in it
}

func newTx(t *bbolt.Tx) *tx {
	return &tx{Tx: t, handles: make(map[bucket]*bbolt.Bucket, len(buckets)), tab: newTab()}
}

func (t *tx) in(b bucket) *bbolt.Bucket {
	h := t.handles[b]
	if h == nil {
		h = t.Bucket([]byte(b))
		if b == messages || b == details || b == plans || b == contents || b == events {
			h.FillPercent = 0.9 // they grow at their end
		}
		t.handles[b] = h
	}
	return h
}

func (t *tx) get(b bucket, key []byte) []byte { return t.in(b).Get(key) }

func (t *tx) put(b bucket, key, value []byte) error {
	t.writes++
	return t.in(b).Put(key, value)
}

func (t *tx) delete(b bucket, key []byte) error {
	t.writes++
	return t.in(b).Delete(key)
}

// aloneMin is the size from which a body lies in a bucket, and so in pages, of
// its own: as a value of the common bucket it would be written again by the
// commit that adds its neighbour. Below, bbolt would put the bucket among the
// values all the same.
const aloneMin = 2 << 10

// bodyKey is where a body lies in the bucket of its own.
var bodyKey = []byte("body")

func (t *tx) body(id mail.ID) []byte {
	if alone := t.in(contents).Bucket(id[:]); alone != nil {
		return alone.Get(bodyKey)
	}
	return t.get(contents, id[:])
}

func (t *tx) putBody(id mail.ID, body []byte) error {
	if len(body) < aloneMin {
		return t.put(contents, id[:], body)
	}
	t.writes++
	alone, err := t.in(contents).CreateBucket(id[:])
	if err != nil {
		return err
	}
	return alone.Put(bodyKey, body)
}

func (t *tx) deleteBody(id mail.ID) error {
	if t.in(contents).Bucket(id[:]) == nil {
		return t.delete(contents, id[:])
	}
	t.writes++
	return t.in(contents).DeleteBucket(id[:])
}

// message reads the line of a message.
func (t *tx) message(id mail.ID) (*message, error) {
	b := t.get(messages, id[:])
	if b == nil {
		return nil, store.ErrNotFound
	}
	m := new(message)
	return m, decode("message "+id.String(), b, m)
}

// delivery reads a delivery.
func (t *tx) delivery(p place) (*delivery, error) {
	b := t.get(deliveries, p.key())
	if b == nil {
		return nil, store.ErrNotFound
	}
	return decodeDelivery(p, b)
}

func decodeDelivery(p place, b []byte) (*delivery, error) {
	d := new(delivery)
	if err := decode("delivery of "+p.id.String(), b, d); err != nil {
		return nil, err
	}
	d.Message, d.Index = p.id, p.index
	return d, nil
}

// count reads what is counted of a message as a whole.
func (t *tx) count(id mail.ID) (c count, err error) {
	if b := t.get(counts, id[:]); b != nil {
		err = decode("counts of "+id.String(), b, &c)
	}
	return c, err
}

// change lets f change a delivery and keeps the due index in step: every
// unfinished delivery stands there once.
func (t *tx) change(p place, f func(*delivery)) error {
	d, err := t.delivery(p)
	if err != nil {
		return err
	}
	if d.Unfinished() {
		if err := t.delete(due, d.dueKey()); err != nil {
			return err
		}
	}
	f(d)
	if !d.Unfinished() {
		d.NextAttempt, d.Due = time.Time{}, time.Time{}
	}
	return t.save(d)
}

// save writes a delivery that is not in the due index, or no longer.
func (t *tx) save(d *delivery) error {
	if d.Unfinished() {
		if err := t.put(due, d.dueKey(), nil); err != nil {
			return err
		}
	}
	return t.put(deliveries, placeOf(&d.Delivery).key(), encode(d))
}

// view runs f in a read transaction, which should be short.
func (s *Store) view(f func(*tx) error) (err error) {
	defer caught(&err)()
	err = s.db.View(func(t *bbolt.Tx) error { return f(newTx(t)) })
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}
