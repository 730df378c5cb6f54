package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

const (
	turn       = 8 // transactions of a job before others have their turn
	mostCrash  = 3 // crashes after which a delivery is held
	storeWait  = time.Minute
	firstPause = time.Second // between two tries to record an outcome; doubles
	mostPause  = 30 * time.Second
)

// A result is what a try did to one delivery.
type result struct {
	index   int
	status  mail.Status
	next    time.Time
	attempt *mail.Attempt // nil when nothing was tried
	crashed bool
}

func (r result) tried() bool { return r.attempt != nil }

// A worker does one job. It shares nothing with others but the queue's store.
type worker struct {
	*Queue
	job     *job
	tries   context.Context // ends when running tries must
	records context.Context // ends when outcomes must be given up, a while later
	stop    <-chan struct{} // closed when nothing new may begin
	results []result
}

// run does the job and returns the indexes that it left for another turn.
func (w *worker) run() (rest []int) {
	defer w.job.pass()
	m, content, ds, err := w.load()
	if err != nil {
		w.unreadable(err)
		return nil
	}
	defer content.Close()
	ds = w.handOver(w.current(ds))
	if w.notes.died(m.ID) >= mostDeaths {
		w.isolate(m, ds)
		return nil
	}
	txs := transactions(m, ds, w.job.way.MaxRecipients)
	for i, tx := range txs {
		if i == w.turn() || i > 0 && w.interrupted() {
			for _, tx := range txs[i:] {
				for _, d := range tx {
					rest = append(rest, d.Index)
				}
			}
			return rest
		}
		w.transact(m, content, tx, i == len(txs)-1)
	}
	return nil
}

// turn is how many transactions the job may have before others do. Where they
// are paced each has a slot of its own.
func (w *worker) turn() int {
	if len(w.job.way.Limits.Rates) > 0 {
		return 1
	}
	return turn
}

// interrupted reports whether the rest of the job should not follow: the queue
// ends, or the last try met something that stops the whole lane.
func (w *worker) interrupted() bool {
	select {
	case <-w.stop:
		return true
	default:
	}
	for _, r := range w.results {
		if a := r.attempt; a != nil && slices.Contains([]string{mail.ClassAuth, mail.ClassQuota, mail.ClassThrottling}, a.Class) {
			return true
		}
	}
	return false
}

// load returns the message and the deliveries of the job as they are now.
func (w *worker) load() (m *mail.Message, content mail.ContentCloser, ds []mail.Delivery, err error) {
	if j := w.job; j.first() {
		all := deliveries(j.message, j.message.Received)
		for _, i := range j.indexes {
			ds = append(ds, all[i-1])
		}
		return j.message, j.content, ds, nil
	}
	row, err := w.store.Message(w.tries, w.job.id)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading message: %w", err)
	}
	content, err = w.store.Content(w.tries, w.job.id)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading content: %w", err)
	}
	m = row.Message
	m.Recipients = nil
	for _, d := range row.Deliveries {
		m.Recipients = append(m.Recipients, d.Recipient)
		if slices.Contains(w.job.indexes, d.Index) {
			ds = append(ds, d)
		}
	}
	return m, content, ds, nil
}

// unreadable concludes all deliveries of a message that could not be read.
// Nothing was tried, so that nothing is counted.
func (w *worker) unreadable(err error) {
	w.job.pass()
	now := w.clock.Now()
	var os []mail.Outcome
	for _, i := range w.job.indexes {
		o := mail.Outcome{Message: w.job.id, Index: i, At: now, Text: mail.Escape(err.Error())}
		if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound) {
			hold(&o, mail.HoldDamaged, time.Time{})
			o.Explain = waits(o.Reason, o.Text)
		} else {
			o.Status, o.Kind, o.Next = mail.Deferred, mail.KindDeferred, now.Add(storeWait)
		}
		os = append(os, o)
		w.results = append(w.results, result{index: i, status: o.Status, next: o.Next})
	}
	w.log.Error("message cannot be read", "msg", w.job.id, "provider", w.job.provider, "err", err)
	w.record(w.records, os)
}

// isolate holds a message on which the program ended again and again, before it
// does so once more.
func (w *worker) isolate(m *mail.Message, ds []mail.Delivery) {
	w.job.pass()
	var os []mail.Outcome
	for _, d := range ds {
		o := mail.Outcome{Message: d.Message, Index: d.Index, At: w.clock.Now(), Explain: deadly()}
		hold(&o, mail.HoldDamaged, time.Time{})
		o.Text = fmt.Sprintf("the program ended %d times in a row while it made this message ready", mostCrash)
		os = append(os, o)
		w.results = append(w.results, result{index: d.Index, status: o.Status})
	}
	w.log.Error("message held: the program ended on it again and again", "msg", m.ID, "times", mostCrash)
	w.record(w.records, os)
}

// current drops the deliveries that need no try any more. One whose mail was
// opened while it was deferred has arrived, whatever the provider said.
func (w *worker) current(ds []mail.Delivery) []mail.Delivery {
	var arrived []mail.Outcome
	var over []mail.Delivery
	ds = slices.DeleteFunc(ds, func(d mail.Delivery) bool {
		switch {
		case d.Unfinished():
			return false
		case d.Status.Ended():
			over = append(over, d)
		default:
			arrived = append(arrived, mail.Outcome{Message: d.Message, Index: d.Index, At: w.clock.Now(), Status: mail.Sent})
		}
		w.results = append(w.results, result{index: d.Index, status: d.Status})
		return true
	})
	if len(over) > 0 {
		w.store.Release(over)
	}
	if len(arrived) > 0 {
		w.record(w.records, arrived)
	}
	return ds
}

// transactions groups deliveries that go out together. Tracked copies differ
// by recipient, unless the message is Shared; equal ones go in chunks of most,
// recipients at the same number of tries together.
func transactions(m *mail.Message, ds []mail.Delivery, most int) [][]mail.Delivery {
	if differ(m) {
		most = 1
	}
	ds = slices.Clone(ds)
	slices.SortStableFunc(ds, func(a, b mail.Delivery) int { return a.Attempts - b.Attempts })
	var txs [][]mail.Delivery
	for i, d := range ds {
		if i == 0 || d.Attempts != ds[i-1].Attempts || len(txs[len(txs)-1]) == most {
			txs = append(txs, nil)
		}
		txs[len(txs)-1] = append(txs[len(txs)-1], d)
	}
	return txs
}

// differ reports whether each recipient gets a copy of its own.
func differ(m *mail.Message) bool { return m.Tracked && !m.Shared }

// transact tries one transaction and records what came of it. With the last one
// of a job its connection is done.
func (w *worker) transact(m *mail.Message, content mail.Content, ds []mail.Delivery, last bool) {
	attempts, crashed := w.try(m, content, ds)
	if last && !slices.ContainsFunc(attempts, func(a mail.Attempt) bool { return !a.Taken() }) {
		w.lend()
	}
	expire := w.job.way.expire[m.Account]
	if expire <= 0 {
		expire = defaultExpire
	}
	j := judge{message: m, way: w.job.way, now: w.clock.Now(), expire: expire, random: w.settings.Rand, stopped: w.tries.Err() != nil}
	var os []mail.Outcome
	for i, d := range ds {
		a := attempts[i]
		o := w.sooner(m, d, j.outcome(d, a))
		if crashed && w.job.crashes[d.Index]+1 >= mostCrash {
			hold(&o, mail.HoldDamaged, time.Time{})
		}
		os = append(os, o)
		w.results = append(w.results, result{d.Index, o.Status, o.Next, &a, crashed})
		w.metrics.attempt(w.job.provider, a)
		w.logOutcome(m, d, a, o)
	}
	w.conclude(m, content, ds, attempts, os)
}

// lend lets the next job have the slot while this one is recorded. What went
// wrong may concern the whole lane, and is heard of before anything follows.
func (w *worker) lend() {
	if w.job.lent = w.gate.lend(w.job.way.Credential); w.job.lent {
		w.inbox.post(func(*scheduler) {}) // it looks for the next one then
	}
}

func (w *worker) logOutcome(m *mail.Message, d mail.Delivery, a mail.Attempt, o mail.Outcome) {
	args := []any{"msg", m.ID, "account", m.Account, "provider", w.job.provider, "rcpt", d.Recipient, "tries", d.Attempts + 1}
	if o.Reason != "" {
		args = append(args, "reason", o.Reason)
	}
	if o.Reply != "" {
		args = append(args, "reply", o.Reply)
	}
	if a.Err != nil {
		args = append(args, "err", a.Err)
	}
	w.log.Info(string(o.Status), args...)
}

// try renders and delivers one transaction. A panic, or a message that does
// not render, is a crash: the fault of the message or ours, not the provider's.
func (w *worker) try(m *mail.Message, content mail.Content, ds []mail.Delivery) (as []mail.Attempt, crashed bool) {
	var began bool
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("panic in a try", "msg", m.ID, "provider", w.job.provider, "err", p, "stack", string(debug.Stack()))
			as, crashed = same(ds, crash(fmt.Errorf("panic: %v", p), began)), true
		}
	}()
	w.metrics.running.Add(float64(len(ds)))
	defer w.metrics.running.Sub(float64(len(ds)))

	recipient := 0
	if differ(m) {
		recipient = ds[0].Index
	}
	copied, err := w.render(m, content, recipient)
	if err != nil {
		w.log.Error("message cannot be rendered", "msg", m.ID, "provider", w.job.provider, "err", err)
		return same(ds, crash(fmt.Errorf("rendering: %w", err), false)), true
	}
	t := mail.Transaction{Message: m.ID, Copy: copied, Ret: m.Ret, EnvID: m.EnvID, Asked: asked(ds), Started: func(ctx context.Context) error {
		began = true
		if w.job.first() && !w.job.ahead { // with the commit that kept it
			return nil
		}
		return w.store.Start(ctx, w.clock.Now(), ds)
	}}
	for _, d := range ds {
		t.Recipients = append(t.Recipients, d.Recipient)
	}
	w.job.begin(w.tries)
	return answered(ds, w.job.way.Provider.Deliver(w.tries, t), began), false
}

// same gives every delivery the same attempt.
func same(ds []mail.Delivery, a mail.Attempt) []mail.Attempt {
	return slices.Repeat([]mail.Attempt{a}, len(ds))
}

var errUnanswered = errors.New("the provider's client returned no result for this recipient")

// answered fills in what a provider left out: only what it says was taken may
// count as sent.
func answered(ds []mail.Delivery, as []mail.Attempt, began bool) []mail.Attempt {
	whole := make([]mail.Attempt, len(ds))
	copy(whole, as)
	for i := range whole {
		a := &whole[i]
		switch {
		case !a.Taken() || a.Reply.Positive():
		case a.Reply.Permanent():
			a.Class = mail.ClassContent
		case a.Reply.Temporary():
			a.Class = mail.ClassTemporary
		default:
			*a = mail.Attempt{Err: errUnanswered, Uncertain: began}
		}
	}
	return whole
}

// record stores outcomes. It does not give up while ctx lasts and the disk
// works: what is not recorded is done again.
func (q *Queue) record(ctx context.Context, os []mail.Outcome) {
	q.recordTelling(ctx, os, func(error) {})
}

// recordTelling is record for those who want to hear of trouble, or have letters
// to be put with the outcomes.
func (q *Queue) recordTelling(ctx context.Context, os []mail.Outcome, tell func(error), letters ...mail.Letter) {
	for pause := firstPause; len(os) > 0; pause = min(2*pause, mostPause) {
		err := q.store.Conclude(ctx, os, letters...)
		switch {
		case err == nil:
			return
		case errors.Is(err, store.ErrNotFound) && len(os) > 1:
			for i := range os {
				q.recordTelling(ctx, os[i:i+1], tell, letters...)
			}
			return
		case errors.Is(err, store.ErrNotFound):
			q.log.Warn("outcome of a message that is gone", "msg", os[0].Message, "err", err)
			return
		case errors.Is(err, store.ErrBroken): // for good: to wait would only keep the process from ending
			q.log.Error("outcome lost", "msg", os[0].Message, "status", os[0].Status, "count", len(os), "err", err)
			return
		}
		tell(err)
		q.metrics.trouble.Inc()
		q.log.Error("outcome not recorded yet", "msg", os[0].Message, "status", os[0].Status, "err", err)
		timer := q.clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			q.log.Error("outcome lost", "msg", os[0].Message, "status", os[0].Status, "count", len(os), "err", err)
			return
		}
	}
}
