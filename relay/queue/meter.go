package queue

import (
	"slices"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// Limits are what one credential may send; the zero Limits are no bound.
type Limits struct {
	Rates      []Rate         // transactions
	Daily      int            // messages, each once however many copies go out; 0: no bound
	Recipients bool           // Daily counts recipients instead
	Zone       *time.Location // whose midnight ends a day; nil: it is any 24 hours
}

// A Rate is how many may go in any span of that length.
type Rate struct {
	Count int
	Per   time.Duration
}

// and returns the limits that keep both, for two entries of one credential.
func (l Limits) and(o Limits) Limits {
	rates := slices.Clone(l.Rates)
	for _, r := range o.Rates {
		if !slices.Contains(rates, r) {
			rates = append(rates, r)
		}
	}
	if l.Daily == 0 || o.Daily != 0 && o.Daily < l.Daily {
		l = o
	}
	l.Rates = rates
	return l
}

func (l Limits) equal(o Limits) bool {
	return l.Daily == o.Daily && l.Recipients == o.Recipients && l.Zone == o.Zone && slices.Equal(l.Rates, o.Rates)
}

// Day returns when the day began that a moment is in.
func (l Limits) Day(now time.Time) time.Time {
	if l.Zone == nil {
		return now.Add(-quotaWindow)
	}
	y, m, d := now.In(l.Zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, l.Zone)
}

// reopens returns when a quota that is used up can be expected to have room.
func (l Limits) reopens(now time.Time) time.Time {
	if l.Zone == nil {
		return now.Add(quotaWindow)
	}
	y, m, d := now.In(l.Zone).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, l.Zone)
}

// Spent counts what the limits count.
func (l Limits) Spent(minutes []store.Spent) (n int) {
	for _, m := range minutes {
		n += l.units(m)
	}
	return n
}

func (l Limits) units(m store.Spent) int {
	if l.Recipients {
		return m.Recipients
	}
	return m.Messages
}

// A window counts what went in a span that moves with the time, slot by slot.
// It forgets a slot when the last of it is past, so that it never counts too
// little.
type window struct {
	most  int
	slot  time.Duration
	span  time.Duration
	start func(now time.Time) time.Time // nil: span ago
	slots []slotCount                   // oldest first
	sum   int
}

type slotCount struct {
	at time.Time // its beginning
	n  int
}

// pastSlots is in how many slots a rate is counted: it errs by as much.
const pastSlots = 20

func newPace(r Rate) *window { return &window{most: r.Count, span: r.Per, slot: r.Per / pastSlots} }

func newDay(l Limits) *window {
	w := &window{most: l.Daily, span: quotaWindow, slot: time.Minute}
	if l.Zone != nil {
		w.start = l.Day
	}
	return w
}

// left returns how many more may go now.
func (w *window) left(now time.Time) int {
	w.forget(now)
	return max(0, w.most-w.sum)
}

func (w *window) add(at time.Time, n int) {
	at = at.Truncate(w.slot)
	if last := len(w.slots) - 1; last >= 0 && !w.slots[last].at.Before(at) {
		w.slots[last].n += n
	} else {
		w.slots = append(w.slots, slotCount{at, n})
	}
	w.sum += n
}

// back takes back what was added and did not go.
func (w *window) back(n int) {
	for i := len(w.slots) - 1; i >= 0 && n > 0; i-- {
		part := min(n, w.slots[i].n)
		w.slots[i].n -= part
		w.sum -= part
		n -= part
	}
}

// forget drops what is past, and what comes from a clock that was wrong.
func (w *window) forget(now time.Time) {
	w.slots = slices.DeleteFunc(w.slots, func(s slotCount) bool {
		gone := s.at.After(now.Add(w.span)) || w.start == nil && !s.at.Add(w.slot+w.span).After(now) || w.start != nil && s.at.Add(w.slot).Before(w.start(now))
		if gone {
			w.sum -= s.n
		}
		return gone
	})
}

// reopens returns when n more may go, if nothing goes until then.
func (w *window) reopens(now time.Time, n int) time.Time {
	over := w.sum + n - w.most
	for _, s := range w.slots {
		if over -= s.n; over <= 0 {
			return s.at.Add(w.slot + w.span)
		}
	}
	return now.Add(w.span)
}

// A meter keeps one credential within its limits. It belongs to the gate.
type meter struct {
	limits Limits
	rates  []*window
	day    *window // nil: no bound
	known  bool    // what was spent before is in it
	away   int     // transactions that may still give back what they took
	trips  map[mail.ID]*trip
}

// A trip is what a message, whose copies count once, did in a day.
type trip struct {
	at   time.Time
	away int // transactions that run
	sent bool
}

func newMeter(l Limits) *meter {
	if l.Daily == 0 && len(l.Rates) == 0 {
		return nil
	}
	m := &meter{limits: l, known: l.Daily == 0, trips: map[mail.ID]*trip{}}
	for _, r := range l.Rates {
		m.rates = append(m.rates, newPace(r))
	}
	if l.Daily > 0 {
		m.day = newDay(l)
	}
	return m
}

// restore tells what was spent before.
func (m *meter) restore(minutes []store.Spent) {
	for _, s := range minutes {
		m.day.add(s.Minute, m.limits.units(s))
	}
	m.known = true
}

// An allowance is what a meter answers.
type allowance struct {
	n    int       // recipients that may go now
	at   time.Time // else when to ask again; zero: once something has ended
	full bool      // the day's limit is met until then
}

// allows says how many of n recipients of a message may go now, in one
// transaction.
func (m *meter) allows(now time.Time, id mail.ID, n int) allowance {
	if !m.known {
		return allowance{}
	}
	if left := m.leftToday(now, id, n); left == 0 && m.away > 0 {
		return allowance{}
	} else if left == 0 {
		return allowance{at: m.reopens(now), full: true}
	} else {
		n = min(n, left)
	}
	for _, w := range m.rates {
		if w.left(now) == 0 {
			return allowance{at: w.reopens(now, 1)}
		}
	}
	return allowance{n: n}
}

// leftToday is how many of n recipients of a message the day has room for.
func (m *meter) leftToday(now time.Time, id mail.ID, n int) int {
	switch {
	case m.day == nil || !m.limits.Recipients && m.trips[id] != nil:
		return n
	case m.limits.Recipients:
		return min(n, m.day.left(now))
	}
	return n * min(1, m.day.left(now))
}

// reopens is when there is room again for more than a few: those who wait are
// told anew each time.
func (m *meter) reopens(now time.Time) time.Time {
	if m.limits.Zone != nil {
		return m.limits.reopens(now)
	}
	return m.day.reopens(now, max(1, m.limits.Daily/20))
}

// take counts a transaction that begins.
func (m *meter) take(now time.Time, id mail.ID, n int) {
	m.away++
	for _, w := range m.rates {
		w.add(now, 1)
	}
	switch {
	case m.day == nil:
	case m.limits.Recipients:
		m.day.add(now, n)
	default:
		t := m.trips[id]
		if t == nil {
			t = &trip{at: now}
			m.trips[id] = t
			m.day.add(now, 1)
			m.tidy(now)
		}
		t.away++
	}
}

// tidy forgets messages of another day.
func (m *meter) tidy(now time.Time) {
	if len(m.trips) <= 2*m.limits.Daily {
		return
	}
	for id, t := range m.trips {
		if t.away == 0 && now.Sub(t.at) > longestHold {
			delete(m.trips, id)
		}
	}
}

// end gives back what a transaction took of the day and did not use.
func (m *meter) end(id mail.ID, n, sent int) {
	m.away--
	if m.day == nil {
		return
	}
	if m.limits.Recipients {
		m.day.back(n - sent)
		return
	}
	t := m.trips[id]
	if t == nil {
		return
	}
	t.away--
	t.sent = t.sent || sent > 0
	if t.away == 0 && !t.sent {
		m.day.back(1)
		delete(m.trips, id)
	}
}
