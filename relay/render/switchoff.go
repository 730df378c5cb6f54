package render

import (
	"bytes"
	"encoding/json"
	"strings"

	"backstamp/mail"
)

// switchOff adds a field that keeps the provider from tracking. Where the
// message has that field, because the account lets apps write it, the app's
// value wins; JSON is merged key by key.
func (h *header) switchOff(text string) {
	field := mail.NewField(text)
	theirs := h.find(field.Name)
	if theirs == nil {
		h.added = append(h.added, field)
		return
	}
	if merged, ok := merge([]byte(theirs.Value()), []byte(field.Value())); ok {
		*theirs = mail.NewField(field.Name + ": " + merged)
	}
}

// merge returns theirs with the keys of ours that it lacks, folded between
// tokens. ok is false where theirs is to stay as it is.
func merge(theirs, ours []byte) (merged string, ok bool) {
	text, changed := mergeValue(theirs, ours)
	if !changed {
		return "", false
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, " ", ""); err != nil {
		return "", false
	}
	return strings.ReplaceAll(b.String(), "\n", "\r\n"), true
}

// mergeValue adds to the object theirs what the object ours has beyond it.
func mergeValue(theirs, ours json.RawMessage) (text json.RawMessage, changed bool) {
	var have, want map[string]json.RawMessage
	if json.Unmarshal(theirs, &have) != nil || json.Unmarshal(ours, &want) != nil || have == nil {
		return theirs, false
	}
	for key, value := range want {
		old, found := have[key]
		if !found {
			have[key], changed = value, true
			continue
		}
		if inner, innerChanged := mergeValue(old, value); innerChanged {
			have[key], changed = inner, true
		}
	}
	if !changed {
		return theirs, false
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(have) != nil {
		return theirs, false
	}
	return bytes.TrimSpace(b.Bytes()), true
}
