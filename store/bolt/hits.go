package bolt

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"backstamp/mail"
)

// SetTiming says by which pace the hits that are recorded from now on give
// away a machine. Before it is called none does.
func (s *Store) SetTiming(t mail.Timing) { s.timing.Store(&t) }

// Record keeps opens, clicks and other news of messages, counts them, and
// returns what came of each: nil once it is durable; store.ErrNotFound for mail
// of which nothing is known. One commit takes them all. A click that tells of
// the first open is followed by an open event of basis click. The hits of one
// that counts for nobody in particular, and those of a shared message with
// several recipients, go to the message's own tally and leave the deliveries
// alone. Equal hits in one commit share a row.
//
// ctx ends the wait for the writer, not a commit that runs: who must not wait
// for the disk calls it from another goroutine.
func (s *Store) Record(ctx context.Context, events ...mail.Event) []error {
	timing := *s.timing.Load()
	o := newOp(len(events), func(t *tx, i int) error { return t.record(events[i], timing) })
	o.hits = true
	errs := s.writeAll(ctx, o)
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("record %s of message %s: %w", events[i].Kind, events[i].Message, err)
		}
	}
	return errs
}

func (t *tx) record(e mail.Event, timing mail.Timing) error {
	m, err := t.tabMessage(e.Message)
	if err != nil {
		return err
	}
	if m.Shared {
		e.Recipient = 0
		if m.Count == 1 {
			e.Recipient = 1
		}
	}
	h := hitting{tx: t, m: m, timing: timing}
	if e.Recipient == 0 {
		e, err = h.message(e)
	} else {
		e, err = h.delivery(e)
	}
	if err != nil {
		return err
	}
	t.gain(m, h.provider, e.Time, h.gained)
	err = t.append(e)
	if err == nil && h.implied {
		err = t.append(impliedBy(e))
	}
	return err
}

// impliedBy is the open that a click tells of.
func impliedBy(click mail.Event) mail.Event {
	click.Kind, click.Basis, click.Link, click.Count = mail.KindOpen, mail.BasisClick, 0, 0
	return click
}

// A hitting counts one event of a message.
type hitting struct {
	*tx
	m      *message
	timing mail.Timing

	provider string    // that the hit is put down to
	gained   mail.Sums // by the hit
	implied  bool      // a click told of an open
}

// delivery counts an event of one recipient and returns it as it was judged.
func (h *hitting) delivery(e mail.Event) (mail.Event, error) {
	read, err := h.tabDelivery(place{e.Message, e.Recipient})
	if err != nil {
		return e, err
	}
	d := read.value
	e, err = h.pace(d.Judge(e), &d.Tally, sentAt(&d.Delivery, e.Time))
	if err != nil {
		return e, err
	}
	h.provider = d.Provider
	if d.Unfinished() { // it may leave the due index
		delete(h.tab.deliveries, placeOf(&d.Delivery))
		return e, h.change(placeOf(&d.Delivery), func(d *delivery) { h.hit(d, e) })
	}
	h.writes++
	read.changed = true
	h.hit(d, e)
	return e, nil
}

func (h *hitting) hit(d *delivery, e mail.Event) {
	before := d.Tally.Sums()
	h.implied = d.Hit(e)
	h.gained = d.Tally.Sums().Add(before, -1)
}

// message counts an event for the message as a whole.
func (h *hitting) message(e mail.Event) (mail.Event, error) {
	read, err := h.tabCount(e.Message)
	if err != nil {
		return e, err
	}
	c := read.value
	e, sent, err := h.judge(e)
	if err != nil {
		return e, err
	}
	h.provider = h.m.Provider
	before := c.Tally.Sums()
	if e, err = h.pace(e, &c.Tally, sent); err != nil {
		return e, err
	}
	_, _, h.implied = c.Tally.Count(e)
	h.gained = c.Tally.Sums().Add(before, -1)
	h.writes++
	read.changed = true
	return e, nil
}

// judge judges a hit that may be of any recipient: it is one of a reader if one
// of them may have the message. sent is when that one's copy was sent.
func (h *hitting) judge(e mail.Event) (judged mail.Event, sent time.Time, err error) {
	judged = e
	for i := 1; i <= h.m.Count; i++ {
		read, err := h.tabDelivery(place{e.Message, i})
		if err != nil {
			return e, sent, err
		}
		d := read.value
		if judged = d.Judge(e); judged.Class == e.Class {
			return e, sentAt(&d.Delivery, e.Time), nil
		}
	}
	return judged, sent, nil
}

// sentAt is when a delivery was sent, as it is known at the time of a hit: what
// is on its way is sent just now.
func sentAt(d *mail.Delivery, now time.Time) time.Time {
	if d.SentAt.IsZero() && !d.Started.IsZero() {
		return now
	}
	return d.SentAt
}

// pace judges a hit that may be a person's by those on the same copy, whose
// tally they have. What came before it keeps its class until a person has all
// judged again.
func (h *hitting) pace(e mail.Event, tally *mail.Tally, sent time.Time) (mail.Event, error) {
	may := e.IsHit() && (e.Class == mail.Human || e.Class == mail.Unknown) && h.timing.Applies(h.m.Links) && !sent.IsZero()
	if !may || linksWith(tally, e) < h.m.Links {
		return e, nil
	}
	near, err := h.hitsOf(e, e.Time.Add(-h.timing.Within))
	if err != nil {
		return e, err
	}
	if !slices.ContainsFunc(append(near, e), func(e mail.Event) bool { return h.timing.Early(e, sent) }) {
		first, err := h.hitsOf(e, time.Time{})
		if err != nil {
			return e, err
		}
		near = append(slices.DeleteFunc(first, func(e mail.Event) bool { return !h.timing.Early(e, sent) }), near...)
	}
	slices.SortStableFunc(near, byTime)
	at, _ := slices.BinarySearchFunc(near, e, byTime)
	if h.timing.Rush(slices.Insert(near, at, e), h.m.Links, sent)[at] {
		e.Class, e.Rule = mail.Scanner, mail.RuleTiming
	}
	return e, nil
}

func byTime(a, b mail.Event) int { return a.Time.Compare(b.Time) }

// linksWith counts the links that were ever clicked, with that of e.
func linksWith(t *mail.Tally, e mail.Event) int {
	n := len(t.Links)
	if _, known := t.Links[e.Link]; !known && e.Kind == mail.KindClick {
		n++
	}
	return n
}

// hitsOf reads the hits on the copy of e from a time on. Of a flood it reads
// the first: that is no pace to judge by.
func (h *hitting) hitsOf(e mail.Event, from time.Time) (hits []mail.Event, err error) {
	if err := h.flushRows(); err != nil {
		return nil, err
	}
	most := 2*h.m.Links + 64
	c := h.in(messageEvent).Cursor()
	k, _ := c.Seek(slices.Concat(e.Message[:], eventKey{time: nanos(from)}.bytes()))
	for ; bytes.HasPrefix(k, e.Message[:]) && len(hits) < most; k, _ = c.Next() {
		key := k[len(e.Message):]
		var o mail.Event
		if err := decode("event", h.get(events, key), &o); err != nil {
			return nil, err
		}
		if o.IsHit() && o.Recipient == e.Recipient {
			hits = append(hits, o)
		}
	}
	return hits, nil
}
