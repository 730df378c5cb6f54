package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// Retry makes the deferred and held deliveries of the messages, or all where
// none is named, due now and returns how many these are. A parked provider
// gets one of its deliveries as a probe; the rest follows when that gets
// through. What has no provider stays held.
func (q *Queue) Retry(ctx context.Context, ids ...mail.ID) (int, error) {
	ds, err := q.named(ctx, ids)
	if err != nil {
		return 0, err
	}
	return q.command(ctx, func(s *scheduler, done func(int, error)) { s.retry(ds, false, done) })
}

// Hold keeps the deliveries of a message until Retry, and returns how many. A
// try that runs comes to its end first.
func (q *Queue) Hold(ctx context.Context, id mail.ID) (int, error) {
	return q.change(ctx, []mail.ID{id}, func(d mail.Delivery, _ time.Time) (o mail.Outcome, ok bool) {
		hold(&o, mail.HoldOperator, time.Time{})
		o.Text = "held by the operator"
		o.Explain = waits(o.Reason, "")
		return o, d.Reason != mail.HoldOperator
	})
}

// Drop fails the unfinished deliveries of a message and returns how many. A
// try that runs comes to its end first, and may send it.
func (q *Queue) Drop(ctx context.Context, id mail.ID) (int, error) {
	return q.change(ctx, []mail.ID{id}, func(mail.Delivery, time.Time) (mail.Outcome, bool) {
		return mail.Outcome{Status: mail.Failed, Kind: mail.KindFailed, Text: "dropped by the operator", Explain: dropped()}, true
	})
}

// Move gives the unfinished deliveries of messages to another provider, due
// now, and returns how many. Whether their senders match is for the caller to
// ask before. A try that runs comes to its end first. The Message stays bound to
// the provider that was chosen when it was accepted; its Deliveries and their
// events tell where they went.
func (q *Queue) Move(ctx context.Context, to string, ids ...mail.ID) (int, error) {
	if _, ok := q.gate.way(to); !ok {
		return 0, fmt.Errorf("moving to %q: %w", to, ErrNoProvider)
	}
	return q.change(ctx, ids, func(d mail.Delivery, now time.Time) (mail.Outcome, bool) {
		return mail.Outcome{
			Status: mail.Queued, Next: now, Provider: to, Kind: mail.KindDeferred,
			Text:    fmt.Sprintf("moved from %s to %s by the operator", d.Provider, to),
			Explain: moved(d.Provider, to),
		}, d.Provider != to
	})
}

// named returns the deliveries of the messages, or every unfinished one where
// none is named.
func (q *Queue) named(ctx context.Context, ids []mail.ID) (ds []mail.Delivery, err error) {
	for _, id := range ids {
		row, err := q.store.Message(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("reading message %s: %w", id, err)
		}
		ds = append(ds, row.Deliveries...)
	}
	if len(ids) > 0 {
		return ds, nil
	}
	for d, err := range q.unfinished(ctx) {
		if err != nil {
			return nil, fmt.Errorf("looking through the queue: %w", err)
		}
		ds = append(ds, d)
	}
	return ds, nil
}

// unfinished streams what still waits. A delivery that cannot be read is left
// out, so that it keeps nobody else's from being seen to; the store tells of it
// when it is due.
func (q *Queue) unfinished(ctx context.Context) iter.Seq2[mail.Delivery, error] {
	return func(yield func(mail.Delivery, error) bool) {
		for d, err := range q.store.Unfinished(ctx) {
			if !errors.Is(err, store.ErrCorrupt) && !yield(d, err) {
				return
			}
		}
	}
}

// change has the scheduler amend all unfinished deliveries of messages.
func (q *Queue) change(ctx context.Context, ids []mail.ID, c change) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	ds, err := q.named(ctx, ids)
	if err != nil {
		return 0, err
	}
	var keys []key
	for _, d := range ds {
		if d.Unfinished() {
			keys = append(keys, key{d.Message, d.Index})
		}
	}
	return q.command(ctx, func(s *scheduler, done func(int, error)) {
		s.amend(amendment{keys: keys, change: c, done: done})
	})
}

// command runs f on the scheduler and waits until it calls done.
func (q *Queue) command(ctx context.Context, f func(s *scheduler, done func(int, error))) (int, error) {
	type answer struct {
		n   int
		err error
	}
	answers := make(chan answer, 1)
	posted := q.inbox.post(func(s *scheduler) {
		f(s, func(n int, err error) {
			select {
			case answers <- answer{n, err}:
			default: // it was told already that it takes its time
			}
		})
	})
	if !posted {
		return 0, ErrStopped
	}
	select {
	case a := <-answers:
		return a.n, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// retry is Retry where the lanes are known. Owed says that a person was told
// that it will be done.
func (s *scheduler) retry(ds []mail.Delivery, owed bool, done func(int, error)) {
	var keys []key
	later := 0
	invited := map[*lane]bool{}
	for _, d := range ds {
		k := key{d.Message, d.Index}
		l := s.laneOf(d.Provider)
		if l == nil || d.Status != mail.Deferred && d.Status != mail.Held {
			continue
		}
		if h := s.busy[k]; h.use == running {
			if d.NextAttempt.IsZero() || d.NextAttempt.After(s.clock.Now()) {
				// The outcome of the try is on record: it is over for everybody but
				// the worker that is still to say so, and the lane that is to learn.
				h.job.then = append(h.job.then, func() { s.retry([]mail.Delivery{d}, true, func(int, error) {}) })
				later++
			}
			continue
		}
		switch l.state.State {
		case store.StateParked:
			if l.probing || invited[l] {
				continue
			}
			invited[l] = true
			s.invite(l)
		case store.StateHeld:
			s.free(l)
		}
		delete(s.crashes, k)
		s.notes.clear(d.Message)
		keys = append(keys, k)
	}
	s.amend(amendment{keys: keys, change: dueNow, owed: owed, done: func(n int, err error) { done(n+later, err) }})
}

// dueNow is the change that makes a deferred or held delivery due.
func dueNow(d mail.Delivery, now time.Time) (mail.Outcome, bool) {
	return mail.Outcome{Status: mail.Queued, Next: now}, d.Status == mail.Deferred || d.Status == mail.Held
}

// A change says what is to become of an unfinished delivery, if anything. The
// message, the index and the time are filled in for it.
type change func(d mail.Delivery, now time.Time) (mail.Outcome, bool)

// An amendment is a change for several deliveries.
type amendment struct {
	keys   []key
	change change
	skip   bool             // leave out those in use, rather than wait for them
	owed   bool             // a person was told that it will be made: also while the queue ends
	done   func(int, error) // told how many change, or first why it takes long; may be nil
}

const amendBatch = 500

// amend changes deliveries while no worker has them: what a try says and what
// a person says must not be recorded at the same time.
func (s *scheduler) amend(a amendment) {
	if a.done == nil {
		a.done = func(int, error) {}
	}
	if s.stopping.Err() != nil && !a.owed {
		a.done(0, ErrStopped)
		return
	}
	var keys []key
	later := 0
	for _, k := range a.keys {
		switch u := s.busy[k].use; {
		case u != running && u != amending:
			s.busy[k] = hand{use: amending}
			s.amends++
			keys = append(keys, k)
		case !a.skip:
			s.after[k] = append(s.after[k], a.change)
			later++
		}
	}
	if len(keys) == 0 {
		a.done(later, nil)
		return
	}
	s.help(func(context.Context) func(*scheduler) {
		n := later
		for chunk := range slices.Chunk(keys, amendBatch) {
			n += s.amendChunk(s.records, chunk, a.change, func(err error) {
				s.inbox.post(func(*scheduler) {
					a.done(0, fmt.Errorf("not recorded yet; it is tried until it works, or until the server ends: %w", err))
				})
			})
		}
		return func(*scheduler) { a.done(n, nil) }
	})
}

// amendChunk is the part of amend that waits for the store. It returns how
// many deliveries it changed, and tells before of trouble with that.
func (q *Queue) amendChunk(ctx context.Context, keys []key, c change, tell func(error)) int {
	var os []mail.Outcome
	var still []mail.Delivery // left as they are
	var trouble error
	now := q.clock.Now()
	for _, k := range keys {
		d, err := q.store.Delivery(ctx, k.id, k.index)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			trouble = err
		}
		o, ok := c(d, now)
		switch {
		case err != nil || d.Status.Ended() || d.Unfinished() && !ok:
			still = append(still, mail.Delivery{Message: k.id, Index: k.index})
			continue
		case !d.Unfinished():
			o = mail.Outcome{Status: mail.Sent} // it arrived while it waited
		}
		o.Message, o.Index, o.At = k.id, k.index, now
		os = append(os, o)
	}
	q.recordTelling(ctx, os, tell)
	q.store.Release(still)
	q.inbox.post(func(s *scheduler) { s.amended(os, still, trouble) })
	return len(os)
}

// amended ends the use of the deliveries of a chunk.
func (s *scheduler) amended(os []mail.Outcome, still []mail.Delivery, trouble error) {
	for _, o := range os {
		s.amends--
		s.note(o.Next)
		s.release(key{o.Message, o.Index}, o.Status)
	}
	for _, d := range still {
		s.amends--
		s.release(key{d.Message, d.Index}, mail.Queued)
		s.due = true // if it was claimed
	}
	if trouble != nil {
		s.pause("reading a delivery", trouble)
	}
}
