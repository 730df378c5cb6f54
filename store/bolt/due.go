package bolt

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// The due index holds every unfinished delivery once, by provider and then by
// time: so the deliveries of one provider that is far behind lie together, and
// whoever has no use for them need not walk past them.

// whenSize is the length of what follows the provider in a key of the due
// index: the time, the message and the index.
const whenSize = 20

// dueKey is where an unfinished delivery stands in the due index; the zero
// time is never.
func dueKey(provider string, at time.Time, p place) []byte {
	n := uint64(never)
	if !at.IsZero() {
		n = nanos(at)
	}
	key := append(make([]byte, 0, len(provider)+1+whenSize), provider...)
	return append(binary.BigEndian.AppendUint64(append(key, 0), n), p.key()...)
}

// dueKey is where the delivery stands.
func (d *delivery) dueKey() []byte { return dueKey(d.Provider, d.Due, placeOf(&d.Delivery)) }

// when is the end of a key of the due index, which sorts by time.
func when(key []byte) []byte { return key[max(0, len(key)-whenSize):] }

// dueTime is the inverse of dueKey for the time.
func dueTime(key []byte) time.Time {
	n := binary.BigEndian.Uint64(when(key))
	if n == never {
		return time.Time{}
	}
	return time.Unix(0, int64(n))
}

// A dueList walks the due index by time, over all providers.
type dueList struct{ heads []dueHead }

// A dueHead is the first key of one provider that was not yet taken.
type dueHead struct {
	cursor *bbolt.Cursor
	prefix []byte // the provider and what ends it
	key    []byte
}

// dueList lists what is due, after a place in the order of time if one is
// given, of all providers but some.
func (t *tx) dueList(after []byte, except []string) *dueList {
	l := &dueList{}
	b := t.in(due)
	names := b.Cursor()
	for k, _ := names.First(); len(k) > whenSize; {
		prefix := slices.Clone(k[:len(k)-whenSize])
		if !slices.Contains(except, string(prefix[:len(prefix)-1])) {
			l.add(b.Cursor(), prefix, after)
		}
		prefix[len(prefix)-1] = 1 // behind the provider, before all that follow
		k, _ = names.Seek(prefix)
	}
	return l
}

func (l *dueList) add(c *bbolt.Cursor, prefix, after []byte) {
	prefix = slices.Clone(prefix)
	key, _ := seekAfter(c, append(slices.Clip(prefix), after...))
	if bytes.HasPrefix(key, prefix) {
		l.heads = append(l.heads, dueHead{c, prefix, key})
	}
}

// next takes the earliest key, nil when there is none.
func (l *dueList) next() []byte {
	if len(l.heads) == 0 {
		return nil
	}
	first := 0
	for i := range l.heads[1:] {
		if bytes.Compare(when(l.heads[i+1].key), when(l.heads[first].key)) < 0 {
			first = i + 1
		}
	}
	h := &l.heads[first]
	key := h.key
	if h.key, _ = h.cursor.Next(); !bytes.HasPrefix(h.key, h.prefix) {
		l.heads = slices.Delete(l.heads, first, first+1)
	}
	return key
}
