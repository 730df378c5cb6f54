package track

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// A Handler is the whole of the public listener: pixels, click links and
// /livez. It has no other paths, cleans none and reflects nothing that it was
// sent. Run must run beside it, or events that the store did not take at once
// are lost.
type Handler struct {
	policy  atomic.Pointer[Policy]
	events  *recorder
	clock   clock.Clock
	log     *slog.Logger
	metrics *metrics
}

// A Policy is what a reload may change of a Handler. It never changes itself.
type Policy struct {
	keys    *Keys
	proxies networks
	whole   bool
	classes *Classifier
}

// NewPolicy checks the settings. Errors are of type *mail.SettingError, joined.
func NewPolicy(s Settings, keys *Keys) (*Policy, error) {
	classes, err := LoadClassifier(s.ClassesFile, s.Ranges)
	if err != nil {
		return nil, err
	}
	p := &Policy{keys: keys, whole: s.WholeAddresses, classes: classes}
	for _, n := range s.TrustedProxies {
		p.proxies = append(p.proxies, unmapped(n))
	}
	return p, nil
}

// New returns a Handler that gives what happens to rec. reg may be nil.
func New(s Settings, keys *Keys, rec Recorder, clk clock.Clock, log *slog.Logger, reg prometheus.Registerer) (*Handler, error) {
	p, err := NewPolicy(s, keys)
	if err != nil {
		return nil, err
	}
	m := newMetrics(reg)
	h := &Handler{events: newRecorder(rec, s.Spill, clk, log, m), clock: clk, log: log, metrics: m}
	h.policy.Store(p)
	return h, nil
}

// SetPolicy puts p in force for the requests that come from now on.
func (h *Handler) SetPolicy(p *Policy) { h.policy.Store(p) }

// Run keeps the events that the store could not take at once, and offers them
// again until it does. When ctx ends it waits a few seconds for calls that are
// under way, puts what is left into the spill file and returns; the HTTP server
// should have ended before.
func (h *Handler) Run(ctx context.Context) error { return h.events.run(ctx) }

// Lost returns how many opens and clicks neither the store nor the memory nor
// the spill file could take since the Handler was made.
func (h *Handler) Lost() int { return int(h.events.lost.Load()) }

const pathLive = "/livez"

// ServeHTTP answers one request. It looks at the path as it was sent: what
// merely means the same as one of ours, by escapes, dots or doubled slashes, is
// none of ours. A query, which others like to append, is not looked at.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	if pixel, ok := strings.CutPrefix(path, mail.PathOpen); ok {
		if token, ok := strings.CutSuffix(pixel, mail.PixelSuffix); ok {
			h.open(w, r, token)
			return
		}
	}
	if link, ok := strings.CutPrefix(path, mail.PathClick); ok {
		h.click(w, r, link)
		return
	}
	if path == pathLive && counts(r.Method) {
		answer(w, r, http.StatusOK, typeText, []byte("ok\n"))
		return
	}
	notFound(w, r)
}

// pixel is a GIF of one transparent dot.
var pixel = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" +
	"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

// open answers with the pixel, whatever the token: a broken image in a mail
// helps nobody.
func (h *Handler) open(w http.ResponseWriter, r *http.Request, token string) {
	if t, err := h.policy.Load().keys.Verify(mail.PurposeOpen, token, ""); err == nil {
		h.hit(r, mail.KindOpen, t)
	} else {
		h.metrics.badTokens.WithLabelValues(string(mail.KindOpen)).Inc()
	}
	// Web mail that isolates itself (COEP) shows only images that allow it.
	w.Header()["Cross-Origin-Resource-Policy"] = crossOrigin
	answer(w, r, http.StatusOK, typeGIF, pixel)
}

// click redirects to the destination in the link, if one of our keys signed it.
func (h *Handler) click(w http.ResponseWriter, r *http.Request, link string) {
	t, err := h.verifyClick(link)
	if err != nil {
		h.metrics.badTokens.WithLabelValues(string(mail.KindClick)).Inc()
	}
	if err != nil || !counts(r.Method) {
		notFound(w, r)
		return
	}
	h.hit(r, mail.KindClick, t)
	w.Header().Set("Location", t.Destination)
	answer(w, r, http.StatusFound, nil, nil)
}

func (h *Handler) verifyClick(link string) (mail.Token, error) {
	if len(link) <= mail.TokenLen || link[mail.TokenLen] != '.' {
		return mail.Token{}, ErrToken
	}
	destination, err := mail.DecodeDestination(link[mail.TokenLen+1:])
	if err != nil {
		return mail.Token{}, err
	}
	t, err := h.policy.Load().keys.Verify(mail.PurposeClick, link[:mail.TokenLen], destination)
	if err == nil && !followable(destination) {
		return mail.Token{}, ErrToken
	}
	return t, err
}

// followable guards against a mistake on the side that signs: nothing but the
// web is redirected to, and a Location stays one header field.
func followable(url string) bool {
	scheme, _, ok := strings.Cut(url, ":")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) &&
		!strings.ContainsAny(url, "\r\n\x00")
}

// counts reports whether a request of the method is a hit.
func counts(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// hit makes the event of a request with a good token and gives it to be kept.
// Whatever goes wrong in it, the reader is answered.
func (h *Handler) hit(r *http.Request, kind mail.Kind, t mail.Token) {
	defer func() {
		if p := recover(); p != nil {
			h.metrics.panics.Inc()
			h.log.Error("a hit was not counted", "msg", t.Message, "err", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	if !counts(r.Method) {
		return
	}
	e := h.policy.Load().event(r, kind, t, h.clock.Now())
	h.metrics.hits.WithLabelValues(string(kind), string(e.Class)).Inc()
	if s, ok := r.Context().Value(simulationKey{}).(*Simulation); ok {
		s.Class, s.Rule = e.Class, e.Rule
		e.Simulated = true
	}
	h.events.record(e)
}

//go:embed notfound.html
var notFoundPage []byte

func notFound(w http.ResponseWriter, r *http.Request) {
	answer(w, r, http.StatusNotFound, typeHTML, notFoundPage)
}

// The values of header fields that all answers share, so that none makes its
// own. Nobody changes them.
var (
	typeGIF     = []string{"image/gif"}
	typeText    = []string{"text/plain; charset=utf-8"}
	typeHTML    = []string{"text/html; charset=utf-8"}
	crossOrigin = []string{"cross-origin"}
	noStore     = []string{"no-store"}
	noSource    = []string{"default-src 'none'"}
	noReferrer  = []string{"no-referrer"}
	noSniff     = []string{"nosniff"}
	noIndex     = []string{"noindex"}
)

// answer writes a whole answer. HEAD gets the header of GET.
func answer(w http.ResponseWriter, r *http.Request, status int, contentType []string, body []byte) {
	h := w.Header()
	if contentType != nil {
		h["Content-Type"] = contentType
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h["Cache-Control"] = noStore
	h["Content-Security-Policy"] = noSource
	h["Referrer-Policy"] = noReferrer
	h["X-Content-Type-Options"] = noSniff
	h["X-Robots-Tag"] = noIndex
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}
