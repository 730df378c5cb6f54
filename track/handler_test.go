package track

import (
	"bytes"
	"context"
	"image/gif"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/internal/clock"
	"backstamp/mail"
)

// A ledger is a store that takes every event, or does what fail says.
type ledger struct {
	mu     sync.Mutex
	events []mail.Event
	fail   func(mail.Event) error
}

// Record asks fail about all events at once, as a store commits them, and takes
// none where it panics.
func (l *ledger) Record(_ context.Context, events ...mail.Event) []error {
	l.mu.Lock()
	fail := l.fail
	l.mu.Unlock()
	errs, panics := make([]error, len(events)), make([]any, len(events))
	if fail != nil {
		var wg sync.WaitGroup
		for i, e := range events {
			wg.Go(func() {
				defer func() { panics[i] = recover() }()
				errs[i] = fail(e)
			})
		}
		wg.Wait()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	for i, e := range events {
		if errs[i] == nil {
			l.events = append(l.events, e)
		}
	}
	return errs
}

func (l *ledger) setFail(f func(mail.Event) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = f
}

func (l *ledger) all() []mail.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]mail.Event(nil), l.events...)
}

func newTestHandler(t testing.TB, s Settings, rec Recorder) *Handler {
	t.Helper()
	h, err := New(s, fixedKeys(t), rec, clock.NewFake(testTime), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// serve sends a request target as it is, without the help of a client that
// would tidy it up.
func serve(h http.Handler, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// value returns what a counter or gauge shows.
func value(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 1 {
		t.Fatalf("%v, %v", families, err)
	}
	m := families[0].Metric[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// clickPath returns the path of a signed link to url.
func clickPath(t testing.TB, ks *Keys, url string) string {
	tok := testToken(ks)
	tok.Destination = url
	return mail.PathClick + signTest(t, ks, tok) + "." + mail.EncodeDestination(url)
}

func openPath(t testing.TB, ks *Keys) string {
	tok := testToken(ks)
	tok.Purpose, tok.Link, tok.Destination = mail.PurposeOpen, 0, ""
	return mail.PathOpen + signTest(t, ks, tok) + mail.PixelSuffix
}

const long = "https://example.com/a?long=" // grown by the tests

func TestAnswers(t *testing.T) {
	ks := fixedKeys(t)
	const url = "https://example.com/a?b=c"
	click, open := clickPath(t, ks, url), openPath(t, ks)
	token := click[len(mail.PathClick):][:mail.TokenLen]
	openToken := strings.TrimSuffix(open[len(mail.PathOpen):], mail.PixelSuffix)
	unsubscribe := testToken(ks)
	unsubscribe.Purpose = mail.PurposeUnsubscribe
	url480 := long + strings.Repeat("x", 360-len(long)) // two full segments
	click480 := clickPath(t, ks, url480)
	url481 := url480 + "y"
	click481 := clickPath(t, ks, url481)

	const gone, pixel, moved = "404", "pixel", "302"
	tests := []struct {
		name, method, target, answer string
		hits                         int
	}{
		{"click", "GET", click, moved, 1},
		{"click, HEAD", "HEAD", click, moved, 1},
		{"click, POST", "POST", click, gone, 0},
		{"click, OPTIONS", "OPTIONS", click, gone, 0},
		{"click, query appended", "GET", click + "?utm_source=x&fbclid=%zz", moved, 1},
		{"click, empty query appended", "GET", click + "?", moved, 1},
		{"click, absolute form", "GET", "http://track.example" + click, moved, 1},
		{"click, two full segments", "GET", click480, moved, 1},
		{"click, two segments and a bit", "GET", click481, moved, 1},
		{"click, slash at the end", "GET", click + "/", gone, 0},
		{"click, slash after a full last segment", "GET", click480 + "/", gone, 0},
		{"click, slashes left out", "GET", mail.PathClick + strings.ReplaceAll(click481[len(mail.PathClick):], "/", ""), gone, 0},
		{"click, slash too early", "GET", click[:len(click)-4] + "/" + click[len(click)-4:], gone, 0},
		{"click, slash doubled", "GET", strings.Replace(click481, click481[len(click481)-3:], "/"+click481[len(click481)-3:], 1), gone, 0},
		{"click, double slash in front", "GET", "/" + click, gone, 0},
		{"click, double slash after c", "GET", "/c/" + click[2:], gone, 0},
		{"click, dot segment", "GET", "/x/.." + click, gone, 0},
		{"click, dot", "GET", "/." + click, gone, 0},
		{"click, escaped c", "GET", "/%63" + click[2:], gone, 0},
		{"click, escaped slash", "GET", "/c%2F" + click[3:], gone, 0},
		{"click, escaped dot", "GET", strings.Replace(click, ".", "%2e", 1), gone, 0},
		{"click, escaped letter of the token", "GET", "/c/%41" + click[4:], gone, 0},
		{"click, fragment", "GET", click + "#x", gone, 0},
		{"click, path parameter", "GET", click + ";jsessionid=1", gone, 0},
		{"click, padding", "GET", click + "=", gone, 0},
		{"click, line end", "GET", click + "%0A", gone, 0},
		{"click, line end inside the token", "GET", "/c/" + token[:20] + "%0d%0a" + token[20:] + click[3+mail.TokenLen:], gone, 0},
		{"click, unused bits", "GET", strings.TrimSuffix(click, "w") + "x", gone, 0},
		{"click, capital C", "GET", "/C/" + click[3:], gone, 0},
		{"click, no dot", "GET", "/c/" + token, gone, 0},
		{"click, no destination", "GET", "/c/" + token + ".", gone, 0},
		{"click, nothing", "GET", "/c/", gone, 0},
		{"click, token of an open", "GET", "/c/" + openToken + click[3+mail.TokenLen:], gone, 0},
		{"click, token to unsubscribe", "GET", "/c/" + signTest(t, ks, unsubscribe) + click[3+mail.TokenLen:], gone, 0},
		{"click, token of another link", "GET", clickPath(t, ks, "https://example.com/")[:3+mail.TokenLen] + click[3+mail.TokenLen:], gone, 0},
		{"click, plain destination", "GET", "/c/" + token + "." + url, gone, 0},
		{"click, foreign destination", "GET", "/c/" + token + "." + mail.EncodeDestination("https://evil.example/"), gone, 0},
		{"redirector of others", "GET", "/c?u=https://evil.example", gone, 0},

		{"open", "GET", open, pixel, 1},
		{"open, HEAD", "HEAD", open, pixel, 1},
		{"open, POST", "POST", open, pixel, 0},
		{"open, OPTIONS", "OPTIONS", open, pixel, 0},
		{"open, query appended", "GET", open + "?t=1", pixel, 1},
		{"open, junk", "GET", "/o/junk.gif", pixel, 0},
		{"open, nothing", "GET", "/o/.gif", pixel, 0},
		{"open, cut", "GET", "/o/" + openToken[:40] + ".gif", pixel, 0},
		{"open, token of a click", "GET", "/o/" + token + ".gif", pixel, 0},
		{"open, escaped letter", "GET", "/o/%41" + openToken[1:] + ".gif", pixel, 0},
		{"open, line end", "GET", "/o/" + openToken[:47] + "%0A.gif", pixel, 0},
		{"open, padding", "GET", "/o/" + openToken + "=.gif", pixel, 0},
		{"open, two tokens", "GET", "/o/" + openToken + "/" + openToken + ".gif", pixel, 0},
		{"open, without .gif", "GET", "/o/" + openToken, gone, 0},
		{"open, .GIF", "GET", "/o/" + openToken + ".GIF", gone, 0},
		{"open, .png", "GET", "/o/" + openToken + ".png", gone, 0},
		{"open, escaped dot", "GET", "/o/" + openToken + "%2egif", gone, 0},
		{"open, slash after", "GET", open + "/", gone, 0},
		{"open, escaped o", "GET", "/%6f" + open[2:], gone, 0},
		{"open, double slash", "GET", "/" + open, gone, 0},
		{"open, without a slash", "GET", "/o", gone, 0},

		{"unsubscribe, not yet", "GET", "/u/" + signTest(t, ks, unsubscribe), gone, 0},
		{"root", "GET", "/", gone, 0},
		{"robots", "GET", "/robots.txt", gone, 0},
		{"favicon", "GET", "/favicon.ico", gone, 0},
		{"metrics", "GET", "/metrics", gone, 0},
		{"readyz", "GET", "/readyz", gone, 0},
		{"api", "GET", "/api/v1/messages", gone, 0},
		{"traversal", "GET", "/../../etc/passwd", gone, 0},
		{"livez, slash", "GET", "/livez/", gone, 0},
		{"livez, POST", "POST", "/livez", gone, 0},
		{"star", "OPTIONS", "*", gone, 0},
		{"livez", "GET", "/livez", "ok", 0},
		{"livez, query", "GET", "/livez?x", "ok", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var kept ledger
			h := newTestHandler(t, Settings{}, &kept)
			res := serve(h, tt.method, tt.target)
			got := res.Status[:3]
			switch {
			case res.StatusCode == 200 && res.Header.Get("Content-Type") == "image/gif":
				got = pixel
			case res.StatusCode == 200:
				got = strings.TrimSpace(body(t, res))
			}
			if got != tt.answer {
				t.Errorf("%s %s: %s, want %s", tt.method, tt.target, got, tt.answer)
			}
			if n := len(kept.all()); n != tt.hits {
				t.Errorf("%d events, want %d", n, tt.hits)
			}
			if location := res.Header.Get("Location"); (location != "") != (tt.answer == moved) {
				t.Errorf("Location %q", location)
			}
		})
	}
}

func TestLocationIsByteForByte(t *testing.T) {
	ks := fixedKeys(t)
	h := newTestHandler(t, Settings{}, &ledger{})
	for _, url := range []string{
		"http://example.com",
		"https://example.com/%7Euser/a%2Fb/../c//d?q=a+b%20c&x=%EA%B0%80#frag?not=query",
		"HTTPS://EXAMPLE.com:443/",
		"https://user:p%40ss@example.com/",
		"https://xn--9t4b11yi5a.example/",
		"https://example.com/?next=https://other.example/?a=b&amp;c=d",
		"https://example.com/{{placeholder}}|<>\"'\\^`",
		"https://example.com/a b",
		"https://example.com/\xea\xb0\x80", // some client's raw bytes
		"http://[::1]:8080/",
		"https://example.com/?" + strings.Repeat("long&", 1500),
		long + strings.Repeat("8", mail.DestinationMax-len(long)),
	} {
		res := serve(h, "GET", clickPath(t, ks, url))
		if got := res.Header["Location"]; res.StatusCode != 302 || len(got) != 1 || got[0] != url {
			t.Errorf("%.60q of %d bytes: %d, Location %.60q", url, len(url), res.StatusCode, got)
		}
	}
}

// What must never be redirected to, even if some other part signed it.
func TestSignedButNotFollowed(t *testing.T) {
	ks := fixedKeys(t)
	var kept ledger
	h := newTestHandler(t, Settings{}, &kept)
	for _, url := range []string{
		"javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "ftp://example.com/",
		"//evil.example/", "/path", `\\evil.example`, "mailto:a@b.c", " https://example.com/", "\x01javascript:x", "https", "",
		"https://example.com/\r\nSet-Cookie: a=b", "https://example.com/\n", "http://example.com/\x00",
		long + strings.Repeat("9", mail.DestinationMax+1-len(long)),
	} {
		res := serve(h, "GET", clickPath(t, ks, url))
		if res.StatusCode != 404 || res.Header.Get("Location") != "" {
			t.Errorf("%.60q: %d, Location %q", url, res.StatusCode, res.Header["Location"])
		}
	}
	if n := len(kept.all()); n > 0 {
		t.Errorf("%d events", n)
	}
}

func TestHeaders(t *testing.T) {
	ks := fixedKeys(t)
	h := newTestHandler(t, Settings{}, &ledger{})
	for _, target := range []string{clickPath(t, ks, "https://example.com/"), openPath(t, ks), "/o/junk.gif", "/c/junk", "/livez"} {
		get, head := serve(h, "GET", target), serve(h, "HEAD", target)
		for name, want := range map[string]string{
			"Cache-Control":           "no-store",
			"Referrer-Policy":         "no-referrer",
			"X-Content-Type-Options":  "nosniff",
			"Content-Security-Policy": "default-src 'none'",
			"Set-Cookie":              "",
			"Etag":                    "",
			"Last-Modified":           "",
			"Server":                  "",
		} {
			if got := get.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", target, name, got, want)
			}
		}
		for name := range get.Header {
			if get.Header.Get(name) != head.Header.Get(name) {
				t.Errorf("%s: %s: GET %q, HEAD %q", target, name, get.Header.Get(name), head.Header.Get(name))
			}
		}
		if b := body(t, head); b != "" || head.StatusCode != get.StatusCode {
			t.Errorf("%s: HEAD: %d %q", target, head.StatusCode, b)
		}
	}
}

func TestPixelIsOneTransparentDot(t *testing.T) {
	res := serve(newTestHandler(t, Settings{}, &ledger{}), "GET", "/o/x.gif")
	text := body(t, res)
	if len(text) != 43 || res.Header.Get("Content-Length") != "43" {
		t.Errorf("%d octets, Content-Length %s, want 43", len(text), res.Header.Get("Content-Length"))
	}
	img, err := gif.Decode(bytes.NewReader([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() != 1 || b.Dy() != 1 {
		t.Errorf("size %v, want one dot", b)
	}
	if _, _, _, alpha := img.At(0, 0).RGBA(); alpha != 0 {
		t.Error("the dot can be seen")
	}
}

func TestNotFoundPageReflectsNothing(t *testing.T) {
	h := newTestHandler(t, Settings{}, &ledger{})
	const evil = "xyzzy"
	a := serve(h, "GET", "/c/"+evil+"?"+evil, "User-Agent", evil, "Referer", "https://"+evil+"/", "Cookie", evil+"=1")
	b := serve(h, "GET", "/")
	pageA, pageB := body(t, a), body(t, b)
	if pageA != pageB || !strings.Contains(pageA, "could not be verified") || !strings.Contains(pageA, "확인할 수 없습니다") {
		t.Errorf("pages: %q, %q", pageA, pageB)
	}
	for name, values := range a.Header {
		if strings.Contains(strings.Join(values, ""), evil) {
			t.Errorf("%s reflects the request", name)
		}
	}
}

func TestUnknownMessageIsFollowedAndCountedInAMetricAlone(t *testing.T) {
	ks := fixedKeys(t)
	kept := ledger{fail: func(mail.Event) error { return mail.ErrNotFound }}
	h := newTestHandler(t, Settings{}, &kept)
	if res := serve(h, "GET", clickPath(t, ks, "https://example.com/")); res.StatusCode != 302 {
		t.Errorf("click: %d", res.StatusCode)
	}
	if res := serve(h, "GET", openPath(t, ks)); res.StatusCode != 200 {
		t.Errorf("open: %d", res.StatusCode)
	}
	if got := value(t, h.metrics.unknown); got != 2 {
		t.Errorf("unknown messages: %v, want 2", got)
	}
	if len(h.events.queue) != 0 {
		t.Error("an event of a message that is gone waits to be kept")
	}
}

func TestMetricsOfHits(t *testing.T) {
	ks := fixedKeys(t)
	h := newTestHandler(t, Settings{}, &ledger{})
	serve(h, "GET", clickPath(t, ks, "https://example.com/"), "User-Agent", userAgentBrowser)
	serve(h, "HEAD", clickPath(t, ks, "https://example.com/"), "User-Agent", userAgentBrowser)
	serve(h, "GET", "/c/x")
	serve(h, "GET", "/o/x.gif")
	for name, got := range map[string]float64{
		"human clicks":   value(t, h.metrics.hits.WithLabelValues("click", "human")),
		"scanner clicks": value(t, h.metrics.hits.WithLabelValues("click", "scanner")),
		"bad clicks":     value(t, h.metrics.badTokens.WithLabelValues("click")),
		"bad opens":      value(t, h.metrics.badTokens.WithLabelValues("open")),
	} {
		if got != 1 {
			t.Errorf("%s: %v, want 1", name, got)
		}
	}
}

func TestSetPolicyPutsNewKeysInForce(t *testing.T) {
	var kept ledger
	h := newTestHandler(t, Settings{}, &kept)
	other, err := NewKeys([]string{GenerateKey()})
	if err != nil {
		t.Fatal(err)
	}
	path := clickPath(t, other, "https://example.com/")
	if res := serve(h, "GET", path); res.StatusCode != 404 {
		t.Fatalf("foreign link before: %d", res.StatusCode)
	}
	p, err := NewPolicy(Settings{WholeAddresses: true}, other)
	if err != nil {
		t.Fatal(err)
	}
	h.SetPolicy(p)
	if res := serve(h, "GET", path); res.StatusCode != 302 {
		t.Errorf("after: %d", res.StatusCode)
	}
	if got := kept.all(); len(got) != 1 || got[0].IP != "192.0.2.1" {
		t.Errorf("events: %+v", got)
	}
}

func FuzzHandler(f *testing.F) {
	ks := fixedKeys(f)
	f.Add(clickPath(f, ks, "https://example.com/"))
	f.Add(openPath(f, ks))
	f.Add("/c/%2e%2e/o/.gif?x")
	h := newTestHandler(f, Settings{}, &ledger{})
	good := clickPath(f, ks, "https://example.com/")
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		u, err := r.URL.Parse("http://host")
		if err != nil {
			t.Fatal(err)
		}
		u.Path, u.RawPath = path, path
		r.URL = u
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch {
		case w.Code == 302 && path == good, w.Code == 404:
		case w.Code == 200 && (path == "/livez" || strings.HasPrefix(path, "/o/") && strings.HasSuffix(path, ".gif")):
		default:
			t.Errorf("%q: %d, Location %q", path, w.Code, w.Header().Get("Location"))
		}
	})
}

func benchmarkHandler(b *testing.B, path string) {
	h := newTestHandler(b, Settings{}, &ledger{fail: func(mail.Event) error { return mail.ErrNotFound }})
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("User-Agent", userAgentBrowser)
	b.ReportAllocs()
	for b.Loop() {
		w := answerWriter{header: http.Header{}}
		h.ServeHTTP(&w, r)
	}
}

func BenchmarkOpen(b *testing.B) { benchmarkHandler(b, openPath(b, fixedKeys(b))) }
func BenchmarkClick(b *testing.B) {
	benchmarkHandler(b, clickPath(b, fixedKeys(b), "https://example.com/a?b=c"))
}
