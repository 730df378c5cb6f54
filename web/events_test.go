package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/mail"
)

func TestEventFilter(t *testing.T) {
	in := newHouse(t, nil)
	for query, want := range map[string]string{
		"":                              "accepted sent click open open open",
		"?kind=open":                    "open open open",
		"?message=" + fullID().String(): "accepted sent click open",
		"?kind=open&message=" + bareID().String(): "",
		"?follow=0&kind=sent":                     "sent",
	} {
		w := in.get("/api/v1/events" + query)
		var kinds []string
		for _, o := range objects(t, w.Body.Bytes()) {
			kinds = append(kinds, o["kind"].(string))
		}
		if got := strings.Join(kinds, " "); w.Code != http.StatusOK || got != want {
			t.Errorf("%q: %d, %s; want %s", query, w.Code, got, want)
		}
	}
	in.get("/api/v1/events?since=1h")
	if !in.store.eventFilter.Since.Equal(now().Add(-time.Hour)) {
		t.Errorf("since %v", in.store.eventFilter.Since)
	}
	for _, id := range []string{"none", noID().String()} {
		problem(t, in.get("/api/v1/events?message="+id), http.StatusNotFound, `no such message: \"`+id+`\"`)
	}
}

// A message that cannot be read costs its events the recipient's address, and
// is logged; one that is forgotten is not.
func TestEventNames(t *testing.T) {
	in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) { s.messages[0].err = errors.New("disk") })
	for _, o := range objects(t, in.get("/api/v1/events").Body.Bytes()) {
		if o["recipient"] != nil {
			t.Errorf("recipient %v", o["recipient"])
		}
	}
	if n := strings.Count(in.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors logged: %s", n, in.log)
	}
}

// pipes accepts connections within this process.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p <- theirs
	return ours, nil
}

// A follower gets events as they are recorded, for as long as it stays and
// longer than a server waits for a request. The log is read only when there is
// something in it.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) { s.events = s.events[:1] })
		conns := make(pipes)
		done := make(chan struct{})
		server := http.Server{
			ReadTimeout: time.Minute,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(done)
				in.Private().ServeHTTP(w, r)
			}),
		}
		go server.Serve(conns)
		defer server.Close()
		client := http.Client{Transport: &http.Transport{DialContext: conns.dial, DisableKeepAlives: true}}

		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/api/v1/events?follow=1&kind=open", nil)
		answer, err := client.Do(r) // comes before there is any event of that kind
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if kind := answer.Header.Get("Content-Type"); kind != "application/x-ndjson" {
			t.Errorf("type %q", kind)
		}
		lines := bufio.NewReader(answer.Body)
		for n := 1; n <= 3; n++ {
			<-time.After(2 * time.Minute)
			synctest.Wait()
			before := in.store.reads
			<-time.After(time.Hour)
			synctest.Wait()
			if in.store.reads != before {
				t.Errorf("the log was read %d times in an hour without events", in.store.reads-before)
			}
			in.store.record(mail.Event{Time: time.Now(), Kind: mail.KindOpen, Message: fullID(), Recipient: 2, Class: mail.Human, Count: n})
			in.store.record(mail.Event{Time: time.Now(), Kind: mail.KindSent, Message: fullID()})
			line, err := lines.ReadString('\n')
			if want := fmt.Sprintf(`"count":%d,`, n); err != nil || !strings.Contains(line, `"recipient":"lee@example.com"`) || !strings.Contains(line, want) {
				t.Fatalf("%q, %v", line, err)
			}
		}
		leave()
		<-done
	})
}

// An error ends a follower's listing visibly.
func TestFollowError(t *testing.T) {
	in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) {
		s.events = append(s.events[:1], listed[mail.Event]{err: errors.New("disk")})
	})
	w := in.get("/api/v1/events?follow=1")
	if lines := objects(t, w.Body.Bytes()); len(lines) != 2 || lines[1]["error"] == nil {
		t.Errorf("%s", w.Body)
	}
	in.store.events = in.store.events[1:]
	problem(t, in.get("/api/v1/events?follow=1"), http.StatusInternalServerError, "internal error")
}
