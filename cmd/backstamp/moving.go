package main

import (
	"context"
	"fmt"

	"backstamp/mail"
	"backstamp/relay/queue"
	"backstamp/rewrite"
	"backstamp/web"
)

// A movingQueue is the queue as operators have it: a message only moves to a
// provider that may take it.
type movingQueue struct {
	*queue.Queue
	server *server
}

// Move gives messages to another provider, all or none of them.
func (q movingQueue) Move(ctx context.Context, to string, ids ...mail.ID) (int, error) {
	h := q.server.current()
	for _, id := range ids {
		row, err := q.server.store.Message(ctx, id)
		if err != nil {
			return 0, err
		}
		if err := h.mayMove(row.Message, to); err != nil {
			return 0, err
		}
	}
	return q.Queue.Move(ctx, to, ids...)
}

// mayMove says why a message may not go through a provider: its sender is not
// allowed there, or its links would be dead outside.
func (h *house) mayMove(m *mail.Message, to string) error {
	if _, ok := h.routes.Providers[to]; !ok {
		return web.Refuse("no provider %q; expected ACCOUNT/NAME of the configuration", to)
	}
	if a := h.accounts[m.Account]; a == nil || !a.Match(to, m.HeaderFrom) {
		return web.Refuse("%s may not be used with %s: its senders do not match", m.HeaderFrom, to)
	}
	if !m.Tracked || h.local(to) {
		return nil
	}
	p, err := rewrite.Decode(m.Detail.Plan)
	if err != nil {
		return fmt.Errorf("plan of %s: %w", m.ID, err)
	}
	if private(p.BaseURL()) {
		return web.Refuse("the links of %s lead to %s, which its readers could not reach from outside", m.ID, p.BaseURL())
	}
	return nil
}

// local reports whether a provider keeps mail on this machine or a private
// network.
func (h *house) local(name string) bool {
	for _, s := range h.providers {
		if s.Name == name {
			return s.Local()
		}
	}
	return false
}
