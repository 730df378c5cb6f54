package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"backstamp/mail"
	"backstamp/rewrite"
	"backstamp/store"
)

// find reads the message that text names.
func (h *Handler) find(ctx context.Context, text string) (store.Row, error) {
	id, err := mail.ParseID(text)
	if err != nil {
		return store.Row{}, notFound("no such message: %q", text)
	}
	row, err := h.store.Message(ctx, id)
	if errors.Is(err, mail.ErrNotFound) {
		return store.Row{}, notFound("no such message: %q", text)
	}
	return row, err
}

// showMessage answers with all that is known of a message but its content.
func (h *Handler) showMessage(w http.ResponseWriter, r *http.Request) error {
	row, err := h.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	show, err := h.show(r.Context(), row, languageOf(r))
	if err != nil {
		return err
	}
	return writeJSON(w, show)
}

func (h *Handler) show(ctx context.Context, row store.Row, lang string) (showRow, error) {
	plan, err := plan(row.Message)
	if err != nil {
		return showRow{}, err
	}
	show := newShowRow(row, plan, h.do.Linker, lang)
	to := recipients(row.Deliveries)
	for e, err := range h.store.Events(ctx, store.EventFilter{Message: row.Message.ID}) {
		if err != nil {
			return showRow{}, err
		}
		show.Events = append(show.Events, newEventRow(e.Event, to))
	}
	return show, nil
}

// plan reads what was decided about a message's content; nil where nothing was.
func plan(m *mail.Message) (*rewrite.Plan, error) {
	if len(m.Detail.Plan) == 0 {
		return nil, nil
	}
	p, err := rewrite.Decode(m.Detail.Plan)
	if err != nil {
		return nil, fmt.Errorf("plan of message %s: %w: %w", m.ID, store.ErrCorrupt, err)
	}
	return p, nil
}

// rawMessage answers with the message as it was received.
func (h *Handler) rawMessage(w http.ResponseWriter, r *http.Request) error {
	row, err := h.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	content, err := h.store.Content(r.Context(), row.Message.ID)
	if err != nil {
		return err
	}
	defer content.Close()
	asDownload(w, content.Size())
	if _, err := io.Copy(w, io.NewSectionReader(content, 0, content.Size())); err != nil {
		h.logError(r, err) // too short an answer: the server ends the connection
	}
	return nil
}

// sentMessage answers with the message as sent to the recipient that the query
// names, else to the first.
func (h *Handler) sentMessage(w http.ResponseWriter, r *http.Request) error {
	row, err := h.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	d, err := delivery(row, r.URL.Query().Get("recipient"))
	if err != nil {
		return err
	}
	return h.withCopy(r.Context(), row, d, func(c mail.Copy) error {
		asDownload(w, c.Size())
		if _, err := c.WriteTo(w); err != nil {
			h.logError(r, err) // too short an answer: the server ends the connection
		}
		return nil
	})
}

// delivery finds a recipient's by address; "" is the first.
func delivery(row store.Row, address string) (mail.Delivery, error) {
	for _, d := range row.Deliveries {
		if address == "" || strings.EqualFold(address, d.Recipient) {
			return d, nil
		}
	}
	return mail.Delivery{}, notFound("the message has no such recipient")
}

// withCopy renders what went, or will go, to one recipient and has it used.
func (h *Handler) withCopy(ctx context.Context, row store.Row, d mail.Delivery, use func(mail.Copy) error) error {
	if h.do.Renderer == nil {
		return needsServer()
	}
	content, err := h.store.Content(ctx, row.Message.ID)
	if err != nil {
		return err
	}
	defer content.Close()
	c, err := h.do.Renderer.Render(row.Message, content, tokenIndex(row, d), d.Provider)
	if err != nil {
		return err
	}
	return use(c)
}

// asDownload keeps a browser from showing a stranger's mail as a page of ours.
func asDownload(w http.ResponseWriter, size int64) {
	w.Header().Set("Content-Type", "message/rfc822")
	w.Header().Set("Content-Disposition", "attachment; filename=message.eml")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
}
