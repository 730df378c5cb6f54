package web

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// lines writes a listing: one JSON object a line. What is damaged is left out.
// Until the first row an error can still be the whole answer; later it becomes
// a last line {"error": …}, so that nobody takes a part for the whole.
type lines struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	begun bool
	err   error // the one that ended the listing, else the first of what is damaged
	ended bool  // err ended it
}

// begin makes the answer a listing, even if no row follows.
func (l *lines) begin() {
	if !l.begun {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.begun = true
	}
}

// put writes a row and reports whether somebody reads on.
func (l *lines) put(row any) bool {
	l.begin()
	return l.r.Method != http.MethodHead && encoder(l.w).Encode(row) == nil
}

// skip notes an error and reports whether the listing can go on.
func (l *lines) skip(err error) bool {
	l.ended = !errors.Is(err, store.ErrCorrupt)
	if l.err == nil || l.ended {
		l.err = err
	}
	return !l.ended
}

// end ends the listing.
func (l *lines) end() error {
	if l.err != nil && !l.begun {
		return l.err
	}
	l.begin()
	if l.err != nil {
		l.h.logError(l.r, l.err)
		text := "some of it is damaged and left out; the log says more"
		if l.ended {
			text = "the listing ends here; the log says more"
		}
		l.put(map[string]string{"error": text})
	}
	return nil
}

// list streams rows.
func list[T any](h *Handler, w http.ResponseWriter, r *http.Request, rows iter.Seq2[T, error], row func(T) any) error {
	out := lines{h: h, w: w, r: r}
	for v, err := range rows {
		if err != nil && !out.skip(err) {
			break
		}
		if err == nil && !out.put(row(v)) {
			return nil
		}
	}
	return out.end()
}

// whole is a listing of what is at hand.
func whole[T any](values []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (h *Handler) listMessages(w http.ResponseWriter, r *http.Request) error {
	f, err := h.filter(r)
	if err != nil {
		return err
	}
	lang := languageOf(r)
	return list(h, w, r, h.store.Messages(r.Context(), f), func(row store.Row) any { return newMessageRow(row, lang) })
}

// filter reads which messages a request asks for.
func (h *Handler) filter(r *http.Request) (store.Filter, error) {
	q := r.URL.Query()
	f := store.Filter{
		Status: mail.Status(q.Get("status")), Account: q.Get("account"), Provider: q.Get("provider"),
		From: q.Get("from"), To: q.Get("to"), Subject: q.Get("subject"), MessageID: q.Get("message-id"), Tag: q.Get("tag"),
	}
	err := known(r, "status", "account", "provider", "from", "to", "subject", "message-id", "tag", "since", "limit", "lang")
	if err != nil {
		return f, err
	}
	if f.Status != "" && !f.Status.Known() {
		return f, badRequest("status %q is none; expected one of %v", f.Status, mail.Statuses)
	}
	if f.Since, err = h.since(q.Get("since")); err != nil {
		return f, err
	}
	if s := q.Get("limit"); s != "" {
		if f.Limit, err = strconv.Atoi(s); err != nil || f.Limit < 0 {
			return f, badRequest("limit %q is no number; expected 0 (all) or more", s)
		}
	}
	return f, nil
}

// known refuses a query with other parameters: one that is misspelt would
// select everything.
func known(r *http.Request, names ...string) error {
	for name := range r.URL.Query() {
		if !slices.Contains(names, name) {
			return badRequest("parameter %q is none; expected some of %v", name, names)
		}
	}
	return nil
}

// since reads a duration back or a time; "" is the zero time.
func (h *Handler) since(s string) (time.Time, error) {
	now := h.now()
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, badRequest("since %q is no time; expected a duration back such as 2h or 7d, or 2006-01-02 or 2006-01-02T15:04:05Z", s)
}

func (h *Handler) listQueue(w http.ResponseWriter, r *http.Request) error {
	lang := languageOf(r)
	return list(h, w, r, h.store.Unfinished(r.Context()), func(d mail.Delivery) any {
		return queueRow{ID: d.Message, Message: d.Message, Provider: d.Provider, deliveryRow: newDeliveryRow(d, lang)}
	})
}

func (h *Handler) listStatus(w http.ResponseWriter, r *http.Request) error {
	rows, err := h.status(r.Context(), languageOf(r))
	if err != nil {
		return err
	}
	return list(h, w, r, whole(rows), func(row statusRow) any { return row })
}

// status lists the providers.
func (h *Handler) status(ctx context.Context, lang string) ([]statusRow, error) {
	if h.do.Providers == nil {
		return nil, nil
	}
	providers, err := h.do.Providers(ctx)
	if err != nil {
		return nil, err
	}
	rows := make([]statusRow, len(providers))
	for i, p := range providers {
		rows[i] = newStatusRow(p, lang)
	}
	return rows, nil
}

func (h *Handler) listUsage(w http.ResponseWriter, r *http.Request) error {
	return list(h, w, r, h.store.Usage(r.Context()), func(u store.Usage) any {
		return usageRow{u.Account, providerName(u.Provider), newDayRow(u)}
	})
}

func (h *Handler) listTags(w http.ResponseWriter, r *http.Request) error {
	return list(h, w, r, h.store.Tags(r.Context()), func(u store.Usage) any {
		return tagRow{u.Account, u.Tag, newDayRow(u)}
	})
}

// A TrackingRow says how the tracking of the running server does.
type TrackingRow struct {
	Lost int `json:"lost"` // opens and clicks that could not be kept since the start
}

func (h *Handler) showTracking(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, TrackingRow{h.lost()})
}

// lost returns 0 where no server runs.
func (h *Handler) lost() int {
	if h.do.Lost == nil {
		return 0
	}
	return h.do.Lost()
}

// listListeners lists the addresses that the server holds, none where none
// runs.
func (h *Handler) listListeners(w http.ResponseWriter, r *http.Request) error {
	var held []Listener
	if h.do.Listeners != nil {
		held = h.do.Listeners()
	}
	return list(h, w, r, whole(held), func(l Listener) any { return l })
}

// visitors are those that the server knows of, or else the store.
func (h *Handler) visitors(ctx context.Context) ([]mail.Visitor, error) {
	if h.do.Visitors != nil {
		return h.do.Visitors(ctx)
	}
	return h.store.Visitors(ctx)
}

// listClients lists who connected, the one seen last first.
func (h *Handler) listClients(w http.ResponseWriter, r *http.Request) error {
	all, err := h.visitors(r.Context())
	if err != nil {
		return err
	}
	return list(h, w, r, whole(all), func(v mail.Visitor) any { return newVisitorRow(v) })
}
