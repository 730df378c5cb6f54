package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

func TestFilter(t *testing.T) {
	for query, want := range map[string]store.Filter{
		"":                            {},
		"status=held":                 {Status: mail.Held},
		"account=shop":                {Account: "shop"},
		"provider=shop/main":          {Provider: "shop/main"},
		"from=shop@":                  {From: "shop@"},
		"to=kim%2Bx@example.kr":       {To: "kim+x@example.kr"},
		"subject=%EC%A3%BC%EB%AC%B8":  {Subject: "주문"},
		"message-id=%3C1@a%3E":        {MessageID: "<1@a>"},
		"tag=orders":                  {Tag: "orders"},
		"limit=0":                     {},
		"limit=7":                     {Limit: 7},
		"since=2h":                    {Since: now().Add(-2 * time.Hour)},
		"since=7d":                    {Since: now().AddDate(0, 0, -7)},
		"since=2026-03-01":            {Since: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)},
		"since=2026-03-01T10:00:00":   {Since: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)},
		"since=2026-03-01+10:30":      {Since: time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC)},
		"status=sent&tag=a&from=b":    {Status: mail.Sent, Tag: "a", From: "b"},
		"status=&account=&limit=":     {},
		"since=2026-03-01T10:00:00Z":  {Since: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)},
		"since=2026-03-01T10%3A00:00": {Since: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)},
	} {
		in := newHouse(t, nil)
		if w := in.get("/api/v1/messages?" + query); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
			continue
		}
		got := in.store.filter
		if !got.Since.Equal(want.Since) {
			t.Errorf("%s: since %v, want %v", query, got.Since, want.Since)
		}
		got.Since, want.Since = time.Time{}, time.Time{}
		if got != want {
			t.Errorf("%s: %+v, want %+v", query, got, want)
		}
	}
}

// What cannot be meant is refused in words that name it and what is expected.
func TestFilterRefuses(t *testing.T) {
	in := newHouse(t, nil)
	for target, want := range map[string]string{
		"/messages?status=gone":         `status \"gone\" is none; expected one of [queued deferred`,
		"/messages?status=SENT":         `status \"SENT\" is none`,
		"/messages?limit=many":          `limit \"many\" is no number`,
		"/messages?limit=-1":            `limit \"-1\" is no number`,
		"/messages?since=yesterday":     `since \"yesterday\" is no time; expected a duration back such as 2h or 7d`,
		"/messages?since=-2h":           `since \"-2h\" is no time`,
		"/messages?since=-2d":           `since \"-2d\" is no time`,
		"/messages?since=999999999d":    `since \"999999999d\" is no time`,
		"/messages?message_id=1":        `parameter \"message_id\" is none; expected some of [status account`,
		"/events?kind=opened":           `kind \"opened\" is none; expected one of [accepted`,
		"/events?since=soon":            `since \"soon\" is no time`,
		"/events?follow=yes":            `follow \"yes\" is neither 0 nor 1`,
		"/events?status=sent":           `parameter \"status\" is none`,
		"/messages?status=%3Cscript%3E": `status \"<script>\" is none`,
	} {
		problem(t, in.get("/api/v1"+target), http.StatusBadRequest, want)
	}
}

func TestListingErrors(t *testing.T) {
	broken := fmt.Errorf("read /var/lib/backstamp/mail.db: %w", errors.New("input/output error"))
	damaged := fmt.Errorf("message 7: %w", store.ErrCorrupt)
	good, bad := listed[store.Row]{row: bareRow()}, listed[store.Row]{err: broken}
	hole := listed[store.Row]{err: damaged}
	const (
		internal = "internal error; the log says more"
		kept     = "what is stored is damaged; it is kept for a person to look at"
		ends     = "the listing ends here; the log says more"
		holes    = "some of it is damaged and left out; the log says more"
	)
	for name, c := range map[string]struct {
		steps   []listed[store.Row]
		problem string // the whole answer
		rows    int
		last    string // an error at the end
	}{
		"nothing":                   {},
		"all good":                  {steps: []listed[store.Row]{good, good}, rows: 2},
		"error first":               {steps: []listed[store.Row]{bad}, problem: internal},
		"error later":               {steps: []listed[store.Row]{good, bad}, rows: 1, last: ends},
		"nothing after an error":    {steps: []listed[store.Row]{good, bad, good}, rows: 1, last: ends},
		"damage alone":              {steps: []listed[store.Row]{hole}, problem: kept},
		"damage first":              {steps: []listed[store.Row]{hole, good}, rows: 1, last: holes},
		"damage between":            {steps: []listed[store.Row]{good, hole, hole, good}, rows: 2, last: holes},
		"damage and then an error":  {steps: []listed[store.Row]{hole, good, bad}, rows: 1, last: ends},
		"damage and an error alone": {steps: []listed[store.Row]{hole, bad}, problem: internal},
	} {
		t.Run(name, func(t *testing.T) {
			in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) { s.messages = c.steps })
			w := in.get("/api/v1/messages")
			if strings.Contains(w.Body.String(), "/var/lib") {
				t.Errorf("it tells a path: %s", w.Body)
			}
			wrong := c.problem != "" || c.last != ""
			if logged := strings.Contains(in.log.String(), "level=ERROR"); logged != wrong {
				t.Errorf("logged %q", in.log)
			}
			if c.problem != "" {
				problem(t, w, http.StatusInternalServerError, c.problem)
				return
			}
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-ndjson" {
				t.Errorf("%d of type %q", w.Code, w.Header().Get("Content-Type"))
			}
			lines := objects(t, w.Body.Bytes())
			if c.last != "" {
				if len(lines) == 0 || lines[len(lines)-1]["error"] != c.last {
					t.Fatalf("%s lacks %q at its end", w.Body, c.last)
				}
				// What a program looks for to know that it has not all.
				if !strings.Contains(w.Body.String(), "\n{\"error\":") {
					t.Errorf("%s", w.Body)
				}
				lines = lines[:len(lines)-1]
			}
			if len(lines) != c.rows {
				t.Errorf("%d rows, want %d", len(lines), c.rows)
			}
		})
	}
}

// goneWriter is an answer whose reader goes away after some rows.
type goneWriter struct {
	*httptest.ResponseRecorder
	left int
}

func (w *goneWriter) Write(b []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errors.New("broken pipe")
	}
	return w.ResponseRecorder.Write(b)
}

// A listing streams: nothing more is read once nobody reads on.
func TestListingStreams(t *testing.T) {
	read := 0
	rows := func(yield func(store.Usage, error) bool) {
		for yield(store.Usage{Day: "2026-03-04"}, nil) {
			read++
		}
	}
	in := newHouse(t, nil)
	w := &goneWriter{httptest.NewRecorder(), 3}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if err := list(in.Handler, w, r, rows, func(u store.Usage) any { return u }); err != nil {
		t.Error(err)
	}
	if read != 3 || in.log.Len() > 0 {
		t.Errorf("read %d rows after 3, logged %q", read, in.log)
	}
}

// Who goes away is no trouble of ours.
func TestListingLeft(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	leave()
	in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) {
		s.messages = append(s.messages[:1], listed[store.Row]{err: ctx.Err()})
	})
	for range 2 { // after the first row, and before it
		in.ask(http.MethodGet, "/api/v1/messages", "", func(r *http.Request) { *r = *r.WithContext(ctx) })
		in.store.messages = in.store.messages[1:]
	}
	if in.log.Len() > 0 {
		t.Errorf("logged %s", in.log)
	}
}

// HEAD tells what GET would, without reading the list for it.
func TestListingHead(t *testing.T) {
	in := newHouse(t, nil)
	for _, path := range []string{"/messages", "/events", "/events?follow=1", "/events?follow=1&kind=failed", "/queue", "/status"} {
		w := in.ask(http.MethodHead, "/api/v1"+path, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-ndjson" || w.Body.Len() > 0 {
			t.Errorf("%s: %d of type %q: %s", path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
	if w := in.ask(http.MethodHead, "/api/v1/messages?status=gone", ""); w.Code != http.StatusBadRequest {
		t.Errorf("HEAD of what is refused: %d", w.Code)
	}
}

func TestStatusTrouble(t *testing.T) {
	broken := newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) {
		do.Providers = func(context.Context) ([]Provider, error) { return nil, errors.New("disk") }
	})
	problem(t, broken.get("/api/v1/status"), http.StatusInternalServerError, "internal error; the log says more")
	none := newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) { do.Providers, do.Listeners = nil, nil })
	for _, path := range []string{"/api/v1/status", "/api/v1/listeners"} {
		if w := none.get(path); w.Code != http.StatusOK || w.Body.Len() > 0 {
			t.Errorf("%s without any: %d %s", path, w.Code, w.Body)
		}
	}
}
