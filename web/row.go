package web

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
	"backstamp/relay/quirk"
	"backstamp/rewrite"
	"backstamp/store"
)

// The rows are the JSON of the contract; nothing else makes it.

// text is null when empty.
type text string

func (t text) MarshalJSON() ([]byte, error) { return orNull(string(t)) }

// moment is RFC 3339 in UTC, null when zero.
type moment time.Time

func (m moment) String() string {
	if time.Time(m).IsZero() {
		return ""
	}
	return time.Time(m).UTC().Format(time.RFC3339Nano)
}

func (m moment) MarshalJSON() ([]byte, error) { return text(m.String()).MarshalJSON() }

// first and last return the earlier and the later of two, of which one may be
// zero.
func (m moment) first(at time.Time) moment {
	if t := time.Time(m); at.IsZero() || !t.IsZero() && t.Before(at) {
		return m
	}
	return moment(at)
}

func (m moment) last(at time.Time) moment {
	if at.After(time.Time(m)) {
		return moment(at)
	}
	return m
}

// number is null when zero: of a link, whose indexes count from 1, or a limit.
type number int

func (n number) MarshalJSON() ([]byte, error) { return orNull(int(n)) }

func orNull[T comparable](v T) ([]byte, error) {
	var zero T
	if v == zero {
		return []byte("null"), nil
	}
	return json.Marshal(v)
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

// Shared is what counts for all recipients together; nil where each has its
// own.
func (r messageRow) Shared() *sharedRow { return r.sharedRow }

// sharedRow is there where recipients share one copy and token.
type sharedRow struct {
	Opens         int `json:"opens"`
	Clicks        int `json:"clicks"`
	MachineOpens  int `json:"machine_opens"`
	MachineClicks int `json:"machine_clicks"`
}

type deliveryRow struct {
	Recipient     string      `json:"recipient"`
	Status        mail.Status `json:"status"`
	Reason        text        `json:"reason"`
	Basis         text        `json:"basis"`
	Attempts      int         `json:"attempts"`
	Uncertain     bool        `json:"uncertain"`
	Reply         text        `json:"reply"`
	UpstreamID    text        `json:"upstream_id"`
	NextAttempt   moment      `json:"next_attempt"`
	Explain       *ExplainRow `json:"explain"`
	Notice        text        `json:"notice"` // the id of the notice about it, or why there is none
	Opens         int         `json:"opens"`
	Clicks        int         `json:"clicks"`
	MachineOpens  int         `json:"machine_opens"`
	MachineClicks int         `json:"machine_clicks"`
	UniqueOpens   int         `json:"unique_opens"`
	UniqueClicks  int         `json:"unique_clicks"`
	FirstOpen     moment      `json:"first_open"`
	LastOpen      moment      `json:"last_open"`
	FirstClick    moment      `json:"first_click"`
	LastClick     moment      `json:"last_click"`
	LastEvent     moment      `json:"last_event"`
}

// An ExplainRow is what a reply means, in words.
type ExplainRow struct {
	ID      string   `json:"id"`
	Class   string   `json:"class"`
	Title   string   `json:"title"`
	Meaning string   `json:"meaning"`
	Steps   []string `json:"steps"`
	Link    text     `json:"link"`
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
	UniqueClicks  int           `json:"unique_clicks"` // recipients who clicked it
	FirstClick    moment        `json:"first_click"`
	LastClick     moment        `json:"last_click"`
}

type eventRow struct {
	Time      moment    `json:"time"`
	Kind      mail.Kind `json:"kind"`
	Message   mail.ID   `json:"message"`
	Class     text      `json:"class"`
	Rule      text      `json:"rule"`
	Recipient text      `json:"recipient"`
	OneOf     number    `json:"one_of"` // of so many recipients somebody, whom the copy does not tell
	Link      number    `json:"link"`
	IP        text      `json:"ip"`
	UserAgent text      `json:"user_agent"`
	Method    text      `json:"method"`
	Referer   text      `json:"referer"` // the host alone
	Purpose   text      `json:"purpose"` // of a fetch that nobody asked for yet
	Simulated bool      `json:"simulated"`
	Basis     text      `json:"basis"`
	Count     int       `json:"count"`
	Text      text      `json:"text"`
}

type showRow struct {
	messageRow
	Totals     totalRow          `json:"totals"`
	Expired    bool              `json:"expired"` // content, plan and transcript were deleted by retention
	Links      []linkRow         `json:"links"`
	Events     []eventRow        `json:"events"`
	Alignment  alignmentRow      `json:"alignment"`
	Client     clientRow         `json:"client"`
	Quirks     []string          `json:"quirks"`
	Transcript []string          `json:"transcript"`
	Growth     int64             `json:"growth"` // octets that tracking adds to the body of a copy
	Notes      []string          `json:"notes"`
	Meanings   map[string]string `json:"meanings"` // of the reasons, notes and quirks
}

// LinkReasons returns why links were left alone, each reason once.
func (r showRow) LinkReasons() (reasons []string) {
	for _, l := range r.Links {
		if reason := string(l.Reason); reason != "" && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

type alignmentRow struct {
	Rule     string `json:"rule"`
	From     string `json:"from"`
	Identity text   `json:"identity"`
	Action   string `json:"action"`
}

// clientRow is who handed a message in.
type clientRow struct {
	Address string `json:"address"` // host and port
	Name    text   `json:"name"`
	Helo    text   `json:"helo"`
	User    text   `json:"user"`
	TLS     text   `json:"tls"`
}

type visitorRow struct {
	Address     string         `json:"address"`
	Name        text           `json:"name"`
	Helo        text           `json:"helo"`
	User        text           `json:"user"`
	TLS         text           `json:"tls"`
	Listener    text           `json:"listener"`
	FirstSeen   moment         `json:"first_seen"`
	LastSeen    moment         `json:"last_seen"`
	Connections int            `json:"connections"`
	Messages    int            `json:"messages"`
	Refused     int            `json:"refused"`
	Refusal     text           `json:"refusal"`
	Quirks      map[string]int `json:"quirks"`
}

func newVisitorRow(v mail.Visitor) visitorRow {
	row := visitorRow{
		Address: v.Addr, Name: text(v.Name), Helo: text(v.Helo), User: text(v.User), TLS: text(v.TLS), Listener: text(v.Listener),
		FirstSeen: moment(v.First), LastSeen: moment(v.Last),
		Connections: v.Connections, Messages: v.Messages, Refused: v.Refused, Refusal: text(v.Refusal), Quirks: v.Quirks,
	}
	if row.Quirks == nil {
		row.Quirks = map[string]int{}
	}
	return row
}

type usageRow struct {
	Account  string `json:"account"`
	Provider string `json:"provider"`
	dayRow
}

type tagRow struct {
	Account string `json:"account"`
	Tag     string `json:"tag"`
	dayRow
}

// dayRow is what one day saw. The hits of a day may be on what was sent before.
type dayRow struct {
	Day        string `json:"day"`
	Messages   int    `json:"messages"`
	Recipients int    `json:"recipients"`
	sumsRow
}

// sumsRow is the numbers of hits.
type sumsRow struct {
	Opens         int `json:"opens"`
	Clicks        int `json:"clicks"`
	MachineOpens  int `json:"machine_opens"`
	MachineClicks int `json:"machine_clicks"`
	UniqueOpens   int `json:"unique_opens"`
	UniqueClicks  int `json:"unique_clicks"`
}

func newDayRow(u store.Usage) dayRow {
	return dayRow{u.Day, u.Messages, u.Recipients, sumsRow(u.Sums)}
}

// totalRow is what all recipients of a message did together.
type totalRow struct {
	sumsRow
	FirstOpen  moment `json:"first_open"`
	LastOpen   moment `json:"last_open"`
	FirstClick moment `json:"first_click"`
	LastClick  moment `json:"last_click"`
}

// newTotalRow adds up the tallies of a message.
func newTotalRow(r store.Row) totalRow {
	var row totalRow
	sums := r.Message.Tally.Sums()
	add := func(t *mail.Tally) {
		first, last := t.Clicked()
		row.FirstOpen, row.LastOpen = row.FirstOpen.first(t.FirstOpen), row.LastOpen.last(t.LastOpen)
		row.FirstClick, row.LastClick = row.FirstClick.first(first), row.LastClick.last(last)
	}
	add(&r.Message.Tally)
	for i := range r.Deliveries {
		t := &r.Deliveries[i].Tally
		sums = sums.Add(t.Sums(), 1)
		add(t)
	}
	row.sumsRow = sumsRow(sums)
	return row
}

// A ReclassifiedRow counts what was judged again.
type ReclassifiedRow struct {
	Messages int `json:"messages"`
	Hits     int `json:"hits"`
	Changed  int `json:"changed"`
	Left     int `json:"left"`
}

type statusRow struct {
	Account   string      `json:"account"`
	Provider  string      `json:"provider"`
	Preset    string      `json:"preset"`
	State     string      `json:"state"`
	Until     moment      `json:"until"`
	Reason    text        `json:"reason"`
	SentToday int         `json:"sent_today"`
	Limit     number      `json:"limit"`
	LastError text        `json:"last_error"`
	Explain   *ExplainRow `json:"explain"`
}

func newMessageRow(r store.Row, lang string) messageRow {
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
		row.Deliveries[i] = newDeliveryRow(d, lang)
	}
	if countsForAll(r) {
		t := m.Tally
		row.sharedRow = &sharedRow{t.Opens, t.Clicks, t.MachineOpens, t.MachineClicks}
	}
	return row
}

func newDeliveryRow(d mail.Delivery, lang string) deliveryRow {
	t := d.Tally
	firstClick, lastClick := t.Clicked()
	return deliveryRow{
		Recipient: d.Recipient, Status: d.Status, Reason: text(d.Reason), Basis: text(d.Basis),
		Attempts: d.Attempts, Uncertain: d.Uncertain, Reply: text(d.Reply), UpstreamID: text(d.UpstreamID),
		NextAttempt: moment(d.NextAttempt), Explain: NewExplainRow(d.Explain, lang), Notice: text(d.Notice),
		Opens: t.Opens, Clicks: t.Clicks, MachineOpens: t.MachineOpens, MachineClicks: t.MachineClicks,
		UniqueOpens: t.UniqueOpens, UniqueClicks: t.UniqueClicks(),
		FirstOpen: moment(t.FirstOpen), LastOpen: moment(t.LastOpen),
		FirstClick: moment(firstClick), LastClick: moment(lastClick), LastEvent: moment(t.LastEvent),
	}
}

// NewExplainRow puts an explanation into words of a language; nil is nil.
func NewExplainRow(x *mail.Explain, lang string) *ExplainRow {
	if x == nil {
		return nil
	}
	x = catalogue.Shown(x, lang)
	return &ExplainRow{x.ID, x.Class, x.Title, x.Meaning, orEmpty(x.Steps), text(x.Link)}
}

// newShowRow makes a row that lacks its events. The plan may be nil.
func newShowRow(r store.Row, plan *rewrite.Plan, linker rewrite.Linker, lang string) showRow {
	d := r.Message.Detail
	a, c := d.Alignment, d.Client
	row := showRow{
		messageRow: newMessageRow(r, lang), Totals: newTotalRow(r), Expired: r.Message.Expired, Links: newLinkRows(r, plan, linker), Events: []eventRow{},
		Alignment: alignmentRow{a.Rule, a.From, text(a.Identity), a.Action},
		Client:    clientRow{c.Addr, text(c.Name), text(c.Helo), text(c.User), text(c.TLS)},
		Quirks:    orEmpty(d.Quirks), Transcript: orEmpty(d.Transcript),
		Notes: []string{}, Meanings: map[string]string{},
	}
	if plan != nil {
		row.Growth, row.Notes, row.Meanings = plan.Growth(), orEmpty(plan.Notes()), plan.Meanings(lang)
	} else if reason := r.Message.Reason; reason != "" {
		row.Meanings[reason] = rewrite.Explain(reason, lang)
	}
	for _, name := range row.Quirks {
		row.Meanings[name] = quirk.Explain(name, lang)
	}
	return row
}

// orEmpty keeps a list that has nothing from becoming null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func newStatusRow(p Provider, lang string) statusRow {
	return statusRow{
		Account: p.Account, Provider: p.Name, Preset: p.Preset, State: cmp.Or(p.State.State, store.StateOK),
		Until: moment(p.State.Until), Reason: text(p.State.Reason), LastError: text(p.State.LastError),
		SentToday: p.Sent, Limit: number(p.Limit), Explain: NewExplainRow(p.State.Explain, lang),
	}
}

// newLinkRows joins what was decided about the links with what was clicked.
// Links that were left alone have no tracking URL, the others that of the first
// recipient's copy.
func newLinkRows(r store.Row, plan *rewrite.Plan, linker rewrite.Linker) []linkRow {
	rows := []linkRow{}
	if plan == nil {
		return rows
	}
	for _, l := range plan.Links() {
		row := linkRow{Index: l.Index, URL: l.URL, Label: l.Label, Decision: l.Decision, Reason: text(l.Reason)}
		if l.Decision == mail.Tracked && linker != nil && len(r.Deliveries) > 0 {
			url, _ := plan.ClickURL(linker, l.Index, tokenIndex(r, r.Deliveries[0])) // null where its key is gone
			row.Tracked = text(url)
		}
		row.add(r.Message.Tally)
		for _, d := range r.Deliveries {
			row.add(d.Tally)
		}
		rows = append(rows, row)
	}
	return rows
}

func (l *linkRow) add(t mail.Tally) {
	c := t.Links[l.Index]
	l.Clicks += c.Clicks
	l.MachineClicks += c.MachineClicks
	l.FirstClick, l.LastClick = l.FirstClick.first(c.First), l.LastClick.last(c.Last)
	if c.Clicks > 0 {
		l.UniqueClicks++
	}
}

// countsForAll reports whether the recipients share one copy and token, so
// that hits count for the message and not for one of them.
func countsForAll(r store.Row) bool { return r.Message.Shared && len(r.Deliveries) > 1 }

// tokenIndex is the recipient index in the tokens of a delivery's copy.
func tokenIndex(r store.Row, d mail.Delivery) int {
	if countsForAll(r) {
		return 0
	}
	return d.Index
}

// newEventRow names the recipient of an event by address.
func newEventRow(e mail.Event, recipients []string) eventRow {
	row := eventRow{
		Time: moment(e.Time), Kind: e.Kind, Message: e.Message, Class: text(e.Class), Rule: text(e.Rule),
		Link: number(e.Link), IP: text(e.IP), UserAgent: text(e.UserAgent),
		Method: text(e.Method), Referer: text(e.Referer), Purpose: text(e.Purpose), Simulated: e.Simulated, Basis: text(e.Basis), Count: e.Times(), Text: text(e.Text),
	}
	if i := e.Recipient - 1; i >= 0 && i < len(recipients) {
		row.Recipient = text(recipients[i])
	}
	if e.Class != "" && e.Recipient == 0 {
		row.OneOf = number(len(recipients))
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
