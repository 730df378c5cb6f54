package web

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"backstamp/internal/mailtest"
)

// The fields of the contract, section 1.
const (
	messageFields   = "id, message_id, account, provider, from, mail_from, subject, tag, meta, size, received, tracked, reason, deliveries"
	sharedFields    = "opens, clicks, machine_opens, machine_clicks"
	showFields      = messageFields + ", totals, expired, links, events, alignment, client, quirks, transcript, growth, notes, meanings"
	deliveryFields  = "recipient, status, reason, basis, attempts, uncertain, reply, upstream_id, next_attempt, explain, notice, opens, clicks, machine_opens, machine_clicks, unique_opens, unique_clicks, first_open, last_open, first_click, last_click, last_event"
	explainFields   = "id, class, title, meaning, steps, link"
	linkFields      = "index, url, tracked, label, decision, reason, clicks, machine_clicks, unique_clicks, first_click, last_click"
	eventFields     = "time, kind, class, rule, recipient, link, ip, user_agent, basis, count, message, text, method, referer, purpose, simulated, one_of"
	alignmentFields = "rule, from, identity, action"
	statusFields    = "account, provider, preset, state, until, reason, sent_today, limit, last_error, explain"
	clientFields    = "address, name, helo, user, tls"
	visitorFields   = "address, name, helo, user, tls, listener, first_seen, last_seen, connections, messages, refused, refusal, quirks"
	sumFields       = "opens, clicks, machine_opens, machine_clicks, unique_opens, unique_clicks"
	totalFields     = sumFields + ", first_open, last_open, first_click, last_click"
	dayFields       = "day, messages, recipients, " + sumFields
	usageFields     = "account, provider, " + dayFields
	tagFields       = "account, tag, " + dayFields
)

// objects reads an answer of one JSON object a line.
func objects(t *testing.T, body []byte) (out []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(body) {
		o := map[string]any{}
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, o)
	}
	return out
}

func list1(o map[string]any, name string) map[string]any { return o[name].([]any)[0].(map[string]any) }

// Every field is there, also where it has nothing, and no other.
func TestFieldNames(t *testing.T) {
	in := newHouse(t, nil)
	messages := objects(t, in.get("/api/v1/messages").Body.Bytes())
	if len(messages) != 3 {
		t.Fatalf("%d messages", len(messages))
	}
	sameKeys(t, "message", messages[0], messageFields)
	sameKeys(t, "bare message", messages[1], messageFields)
	sameKeys(t, "shared message", messages[2], messageFields+", "+sharedFields)
	for _, m := range messages {
		sameKeys(t, "delivery", list1(m, "deliveries"), deliveryFields)
	}
	sameKeys(t, "explain", list1(messages[1], "deliveries")["explain"].(map[string]any), explainFields)

	for _, id := range []string{fullID().String(), bareID().String()} {
		show := objects(t, in.get("/api/v1/messages/"+id).Body.Bytes())[0]
		sameKeys(t, "show", show, showFields)
		sameKeys(t, "totals", show["totals"].(map[string]any), totalFields)
		sameKeys(t, "client", show["client"].(map[string]any), clientFields)
		sameKeys(t, "alignment", show["alignment"].(map[string]any), alignmentFields)
		if id == fullID().String() {
			sameKeys(t, "link", list1(show, "links"), linkFields)
			sameKeys(t, "event", list1(show, "events"), eventFields)
		}
	}
	for path, fields := range map[string]string{
		"/events": eventFields, "/queue": "id, message, provider, " + deliveryFields, "/status": statusFields, "/usage": usageFields, "/tags": tagFields, "/clients": visitorFields,
	} {
		for _, o := range objects(t, in.get("/api/v1"+path).Body.Bytes()) {
			sameKeys(t, path, o, fields)
		}
	}
}

// The values of every listing, one JSON object a line.
func TestRows(t *testing.T) {
	in := newHouse(t, nil)
	for name, path := range map[string]string{
		"messages": "/messages", "events": "/events", "queue": "/queue", "status": "/status", "usage": "/usage", "tags": "/tags", "listeners": "/listeners", "clients": "/clients",
		"show-full": "/messages/" + fullID().String(), "show-bare": "/messages/" + bareID().String(), "show-shared": "/messages/" + sharedID().String(),
	} {
		w := in.get("/api/v1" + path)
		kind := "application/x-ndjson"
		if strings.HasPrefix(name, "show") {
			kind = "application/json"
		}
		if w.Code != 200 || w.Header().Get("Content-Type") != kind {
			t.Errorf("%s: %d of type %q", path, w.Code, w.Header().Get("Content-Type"))
		}
		var out bytes.Buffer
		for line := range bytes.Lines(w.Body.Bytes()) {
			if err := json.Indent(&out, line, "", "  "); err != nil {
				t.Fatal(err)
			}
		}
		mailtest.Golden(t, "testdata/"+name+".json", out.Bytes())
	}
}

// Times are RFC 3339 in UTC, whatever zone they came in.
func TestTimes(t *testing.T) {
	in := newHouse(t, nil)
	m := objects(t, in.get("/api/v1/messages").Body.Bytes())[0]
	if m["received"] != "2026-03-04T04:00:00.12Z" {
		t.Errorf("received %v", m["received"])
	}
	utc := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)
	d := list1(m, "deliveries")
	for _, name := range []string{"first_open", "last_event"} {
		if at, _ := d[name].(string); !utc.MatchString(at) {
			t.Errorf("%s %v", name, d[name])
		}
	}
	if d["next_attempt"] != nil {
		t.Errorf("next attempt of what is over: %v", d["next_attempt"])
	}
}

// A shared message with one recipient counts for that one.
func TestSharedWithOne(t *testing.T) {
	row := sharedRowOf(t)
	row.Deliveries = row.Deliveries[:1]
	if newMessageRow(row, "en").Shared() != nil {
		t.Error("it counts for all")
	}
	if i := tokenIndex(row, row.Deliveries[0]); i != 1 {
		t.Errorf("token index %d", i)
	}
}
