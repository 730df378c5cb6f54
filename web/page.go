package web

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"backstamp/mail"
)

//go:embed page
var pageFiles embed.FS

// sourceMax is how much of a message's source the page shows, in octets.
const sourceMax = 256 << 10

// pages are parsed once: a template that does not parse is a mistake in the
// program, which any test finds.
func pages() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"when": func(m moment) string {
			if time.Time(m).IsZero() {
				return ""
			}
			return time.Time(m).Local().Format("2006-01-02 15:04:05")
		},
	}).ParseFS(pageFiles, "page/*.html"))
}

// page mounts the two plain pages. They show source as text and load nothing
// from anywhere, so that looking at a message never counts as opening it.
func (h *Handler) page(mux *http.ServeMux) {
	all := pages()
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request) (name string, data any, err error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			name, data, err := f(w, r)
			var out bytes.Buffer
			if err == nil {
				err = all.ExecuteTemplate(&out, name, data)
			}
			if err != nil {
				h.pageError(w, r, err)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			out.WriteTo(w)
		})
	}
	handle("GET /{$}", h.listPage)
	handle("GET /messages/{id}", h.messagePage)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, pageFiles, "page/style.css")
	})
}

func (h *Handler) pageError(w http.ResponseWriter, r *http.Request, err error) {
	var f failure
	switch {
	case errors.As(err, &f):
		writeText(w, f.status, f.text+"\n")
	case errors.Is(err, mail.ErrNotFound):
		writeText(w, http.StatusNotFound, "no such message\n")
	default:
		h.log.Error("page", "path", r.URL.Path, "err", err)
		writeText(w, http.StatusInternalServerError, "internal error; the log says more\n")
	}
}

// listPage shows the latest messages; the filter is that of the command line.
func (h *Handler) listPage(_ http.ResponseWriter, r *http.Request) (string, any, error) {
	f, err := h.filter(r)
	if err != nil {
		return "", nil, err
	}
	if f.Limit == 0 || f.Limit > 1000 {
		f.Limit = 100
	}
	var data struct {
		Rows      []messageRow
		Providers []statusRow
		Statuses  []mail.Status
		Status    mail.Status
		To, From  string
		Subject   string
	}
	data.Statuses, data.Status, data.To, data.From, data.Subject = mail.Statuses, f.Status, f.To, f.From, f.Subject
	for row, err := range h.store.Messages(r.Context(), f) {
		if err != nil {
			return "", nil, err
		}
		data.Rows = append(data.Rows, newMessageRow(row))
	}
	if data.Providers, err = h.status(r.Context()); err != nil {
		return "", nil, err
	}
	return "list.html", data, nil
}

// messagePage shows one message: what came in, what goes out, its links with
// their decisions and what happened to it.
func (h *Handler) messagePage(_ http.ResponseWriter, r *http.Request) (string, any, error) {
	row, err := h.row(r)
	if err != nil {
		return "", nil, err
	}
	show, err := h.show(r.Context(), row)
	if err != nil {
		return "", nil, err
	}
	var data struct {
		showRow
		Original, Sent source
	}
	data.showRow = show
	content, err := h.store.Content(r.Context(), row.Message.ID)
	if err != nil {
		data.Original = source{Trouble: "The stored message is damaged; it is kept as it is for a person to look at."}
		return "message.html", data, nil
	}
	data.Original = newSource(content)
	var sent bytes.Buffer
	if len(row.Deliveries) > 0 {
		c, err := h.copyFor(r.Context(), row, row.Deliveries[0])
		if err == nil {
			_, err = c.WriteTo(&sent)
		}
		if err != nil {
			data.Sent.Trouble = "The copy cannot be made now: " + err.Error()
			return "message.html", data, nil
		}
	}
	data.Sent = newSource(sent.Bytes())
	return "message.html", data, nil
}

// source is a message as text for the page.
type source struct {
	Text    string
	Cut     string // what is not shown
	Trouble string
}

func newSource(b []byte) source {
	if len(b) <= sourceMax {
		return source{Text: string(b)}
	}
	return source{Text: string(b[:sourceMax]), Cut: strconv.Itoa(len(b)-sourceMax) + " more octets are not shown; the download has all."}
}
