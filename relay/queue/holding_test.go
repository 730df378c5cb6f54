package queue

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"backstamp/mail"
	"backstamp/store"
)

// A letter counts how often it was closed, and fails who reads it later.
type letter struct {
	*strings.Reader
	closed int
}

func (l *letter) Close() error { l.closed++; return nil }

func (l *letter) ReadAt(p []byte, at int64) (int, error) {
	if l.closed > 0 {
		return 0, errors.New("read after it was closed")
	}
	return l.Reader.ReadAt(p, at)
}

// What the queue is handed it closes once: after all first tries, or at once
// where there are none, or where the store or a full disk refuses it.
func TestContentIsClosedOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		recipients []string
		room       error
		put        error
		noRoute    bool
	}{
		"one try":          {recipients: []string{"a@x.test"}},
		"several tries":    {recipients: []string{"a@x.test", "b@x.test", "c@y.test"}},
		"none at once":     {recipients: []string{"a@x.test"}, noRoute: true},
		"refused by store": {recipients: []string{"a@x.test", "b@x.test"}, put: store.ErrFull},
		"no room":          {recipients: []string{"a@x.test"}, room: store.ErrFull},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, Settings{Room: func() error { return tt.room }}, func(t *testing.T, h *house) {
				if !tt.noRoute {
					h.routes(map[string]Provider{main: reads{}})
				}
				h.store.setFail(func(op string, _ mail.ID) error {
					if op == "put" {
						return tt.put
					}
					return nil
				})
				m := h.message(main, tt.recipients...)
				m.Tracked = true // copies of their own: a try for each
				l := &letter{Reader: strings.NewReader("Subject: x\r\n\r\nhi\r\n")}
				err := h.queue.Put(t.Context(), m, l)
				synctest.Wait()
				if (err != nil) != (tt.room != nil || tt.put != nil) {
					t.Errorf("Put: %v", err)
				}
				if l.closed != 1 {
					t.Errorf("closed %d times", l.closed)
				}
			})
		})
	}
}

// reads is a provider that reads what it sends.
type reads struct{}

func (reads) Deliver(ctx context.Context, t mail.Transaction) []mail.Attempt {
	if _, err := t.Copy.WriteTo(io.Discard); err != nil {
		return forAll(t, mail.Attempt{Err: err, Class: mail.ClassTemporary})
	}
	return forAll(t, ok)
}
