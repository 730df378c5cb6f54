package track_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/internal/readers"
	"backstamp/mail"
	"backstamp/store"
	"backstamp/store/bolt"
	"backstamp/track"
)

const trackingDoc = "../docs/tracking.md"

// writeSection compares a section of the document with what it should be.
func writeSection(t *testing.T, name, text string) {
	t.Helper()
	mailtest.Section(t, trackingDoc, name, text)
}

// A lab is the real handler before a real store, with Apple's list and an
// operator's own networks.
type lab struct {
	t        testing.TB
	store    *bolt.Store
	keys     *track.Keys
	settings track.Settings
	ids      mail.IDs
}

// labTime is when everything in a lab is sent.
var labTime = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func newLab(t testing.TB) *lab {
	t.Helper()
	dir := t.TempDir()
	s, err := bolt.Open(dir, bolt.Options{Clock: clock.NewFake(labTime), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	keys, err := track.NewKeys([]string{track.GenerateKey()})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, store: s, keys: keys, settings: track.Settings{ClassesFile: filepath.Join(dir, "rules.yaml"), Ranges: dir}}
	for name, text := range map[string]string{
		"egress-ip-ranges.csv": readers.AppleRelay + ",KR,,Seoul,\n",
		"rules.yaml":           "self: [" + readers.Operator + "]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.SetTiming(l.policy().Timing())
	return l
}

func (l *lab) policy() *track.Policy {
	l.t.Helper()
	p, err := track.NewPolicy(l.settings, l.keys)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// put puts a message with so many links, and sends it unless told otherwise.
func (l *lab) put(links int, send bool) mail.ID {
	l.t.Helper()
	m := &mail.Message{ID: l.ids.Next(labTime), Received: labTime, Account: "shop", Provider: "shop/main", Tracked: true, Links: links}
	d := mail.Delivery{Message: m.ID, Index: 1, Recipient: "reader@example.com", Provider: m.Provider, Status: mail.Queued}
	if err := l.store.Put(l.t.Context(), m, []mail.Delivery{d}, strings.NewReader("")); err != nil {
		l.t.Fatal(err)
	}
	if send {
		o := mail.Outcome{Message: m.ID, Index: 1, At: labTime, Status: mail.Sent, Kind: mail.KindSent}
		if err := l.store.Conclude(l.t.Context(), []mail.Outcome{o}); err != nil {
			l.t.Fatal(err)
		}
	}
	return m.ID
}

// play sends the requests of one copy's readers to a handler, each in its time.
func (l *lab) play(id mail.ID, hits []readers.Hit) {
	l.t.Helper()
	clk := clock.NewFake(labTime)
	h, err := track.New(l.settings, l.keys, l.store, clk, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, hit := range hits {
		clk.Advance(labTime.Add(hit.After).Sub(clk.Now()))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, l.request(id, hit))
		if w.Code != http.StatusOK && w.Code != http.StatusFound {
			l.t.Errorf("answered %d", w.Code)
		}
	}
}

// request is what a reader's program sends.
func (l *lab) request(id mail.ID, hit readers.Hit) *http.Request {
	l.t.Helper()
	tok := mail.Token{Purpose: mail.PurposeOpen, Key: l.keys.Key(), Privacy: mail.Identified, Message: id, Recipient: 1}
	path, rest := mail.PathOpen, mail.PixelSuffix
	if hit.Link > 0 {
		tok.Purpose, tok.Link, tok.Destination = mail.PurposeClick, uint16(hit.Link), "https://example.com/"
		path, rest = mail.PathClick, "."+mail.EncodeDestination(tok.Destination)
	}
	text, err := l.keys.AppendToken(nil, tok)
	if err != nil {
		l.t.Fatal(err)
	}
	r := httptest.NewRequest(hit.Method, path+string(text)+rest, nil)
	r.RemoteAddr = hit.Addr + ":443"
	for name, value := range map[string]string{"User-Agent": hit.UserAgent, "Referer": hit.Referer, "Sec-Purpose": hit.Purpose} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return r
}

// hits are those that were kept of a message.
func (l *lab) hits(id mail.ID) (hits []mail.Event) {
	l.t.Helper()
	for e, err := range l.store.Events(l.t.Context(), store.EventFilter{Message: id}) {
		if err != nil {
			l.t.Fatal(err)
		}
		if e.IsHit() {
			hits = append(hits, e.Event)
		}
	}
	return hits
}

// reclassify judges all hits again by the rules that judged them.
func (l *lab) reclassify() {
	l.t.Helper()
	p := l.policy()
	if _, err := l.store.Reclassify(l.t.Context(), p.Judge, p.Timing()); err != nil {
		l.t.Fatal(err)
	}
}
