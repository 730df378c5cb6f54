package bolt

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"backstamp/internal/crash"
	"backstamp/mail"
	"backstamp/store"
)

// schema is the version of the layout that this code reads and writes.
//
//	1  the due index by time alone; contents held inline bodies alone
//	2  the due index by provider; contents has a key for every message
//	3  larger bodies in buckets of their own; those that are values stay so
//	4  the hits in the usage of their day; tags have a usage
const schema = 4

// since returns the schema that a bucket came with.
func (b bucket) since() uint32 {
	if b == tags {
		return 4
	}
	return 1
}

// migrations lead from each version to the next, in its place. Each runs in one
// transaction, with the change of the version: a crash leaves the one layout or
// the other.
var migrations = [...]func(*tx) error{1: byProvider, 2: func(*tx) error { return nil }, 3: useHits}

// migrate brings a store up to date.
func (s *Store) migrate() (err error) {
	defer caught(&err)()
	for {
		done := false
		err := s.db.Update(func(b *bbolt.Tx) error {
			t := newTx(b)
			n := version(b)
			if done = n == schema; done {
				return nil
			}
			s.o.Log.Info("bringing the store up to date", "dir", s.dir, "from", n, "to", n+1)
			if err := migrations[n](t); err != nil {
				return err
			}
			crash.At(crash.BeforeMigrate)
			return setVersion(b, n+1)
		})
		if err != nil || done {
			return classify(err)
		}
		crash.At(crash.AfterMigrate)
	}
}

// complete makes the bucket that stores of this schema may lack.
func (s *Store) complete() (err error) {
	defer caught(&err)()
	var have bool
	err = s.db.View(func(t *bbolt.Tx) error {
		have = t.Bucket([]byte(visitors)) != nil
		return nil
	})
	if err != nil || have {
		return err
	}
	return s.db.Update(func(t *bbolt.Tx) error {
		_, err := t.CreateBucketIfNotExists([]byte(visitors))
		return err
	})
}

// version is the schema that a store says it has, 0 where it says none.
func version(t *bbolt.Tx) uint32 {
	v := t.Bucket([]byte(metaBucket)).Get([]byte(schemaKey))
	if len(v) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(v)
}

func setVersion(t *bbolt.Tx, n uint32) error {
	return t.Bucket([]byte(metaBucket)).Put([]byte(schemaKey), binary.BigEndian.AppendUint32(nil, n))
}

// checkVersion tells stores that this release can use from others.
func checkVersion(t *bbolt.Tx, path string, readOnly bool) error {
	switch n := version(t); {
	case n == 0:
		return corruptf("%s does not say which schema it has", path)
	case n > schema:
		return fmt.Errorf("%w: %s has schema %d, this release knows %d", store.ErrNewer, path, n, schema)
	case n < schema && readOnly:
		return fmt.Errorf("%w: %s has schema %d, this release reads %d", store.ErrOlder, path, n, schema)
	}
	return nil
}

// byProvider is the step from schema 1 to 2.
func byProvider(t *tx) error {
	if err := t.DeleteBucket([]byte(due)); err != nil {
		return err
	}
	if _, err := t.CreateBucket([]byte(due)); err != nil {
		return err
	}
	c := t.in(deliveries).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		d, err := decodeDelivery(placeAt(k), v)
		if err != nil {
			return err
		}
		if d.Unfinished() {
			if err := t.put(due, d.dueKey(), nil); err != nil {
				return err
			}
		}
	}
	c = t.in(messages).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if t.get(contents, k) != nil {
			continue
		}
		if err := t.put(contents, k, nil); err != nil {
			return err
		}
	}
	return nil
}

// useHits is the step from schema 3 to 4: the hits that the log still has go
// into the usage of their days, and what waits learns its tag.
func useHits(t *tx) error {
	if _, err := t.CreateBucketIfNotExists([]byte(tags)); err != nil {
		return err
	}
	c := t.in(messages).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		id := mail.ID(k)
		all, err := rejudging{judge: asBefore}.trials(t, id)
		if err != nil {
			continue // a listing shows what is damaged
		}
		for i := range all.copies {
			if err := t.useCopy(all.m, &all.copies[i]); err != nil {
				return err
			}
		}
		if err := t.tagDeliveries(all.m); err != nil {
			return err
		}
	}
	return nil
}

func asBefore(e mail.Event) (mail.Class, string) { return e.Class, e.Rule }

func (t *tx) useCopy(m *message, c *trial) error {
	provider := m.Provider
	if c.recipient > 0 {
		d, err := t.delivery(place{m.ID, c.recipient})
		if err != nil {
			return err
		}
		provider = d.Provider
	}
	for i, gained := range mail.ReplayHits(c.was).Gained {
		if err := t.useHit(m, provider, c.was[i].Time, gained); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) tagDeliveries(m *message) error {
	if m.Tag == "" {
		return nil
	}
	for i := 1; i <= m.Count; i++ {
		p := place{m.ID, i}
		d, err := t.delivery(p)
		if err != nil {
			return err
		}
		d.Tag = m.Tag
		if err := t.put(deliveries, p.key(), encode(d)); err != nil {
			return err
		}
	}
	return nil
}
