package track

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"backstamp/mail"
)

// A Simulation is what came of one simulated hit.
type Simulation struct {
	Class    mail.Class // "" when nothing was counted
	Rule     string
	Status   int    // of the answer
	Location string // of a click
}

// simulationKey is where a request carries its *Simulation.
type simulationKey struct{}

// An actor is one of those who make hits, as its requests show.
type actor struct {
	name, method, userAgent, referer, addr string
}

const (
	userAgentBrowser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	addrReader       = "203.0.113.7" // set aside for documentation, RFC 5737
)

// actors lists those that can be simulated; the first is the default.
func actors() []actor {
	return []actor{
		{name: "human", userAgent: userAgentBrowser},
		{name: "gmail", userAgent: "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"},
		{name: "yahoo", userAgent: "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"},
		{name: "apple-mpp", userAgent: "Mozilla/5.0"},
		{name: "gmail-prefetch", userAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"},
		{name: "safelinks", userAgent: userAgentBrowser, referer: "https://nam02.safelinks.protection.outlook.com/"},
		{name: "barracuda", userAgent: userAgentBrowser, addr: "64.235.144.10"},
		{name: "head", method: http.MethodHead, userAgent: userAgentBrowser},
	}
}

// Actors returns the names that Simulate takes; the first is the default.
func Actors() []string {
	var names []string
	for _, a := range actors() {
		names = append(names, a.name)
	}
	return names
}

// Simulate sends the request that the actor would send for a tracking URL
// through the Handler, which counts it like any other.
func (h *Handler) Simulate(ctx context.Context, trackingURL, actorName string) (Simulation, error) {
	for _, a := range actors() {
		if a.name == actorName {
			return h.simulate(ctx, trackingURL, a)
		}
	}
	return Simulation{}, fmt.Errorf("no actor %q; expected one of %s", actorName, strings.Join(Actors(), ", "))
}

func (h *Handler) simulate(ctx context.Context, trackingURL string, a actor) (Simulation, error) {
	path, err := pathOf(trackingURL)
	if err != nil {
		return Simulation{}, err
	}
	var s Simulation
	r, err := http.NewRequestWithContext(context.WithValue(ctx, simulationKey{}, &s), a.method, path, nil)
	if err != nil {
		return Simulation{}, fmt.Errorf("tracking URL: %w", err)
	}
	r.RemoteAddr = addrReader + ":443"
	if a.addr != "" {
		r.RemoteAddr = a.addr + ":443"
	}
	r.Header.Set("User-Agent", a.userAgent)
	if a.referer != "" {
		r.Header.Set("Referer", a.referer)
	}
	w := answerWriter{header: http.Header{}}
	h.ServeHTTP(&w, r)
	s.Status, s.Location = w.status, w.header.Get("Location")
	return s, nil
}

// An answerWriter keeps the head of an answer.
type answerWriter struct {
	header http.Header
	status int
}

func (w *answerWriter) Header() http.Header         { return w.header }
func (w *answerWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *answerWriter) WriteHeader(status int)      { w.status = status }

// pathOf returns the path of a tracking URL as the listener sees it: what the
// base URL has before it is for a proxy to take away.
func pathOf(trackingURL string) (string, error) {
	u, err := url.Parse(trackingURL)
	if err != nil {
		return "", fmt.Errorf("tracking URL: %w", err)
	}
	path := u.EscapedPath()
	// No segment of a destination but the last is so short.
	i := max(strings.LastIndex(path, mail.PathOpen), strings.LastIndex(path, mail.PathClick))
	if i < 0 {
		return "", fmt.Errorf("%q is no tracking URL", trackingURL)
	}
	return path[i:], nil
}
