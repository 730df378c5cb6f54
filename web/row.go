package web

import (
	"encoding/json"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/rewrite"
	"backstamp/store"
)

// The rows are the JSON of the contract; nothing else makes it.

// text is null when empty.
type text string

func (t text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// moment is RFC 3339, null when zero.
type moment time.Time

func (m moment) MarshalJSON() ([]byte, error) {
	if time.Time(m).IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(time.Time(m).UTC().Format(time.RFC3339Nano))
}

// number is null when zero: indexes count from 1.
type number int

func (n number) MarshalJSON() ([]byte, error) {
	if n == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(int(n))
}

type messageRow struct {
	ID         mail.ID           `json:"id"`
	MessageID  string            `json:"message_id"`
	Account    string            `json:"account"`
	Provider   string            `json:"provider"`
	From       string            `json:"from"`
	MailFrom   string            `json:"mail_from"`
	Subject    string            `json:"subject"`
	Tag        text              `json:"tag"`
	Meta       map[string]string `json:"meta"`
	Size       int64             `json:"size"`
	Received   moment            `json:"received"`
	Tracked    bool              `json:"tracked"`
	Reason     text              `json:"reason"`
	Deliveries []deliveryRow     `json:"deliveries"`
	*sharedRow
}

// sharedRow is there where recipients share one copy and token.
type sharedRow struct {
	Opens         int `json:"opens"`
	Clicks        int `json:"clicks"`
	MachineOpens  int `json:"machine_opens"`
	MachineClicks int `json:"machine_clicks"`
}

type deliveryRow struct {
	Recipient     string        `json:"recipient"`
	Status        mail.Status   `json:"status"`
	Reason        text          `json:"reason"`
	Basis         text          `json:"basis"`
	Attempts      int           `json:"attempts"`
	Uncertain     bool          `json:"uncertain"`
	Reply         text          `json:"reply"`
	UpstreamID    text          `json:"upstream_id"`
	NextAttempt   moment        `json:"next_attempt"`
	Explain       *mail.Explain `json:"explain"`
	Opens         int           `json:"opens"`
	Clicks        int           `json:"clicks"`
	MachineOpens  int           `json:"machine_opens"`
	MachineClicks int           `json:"machine_clicks"`
	UniqueOpens   int           `json:"unique_opens"`
	UniqueClicks  int           `json:"unique_clicks"`
	FirstOpen     moment        `json:"first_open"`
	LastEvent     moment        `json:"last_event"`
}

type queueRow struct {
	ID       mail.ID `json:"id"`
	Message  mail.ID `json:"message"` // the same, by the name that events give it
	Provider string  `json:"provider"`
	deliveryRow
}

type linkRow struct {
	Index         int           `json:"index"`
	URL           string        `json:"url"`
	Tracked       text          `json:"tracked"`
	Label         string        `json:"label"`
	Decision      mail.Decision `json:"decision"`
	Reason        text          `json:"reason"`
	Clicks        int           `json:"clicks"`
	MachineClicks int           `json:"machine_clicks"`
}

type eventRow struct {
	Time      moment    `json:"time"`
	Kind      mail.Kind `json:"kind"`
	Message   mail.ID   `json:"message"`
	Class     text      `json:"class"`
	Rule      text      `json:"rule"`
	Recipient text      `json:"recipient"`
	Link      number    `json:"link"`
	IP        text      `json:"ip"`
	UserAgent text      `json:"user_agent"`
	Basis     text      `json:"basis"`
	Count     int       `json:"count"`
	Text      text      `json:"text"`
}

type showRow struct {
	messageRow
	Links      []linkRow      `json:"links"`
	Events     []eventRow     `json:"events"`
	Alignment  mail.Alignment `json:"alignment"`
	Quirks     []string       `json:"quirks"`
	Transcript []string       `json:"transcript"`
}

type usageRow struct {
	Account    string `json:"account"`
	Provider   string `json:"provider"`
	Day        string `json:"day"`
	Messages   int    `json:"messages"`
	Recipients int    `json:"recipients"`
}

type statusRow struct {
	Account   string `json:"account"`
	Provider  string `json:"provider"`
	Preset    string `json:"preset"`
	State     string `json:"state"`
	Until     moment `json:"until"`
	Reason    text   `json:"reason"`
	SentToday int    `json:"sent_today"`
	Limit     number `json:"limit"`
	LastError text   `json:"last_error"`
}

func newMessageRow(r store.Row) messageRow {
	m := r.Message
	row := messageRow{
		ID: m.ID, MessageID: m.MessageID, Account: m.Account, Provider: providerName(m.Provider),
		From: m.HeaderFrom, MailFrom: m.MailFrom, Subject: m.Subject, Tag: text(m.Tag), Meta: m.Meta,
		Size: m.Size, Received: moment(m.Received), Tracked: m.Tracked, Reason: text(m.Reason),
		Deliveries: make([]deliveryRow, len(r.Deliveries)),
	}
	if row.Meta == nil {
		row.Meta = map[string]string{}
	}
	for i, d := range r.Deliveries {
		row.Deliveries[i] = newDeliveryRow(d)
	}
	if m.Shared && len(r.Deliveries) > 1 {
		t := m.Tally
		row.sharedRow = &sharedRow{t.Opens, t.Clicks, t.MachineOpens, t.MachineClicks}
	}
	return row
}

func newDeliveryRow(d mail.Delivery) deliveryRow {
	t := d.Tally
	return deliveryRow{
		Recipient: d.Recipient, Status: d.Status, Reason: text(d.Reason), Basis: text(d.Basis),
		Attempts: d.Attempts, Uncertain: d.Uncertain, Reply: text(d.Reply), UpstreamID: text(d.UpstreamID),
		NextAttempt: moment(d.NextAttempt), Explain: d.Explain,
		Opens: t.Opens, Clicks: t.Clicks, MachineOpens: t.MachineOpens, MachineClicks: t.MachineClicks,
		UniqueOpens: t.UniqueOpens, UniqueClicks: t.UniqueClicks(),
		FirstOpen: moment(t.FirstOpen), LastEvent: moment(t.LastEvent),
	}
}

// newLinkRows joins what was decided about the links with what was clicked.
// Links of a message that was left alone have no tracking URL.
func newLinkRows(r store.Row, plan *rewrite.Plan, linker rewrite.Linker) []linkRow {
	rows := []linkRow{}
	if plan == nil {
		return rows
	}
	for _, l := range plan.Links() {
		row := linkRow{Index: l.Index, URL: l.URL, Label: l.Label, Decision: l.Decision, Reason: text(l.Reason)}
		if l.Decision == mail.Tracked && linker != nil {
			if url, err := plan.ClickURL(linker, l.Index, firstIndex(r)); err == nil {
				row.Tracked = text(url)
			}
		}
		add := func(t mail.LinkTally) {
			row.Clicks += t.Clicks
			row.MachineClicks += t.MachineClicks
		}
		for _, d := range r.Deliveries {
			add(d.Tally.Links[l.Index])
		}
		add(r.Message.Tally.Links[l.Index])
		rows = append(rows, row)
	}
	return rows
}

// firstIndex is the recipient index that the first recipient's copy carries.
func firstIndex(r store.Row) int {
	if r.Message.Shared && len(r.Deliveries) > 1 {
		return 0
	}
	return 1
}

// newEventRow names the recipient of an event by address.
func newEventRow(e mail.Event, recipients []string) eventRow {
	row := eventRow{
		Time: moment(e.Time), Kind: e.Kind, Message: e.Message, Class: text(e.Class), Rule: text(e.Rule),
		Link: number(e.Link), IP: text(e.IP), UserAgent: text(e.UserAgent), Basis: text(e.Basis), Count: e.Times(), Text: text(e.Text),
	}
	if i := e.Recipient - 1; i >= 0 && i < len(recipients) {
		row.Recipient = text(recipients[i])
	}
	return row
}

func recipients(ds []mail.Delivery) []string {
	out := make([]string, len(ds))
	for i, d := range ds {
		out[i] = d.Recipient
	}
	return out
}

// providerName is the name of a provider without its account.
func providerName(full string) string {
	_, name, found := strings.Cut(full, "/")
	if !found {
		return full
	}
	return name
}
