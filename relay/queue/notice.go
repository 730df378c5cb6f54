package queue

import (
	"cmp"
	"context"
	"slices"
	"time"

	"backstamp/mail"
)

// A Notifier writes notices about deliveries for senders.
type Notifier interface {
	// Notice returns a notice about those of its deliveries whose sender is to
	// have one, nil for none, and why the others are left out, by index.
	Notice(n mail.Notice) (letter *mail.Letter, why map[int]string)
	// LateAt returns when a notice of the delay of a delivery is due, zero for
	// never.
	LateAt(m *mail.Message, d mail.Delivery) time.Time
}

// action is what an outcome gives reason to tell, "" for nothing.
func (w *worker) action(m *mail.Message, d mail.Delivery, a mail.Attempt, o mail.Outcome) mail.Action {
	switch o.Status {
	case mail.Failed:
		return mail.Fails
	case mail.Sent:
		if d.Asked.Notify.Has(mail.NotifySuccess) && !a.Informs {
			return mail.Relayed
		}
	case mail.Deferred, mail.Held:
		if at := w.job.way.notifier.LateAt(m, d); !at.IsZero() && !at.After(o.At) {
			return mail.Delays
		}
	}
	return ""
}

// sooner has a delivery tried when a notice of its delay is due, so that the
// notice tells how it is then.
func (w *worker) sooner(m *mail.Message, d mail.Delivery, o mail.Outcome) mail.Outcome {
	if w.job.way.notifier == nil || o.Status != mail.Deferred {
		return o
	}
	if at := w.job.way.notifier.LateAt(m, d); at.After(o.At) && at.Before(o.Next) {
		o.Next = at
	}
	return o
}

// notices writes what senders are to hear of outcomes, of failures too or not,
// and notes it in them.
func (w *worker) notices(m *mail.Message, content mail.Content, ds []mail.Delivery, as []mail.Attempt, os []mail.Outcome, failures bool) (letters []mail.Letter) {
	if w.job.way.notifier == nil {
		return nil
	}
	about := map[mail.Action][]int{}
	for i, o := range os {
		if action := w.action(m, ds[i], as[i], o); action != "" && (failures || action != mail.Fails) {
			about[action] = append(about[action], i)
		}
	}
	for _, action := range []mail.Action{mail.Fails, mail.Delays, mail.Relayed} {
		if which := about[action]; len(which) > 0 {
			letters = append(letters, w.notice(action, m, content, ds, os, which)...)
		}
	}
	return letters
}

// notice writes one notice about some of the outcomes.
func (w *worker) notice(action mail.Action, m *mail.Message, content mail.Content, ds []mail.Delivery, os []mail.Outcome, which []int) []mail.Letter {
	n := mail.Notice{Action: action, At: w.clock.Now(), Message: m, Content: content}
	for _, i := range which {
		d := ds[i]
		d.Conclude(os[i])
		n.Deliveries = append(n.Deliveries, d)
	}
	if action == mail.Delays {
		n.Until = os[which[0]].At.Add(cmp.Or(w.job.way.expire[m.Account], defaultExpire) - os[which[0]].Waited)
	}
	letter, why := w.job.way.notifier.Notice(n)
	for _, i := range which {
		os[i].Delayed = action == mail.Delays
		if os[i].Notice = why[os[i].Index]; os[i].Notice == "" && letter != nil {
			os[i].Notice = letter.Message.ID.String()
		}
	}
	if letter == nil {
		return nil
	}
	w.log.Info("notice", "msg", m.ID, "account", m.Account, "action", string(action), "notice", letter.Message.ID, "to", letter.Message.Recipients[0])
	return []mail.Letter{*letter}
}

// recordNotices records outcomes and queues the notices of them, in one commit.
func (q *Queue) recordNotices(ctx context.Context, os []mail.Outcome, letters []mail.Letter) {
	q.recordTelling(ctx, os, func(error) {}, letters...)
	if len(letters) > 0 {
		q.inbox.post(func(s *scheduler) { s.due = true })
	}
}

// asked returns what the senders of deliveries asked, nil for nothing.
func asked(ds []mail.Delivery) (list []mail.Asked) {
	if !slices.ContainsFunc(ds, func(d mail.Delivery) bool { return d.Asked != mail.Asked{} }) {
		return nil
	}
	for _, d := range ds {
		list = append(list, d.Asked)
	}
	return list
}
