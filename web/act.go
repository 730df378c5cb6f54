package web

import (
	"cmp"
	"context"
	"net/http"

	"backstamp/mail"
)

// changeQueue changes the deliveries of messages: {"ids": […], "to":
// "account/name"} in, {"changed": n} out.
func (h *Handler) changeQueue(w http.ResponseWriter, r *http.Request) error {
	if h.do.Queue == nil {
		return needsServer()
	}
	var in struct {
		IDs []string `json:"ids"`
		To  string   `json:"to"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	ids := make([]mail.ID, len(in.IDs))
	for i, text := range in.IDs {
		row, err := h.find(r.Context(), text)
		if err != nil {
			return err
		}
		ids[i] = row.Message.ID
	}
	action, err := h.queueAction(r.PathValue("action"), in.To, ids)
	if err != nil {
		return err
	}
	changed, err := action(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]int{"changed": changed})
}

// queueAction finds what a name stands for. All but retry need ids.
func (h *Handler) queueAction(name, to string, ids []mail.ID) (func(context.Context) (int, error), error) {
	each := func(one func(context.Context, mail.ID) (int, error)) func(context.Context) (int, error) {
		return func(ctx context.Context) (changed int, err error) {
			for _, id := range ids {
				n, err := one(ctx, id)
				if err != nil {
					return changed, err
				}
				changed += n
			}
			return changed, nil
		}
	}
	var action func(context.Context) (int, error)
	switch name {
	case "retry":
		return func(ctx context.Context) (int, error) { return h.do.Queue.Retry(ctx, ids...) }, nil
	case "hold":
		action = each(h.do.Queue.Hold)
	case "drop":
		action = each(h.do.Queue.Drop)
	case "move":
		if to == "" {
			return nil, badRequest("move needs the ACCOUNT/NAME to move to")
		}
		action = func(ctx context.Context) (int, error) { return h.do.Queue.Move(ctx, to, ids...) }
	default:
		return nil, notFound("the queue knows retry, hold, drop and move")
	}
	if len(ids) == 0 {
		return nil, badRequest("%s needs the id of a message", name)
	}
	return action, nil
}

// simulate runs one made-up hit: {"kind": "click", "id": …, "as": "human",
// "link": 1, "recipient": …} in, a Hit out. All but kind and id may be left
// out.
func (h *Handler) simulate(w http.ResponseWriter, r *http.Request) error {
	if h.do.Simulator == nil {
		return needsServer()
	}
	var in struct {
		Kind      mail.Kind `json:"kind"`
		ID        string    `json:"id"`
		As        string    `json:"as"`
		Link      int       `json:"link"`
		Recipient string    `json:"recipient"`
	}
	if err := readJSON(w, r, &in); err != nil {
		return err
	}
	row, err := h.find(r.Context(), in.ID)
	if err != nil {
		return err
	}
	d, err := delivery(row, in.Recipient)
	if err != nil {
		return err
	}
	url, err := h.trackingURL(row.Message, in.Kind, cmp.Or(in.Link, 1), tokenIndex(row, d))
	if err != nil {
		return err
	}
	hit, err := h.do.Simulator.Simulate(r.Context(), url, cmp.Or(in.As, "human"))
	if err != nil {
		return badRequest("%v", err)
	}
	return writeJSON(w, hit)
}

// trackingURL returns the URL of the pixel, or of a link, in a recipient's
// copy.
func (h *Handler) trackingURL(m *mail.Message, kind mail.Kind, link, recipient int) (string, error) {
	if kind != mail.KindOpen && kind != mail.KindClick {
		return "", badRequest("%q cannot be simulated; expected open or click", kind)
	}
	p, err := plan(m)
	if err != nil {
		return "", err
	}
	if p == nil || !p.Edited() {
		return "", notFound("the message is not tracked: %s", m.Reason)
	}
	if kind == mail.KindOpen {
		return p.OpenURL(h.do.Linker, recipient)
	}
	if link < 1 || link > len(p.Links()) {
		return "", notFound("the message has no link %d", link)
	}
	if l := p.Links()[link-1]; l.Decision != mail.Tracked {
		return "", notFound("link %d is not tracked: %s", link, l.Reason)
	}
	return p.ClickURL(h.do.Linker, link, recipient)
}

// reload puts the configuration as it is on disk in force. What is wrong with
// it is told as check tells it, by file and line.
func (h *Handler) reload(w http.ResponseWriter, r *http.Request) error {
	if h.do.Reload == nil {
		return needsServer()
	}
	if err := h.do.Reload(r.Context()); err != nil {
		return failure{http.StatusUnprocessableEntity, err.Error()}
	}
	return writeJSON(w, map[string]bool{"reloaded": true})
}

// reclassify judges all hits again.
func (h *Handler) reclassify(w http.ResponseWriter, r *http.Request) error {
	if h.do.Reclassify == nil {
		return needsServer()
	}
	sum, err := h.do.Reclassify(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, ReclassifiedRow(sum))
}

// rotateKeys makes a new signing key; old ones keep verifying.
func (h *Handler) rotateKeys(w http.ResponseWriter, _ *http.Request) error {
	if h.do.RotateKeys == nil {
		return needsServer()
	}
	id, err := h.do.RotateKeys()
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"id": id.String()})
}
