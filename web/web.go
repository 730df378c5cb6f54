// Package web is the private side over HTTP: the JSON API that the command
// line speaks too, one plain page, metrics and health. It reads the store and
// changes things only through named actions of the operator. It is never
// served to the public; that is track's listener.
package web

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"backstamp/mail"
	"backstamp/rewrite"
	"backstamp/store"
)

// Messages is what the store tells of messages.
type Messages interface {
	Message(context.Context, mail.ID) (store.Row, error)
	Messages(context.Context, store.Filter) iter.Seq2[store.Row, error]
	Content(context.Context, mail.ID) (mail.ContentCloser, error)
}

// Log is what the store tells of events and of what waits.
type Log interface {
	Events(context.Context, store.EventFilter) iter.Seq2[store.EventRow, error]
	Watch() <-chan struct{} // closed once something was recorded after the call
	Unfinished(context.Context) iter.Seq2[mail.Delivery, error]
}

// Store is all that is read here.
type Store interface {
	Messages
	Log
	Usage(context.Context) iter.Seq2[store.Usage, error]
	Tags(context.Context) iter.Seq2[store.Usage, error]
	Visitors(context.Context) ([]mail.Visitor, error)
}

// Queue is what an operator may do to the mail that waits. Each returns how
// many deliveries it changed.
type Queue interface {
	Retry(ctx context.Context, ids ...mail.ID) (int, error)
	Hold(ctx context.Context, id mail.ID) (int, error)
	Drop(ctx context.Context, id mail.ID) (int, error)
	Move(ctx context.Context, to string, ids ...mail.ID) (int, error)
}

// A Simulator runs a hit of a made-up reader through the public handler. Its
// errors are shown to the one who asked.
type Simulator interface {
	Simulate(ctx context.Context, url, actor string) (Hit, error)
}

// A Hit is what became of a simulated request.
type Hit struct {
	Status   int        `json:"status"` // of the HTTP answer
	Location string     `json:"location,omitempty"`
	Class    mail.Class `json:"class"`
	Rule     string     `json:"rule"`
}

// A Renderer makes the copy that goes, or went, upstream.
type Renderer interface {
	Render(m *mail.Message, content mail.Content, recipient int, provider string) (mail.Copy, error)
}

// A Provider is one provider of the configuration and how it does.
type Provider struct {
	Account string // * for one that all accounts share
	Name    string
	Preset  string
	Sent    int // in this day
	Limit   int // of a day; 0: none
	State   store.ProviderState
}

// A Listener is an address that the server holds.
type Listener struct {
	Address string `json:"address"` // as the configuration has it
	Bound   string `json:"bound"`   // host and port
}

// Actions are what the page and the API can do beside reading. What is asked of
// one that is nil is refused, because the server must run for it.
type Actions struct {
	Queue      Queue
	Simulator  Simulator
	Renderer   Renderer
	Reload     func(context.Context) error // its errors are shown to the one who asked
	RotateKeys func() (mail.KeyID, error)
	Reclassify func(context.Context) (store.Reclassified, error)

	// Where these are nil there is nothing to tell.
	Linker    rewrite.Linker // makes the tracking URLs that are shown
	Providers func(context.Context) ([]Provider, error)
	Listeners func() []Listener
	Visitors  func(context.Context) ([]mail.Visitor, error) // nil: as the store has them
	Ready     func() error                                  // why this process is not ready to take mail; nil: it is
	Lost      func() int                                    // opens and clicks since the start that could not be kept
}

// Settings say who may ask.
type Settings struct {
	// Hosts are the names the listener may be asked by, beside localhost and
	// its own addresses. Others are refused: a page on the internet could
	// point its own name here.
	Hosts    []string
	Password string // asked for by HTTP Basic, with any user name; "": none
}

// A Handler serves the private side. Nothing in it changes after New.
type Handler struct {
	store   Store
	do      Actions
	log     *slog.Logger
	now     func() time.Time
	private http.Handler
	local   http.Handler
}

// New returns the private side over s. The pages show times in the time zone
// of now.
func New(set Settings, s Store, do Actions, now func() time.Time, log *slog.Logger, reg prometheus.Gatherer) *Handler {
	h := &Handler{store: s, do: do, log: log, now: now}
	h.local = h.api()

	guard := func(next http.Handler) http.Handler {
		return password(set.Password, http.NewCrossOriginProtection().Handler(next))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", h.livez)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", guard(promhttp.HandlerFor(reg, promhttp.HandlerOpts{DisableCompression: true})))
	mux.Handle("/api/v1/", guard(h.onlyJSON(h.local)))
	h.mountPages(mux, guard)

	h.private = onlyHosts(set.Hosts, headers(mux))
	return h
}

// Private serves the private listener.
func (h *Handler) Private() http.Handler { return h.private }

// Local serves the private socket: the API alone, for whoever may open the
// socket.
func (h *Handler) Local() http.Handler { return h.local }

func (h *Handler) livez(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") }

func (h *Handler) readyz(w http.ResponseWriter, _ *http.Request) {
	if h.do.Ready != nil {
		if err := h.do.Ready(); err != nil {
			h.log.Warn("not ready", "err", err)
			writeText(w, http.StatusServiceUnavailable, "not ready\n")
			return
		}
	}
	writeText(w, http.StatusOK, "ok\n")
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(text))
}
