package render

import (
	"bytes"
	"slices"
	"strings"

	"backstamp/mail"
)

// A header is the fields of one copy, from the top.
type header struct {
	added []mail.Field
	kept  []mail.Field // those of the message, in their order
}

// edit applies what was decided when the message was accepted. Bcc and
// Return-Path never leave. The mbox line "From " is no field: below those that
// are added it would end the header.
func edit(fields mail.Header, edits mail.HeaderEdits) *header {
	h := &header{kept: fields.Change(edits.Change)}
	for _, text := range edits.Add {
		h.added = append(h.added, mail.NewField(text))
	}
	h.remove("", "Bcc", "Return-Path")
	h.remove(edits.Remove...)
	return h
}

func (h *header) add(text string) { h.added = append(h.added, mail.NewField(text)) }

// remove removes fields of the message, not those that were added.
func (h *header) remove(names ...string) {
	h.kept = slices.DeleteFunc(slices.Clone(h.kept), func(f mail.Field) bool {
		return slices.ContainsFunc(names, f.Is)
	})
}

// find returns the first field of that name, to be changed in place, or nil.
func (h *header) find(name string) *mail.Field {
	for _, fields := range [][]mail.Field{h.added, h.kept} {
		for i := range fields {
			if fields[i].Is(name) {
				return &fields[i]
			}
		}
	}
	return nil
}

// all returns the fields from the top.
func (h *header) all() mail.Header { return slices.Concat(h.added, h.kept) }

// bytes returns the fields as they go out, without the empty line.
func (h *header) bytes() []byte {
	var b bytes.Buffer
	for _, f := range h.all() {
		b.Write(withoutLineEnd(f.Raw))
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

func withoutLineEnd(raw []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
}

// author returns the address in From, the zero Address where there is no one
// such.
func (h *header) author() mail.Address {
	f := h.find("From")
	if f == nil {
		return mail.Address{}
	}
	box, err := f.Mailbox()
	if err != nil {
		return mail.Address{}
	}
	return box.Address
}

// rewriteFrom puts identity in the place of the address in From. The display
// name stays, byte for byte; what stood in From goes to X-Original-From, and
// to Reply-To so that replies find their way.
func (h *header) rewriteFrom(identity string) {
	h.remove("X-Original-From")
	from := h.find("From")
	if from == nil {
		h.add("From: " + identity)
		return
	}
	_, value, _ := bytes.Cut(withoutLineEnd(from.Raw), []byte(":"))
	if box, err := from.Mailbox(); err == nil {
		from.Raw = slices.Concat(from.Raw[:box.Start], []byte(identity), from.Raw[box.End:])
	} else {
		*from = mail.NewField("From: " + identity)
	}
	h.add("X-Original-From:" + string(value))
	if h.find("Reply-To") == nil {
		h.add("Reply-To:" + string(value))
	}
}

// dropBroken removes the DKIM signatures of others that no longer hold: those
// over a body that was edited, and those over a field that was. A signature is
// judged by the fields that a verifier would pick for it (RFC 6376 section
// 5.4.2) before and after the edits.
func (h *header) dropBroken(original mail.Header, bodyEdited bool) {
	now := h.all()
	h.kept = slices.DeleteFunc(h.kept, func(f mail.Field) bool {
		if !f.Is("DKIM-Signature") || bodyEdited {
			return f.Is("DKIM-Signature")
		}
		for name, n := range signed(f) {
			if !slices.EqualFunc(pick(original, name, n), pick(now, name, n), bytes.Equal) {
				return true
			}
		}
		return false
	})
}

// signed returns how often each field is named in the h= tag of a signature.
func signed(signature mail.Field) map[string]int {
	names := map[string]int{}
	for tag := range strings.SplitSeq(signature.Value(), ";") {
		key, value, _ := strings.Cut(tag, "=")
		if strings.TrimSpace(key) != "h" {
			continue
		}
		for name := range strings.SplitSeq(value, ":") {
			names[strings.ToLower(strings.TrimSpace(name))]++
		}
	}
	return names
}

// pick returns the lowest n fields of that name, from the bottom.
func pick(h mail.Header, name string, n int) [][]byte {
	var out [][]byte
	for _, f := range slices.Backward(h) {
		if f.Is(name) && len(out) < n {
			out = append(out, f.Raw)
		}
	}
	return out
}
