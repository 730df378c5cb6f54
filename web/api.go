package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"backstamp/mail"
	"backstamp/store"
)

// bodyMax is the longest request body that is read, in octets.
const bodyMax = 1 << 20

// An endpoint answers one request of the API, or returns why it did not and
// then has written nothing.
type endpoint func(http.ResponseWriter, *http.Request) error

// api returns the handler of /api/v1. Listings are one JSON object a line.
func (h *Handler) api() http.Handler {
	const base = "/api/v1"
	mux := http.NewServeMux()
	get := func(path string, e endpoint) { mux.HandleFunc(base+path, h.answer(http.MethodGet, e)) }
	post := func(path string, e endpoint) { mux.HandleFunc(base+path, h.answer(http.MethodPost, e)) }

	get("/messages", h.listMessages)
	get("/messages/{id}", h.showMessage)
	get("/messages/{id}/raw", h.rawMessage)
	get("/messages/{id}/sent", h.sentMessage)
	get("/events", h.listEvents)
	get("/queue", h.listQueue)
	get("/status", h.listStatus)
	get("/usage", h.listUsage)
	get("/tags", h.listTags)
	get("/tracking", h.showTracking)
	get("/listeners", h.listListeners)
	get("/clients", h.listClients)
	post("/queue/{action}", h.changeQueue)
	post("/simulate", h.simulate)
	post("/reload", h.reload)
	post("/events/reclassify", h.reclassify)
	post("/keys/rotate", h.rotateKeys)
	mux.HandleFunc(base+"/", func(w http.ResponseWriter, r *http.Request) {
		h.problem(w, r, notFound("no such thing in the API"))
	})
	return mux
}

// answer runs an endpoint for requests of its method; HEAD is a GET whose body
// goes nowhere.
func (h *Handler) answer(method string, e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && (method != http.MethodGet || r.Method != http.MethodHead) {
			w.Header().Set("Allow", method)
			h.problem(w, r, failure{http.StatusMethodNotAllowed, "this takes " + method + " alone"})
			return
		}
		if err := e(w, r); err != nil {
			h.problem(w, r, err)
		}
	}
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

func notFound(format string, args ...any) error {
	return failure{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

// Refuse is the error of an action that cannot be done, in words for the one
// who asked for it. Other errors of actions are not shown to them.
func Refuse(format string, args ...any) error {
	return failure{http.StatusConflict, fmt.Sprintf(format, args...)}
}

// needsServer is the error of an action that a process on its own cannot do.
func needsServer() error {
	return Refuse("no server runs on this data_dir; start it with: backstamp serve")
}

// failureOf is what an error says to the one who asked. What they can do
// nothing about goes to the log.
func (h *Handler) failureOf(r *http.Request, err error) failure {
	if f, ok := errors.AsType[failure](err); ok {
		return f
	}
	if errors.Is(err, mail.ErrNotFound) {
		return failure{http.StatusNotFound, "no such message"}
	}
	if errors.Is(err, store.ErrExpired) {
		return failure{http.StatusNotFound, "the content of this message is gone: it was older than retention.content keeps it"}
	}
	f := failure{http.StatusInternalServerError, "internal error; the log says more"}
	if errors.Is(err, store.ErrCorrupt) {
		f.text = "what is stored is damaged; it is kept for a person to look at"
	}
	h.logError(r, err)
	return f
}

// logError logs trouble of ours. Who went away before the answer is none.
func (h *Handler) logError(r *http.Request, err error) {
	if r.Context().Err() == nil {
		h.log.Error("private side", "path", r.URL.Path, "err", err)
	}
}

// problem answers as RFC 9457 says.
func (h *Handler) problem(w http.ResponseWriter, r *http.Request, err error) {
	f := h.failureOf(r, err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(f.status)
	encoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(f.status), f.status, f.text})
}

// writeJSON answers with one object.
func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	encoder(w).Encode(v) // fails when the reader went away
	return nil
}

// encoder leaves <, > and & alone: nobody puts this JSON into HTML.
func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// readJSON reads a request body strictly: one object that has no other fields.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMax))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.Decode(&struct{}{}) != io.EOF {
		err = errors.New("more follows the object")
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return failure{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is longer than %d octets", bodyMax)}
	}
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return badRequest("malformed request: no %s expected at %q", t.Value, t.Field)
	}
	switch {
	case err == nil:
		return nil
	case err == io.EOF:
		return badRequest("the request is empty; expected a JSON object")
	}
	return badRequest("malformed request: %s", strings.TrimPrefix(err.Error(), "json: "))
}
