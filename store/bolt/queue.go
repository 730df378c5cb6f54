package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// Claim leases the n deliveries that are due first, of those that are due at
// now and not leased, and returns them in that order. The lease ends after that
// time, or with Conclude or Release. Deliveries whose provider is one of except
// are left where they are, however many, and cost nothing: so mail for which
// there is no room need not be claimed to get at what is behind it.
//
// One whose try had begun when nobody held it any more, as after a crash, comes
// with Uncertain set: it may have been taken, and is tried again.
func (s *Store) Claim(ctx context.Context, now time.Time, n int, lease time.Duration, except ...string) ([]mail.Delivery, error) {
	ds, err := s.claim(ctx, now, n, lease, except)
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	return ds, nil
}

func (s *Store) claim(ctx context.Context, now time.Time, n int, lease time.Duration, except []string) (ds []mail.Delivery, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var places []place
	err = s.leases.pick(now, now.Add(lease), func(free func(place) bool) ([]place, error) {
		err := s.view(func(t *tx) error {
			ds = s.pick(t, nanos(now), n, free, except)
			return nil
		})
		for i := range ds {
			places = append(places, placeOf(&ds[i]))
		}
		return places, err
	})
	if err != nil {
		return nil, err
	}
	if err := s.markUncertain(ctx, ds); err != nil {
		s.leases.end(places)
		return nil, err
	}
	return ds, nil
}

// pick reads what is due and free. A delivery that cannot be read is passed
// over, so that the others are tried.
func (s *Store) pick(t *tx, now uint64, n int, free func(place) bool, except []string) (ds []mail.Delivery) {
	l := t.dueList(nil, except)
	for k := l.next(); k != nil && len(ds) < n && binary.BigEndian.Uint64(when(k)) <= now; k = l.next() {
		p := placeAt(k)
		if !free(p) {
			continue
		}
		d, err := t.delivery(p)
		if err != nil {
			s.o.Log.Error("due delivery cannot be read", "msg", p.id, "index", p.index, "err", err)
			continue
		}
		ds = append(ds, d.Delivery)
	}
	return ds
}

// markUncertain records which of the claimed deliveries had been begun before.
func (s *Store) markUncertain(ctx context.Context, ds []mail.Delivery) error {
	var begun []place
	for i := range ds {
		if d := &ds[i]; !d.Started.IsZero() {
			d.Started, d.Uncertain = time.Time{}, true
			begun = append(begun, placeOf(d))
		}
	}
	if len(begun) == 0 {
		return nil
	}
	return s.write(ctx, 0, func(t *tx) error {
		return t.changeAll(begun, func(_ int, d *delivery) {
			d.Started, d.Uncertain = time.Time{}, true
		})
	})
}

// Start marks that a try of each delivery begins to send content. When it
// returns nil the mark is durable. It fails, and nothing may be sent, when one
// of them has ended since it was claimed.
func (s *Store) Start(ctx context.Context, at time.Time, ds []mail.Delivery) error {
	places := placesOf(ds)
	err := s.write(ctx, 0, func(t *tx) error {
		for _, p := range places {
			if d, err := t.delivery(p); err != nil {
				return err
			} else if !d.Unfinished() {
				return fmt.Errorf("store: delivery %d of message %s is %s", p.index, p.id, d.Status)
			}
		}
		return t.changeAll(places, func(i int, d *delivery) {
			d.Started = at
			d.Uncertain = d.Uncertain || ds[i].Uncertain
		})
	})
	if err != nil {
		return fmt.Errorf("start deliveries: %w", err)
	}
	return nil
}

// changeAll changes several deliveries, or none when one is not there.
func (t *tx) changeAll(places []place, f func(i int, d *delivery)) error {
	for _, p := range places {
		if t.get(deliveries, p.key()) == nil {
			return store.ErrNotFound
		}
	}
	for i, p := range places {
		if err := t.change(p, func(d *delivery) { f(i, d) }); err != nil {
			return err
		}
	}
	return nil
}

// Conclude applies outcomes to the deliveries as they then are, all or none of
// them, and keeps their events and the usage of the providers. The leases of
// the deliveries end when it returns nil.
//
// Letters, notices of what the outcomes did, are put in the same commit: there is
// never one without the other. One that is there already is left alone, so that
// the same may be concluded again.
func (s *Store) Conclude(ctx context.Context, outcomes []mail.Outcome, letters ...mail.Letter) error {
	places := make([]place, len(outcomes))
	for i, o := range outcomes {
		places[i] = place{o.Message, o.Index}
	}
	size := 0
	puts := make([]*put, len(letters))
	for i, l := range letters {
		puts[i] = newLetter(l)
		size += len(l.Content)
	}
	err := s.write(ctx, size, func(t *tx) error {
		err := t.conclude(places, outcomes)
		for i := 0; i < len(puts) && err == nil; i++ {
			if t.get(messages, puts[i].id[:]) == nil {
				err = puts[i].apply(t)
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("conclude deliveries: %w", err)
	}
	s.leases.end(places)
	return nil
}

func (t *tx) conclude(places []place, outcomes []mail.Outcome) error {
	taken := make([]*delivery, len(outcomes)) // those to be counted
	err := t.changeAll(places, func(i int, d *delivery) {
		o := outcomes[i]
		if o.Status == mail.Queued && o.Next.IsZero() {
			o.Next = o.At
		}
		d.Conclude(o)
		d.schedule(o.At)
		if o.Status == mail.Sent && !d.Counted {
			d.Counted = true
			taken[i] = d
		}
	})
	for i := 0; i < len(outcomes) && err == nil; i++ {
		err = t.concluded(outcomes[i], taken[i])
	}
	return err
}

// concluded keeps the event of an outcome, and counts the delivery if the
// provider took it.
func (t *tx) concluded(o mail.Outcome, taken *delivery) error {
	if o.Kind != "" {
		e := mail.Event{Time: o.At, Kind: o.Kind, Message: o.Message, Recipient: o.Index, Text: o.Text}
		if err := t.append(e); err != nil {
			return err
		}
	}
	if taken == nil {
		return nil
	}
	return t.use(taken, o)
}

// Hold claims deliveries that are about to be put, until Conclude or Release:
// whoever has them at hand need not read them back.
func (s *Store) Hold(ds []mail.Delivery) { s.leases.hold(placesOf(ds)) }

// Release gives leases back: nothing was tried. A mark that a try began, as a
// delivery that was put with Started has it, is taken away before its lease
// ends; should that fail, the next claim calls it uncertain.
func (s *Store) Release(ds []mail.Delivery) {
	var started, idle []place
	for i := range ds {
		if ds[i].Started.IsZero() {
			idle = append(idle, placeOf(&ds[i]))
		} else {
			started = append(started, placeOf(&ds[i]))
		}
	}
	s.leases.end(idle)
	if len(started) == 0 {
		return
	}
	s.pending.Go(func() {
		err := s.write(context.Background(), 0, func(t *tx) error {
			return t.changeAll(started, func(_ int, d *delivery) { d.Started = time.Time{} })
		})
		if err != nil && !errors.Is(err, store.ErrClosed) {
			s.o.Log.Warn("released deliveries stay marked as begun", "err", err)
		}
		s.leases.end(started)
	})
}

// NextDue returns when the first delivery that nobody holds is due, in the past
// where it is late; zero when there is none. Those whose provider is one of
// except do not count.
func (s *Store) NextDue(ctx context.Context, except ...string) (at time.Time, err error) {
	if err := s.ready(ctx); err != nil {
		return time.Time{}, err
	}
	now := s.o.Clock.Now()
	err = s.leases.pick(now, now, func(free func(place) bool) ([]place, error) {
		return nil, s.view(func(t *tx) error {
			l := t.dueList(nil, except)
			for k := l.next(); k != nil; k = l.next() {
				if free(placeAt(k)) {
					at = dueTime(k)
					break
				}
			}
			return nil
		})
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("next due delivery: %w", err)
	}
	return at, nil
}

// Unfinished streams the deliveries that still wait to be tried, by the time
// at which they are due; those that wait for a person come last. One whose time
// changes meanwhile may come twice, or not.
func (s *Store) Unfinished(ctx context.Context) iter.Seq2[mail.Delivery, error] {
	return stream(ctx, s, func(t *tx, after []byte) (ds []item[mail.Delivery], next []byte) {
		l := t.dueList(after, nil)
		for range chunk {
			k := l.next()
			if k == nil {
				return ds, nil
			}
			d, err := t.delivery(placeAt(k))
			if err != nil {
				d = new(delivery)
			}
			ds = append(ds, item[mail.Delivery]{d.Delivery, err})
			next = slices.Clone(when(k))
		}
		return ds, next
	})
}
