package bolt

import (
	"slices"
	"time"

	"backstamp/mail"
)

// A tab is what the hits of a transaction have read, and what they change: in a
// flood many are on the same few copies, each of which is then read once and
// written once. Before anything but a hit looks, and before the commit, flush
// puts it into the transaction.
type tab struct {
	messages   map[mail.ID]*message
	deliveries map[place]*tabbed[delivery]
	counts     map[mail.ID]*tabbed[count]
	gains      map[gain]mail.Sums
	rows       []*hit              // that the log has not, or with another count
	alike      map[mail.Event]*hit // the rows that an equal hit joins
}

// A tabbed value is one that was read.
type tabbed[T any] struct {
	value   *T
	changed bool
}

// A gain is whose usage of a day hits add to.
type gain struct {
	message  *message
	provider string
	day      int64 // since 1970, UTC
}

const daySeconds = 24 * 60 * 60

// A hit is an open or click that the running transaction has recorded.
type hit struct {
	key    eventKey
	event  mail.Event
	queued bool // it is in rows
}

func newTab() tab {
	return tab{
		messages: map[mail.ID]*message{}, deliveries: map[place]*tabbed[delivery]{}, counts: map[mail.ID]*tabbed[count]{},
		gains: map[gain]mail.Sums{}, alike: map[mail.Event]*hit{},
	}
}

// tabMessage, tabDelivery and tabCount read what is on the tab, else in the
// transaction.
func (t *tx) tabMessage(id mail.ID) (*message, error) {
	if m := t.tab.messages[id]; m != nil {
		return m, nil
	}
	m, err := t.message(id)
	if err == nil {
		t.tab.messages[id] = m
	}
	return m, err
}

func (t *tx) tabDelivery(p place) (*tabbed[delivery], error) {
	if d := t.tab.deliveries[p]; d != nil {
		return d, nil
	}
	read, err := t.delivery(p)
	if err != nil {
		return nil, err
	}
	d := &tabbed[delivery]{value: read}
	t.tab.deliveries[p] = d
	return d, nil
}

func (t *tx) tabCount(id mail.ID) (*tabbed[count], error) {
	if c := t.tab.counts[id]; c != nil {
		return c, nil
	}
	read, err := t.count(id)
	if err != nil {
		return nil, err
	}
	c := &tabbed[count]{value: &read}
	t.tab.counts[id] = c
	return c, nil
}

// gain adds to the usage of a day.
func (t *tx) gain(m *message, provider string, at time.Time, sums mail.Sums) {
	if sums != (mail.Sums{}) {
		g := gain{m, provider, at.Unix() / daySeconds}
		t.tab.gains[g] = t.tab.gains[g].Add(sums, 1)
	}
}

// append adds an event to the log: an open or click with the next flush, and to
// the count of an equal one where there is one.
func (t *tx) append(e mail.Event) error {
	if !e.SameHit(e) {
		t.last = t.last.next(e.Time)
		return t.enter(t.last, e)
	}
	t.writes++
	like := e
	like.Time, like.Count, like.Text = time.Time{}, 0, ""
	h := t.tab.alike[like]
	if h == nil {
		t.last = t.last.next(e.Time)
		h = &hit{key: t.last, event: e}
		t.tab.alike[like] = h
	} else {
		h.event.Count = h.event.Times() + e.Times()
	}
	if !h.queued {
		h.queued = true
		t.tab.rows = append(t.tab.rows, h)
	}
	return nil
}

// enter puts an event into the log.
func (t *tx) enter(at eventKey, e mail.Event) error {
	if err := t.put(events, at.bytes(), encode(e)); err != nil {
		return err
	}
	return t.put(messageEvent, append(slices.Clone(e.Message[:]), at.bytes()...), nil)
}

// flush puts what is on the tab into the transaction and begins another.
func (t *tx) flush() error {
	if len(t.tab.messages) == 0 && len(t.tab.rows) == 0 {
		return nil // nothing was hit
	}
	if err := t.flushRows(); err != nil {
		return err
	}
	for p, d := range t.tab.deliveries {
		if d.changed {
			if err := t.put(deliveries, p.key(), encode(d.value)); err != nil {
				return err
			}
		}
	}
	for id, c := range t.tab.counts {
		if c.changed {
			if err := t.put(counts, id[:], encode(c.value)); err != nil {
				return err
			}
		}
	}
	for g, sums := range t.tab.gains {
		if err := t.useHit(g.message, g.provider, time.Unix(g.day*daySeconds, 0), sums); err != nil {
			return err
		}
	}
	t.tab = newTab()
	return nil
}

// flushRows puts the rows into the log.
func (t *tx) flushRows() error {
	for _, h := range t.tab.rows {
		h.queued = false
		if err := t.enter(h.key, h.event); err != nil {
			return err
		}
	}
	t.tab.rows = nil
	return nil
}
