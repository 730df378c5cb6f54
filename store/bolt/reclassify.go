package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// rejudgeMax is how many messages are judged again in one transaction.
const rejudgeMax = 64

// Reclassify judges the hits that the log still has again: judge says what the
// signals of each tell, timing what their pace does. Counters follow, and so
// does a status that hits alone had proved, down to sent; nothing is sent again.
// A message some of whose hits retention has deleted is left as it is: what was
// counted of those cannot be told from the rest; so is one that cannot be read. It goes in small steps, and
// what is done stays done when ctx ends.
func (s *Store) Reclassify(ctx context.Context, judge func(mail.Event) (mail.Class, string), timing mail.Timing) (sum store.Reclassified, err error) {
	if err := s.upkeep.lock(ctx); err != nil {
		return sum, fmt.Errorf("judge hits again: %w", err)
	}
	defer s.upkeep.unlock()
	r := rejudging{judge: judge, timing: timing}
	for at := []byte(nil); ; {
		var ids []mail.ID
		err := s.look(ctx, func(t *tx) error {
			ids, at = r.wanting(t, at, &sum)
			return nil
		})
		if err == nil && len(ids) > 0 {
			err = s.write(ctx, 0, func(t *tx) error { return r.all(t, ids) })
		}
		if err != nil {
			return sum, fmt.Errorf("judge hits again: %w", err)
		}
		if at == nil {
			return sum, nil
		}
	}
}

// A rejudging is the rules by which hits are judged again.
type rejudging struct {
	judge  func(mail.Event) (mail.Class, string)
	timing mail.Timing
}

// wanting returns those of the next messages that the rules would change, and
// counts all of them.
func (r rejudging) wanting(t *tx, at []byte, sum *store.Reclassified) (ids []mail.ID, next []byte) {
	c := t.in(messageEvent).Cursor()
	for range rejudgeMax {
		k, _ := seekAfter(c, at)
		if k == nil {
			return ids, nil
		}
		id := mail.ID(k[:len(mail.ID{})])
		at = append(slices.Clone(id[:]), bytes.Repeat([]byte{0xff}, len(eventKey{}.bytes()))...)
		trials, err := r.trials(t, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			sum.Left++
			continue
		}
		if trials.count(sum) {
			ids = append(ids, id)
		}
	}
	return ids, at
}

// all changes messages in one transaction.
func (r rejudging) all(t *tx, ids []mail.ID) error {
	for _, id := range ids {
		trials, err := r.trials(t, id)
		if err != nil {
			return err
		}
		for i := range trials.copies {
			if err := t.settle(trials.m, &trials.copies[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// trials are the hits of one message, by the copies that they were made on.
type trials struct {
	m      *message
	copies []trial
}

// A trial is the hits of one copy, as they are in the log and as they are
// judged now.
type trial struct {
	recipient int // 0: the copy of all
	keys      []eventKey
	was, is   []mail.Event
	implied   *mail.Event // the open that a click tells of, as it is in the log
	at        eventKey    // of implied
	stored    mail.Tally
}

// trials reads the hits of a message and judges them.
func (r rejudging) trials(t *tx, id mail.ID) (trials, error) {
	m, err := t.message(id)
	if err != nil {
		return trials{}, err
	}
	all := trials{m: m}
	c := t.in(messageEvent).Cursor()
	for k, _ := c.Seek(id[:]); bytes.HasPrefix(k, id[:]); k, _ = c.Next() {
		var e mail.Event
		if err := decode("event", t.get(events, k[len(id):]), &e); err != nil {
			return trials{}, err
		}
		if e.Kind == mail.KindOpen || e.Kind == mail.KindClick {
			all.of(e.Recipient).add(eventKeyOf(k[len(id):]), e)
		}
	}
	for i := range all.copies {
		if err := r.try(t, m, &all.copies[i]); err != nil {
			return trials{}, err
		}
	}
	return all, nil
}

// of finds the trial of a recipient.
func (all *trials) of(recipient int) *trial {
	i := slices.IndexFunc(all.copies, func(c trial) bool { return c.recipient == recipient })
	if i < 0 {
		i = len(all.copies)
		all.copies = append(all.copies, trial{recipient: recipient})
	}
	return &all.copies[i]
}

func (c *trial) add(key eventKey, e mail.Event) {
	if !e.IsHit() {
		c.implied, c.at = &e, key
		return
	}
	c.keys, c.was = append(c.keys, key), append(c.was, e)
}

// try judges the hits of a copy.
func (r rejudging) try(t *tx, m *message, c *trial) error {
	tally, sent, err := t.copyOf(m, c.recipient)
	if err != nil {
		return err
	}
	c.stored = tally
	c.is = slices.Clone(c.was)
	for i := range c.is {
		e := &c.is[i]
		class, rule := r.judge(*e)
		if e.Rule == mail.RuleUnsent && class != mail.Self {
			continue // what was known at that time holds for ever
		}
		e.Class, e.Rule = class, rule
	}
	order := make([]int, len(c.is))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return byTime(c.is[a], c.is[b]) })
	sorted := make([]mail.Event, len(order))
	for i, at := range order {
		sorted[i] = c.is[at]
	}
	for i, rush := range r.timing.Rush(sorted, m.Links, sent) {
		if e := &c.is[order[i]]; rush && (e.Class == mail.Human || e.Class == mail.Unknown) {
			e.Class, e.Rule = mail.Scanner, mail.RuleTiming
		}
	}
	return nil
}

// copyOf returns what is counted of a copy, and when it was sent.
func (t *tx) copyOf(m *message, recipient int) (tally mail.Tally, sent time.Time, err error) {
	if recipient > 0 {
		d, err := t.delivery(place{m.ID, recipient})
		if err != nil {
			return tally, sent, err
		}
		return d.Tally, d.SentAt, nil
	}
	c, err := t.count(m.ID)
	if err != nil {
		return tally, sent, err
	}
	ds, err := t.deliveriesOf(m.ID, m.Count)
	for _, d := range ds {
		if sent.IsZero() || !d.SentAt.IsZero() && d.SentAt.Before(sent) {
			sent = d.SentAt
		}
	}
	return c.Tally, sent, err
}

// whole reports whether the log has all the hits that were counted.
func (c *trial) whole() bool {
	r := mail.ReplayHits(c.was)
	return r.Tally.Sums() == c.stored.Sums()
}

// changed counts the hits that are judged otherwise than they were.
func (c *trial) changed() (n int) {
	for i := range c.is {
		if c.is[i] != c.was[i] {
			n++
		}
	}
	return n
}

// count adds a message to the sum and reports whether anything is to change.
func (all trials) count(sum *store.Reclassified) bool {
	changes, hits, left := 0, 0, false
	for i := range all.copies {
		c := &all.copies[i]
		hits += len(c.was)
		if !c.whole() {
			left = true
		} else {
			changes += c.changed()
		}
	}
	if hits == 0 {
		return false
	}
	sum.Messages++
	sum.Hits += hits
	sum.Changed += changes
	if left {
		sum.Left++
	}
	return changes > 0
}

// settle puts the hits of a copy, as they are judged now, in the place of what
// they were counted as.
func (t *tx) settle(m *message, c *trial) error {
	if !c.whole() || c.changed() == 0 {
		return nil
	}
	was, is := mail.ReplayHits(c.was), mail.ReplayHits(c.is)
	provider, err := t.recount(m, c, was, is)
	if err != nil {
		return err
	}
	for i := range c.is {
		gained := is.Gained[i].Add(was.Gained[i], -1)
		if err := t.useHit(m, provider, c.is[i].Time, gained); err != nil {
			return err
		}
		if c.is[i] == c.was[i] {
			continue
		}
		if err := t.put(events, c.keys[i].bytes(), encode(c.is[i])); err != nil {
			return err
		}
	}
	return t.settleImplied(m.ID, c, is.Implied)
}

// recount changes the counters of a copy and returns the provider that its
// hits are put down to.
func (t *tx) recount(m *message, c *trial, was, is mail.Replay) (provider string, err error) {
	if c.recipient == 0 {
		all, err := t.count(m.ID)
		if err != nil {
			return "", err
		}
		all.Tally = all.Tally.Recount(was.Tally, is.Tally)
		return m.Provider, t.put(counts, m.ID[:], encode(all))
	}
	err = t.change(place{m.ID, c.recipient}, func(d *delivery) {
		d.Recount(was, is)
		provider = d.Provider
	})
	return provider, err
}

// settleImplied makes the open that a click tells of what the log has, or has
// it forgotten where none does any more.
func (t *tx) settleImplied(id mail.ID, c *trial, click int) error {
	var want *mail.Event
	if click >= 0 {
		e := impliedBy(c.is[click])
		want = &e
	}
	switch {
	case want == nil && c.implied == nil, want != nil && c.implied != nil && *want == *c.implied:
		return nil
	case want != nil && c.implied != nil && nanos(want.Time) <= c.at.time:
		return t.put(events, c.at.bytes(), encode(want))
	}
	if c.implied != nil {
		key := c.at.bytes()
		if err := t.forget([]logged{{key, slices.Concat(id[:], key)}}); err != nil {
			return err
		}
	}
	if want == nil {
		return nil
	}
	return t.append(*want)
}
