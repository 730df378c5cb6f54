package queue

import (
	"context"
	"slices"
	"sync"
	"time"

	"backstamp/mail"
)

// hearMax is how long somebody waits for the first answer of a provider.
const hearMax = 20 * time.Second

// hearers are the messages whose first tries somebody waits for. Put and the
// workers share them.
type hearers struct {
	mu   sync.Mutex
	open map[mail.ID]*answer
}

// An answer is what the first tries of one message came to so far.
type answer struct {
	left    map[int]bool // recipients about whom nothing is known
	refused []refusal
	decided chan struct{} // closed when all are refused, or one is not
}

// A refusal is a delivery that failed, and what is to be told of it.
type refusal struct {
	worker  *worker
	message *mail.Message
	before  mail.Delivery
	outcome mail.Outcome
	attempt mail.Attempt
}

// PutAndHear is Put for somebody who waits for what the provider says. Where it
// refuses the message for all recipients at their first tries, within some
// seconds, it returns the attempt of the first of them; no notice is sent then.
// In every other case the message is on its way, and refused is nil.
func (q *Queue) PutAndHear(ctx context.Context, m *mail.Message, content mail.ContentCloser) (refused *mail.Attempt, err error) {
	held := share(content)
	defer held.Close()
	a := q.hearers.expect(m)
	if err := q.Put(ctx, m, held.again()); err != nil {
		q.hearers.close(m.ID)
		return nil, err
	}
	wait := hearMax
	if w, _ := q.gate.way(m.Provider); q.gate.isShut(w.Credential) {
		wait = 0 // nobody will ask the provider soon
	}
	timer := q.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-a.decided:
	case <-timer.C():
	case <-ctx.Done():
	}
	left, refusals := q.hearers.close(m.ID)
	if left == 0 && len(refusals) == len(m.Recipients) {
		q.said(refusals)
		first := slices.MinFunc(refusals, func(x, y refusal) int { return x.before.Index - y.before.Index })
		return &first.attempt, nil
	}
	q.tell(refusals, held)
	return nil, nil
}

// expect begins to wait.
func (hs *hearers) expect(m *mail.Message) *answer {
	a := &answer{left: map[int]bool{}, decided: make(chan struct{})}
	for i := range m.Recipients {
		a.left[i+1] = true
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.open == nil {
		hs.open = map[mail.ID]*answer{}
	}
	hs.open[m.ID] = a
	return a
}

// waits reports whether somebody waits for a message.
func (hs *hearers) waits(id mail.ID) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.open[id] != nil
}

// hear tells whoever waits how deliveries came out. It reports false where
// nobody does any more.
func (hs *hearers) hear(id mail.ID, rs []refusal) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	a := hs.open[id]
	if a == nil {
		return false
	}
	taken := false
	for _, r := range rs {
		if delete(a.left, r.before.Index); r.outcome.Status == mail.Failed {
			a.refused = append(a.refused, r)
		} else {
			taken = true
		}
	}
	if taken || len(a.left) == 0 {
		a.decide()
	}
	return true
}

func (a *answer) decide() {
	select {
	case <-a.decided:
	default:
		close(a.decided)
	}
}

// close ends the waiting: who is not known yet will be told of by notices.
func (hs *hearers) close(id mail.ID) (left int, refused []refusal) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	a := hs.open[id]
	delete(hs.open, id)
	return len(a.left), a.refused
}

// said notes that the app itself was told.
func (q *Queue) said(rs []refusal) {
	var os []mail.Outcome
	for _, r := range rs {
		os = append(os, mail.Outcome{Message: r.message.ID, Index: r.before.Index, At: r.outcome.At, Notice: mail.NoNoticeSaid})
	}
	q.record(rs[0].worker.records, os)
}

// tell makes the notice that was put off while somebody waited.
func (q *Queue) tell(rs []refusal, content mail.Content) {
	if len(rs) == 0 {
		return
	}
	first := rs[0]
	var ds []mail.Delivery
	var as []mail.Attempt
	var os []mail.Outcome
	for _, r := range rs {
		d := r.before
		d.Conclude(r.outcome)
		ds, as = append(ds, d), append(as, r.attempt)
		os = append(os, mail.Outcome{Message: d.Message, Index: d.Index, At: r.outcome.At, Status: mail.Failed})
	}
	letters := first.worker.notices(first.message, content, ds, as, os, true)
	q.recordNotices(first.worker.records, os, letters)
}

// conclude records the outcomes of tries, with their notices. Where somebody
// waits for them, notices of failures are for them to decide.
func (w *worker) conclude(m *mail.Message, content mail.Content, ds []mail.Delivery, as []mail.Attempt, os []mail.Outcome) {
	if !w.hearers.waits(m.ID) {
		w.recordNotices(w.records, os, w.notices(m, content, ds, as, os, true))
		return
	}
	w.recordNotices(w.records, os, w.notices(m, content, ds, as, os, false))
	var rs, failed []refusal
	for i := range os {
		r := refusal{w, m, ds[i], os[i], as[i]}
		if rs = append(rs, r); os[i].Status == mail.Failed {
			failed = append(failed, r)
		}
	}
	if !w.hearers.hear(m.ID, rs) {
		w.tell(failed, content)
	}
}

// isShut reports whether nothing but a probe starts with a credential.
func (g *gate) isShut(credential string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[credential]
	return s == nil || s.shut
}
