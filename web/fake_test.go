package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/mail"
	"backstamp/rewrite"
	"backstamp/store"
)

// listed is one step of a listing.
type listed[T any] struct {
	row T
	err error
}

func rows[T any](values ...T) (out []listed[T]) {
	for _, v := range values {
		out = append(out, listed[T]{row: v})
	}
	return out
}

func sequence[T any](steps []listed[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, s := range steps {
			if !yield(s.row, s.err) {
				return
			}
		}
	}
}

// fakeStore remembers what a test gives it. Its mutex guards events, watch and
// reads, which a test changes while a follower reads.
type fakeStore struct {
	messages   []listed[store.Row]
	content    map[mail.ID][]byte
	contentErr error
	unfinished []listed[mail.Delivery]
	usage      []listed[store.Usage]
	tags       []listed[store.Usage]
	visitors   []mail.Visitor

	filter      store.Filter // asked for last
	eventFilter store.EventFilter

	mu     sync.Mutex
	events []listed[mail.Event]
	watch  chan struct{}
	reads  int // how often the log was read
}

func (s *fakeStore) Message(_ context.Context, id mail.ID) (store.Row, error) {
	for _, m := range s.messages {
		if m.row.Message != nil && m.row.Message.ID == id {
			if m.err != nil {
				return store.Row{}, m.err
			}
			return m.row, nil
		}
	}
	return store.Row{}, fmt.Errorf("read message %s: %w", id, store.ErrNotFound)
}

func (s *fakeStore) Messages(_ context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	s.filter = f
	return sequence(s.messages)
}

func (s *fakeStore) Content(_ context.Context, id mail.ID) (mail.ContentCloser, error) {
	if s.contentErr != nil {
		return nil, s.contentErr
	}
	return held{bytes.NewReader(s.content[id])}, nil
}

// held is content in memory.
type held struct{ *bytes.Reader }

func (held) Close() error { return nil }

// Events takes the place of an event in the log as its cursor.
func (s *fakeStore) Events(_ context.Context, f store.EventFilter) iter.Seq2[store.EventRow, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventFilter = f
	s.reads++
	var steps []listed[store.EventRow]
	for i, e := range s.events {
		row := store.EventRow{Cursor: fmt.Appendf(nil, "%06d", i), Event: e.row}
		mine := (f.Message.IsZero() || f.Message == e.row.Message) && (f.Kind == "" || f.Kind == e.row.Kind)
		if e.err != nil || mine && bytes.Compare(row.Cursor, f.After) > 0 {
			steps = append(steps, listed[store.EventRow]{row, e.err})
		}
	}
	return sequence(steps)
}

func (s *fakeStore) Watch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch == nil {
		s.watch = make(chan struct{})
	}
	return s.watch
}

func (s *fakeStore) record(e mail.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, listed[mail.Event]{row: e})
	if s.watch != nil {
		close(s.watch)
		s.watch = nil
	}
}

func (s *fakeStore) Unfinished(context.Context) iter.Seq2[mail.Delivery, error] {
	return sequence(s.unfinished)
}

func (s *fakeStore) Usage(context.Context) iter.Seq2[store.Usage, error] { return sequence(s.usage) }
func (s *fakeStore) Tags(context.Context) iter.Seq2[store.Usage, error]  { return sequence(s.tags) }

func (s *fakeStore) Visitors(context.Context) ([]mail.Visitor, error) { return s.visitors, nil }

// fakeLinker makes tokens that depend on all they vouch for.
type fakeLinker struct{}

func (fakeLinker) Key() mail.KeyID { return mail.KeyID{1, 2, 3, 4} }

func (fakeLinker) AppendToken(dst []byte, t mail.Token) ([]byte, error) {
	sum := sha256.Sum256([]byte(t.Destination))
	token := fmt.Sprintf("%c-%05d-%05d-%x", t.Purpose, t.Recipient, t.Link, sum)
	return append(dst, token[:mail.TokenLen]...), nil
}

func (fakeLinker) Verify(mail.Purpose, string, string) (mail.Token, error) {
	return mail.Token{}, errors.New("no token")
}

// fakeQueue notes what it is told.
type fakeQueue struct {
	told []string
	err  error
}

func (q *fakeQueue) tell(action string, ids ...mail.ID) (int, error) {
	for _, id := range ids {
		action += " " + id.String()
	}
	q.told = append(q.told, action)
	return len(ids), q.err
}

func (q *fakeQueue) Retry(_ context.Context, ids ...mail.ID) (int, error) {
	return q.tell("retry", ids...)
}
func (q *fakeQueue) Hold(_ context.Context, id mail.ID) (int, error) { return q.tell("hold", id) }
func (q *fakeQueue) Drop(_ context.Context, id mail.ID) (int, error) { return q.tell("drop", id) }
func (q *fakeQueue) Move(_ context.Context, to string, ids ...mail.ID) (int, error) {
	return q.tell("move to "+to, ids...)
}

// fakeSimulator notes what it is asked for.
type fakeSimulator struct{ url, actor string }

func (s *fakeSimulator) Simulate(_ context.Context, url, actor string) (Hit, error) {
	s.url, s.actor = url, actor
	if actor == "nobody" {
		return Hit{}, errors.New(`no actor "nobody"; expected one of human, gmail`)
	}
	return Hit{Status: 302, Location: "https://example.com/?a=1&b=2", Class: mail.Human, Rule: "browser"}, nil
}

// fakeRenderer makes copies that tell who they are for.
type fakeRenderer struct{ err error }

func (r fakeRenderer) Render(_ *mail.Message, stored mail.Content, recipient int, provider string) (mail.Copy, error) {
	content, err := io.ReadAll(io.NewSectionReader(stored, 0, stored.Size()))
	if err != nil {
		return nil, err
	}
	return fakeCopy{text: fmt.Sprintf("For: %d by %s\r\n%s", recipient, provider, content)}, r.err
}

type fakeCopy struct {
	text string
	cut  int // how many octets are missing when it is written
}

func (c fakeCopy) Size() int64                  { return int64(len(c.text)) }
func (c fakeCopy) MailFrom() string             { return "" }
func (c fakeCopy) EightBit() bool               { return false }
func (c fakeCopy) UTF8() bool                   { return false }
func (c fakeCopy) SevenBit() (mail.Copy, error) { return c, nil }

func (c fakeCopy) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, c.text[:len(c.text)-c.cut])
	if c.cut > 0 && err == nil {
		err = errors.New("/var/lib/backstamp: it changed")
	}
	return int64(n), err
}

const testBase = "https://t.example.net"

// now is the time of every test.
func now() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// A house is a Handler with all that it stands on.
type house struct {
	*Handler
	store *fakeStore
	queue *fakeQueue
	sim   *fakeSimulator
	log   *bytes.Buffer
}

func newHouse(t testing.TB, change func(*Settings, *Actions, *fakeStore)) house {
	t.Helper()
	in := house{store: newFakeStore(t), queue: &fakeQueue{}, sim: &fakeSimulator{}, log: &bytes.Buffer{}}
	set := Settings{Hosts: []string{"relay.example.com"}}
	do := Actions{
		Queue: in.queue, Simulator: in.sim, Renderer: fakeRenderer{}, Linker: fakeLinker{},
		Reload:     func(context.Context) error { return nil },
		RotateKeys: func() (mail.KeyID, error) { return mail.KeyID{0xab, 0xcd, 1, 2}, nil },
		Providers:  func(context.Context) ([]Provider, error) { return testProviders(), nil },
		Listeners: func() []Listener {
			return []Listener{{"127.0.0.1:0", "127.0.0.1:2525"}, {"127.0.0.1:8025", "127.0.0.1:8025"}}
		},
	}
	if change != nil {
		change(&set, &do, in.store)
	}
	log := slog.New(slog.NewTextHandler(in.log, nil))
	in.Handler = New(set, in.store, do, now, log, prometheus.NewRegistry())
	return in
}

// ask sends a request to the private side as a program on this machine would.
func (in house) ask(method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost:8025"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	in.Private().ServeHTTP(w, r)
	return w
}

func (in house) get(target string) *httptest.ResponseRecorder {
	return in.ask(http.MethodGet, target, "")
}

// problem checks that an answer is a problem of that status with that detail.
func problem(t *testing.T, w *httptest.ResponseRecorder, status int, detail string) {
	t.Helper()
	if kind := w.Header().Get("Content-Type"); w.Code != status || kind != "application/problem+json" {
		t.Errorf("answer %d of type %q, want problem %d", w.Code, kind, status)
	}
	if body := w.Body.String(); !strings.Contains(body, `"detail":"`+detail) {
		t.Errorf("problem %s, want detail %q", body, detail)
	}
}

// The messages of the fake store.
func fullID() mail.ID   { return mail.ID{1, 2, 3} }
func bareID() mail.ID   { return mail.ID{1, 2, 2} }
func sharedID() mail.ID { return mail.ID{1, 2, 1} }
func noID() mail.ID     { return mail.ID{9} }

const fullContent = "From: shop@example.com\r\nContent-Type: text/html\r\n\r\n" +
	`<a href="https://example.com/?a=1&amp;b=2">see &amp; buy</a> <a href="https://example.com/two">two</a> <a href="mailto:a@example.com">write</a>` + "\r\n"

func newFakeStore(t testing.TB) *fakeStore {
	at := now().Add(-time.Hour)
	return &fakeStore{
		messages: rows(fullRow(t), bareRow(), sharedRowOf(t)),
		content:  map[mail.ID][]byte{fullID(): []byte(fullContent), bareID(): []byte("\r\n"), sharedID(): []byte(fullContent)},
		events: rows(
			mail.Event{Time: at, Kind: mail.KindAccepted, Message: fullID()},
			mail.Event{Time: at.Add(time.Second), Kind: mail.KindSent, Message: fullID(), Recipient: 1, Text: "250 2.0.0 Ok\n250 done"},
			mail.Event{
				Time: at.Add(time.Minute), Kind: mail.KindClick, Message: fullID(), Recipient: 1, Link: 1, Class: mail.Human,
				Rule: "browser", IP: "203.0.113.0/24", UserAgent: "Mozilla/5.0 <&>", Count: 3,
			},
			mail.Event{Time: at.Add(time.Minute), Kind: mail.KindOpen, Message: fullID(), Recipient: 1, Class: mail.Human, Rule: "browser", Basis: mail.BasisClick},
			mail.Event{Time: at.Add(2 * time.Minute), Kind: mail.KindOpen, Message: sharedID(), Class: mail.Proxy, Rule: "gmail-proxy"},
			mail.Event{Time: at.Add(3 * time.Minute), Kind: mail.KindOpen, Message: noID(), Recipient: 1, Class: mail.Human},
		),
		unfinished: rows(fullRow(t).Deliveries[1], bareRow().Deliveries[0]),
		usage: rows(
			store.Usage{Account: "shop", Provider: "shop/main", Day: "2026-03-03", Messages: 9, Recipients: 12, Sums: mail.Sums{Opens: 8, Clicks: 7, MachineOpens: 6, MachineClicks: 5, UniqueOpens: 4, UniqueClicks: 3}},
			store.Usage{Account: "shop", Provider: "shop/main", Day: "2026-03-04", Messages: 4, Recipients: 6},
			store.Usage{Account: "shop", Provider: "*/pool", Day: "2026-03-04", Messages: 1, Recipients: 1},
			store.Usage{Account: "crm", Provider: "*/pool", Day: "2026-03-04", Messages: 2, Recipients: 3},
		),
		tags: rows(
			store.Usage{Account: "shop", Tag: "봄 소식", Day: "2026-02-01", Messages: 1, Recipients: 1},
			store.Usage{Account: "shop", Tag: "봄 소식", Day: "2026-03-03", Messages: 4, Recipients: 5, Sums: mail.Sums{Opens: 3, Clicks: 2, MachineOpens: 2, MachineClicks: 1, UniqueOpens: 2, UniqueClicks: 1}},
			store.Usage{Account: "crm", Tag: "봄 소식", Day: "2026-03-04", Messages: 2, Recipients: 3},
			store.Usage{Account: "shop", Tag: "<b>", Day: "2026-03-04", Messages: 2, Recipients: 2, Sums: mail.Sums{Opens: 1, UniqueOpens: 1}},
		),
		visitors: []mail.Visitor{
			{
				Addr: "10.0.5.21", Name: "printers", Helo: "RICOH", User: "shop", TLS: "TLS 1.2", Listener: "0.0.0.0:2525", First: at, Last: now(),
				Connections: 9, Messages: 7, Refused: 2, Refusal: "451 4.7.1 too much", Quirks: map[string]int{"bare-lf": 5, "nul": 1},
			},
			{Addr: "203.0.113.9", First: at, Last: at, Connections: 1},
		},
	}
}

func testProviders() []Provider {
	return []Provider{
		{Account: "shop", Name: "main", Preset: "gmail", Sent: 4, Limit: 450},
		{Account: "*", Name: "pool", Preset: "generic", Sent: 3, State: store.ProviderState{
			State: store.StateParked, Reason: mail.HoldAuth, LastError: "535 5.7.8 no\n535 5.7.8 really not", Until: now().Add(time.Hour),
		}},
	}
}

func testPlan(t testing.TB, id mail.ID, content string, shared bool) []byte {
	t.Helper()
	r, err := rewrite.New(rewrite.Settings{BaseURL: testBase}, fakeLinker{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Plan(rewrite.Request{
		ID: id, Content: strings.NewReader(content), Recipients: 2, Shared: shared, Opens: true, Clicks: true, Privacy: mail.Identified,
	}).Encode()
}

// fullRow has something in every field.
func fullRow(t testing.TB) store.Row {
	at := time.Date(2026, 3, 4, 13, 0, 0, 120_000_000, time.FixedZone("KST", 9*3600))
	return store.Row{
		Message: &mail.Message{
			ID: fullID(), Received: at, Account: "shop", Provider: "shop/main", MailFrom: "bounce@example.com",
			MessageID: "<1@example.com>", HeaderFrom: "shop@example.com", Subject: "주문 <1042> & more", Tag: "orders",
			Meta: map[string]string{"order": "1042"}, Size: 1234, Tracked: true,
			Detail: mail.Detail{
				Plan:      testPlan(t, fullID(), fullContent, false),
				Alignment: mail.Alignment{Rule: "from", From: "shop@example.com", Identity: "main@example.com", Action: mail.ActionEnvelope},
				Quirks:    []string{"bare-lf", "no-helo"}, Transcript: []string{"C: EHLO app", "S: 250 ok"},
			},
		},
		Deliveries: []mail.Delivery{
			{
				Message: fullID(), Index: 1, Recipient: "Kim@example.kr", Provider: "shop/main", Status: mail.Clicked, Basis: mail.BasisClick,
				Attempts: 2, Uncertain: true, Reply: "250 2.0.0 Ok\n250 queued as 7", UpstreamID: "7",
				Tally: mail.Tally{
					Opens: 1, Clicks: 3, MachineOpens: 4, MachineClicks: 5, UniqueOpens: 1, FirstOpen: at.Add(time.Minute), LastOpen: at.Add(2 * time.Minute), LastEvent: at.Add(time.Hour),
					Links: map[int]mail.LinkTally{1: {Clicks: 3, MachineClicks: 2, First: at.Add(3 * time.Minute), Last: at.Add(time.Hour)}, 2: {MachineClicks: 3}},
				},
			},
			{
				Message: fullID(), Index: 2, Recipient: "lee@example.com", Provider: "shop/spare", Status: mail.Held, Reason: mail.HoldQuota,
				Attempts: 1, Reply: "550 5.4.5 limit", NextAttempt: at.Add(24 * time.Hour),
				Explain: &mail.Explain{
					ID: "gmail-quota", Class: mail.ClassQuota, Title: "The daily limit is met.", Meaning: "Gmail takes no more today.",
					Steps: []string{"Wait.", "Or send through another provider."}, Link: "https://support.example.com/limits",
				},
				Tally: mail.Tally{Links: map[int]mail.LinkTally{1: {Clicks: 1, First: at.Add(2 * time.Minute), Last: at.Add(2 * time.Minute)}}},
			},
		},
	}
}

// bareRow has nothing that may be missing.
func bareRow() store.Row {
	return store.Row{
		Message: &mail.Message{
			ID: bareID(), Received: now(), Account: "shop", Provider: "shop/main", MessageID: "<2@example.com>", HeaderFrom: "shop@example.com",
			Reason: rewrite.ReasonNoHTML, Detail: mail.Detail{Alignment: mail.Alignment{Rule: "from", From: "shop@example.com", Action: mail.ActionNone}},
		},
		Deliveries: []mail.Delivery{{
			Message: bareID(), Index: 1, Recipient: "kim@example.kr", Provider: "shop/main", Status: mail.Queued,
			Explain: &mail.Explain{ID: "unknown", Class: mail.ClassTemporary, Title: "No answer.", Meaning: "Nobody is there."},
		}},
	}
}

// sharedRowOf has one copy for two recipients.
func sharedRowOf(t testing.TB) store.Row {
	row := bareRow()
	m := row.Message
	m.ID, m.Shared, m.Tracked, m.Reason, m.Subject = sharedID(), true, true, "", "To all"
	m.Detail.Plan = testPlan(t, sharedID(), fullContent, true)
	m.Tally = mail.Tally{Opens: 7, Clicks: 6, MachineOpens: 5, MachineClicks: 4, Links: map[int]mail.LinkTally{1: {Clicks: 6, MachineClicks: 4}}}
	d := row.Deliveries[0]
	d.Message, d.Status, d.Explain = sharedID(), mail.Sent, nil
	other := d
	other.Index, other.Recipient = 2, "lee@example.com"
	row.Deliveries = []mail.Delivery{d, other}
	return row
}

// sameKeys compares the names of a JSON object with a list as the contract
// has it.
func sameKeys(t *testing.T, what string, object map[string]any, list string) {
	t.Helper()
	var have []string
	for k := range object {
		have = append(have, k)
	}
	want := strings.Split(list, ", ")
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("%s\n have %v\n want %v", what, have, want)
	}
}
