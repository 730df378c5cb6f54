package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/rewrite"
	"backstamp/store"
)

// api mounts /api/v1. Listings are one JSON object a line.
func (h *Handler) api(mux *http.ServeMux) {
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request) error) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /api/v1"+path, func(w http.ResponseWriter, r *http.Request) {
			if err := f(w, r); err != nil {
				h.problem(w, r, err)
			}
		})
	}
	handle("GET /messages", h.listMessages)
	handle("GET /messages/{id}", h.showMessage)
	handle("GET /messages/{id}/raw", h.rawMessage)
	handle("GET /messages/{id}/sent", h.sentMessage)
	handle("GET /events", h.listEvents)
	handle("GET /queue", h.listQueue)
	handle("POST /queue/{action}", h.queueAction)
	handle("GET /status", h.listStatus)
	handle("GET /usage", h.listUsage)
	handle("GET /listeners", h.listListeners)
	handle("POST /simulate", h.simulate)
	handle("POST /reload", h.reload)
	handle("POST /keys/rotate", h.rotateKeys)
	handle("GET /{rest...}", func(http.ResponseWriter, *http.Request) error {
		return failure{http.StatusNotFound, "no such thing in the API"}
	})
}

// A failure is an answer for the one who asked; other errors are trouble of
// ours and stay in the log.
type failure struct {
	status int
	text   string
}

func (f failure) Error() string { return f.text }

func badRequest(format string, args ...any) error {
	return failure{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// Refuse is an answer for the one who asked for something that cannot be.
func Refuse(format string, args ...any) error {
	return failure{http.StatusConflict, fmt.Sprintf(format, args...)}
}

var errNeedsServer = failure{http.StatusConflict, "no server runs on this data_dir; start it with: backstamp serve"}

// problem answers as RFC 9457 says.
func (h *Handler) problem(w http.ResponseWriter, r *http.Request, err error) {
	var f failure
	switch {
	case errors.As(err, &f):
	case errors.Is(err, mail.ErrNotFound):
		f = failure{http.StatusNotFound, "no such message"}
	case errors.Is(err, store.ErrCorrupt):
		f = failure{http.StatusInternalServerError, "what is stored is damaged; it is kept for a person to look at"}
	case r.Context().Err() != nil:
		return
	default:
		h.log.Error("api", "path", r.URL.Path, "err", err)
		f = failure{http.StatusInternalServerError, "internal error; the log says more"}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.status)
	json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(f.status), "status": f.status, "detail": f.text,
	})
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return encoder(w).Encode(v)
}

// encoder leaves <, > and & alone: nobody puts this JSON into HTML.
func encoder(w http.ResponseWriter) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// writeRows streams one JSON object a line. An error before the first row is
// returned; a later one ends the listing with a line {"error": …}, so that
// nobody takes half a list for the whole.
func writeRows[T any](w http.ResponseWriter, rows iter.Seq2[T, error], row func(T) (any, error)) error {
	e := encoder(w)
	first := true
	for r, err := range rows {
		var out any
		if err == nil {
			out, err = row(r)
		}
		if err != nil && first {
			return err
		}
		if first {
			w.Header().Set("Content-Type", "application/x-ndjson")
			first = false
		}
		if err != nil {
			return e.Encode(map[string]string{"error": "the listing ends here; the log says more"})
		}
		if err := e.Encode(out); err != nil {
			return nil // the reader went away
		}
	}
	if first {
		w.Header().Set("Content-Type", "application/x-ndjson")
	}
	return nil
}

func (h *Handler) listMessages(w http.ResponseWriter, r *http.Request) error {
	f, err := h.filter(r)
	if err != nil {
		return err
	}
	return writeRows(w, h.store.Messages(r.Context(), f), func(r store.Row) (any, error) {
		return newMessageRow(r), nil
	})
}

func (h *Handler) filter(r *http.Request) (store.Filter, error) {
	q := r.URL.Query()
	f := store.Filter{
		Status: mail.Status(q.Get("status")), Account: q.Get("account"), Provider: q.Get("provider"),
		From: q.Get("from"), To: q.Get("to"), Subject: q.Get("subject"), MessageID: q.Get("message-id"), Tag: q.Get("tag"),
	}
	if f.Status != "" && !f.Status.Known() {
		return f, badRequest("status %q is none; expected one of %v", f.Status, mail.Statuses)
	}
	var err error
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

// since reads a duration back or a time.
func (h *Handler) since(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if at, err := ParseSince(s, h.now()); err == nil {
		return at, nil
	}
	return time.Time{}, badRequest("since %q is no time; expected a duration back such as 2h or 7d, or 2006-01-02 or 2006-01-02T15:04:05Z", s)
}

// ParseSince reads a duration back from now (2h, 7d) or a time.
func ParseSince(s string, now time.Time) (time.Time, error) {
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
	return time.Time{}, fmt.Errorf("web: %q is neither a duration nor a time", s)
}

// row reads the message that the path names.
func (h *Handler) row(r *http.Request) (store.Row, error) {
	id, err := mail.ParseID(r.PathValue("id"))
	if err != nil {
		return store.Row{}, failure{http.StatusNotFound, "no such message"}
	}
	return h.store.Message(r.Context(), id)
}

func (h *Handler) showMessage(w http.ResponseWriter, r *http.Request) error {
	row, err := h.row(r)
	if err != nil {
		return err
	}
	show, err := h.show(r.Context(), row)
	if err != nil {
		return err
	}
	return writeJSON(w, show)
}

func (h *Handler) show(ctx context.Context, row store.Row) (showRow, error) {
	d := row.Message.Detail
	show := showRow{
		messageRow: newMessageRow(row), Events: []eventRow{},
		Alignment: d.Alignment, Quirks: d.Quirks, Transcript: d.Transcript,
	}
	if show.Quirks == nil {
		show.Quirks = []string{}
	}
	if show.Transcript == nil {
		show.Transcript = []string{}
	}
	plan, err := plan(row.Message)
	if err != nil {
		return show, err
	}
	show.Links = newLinkRows(row, plan, h.do.Linker)
	to := recipients(row.Deliveries)
	for e, err := range h.store.Events(ctx, store.EventFilter{Message: row.Message.ID}) {
		if err != nil {
			return show, err
		}
		show.Events = append(show.Events, newEventRow(e.Event, to))
	}
	return show, nil
}

// plan reads what was decided about a message's content; nil where nothing was.
func plan(m *mail.Message) (*rewrite.Plan, error) {
	if len(m.Detail.Plan) == 0 {
		return nil, nil
	}
	p, err := rewrite.Decode(m.Detail.Plan)
	if err != nil {
		return nil, fmt.Errorf("plan of %s: %w", m.ID, err)
	}
	return p, nil
}

func (h *Handler) rawMessage(w http.ResponseWriter, r *http.Request) error {
	row, err := h.row(r)
	if err != nil {
		return err
	}
	content, err := h.store.Content(r.Context(), row.Message.ID)
	if err != nil {
		return err
	}
	asDownload(w)
	_, err = w.Write(content)
	return err
}

func (h *Handler) sentMessage(w http.ResponseWriter, r *http.Request) error {
	row, err := h.row(r)
	if err != nil {
		return err
	}
	to := r.URL.Query().Get("recipient")
	for _, d := range row.Deliveries {
		if to != "" && !strings.EqualFold(to, d.Recipient) {
			continue
		}
		c, err := h.copyFor(r.Context(), row, d)
		if err != nil {
			return err
		}
		asDownload(w)
		_, err = c.WriteTo(w)
		return err
	}
	return failure{http.StatusNotFound, "the message has no such recipient"}
}

// copyFor renders what went, or will go, to one recipient.
func (h *Handler) copyFor(ctx context.Context, row store.Row, d mail.Delivery) (mail.Copy, error) {
	if h.do.Renderer == nil {
		return nil, errNeedsServer
	}
	content, err := h.store.Content(ctx, row.Message.ID)
	if err != nil {
		return nil, err
	}
	index := d.Index
	if firstIndex(row) == 0 {
		index = 0
	}
	return h.do.Renderer.Render(row.Message, content, index, d.Provider)
}

// asDownload keeps a browser from showing a stranger's mail as a page of ours.
func asDownload(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "message/rfc822")
	w.Header().Set("Content-Disposition", "attachment; filename=message.eml")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

// listEvents streams events, oldest first; with follow=1 it stays and goes on
// as they are recorded.
func (h *Handler) listEvents(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := store.EventFilter{Kind: mail.Kind(q.Get("kind"))}
	var err error
	if f.Since, err = h.since(q.Get("since")); err != nil {
		return err
	}
	if s := q.Get("message"); s != "" {
		if f.Message, err = mail.ParseID(s); err != nil {
			return failure{http.StatusNotFound, "no such message"}
		}
		if _, err := h.store.Message(r.Context(), f.Message); err != nil {
			return err
		}
	}
	names := h.names(r.Context())
	if q.Get("follow") == "" {
		return writeRows(w, h.store.Events(r.Context(), f), func(e store.EventRow) (any, error) {
			return newEventRow(e.Event, names(e.Message)), nil
		})
	}
	return writeRows(w, h.follow(w, r, f), func(e store.EventRow) (any, error) {
		return newEventRow(e.Event, names(e.Message)), nil
	})
}

// follow yields events for as long as the request lasts, flushing when it has
// caught up.
func (h *Handler) follow(w http.ResponseWriter, r *http.Request, f store.EventFilter) iter.Seq2[store.EventRow, error] {
	return func(yield func(store.EventRow, error) bool) {
		out := http.NewResponseController(w)
		for {
			more := h.store.Watch()
			for e, err := range h.store.Events(r.Context(), f) {
				if !yield(e, err) || err != nil {
					return
				}
				f.After = e.Cursor
			}
			out.Flush()
			select {
			case <-more:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// names returns a look-up of a message's recipients that remembers the last
// ones it was asked for: events of one message stand close together.
func (h *Handler) names(ctx context.Context) func(mail.ID) []string {
	known := map[mail.ID][]string{}
	return func(id mail.ID) []string {
		if to, ok := known[id]; ok {
			return to
		}
		if len(known) > 1000 {
			clear(known)
		}
		row, err := h.store.Message(ctx, id)
		if err != nil { // forgotten already; its events may outlive it
			known[id] = nil
			return nil
		}
		known[id] = recipients(row.Deliveries)
		return known[id]
	}
}

func (h *Handler) listQueue(w http.ResponseWriter, r *http.Request) error {
	return writeRows(w, h.store.Unfinished(r.Context()), func(d mail.Delivery) (any, error) {
		return queueRow{ID: d.Message, Message: d.Message, Provider: d.Provider, deliveryRow: newDeliveryRow(d)}, nil
	})
}

// queueAction changes deliveries: {"ids": […], "to": "account/name"} in, and
// {"changed": n} out.
func (h *Handler) queueAction(w http.ResponseWriter, r *http.Request) error {
	if h.do.Queue == nil {
		return errNeedsServer
	}
	var in struct {
		IDs []mail.ID `json:"ids"`
		To  string    `json:"to"`
	}
	if err := readJSON(r, &in); err != nil {
		return err
	}
	for _, id := range in.IDs {
		if _, err := h.store.Message(r.Context(), id); err != nil {
			return fmt.Errorf("message %s: %w", id, err)
		}
	}
	changed, err := h.act(r.Context(), r.PathValue("action"), in.To, in.IDs)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]int{"changed": changed})
}

func (h *Handler) act(ctx context.Context, action, to string, ids []mail.ID) (changed int, err error) {
	each := func(f func(context.Context, mail.ID) (int, error)) (int, error) {
		if len(ids) == 0 {
			return 0, badRequest("%s needs the id of a message", action)
		}
		for _, id := range ids {
			n, err := f(ctx, id)
			if err != nil {
				return changed, err
			}
			changed += n
		}
		return changed, nil
	}
	switch action {
	case "retry":
		return h.do.Queue.Retry(ctx, ids...)
	case "hold":
		return each(h.do.Queue.Hold)
	case "drop":
		return each(h.do.Queue.Drop)
	case "move":
		if to == "" || len(ids) == 0 {
			return 0, badRequest("move needs the id of a message and an ACCOUNT/NAME to move to")
		}
		return h.do.Queue.Move(ctx, to, ids...)
	}
	return 0, failure{http.StatusNotFound, "the queue knows retry, hold, drop and move"}
}

func (h *Handler) listStatus(w http.ResponseWriter, r *http.Request) error {
	rows, err := h.status(r.Context())
	if err != nil {
		return err
	}
	return writeRows(w, func(yield func(statusRow, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}, func(row statusRow) (any, error) { return row, nil })
}

func (h *Handler) status(ctx context.Context) ([]statusRow, error) {
	providers, err := h.do.Providers(ctx)
	if err != nil {
		return nil, err
	}
	today := h.now().UTC().Format(time.DateOnly)
	sent := map[string]int{}
	for u, err := range h.store.Usage(ctx) {
		if err != nil && !errors.Is(err, store.ErrNone) {
			return nil, err
		}
		if u.Day == today {
			sent[u.Provider] += u.Messages
		}
	}
	rows := make([]statusRow, len(providers))
	for i, p := range providers {
		state := p.State.State
		if state == "" {
			state = store.StateOK
		}
		rows[i] = statusRow{
			Account: p.Account, Provider: p.Name, Preset: p.Preset,
			State: state, Until: moment(p.State.Until), Reason: text(p.State.Reason), LastError: text(p.State.LastError),
			SentToday: sent[p.Account+"/"+p.Name], Limit: number(p.Limit),
		}
	}
	return rows, nil
}

func (h *Handler) listUsage(w http.ResponseWriter, r *http.Request) error {
	return writeRows(w, h.store.Usage(r.Context()), func(u store.Usage) (any, error) {
		return usageRow{u.Account, providerName(u.Provider), u.Day, u.Messages, u.Recipients}, nil
	})
}

// listListeners lists the addresses that the server holds, none where none runs.
func (h *Handler) listListeners(w http.ResponseWriter, _ *http.Request) error {
	return writeRows(w, func(yield func(string, error) bool) {
		if h.do.Listeners == nil {
			return
		}
		for _, address := range h.do.Listeners() {
			if !yield(address, nil) {
				return
			}
		}
	}, func(address string) (any, error) { return map[string]string{"address": address}, nil })
}

// simulate runs one made-up hit: {"kind": "click", "id": …, "as": …,
// "link": 1, "recipient": …} in, a Hit out.
func (h *Handler) simulate(w http.ResponseWriter, r *http.Request) error {
	if h.do.Simulator == nil {
		return errNeedsServer
	}
	var in struct {
		Kind      mail.Kind `json:"kind"`
		ID        mail.ID   `json:"id"`
		As        string    `json:"as"`
		Link      int       `json:"link"`
		Recipient string    `json:"recipient"`
	}
	if err := readJSON(r, &in); err != nil {
		return err
	}
	row, err := h.store.Message(r.Context(), in.ID)
	if err != nil {
		return err
	}
	index, err := recipientIndex(row, in.Recipient)
	if err != nil {
		return err
	}
	url, err := h.trackingURL(row.Message, in.Kind, max(1, in.Link), index)
	if err != nil {
		return err
	}
	hit, err := h.do.Simulator.Simulate(r.Context(), url, in.As)
	if err != nil {
		return badRequest("%v", err)
	}
	return writeJSON(w, hit)
}

// recipientIndex finds a recipient by address; "" is the first.
func recipientIndex(row store.Row, address string) (int, error) {
	if firstIndex(row) == 0 {
		return 0, nil
	}
	for _, d := range row.Deliveries {
		if address == "" || strings.EqualFold(address, d.Recipient) {
			return d.Index, nil
		}
	}
	return 0, failure{http.StatusNotFound, "the message has no such recipient"}
}

func (h *Handler) trackingURL(m *mail.Message, kind mail.Kind, link, recipient int) (string, error) {
	p, err := plan(m)
	if err != nil {
		return "", err
	}
	if p == nil || !p.Edited() {
		return "", failure{http.StatusNotFound, "the message is not tracked: " + m.Reason}
	}
	var url string
	switch kind {
	case mail.KindOpen:
		url, err = p.OpenURL(h.do.Linker, recipient)
	case mail.KindClick:
		url, err = p.ClickURL(h.do.Linker, link, recipient)
	default:
		return "", badRequest("%q cannot be simulated; expected open or click", kind)
	}
	if err != nil {
		return "", failure{http.StatusNotFound, err.Error()}
	}
	return url, nil
}

func (h *Handler) reload(w http.ResponseWriter, r *http.Request) error {
	if h.do.Reload == nil {
		return errNeedsServer
	}
	if err := h.do.Reload(r.Context()); err != nil {
		return failure{http.StatusUnprocessableEntity, err.Error()}
	}
	return writeJSON(w, map[string]bool{"reloaded": true})
}

func (h *Handler) rotateKeys(w http.ResponseWriter, _ *http.Request) error {
	if h.do.RotateKeys == nil {
		return errNeedsServer
	}
	id, err := h.do.RotateKeys()
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"id": id.String()})
}

// readJSON reads a small request body strictly.
func readJSON(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return badRequest("malformed request: %v", err)
	}
	return nil
}
