package web

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
	"backstamp/relay/quirk"
	"backstamp/store"
)

// The pages show at most so much; the API and the downloads have all.
const (
	listMax   = 100       // messages, unless the query says otherwise
	listLimit = 1000      // messages, whatever the query says
	eventMax  = 500       // events of a message
	sourceMax = 256 << 10 // octets of a message's source
)

//go:embed page
var pageFiles embed.FS

// parsePages parses the pages of each language, once: one that does not parse is
// a mistake in the program, which any test finds. Times are shown in the time
// zone of now.
func parsePages(now func() time.Time) map[string]*template.Template {
	pages := map[string]*template.Template{}
	for _, lang := range catalogue.Languages() {
		pages[lang] = parseLanguage(lang, now)
	}
	return pages
}

func parseLanguage(lang string, now func() time.Time) *template.Template {
	words, err := pageWords(lang)
	if err != nil {
		panic(fmt.Errorf("the pages in %q: %w", lang, err))
	}
	return template.Must(template.New("").Funcs(template.FuncMap{
		"lang":  func() string { return lang },
		"say":   func(text string, args ...any) string { return fmt.Sprintf(cmp.Or(words[text], text), args...) },
		"local": func(m moment) string { return time.Time(m).In(now().Location()).Format(time.DateTime) },
		"zone":  func() string { return now().Format("UTC-07:00") },
		"hits":  func(people, machines int) hits { return hits{people, machines} },
		"span":  func(first, last moment) span { return span{first, last} },
	}).ParseFS(pageFiles, "page/*.html"))
}

// pageWords returns the words of the pages in a language by the English ones,
// which stand in the pages themselves.
func pageWords(lang string) (words map[string]string, err error) {
	text, err := pageFiles.ReadFile("page/" + lang + ".yaml")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = yaml.Unmarshal(text, &words)
	}
	return words, err
}

// hits are opens or clicks, those of people and of machines apart.
type hits struct{ People, Machines int }

// A span is when people's hits first and last came.
type span struct{ First, Last moment }

// mountPages mounts the three plain pages. They show source as text and load
// nothing from anywhere, so that looking at a message never counts as opening
// it.
func (h *Handler) mountPages(mux *http.ServeMux, guard func(http.Handler) http.Handler) {
	pages := parsePages(h.now)
	mount := func(pattern, name string, data func(*http.Request) (any, error)) {
		mux.Handle(pattern, guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, status := name, http.StatusOK
			d, err := data(r)
			if err != nil {
				f := h.failureOf(r, err)
				name, status, d = "error.html", f.status, f.text
			}
			var out bytes.Buffer
			if err := pages[languageOf(r)].ExecuteTemplate(&out, name, d); err != nil {
				h.logError(r, err)
				writeText(w, http.StatusInternalServerError, "internal error; the log says more\n")
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			out.WriteTo(w)
		})))
	}
	mount("GET /{$}", "list.html", h.listPage)
	mount("GET /messages/{id}", "message.html", h.messagePage)
	mount("GET /numbers", "numbers.html", h.numbersPage)
	mount("GET /clients", "clients.html", h.clientsPage)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, pageFiles, "page/style.css")
	})
}

// A listLine is a message as the list shows it, whoever it went to.
type listLine struct {
	messageRow
	To            string // the first recipient
	More          int    // how many others
	States        []listState
	Opens, Clicks hits
}

// A listState is how many deliveries of a message stand alike.
type listState struct {
	Status mail.Status
	Reason text
	Count  int
}

func newListLine(r store.Row) listLine {
	l := listLine{messageRow: newMessageRow(r, "en"), More: len(r.Deliveries) - 1}
	l.count(r.Message.Tally)
	for i, d := range r.Deliveries {
		if i == 0 {
			l.To = d.Recipient
		}
		l.count(d.Tally)
		l.state(d)
	}
	return l
}

func (l *listLine) count(t mail.Tally) {
	l.Opens.People += t.Opens
	l.Opens.Machines += t.MachineOpens
	l.Clicks.People += t.Clicks
	l.Clicks.Machines += t.MachineClicks
}

func (l *listLine) state(d mail.Delivery) {
	for i := range l.States {
		if s := &l.States[i]; s.Status == d.Status && s.Reason == text(d.Reason) {
			s.Count++
			return
		}
	}
	l.States = append(l.States, listState{d.Status, text(d.Reason), 1})
}

// listPage shows how the providers do and the latest messages; the filter is
// that of the command line.
func (h *Handler) listPage(r *http.Request) (any, error) {
	f, err := h.filter(r)
	if err != nil {
		return nil, err
	}
	if f.Limit == 0 {
		f.Limit = listMax
	}
	f.Limit = min(f.Limit, listLimit)
	data := struct {
		Filter    store.Filter
		Filtered  bool
		Statuses  []mail.Status
		Lines     []listLine
		Damaged   int
		Lost      int
		Providers []statusRow
	}{Filter: f, Filtered: filtered(r), Statuses: mail.Statuses, Lost: h.lost()}
	for row, err := range h.store.Messages(r.Context(), f) {
		switch {
		case errors.Is(err, store.ErrCorrupt):
			data.Damaged++
			h.logError(r, err)
		case err != nil:
			return nil, err
		default:
			data.Lines = append(data.Lines, newListLine(row))
		}
	}
	data.Providers, err = h.status(r.Context(), languageOf(r))
	return data, err
}

// filtered reports whether a request asks for less than everything.
func filtered(r *http.Request) bool {
	q := r.URL.Query()
	q.Del("lang")
	return len(q) > 0
}

// messagePage shows one message: what came in, what goes out, its links with
// their decisions and what happened to it.
func (h *Handler) messagePage(r *http.Request) (any, error) {
	row, err := h.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	show, err := h.show(r.Context(), row, languageOf(r))
	if err != nil {
		return nil, err
	}
	data := struct {
		showRow
		Earlier        int // events that are not shown
		Original, Sent source
	}{showRow: show, Earlier: max(0, len(show.Events)-eventMax)}
	data.Events = show.Events[data.Earlier:]
	data.Original = h.source(r, func(ctx context.Context) ([]byte, error) {
		return h.original(ctx, row.Message.ID)
	})
	data.Sent = h.source(r, func(ctx context.Context) ([]byte, error) { return h.firstCopy(ctx, row) })
	return data, nil
}

// clientsPage shows who connected, and what their quirks mean.
func (h *Handler) clientsPage(r *http.Request) (any, error) {
	all, err := h.visitors(r.Context())
	if err != nil {
		return nil, err
	}
	data := struct {
		Clients  []visitorRow
		Meanings map[string]string // by quirk
	}{Meanings: map[string]string{}}
	for _, v := range all {
		data.Clients = append(data.Clients, newVisitorRow(v))
		for name := range v.Quirks {
			data.Meanings[name] = quirk.Explain(name, languageOf(r))
		}
	}
	return data, nil
}

// original is the message as it was received.
func (h *Handler) original(ctx context.Context, id mail.ID) ([]byte, error) {
	content, err := h.store.Content(ctx, id)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
}

// firstCopy is the message as the first recipient gets it.
func (h *Handler) firstCopy(ctx context.Context, row store.Row) ([]byte, error) {
	d, err := delivery(row, "")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = h.withCopy(ctx, row, d, func(c mail.Copy) error {
		_, err := c.WriteTo(&b)
		return err
	})
	return b.Bytes(), err
}

// A source is a message as text for a page, or why there is none.
type source struct {
	Text    string
	Left    int // octets that are not shown
	Trouble string
}

func (h *Handler) source(r *http.Request, read func(context.Context) ([]byte, error)) source {
	b, err := read(r.Context())
	if err != nil {
		return source{Trouble: fmt.Sprintf("It cannot be shown: %s.", h.failureOf(r, err).text)}
	}
	shown := b[:min(len(b), sourceMax)]
	text := strings.ReplaceAll(strings.ToValidUTF8(string(shown), "\uFFFD"), "\r\n", "\n")
	return source{Text: text, Left: len(b) - len(shown)}
}
