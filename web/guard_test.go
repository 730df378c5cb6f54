package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
)

// endpoints lists the API.
func endpoints(method string) []string {
	paths := []string{"/messages", "/messages/" + fullID().String(), "/messages/" + fullID().String() + "/raw",
		"/messages/" + fullID().String() + "/sent", "/events", "/queue", "/status", "/usage", "/listeners", "/clients"}
	if method == http.MethodPost {
		paths = []string{"/queue/retry", "/queue/hold", "/queue/drop", "/queue/move", "/simulate", "/reload", "/keys/rotate"}
	}
	for i := range paths {
		paths[i] = "/api/v1" + paths[i]
	}
	return paths
}

// A page on the internet can point its own name to this machine, but it
// cannot change what the browser then asks for.
func TestHosts(t *testing.T) {
	cameTo := func(ip string) func(*http.Request) {
		return func(r *http.Request) {
			addr := &net.TCPAddr{IP: net.ParseIP(ip), Port: 8025}
			*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
		}
	}
	in := newHouse(t, nil)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8025": 200, "LOCALHOST:8025": 200, "127.0.0.1": 200, "127.0.0.1:8025": 200, "127.8.8.8:1": 200,
		"[::1]": 200, "[::1]:8025": 200, "relay.example.com": 200, "Relay.Example.COM:8025": 200, "10.0.0.5:8025": 200,

		"": 403, "evil.example": 403, "evil.example:8025": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403,
		"relay.example.com.evil.example": 403, "10.0.0.6": 403, "192.168.0.1:8025": 403, "[::2]:8025": 403, "localhost:8025:1": 403,
		"127.0.0.1@evil.example": 403, "0.0.0.0": 403, "2130706433": 403, "127.1": 403,
	} {
		for _, path := range []string{"/", "/api/v1/messages", "/metrics", "/livez", "/readyz", "/style.css"} {
			w := in.ask(http.MethodGet, path, "", func(r *http.Request) { r.Host = host }, cameTo("10.0.0.5"))
			if w.Code != want {
				t.Errorf("%s of %q: %d, want %d", path, host, w.Code, want)
			}
		}
	}
}

func TestPassword(t *testing.T) {
	in := newHouse(t, func(set *Settings, _ *Actions, _ *fakeStore) { set.Password = "비밀 번호" })
	as := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	closed := append(endpoints(http.MethodGet), "/", "/messages/"+fullID().String(), "/metrics")
	for _, path := range closed {
		w := in.get(path)
		if w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s without a password: %d", path, w.Code)
		}
		if strings.Contains(w.Body.String(), "example.com") {
			t.Errorf("%s tells %s", path, w.Body)
		}
		for _, wrong := range []string{"", "비밀", "비밀 번호 "} {
			if w := in.ask(http.MethodGet, path, "", as("admin", wrong)); w.Code != http.StatusUnauthorized {
				t.Errorf("%s with password %q: %d", path, wrong, w.Code)
			}
		}
		if w := in.ask(http.MethodGet, path, "", as("anybody", "비밀 번호")); w.Code != http.StatusOK {
			t.Errorf("%s with the password: %d", path, w.Code)
		}
	}
	for _, path := range endpoints(http.MethodPost) {
		if w := in.ask(http.MethodPost, path, "{}"); w.Code != http.StatusUnauthorized {
			t.Errorf("POST %s without a password: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if w := in.get(path); w.Code != http.StatusOK {
			t.Errorf("%s asks for a password: %d", path, w.Code)
		}
	}
}

// No page elsewhere can have a browser change anything here: neither by script
// nor by form.
func TestCrossOrigin(t *testing.T) {
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		field, value string
		want         int
	}{
		"script elsewhere":       {"Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		"other port":             {"Sec-Fetch-Site", "same-site", http.StatusForbidden},
		"old browser":            {"Origin", "https://evil.example", http.StatusForbidden},
		"sandboxed frame":        {"Origin", "null", http.StatusForbidden},
		"form":                   {"Content-Type", "application/x-www-form-urlencoded", http.StatusUnsupportedMediaType},
		"form of text":           {"Content-Type", "text/plain", http.StatusUnsupportedMediaType},
		"form with files":        {"Content-Type", "multipart/form-data; boundary=x", http.StatusUnsupportedMediaType},
		"no type":                {"Content-Type", "", http.StatusUnsupportedMediaType},
		"JSON in a parameter":    {"Content-Type", "text/plain; x=application/json", http.StatusUnsupportedMediaType},
		"program":                {"Content-Type", "application/json", http.StatusOK},
		"program with a charset": {"Content-Type", "Application/JSON; charset=utf-8", http.StatusOK},
		"own page":               {"Sec-Fetch-Site", "same-origin", http.StatusOK},
	} {
		in := newHouse(t, nil)
		for _, path := range []string{"/api/v1/queue/retry", "/api/v1/reload", "/api/v1/keys/rotate"} {
			w := in.ask(http.MethodPost, path, "{}", set(c.field, c.value))
			if w.Code != c.want {
				t.Errorf("%s, %s: %d, want %d", name, path, w.Code, c.want)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: others may read", name)
			}
		}
		if changed := len(in.queue.told) > 0; changed != (c.want == http.StatusOK) {
			t.Errorf("%s: the queue was told %v", name, in.queue.told)
		}
	}
}

func TestHeaders(t *testing.T) {
	in := newHouse(t, nil)
	for _, path := range append(endpoints(http.MethodGet), "/", "/messages/"+fullID().String(), "/style.css", "/metrics", "/livez", "/none", "/api/v1/none") {
		w := in.get(path)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q lacks %s", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if w.Header().Get("Content-Type") == "" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
}

func TestMethods(t *testing.T) {
	in := newHouse(t, nil)
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"} {
		for _, path := range append(endpoints(http.MethodGet), endpoints(http.MethodPost)...) {
			w := in.ask(method, path, "{}")
			problem(t, w, http.StatusMethodNotAllowed, "this takes ")
			if allow := w.Header().Get("Allow"); allow != "GET" && allow != "POST" {
				t.Errorf("%s %s: Allow: %q", method, path, allow)
			}
		}
		for _, path := range []string{"/", "/messages/" + fullID().String(), "/style.css", "/metrics", "/livez", "/readyz"} {
			if w := in.ask(method, path, ""); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	problem(t, in.ask(http.MethodPost, "/api/v1/messages", "{}"), http.StatusMethodNotAllowed, "this takes GET alone")
	problem(t, in.get("/api/v1/queue/retry"), http.StatusMethodNotAllowed, "this takes POST alone")
	for _, path := range []string{"/api/v1/", "/api/v1/none", "/api/v1/messages/x/y", "/api/v1/keys"} {
		problem(t, in.get(path), http.StatusNotFound, "no such thing in the API")
	}
	for _, path := range []string{"/none", "/api/v2/messages", "/page/list.html", "/messages/", "/debug/pprof/", "/favicon.ico"} {
		if w := in.get(path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestHealth(t *testing.T) {
	var trouble error
	in := newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) { do.Ready = func() error { return trouble } })
	if w := in.get("/readyz"); w.Code != http.StatusOK || w.Body.String() != "ok\n" {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
	trouble = errors.New("/var/lib/backstamp: disk failed")
	if w := in.get("/readyz"); w.Code != http.StatusServiceUnavailable || w.Body.String() != "not ready\n" {
		t.Errorf("not ready: %d %s", w.Code, w.Body)
	}
	if !strings.Contains(in.log.String(), "disk failed") {
		t.Errorf("log: %s", in.log)
	}
	if w := in.get("/livez"); w.Code != http.StatusOK {
		t.Errorf("alive: %d", w.Code)
	}
}

// The socket has the API and nothing else, for whoever may open it.
func TestLocal(t *testing.T) {
	in := newHouse(t, func(set *Settings, _ *Actions, _ *fakeStore) { set.Password = "secret" })
	in.private = in.Local()
	bare := func(r *http.Request) {
		r.Host = ""
		r.Header.Del("Content-Type")
	}
	for path, want := range map[string]int{"/api/v1/messages": 200, "/api/v1/none": 404, "/": 404, "/metrics": 404, "/livez": 404} {
		if w := in.ask(http.MethodGet, path, "", bare); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	if w := in.ask(http.MethodPost, "/api/v1/queue/retry", "{}", bare); w.Code != http.StatusOK {
		t.Errorf("retry: %d %s", w.Code, w.Body)
	}
}
