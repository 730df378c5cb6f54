package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"backstamp/mail"
	"backstamp/store"
)

// listEvents streams events, oldest first; with follow=1 it stays and goes on
// as they are recorded.
func (h *Handler) listEvents(w http.ResponseWriter, r *http.Request) error {
	f, follow, err := h.eventFilter(r)
	if err != nil {
		return err
	}
	names := h.names(r)
	row := func(e store.EventRow) any { return newEventRow(e.Event, names(e.Message)) }
	if follow && r.Method != http.MethodHead {
		return h.follow(w, r, f, row)
	}
	return list(h, w, r, h.store.Events(r.Context(), f), row)
}

// eventFilter reads which events a request asks for.
func (h *Handler) eventFilter(r *http.Request) (f store.EventFilter, follow bool, err error) {
	q := r.URL.Query()
	if err := known(r, "message", "since", "kind", "follow"); err != nil {
		return f, false, err
	}
	f.Kind = mail.Kind(q.Get("kind"))
	if f.Kind != "" && !slices.Contains(kinds(), f.Kind) {
		return f, false, badRequest("kind %q is none; expected one of %v", f.Kind, kinds())
	}
	if f.Since, err = h.since(q.Get("since")); err != nil {
		return f, false, err
	}
	if s := q.Get("follow"); s != "" {
		if follow, err = strconv.ParseBool(s); err != nil {
			return f, false, badRequest("follow %q is neither 0 nor 1", s)
		}
	}
	if s := q.Get("message"); s != "" {
		row, err := h.find(r.Context(), s)
		if err != nil {
			return f, false, err
		}
		f.Message = row.Message.ID
	}
	return f, follow, nil
}

// kinds are those that events may have.
func kinds() []mail.Kind {
	return []mail.Kind{
		mail.KindAccepted, mail.KindDeferred, mail.KindHeld, mail.KindSent, mail.KindFailed, mail.KindBounced,
		mail.KindDelivered, mail.KindOpen, mail.KindClick, mail.KindUnsubscribe, mail.KindComplaint, mail.KindSuppressed,
	}
}

// follow writes events for as long as the request lasts, and has them on the
// wire whenever it has caught up.
func (h *Handler) follow(w http.ResponseWriter, r *http.Request, f store.EventFilter, row func(store.EventRow) any) error {
	out := lines{h: h, w: w, r: r}
	wire := http.NewResponseController(w)
	for {
		more := h.store.Watch()
		for e, err := range h.store.Events(r.Context(), f) {
			if err != nil {
				out.skip(err)
				return out.end()
			}
			if !out.put(row(e)) {
				return nil
			}
			f.After = e.Cursor
		}
		out.begin()
		wire.Flush()
		select {
		case <-more:
		case <-r.Context().Done():
			return nil
		}
	}
}

// namesMax is how many messages a listing of events remembers.
const namesMax = 1000

// names returns a look-up of a message's recipients that remembers the last
// ones it was asked for: events of one message stand close together. Of a
// message that is forgotten, whose events outlive it, there are none.
func (h *Handler) names(r *http.Request) func(mail.ID) []string {
	seen := map[mail.ID][]string{}
	return func(id mail.ID) []string {
		to, ok := seen[id]
		if ok {
			return to
		}
		if len(seen) == namesMax {
			clear(seen)
		}
		row, err := h.store.Message(r.Context(), id)
		if err != nil && !errors.Is(err, mail.ErrNotFound) {
			h.logError(r, err)
		}
		to = recipients(row.Deliveries)
		seen[id] = to
		return to
	}
}
