package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backstamp/mail"
	"backstamp/web"
)

// What the tables show of the rows of the API.
type (
	messageView struct {
		ID         string
		Account    string
		Provider   string
		From       string
		MailFrom   string `json:"mail_from"`
		MessageID  string `json:"message_id"`
		Subject    string
		Size       int64
		Received   time.Time
		Tracked    bool
		Reason     string
		Deliveries []deliveryView
		Links      []linkView
		Events     []eventView
		Alignment  mail.Alignment
		Quirks     []string
		Transcript []string
	}
	deliveryView struct {
		ID            string
		Recipient     string
		Provider      string
		Status        string
		Reason        string
		Basis         string
		Attempts      int
		Uncertain     bool
		Reply         string
		NextAttempt   time.Time `json:"next_attempt"`
		Explain       *mail.Explain
		Opens         int
		Clicks        int
		MachineOpens  int `json:"machine_opens"`
		MachineClicks int `json:"machine_clicks"`
	}
	linkView struct {
		Index               int
		URL, Label, Tracked string
		Decision, Reason    string
		Clicks              int
		MachineClicks       int `json:"machine_clicks"`
	}
	eventView struct {
		Time                   time.Time
		Kind, Message          string
		Class, Rule, Recipient string
		Link                   int
		IP                     string
		UserAgent              string `json:"user_agent"`
		Basis                  string
		Count                  int
		Text                   string
	}
	statusView struct {
		Account, Provider, Preset string
		State, Reason             string
		Until                     time.Time
		SentToday                 int `json:"sent_today"`
		Limit                     int
		LastError                 string `json:"last_error"`
	}
	usageView struct {
		Account, Provider, Day string
		Messages, Recipients   int
	}
)

func (p *program) messagesCommand() *cobra.Command {
	query := url.Values{}
	c := &cobra.Command{
		Use: "messages", Short: "List messages, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			flagsInto(c, query, "status", "account", "provider", "from", "to", "subject", "message-id", "tag", "since", "limit")
			if !p.json && !c.Flags().Changed("limit") {
				query.Set("limit", "100")
			}
			return p.withAPI(c.Context(), func(api *apiClient) error {
				t := p.table("ID", "RECEIVED", "FROM", "TO", "STATUS", "OPENS", "CLICKS", "SUBJECT")
				err := list(c.Context(), p, api, "/messages", query, func(m messageView) { messageRows(t, m) })
				if err != nil {
					return err
				}
				return t.flush(p.out)
			})
		},
	}
	f := c.Flags()
	f.String("status", "", "only messages with a delivery of this `STATUS`")
	f.String("account", "", "only those of this account")
	f.String("provider", "", "only those through this provider")
	f.String("from", "", "part of the From address")
	f.String("to", "", "part of a recipient")
	f.String("subject", "", "part of the subject")
	f.String("message-id", "", "the Message-ID field")
	f.String("tag", "", "the tag")
	f.String("since", "", "only since `D`: a duration back (2h, 7d) or a time")
	f.Int("limit", 0, "at most `N` messages, 0 for all (a table shows 100 unless told)")
	return p.jsonFlag(c)
}

// flagsInto copies the flags that were given into a query.
func flagsInto(c *cobra.Command, query url.Values, names ...string) {
	for _, n := range names {
		if f := c.Flags().Lookup(n); f.Changed {
			query.Set(n, f.Value.String())
		}
	}
}

func messageRows(t *table, m messageView) {
	for i, d := range m.Deliveries {
		note := d.Status
		if d.Reason != "" {
			note += " (" + d.Reason + ")"
		}
		if i == 0 {
			t.row(m.ID, clockTime(m.Received), clip(m.From, 30), clip(d.Recipient, 30), note, hits(d.Opens, d.MachineOpens), hits(d.Clicks, d.MachineClicks), clip(m.Subject, 40))
			continue
		}
		t.row("", "", "", clip(d.Recipient, 30), note, hits(d.Opens, d.MachineOpens), hits(d.Clicks, d.MachineClicks), "")
	}
}

// hits shows people and machines apart.
func hits(people, machines int) string {
	if machines == 0 {
		return strconv.Itoa(people)
	}
	return fmt.Sprintf("%d +%dm", people, machines)
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func (p *program) showCommand() *cobra.Command {
	var raw, sent, transcript bool
	var recipient string
	c := &cobra.Command{
		Use: "show ID", Short: "Show one message, its links and what happened to it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/messages/" + url.PathEscape(args[0])
			return p.withAPI(c.Context(), func(api *apiClient) error {
				switch {
				case raw:
					return p.copyOut(c.Context(), api, path+"/raw", nil)
				case sent:
					query := url.Values{}
					if recipient != "" {
						query.Set("recipient", recipient)
					}
					return p.copyOut(c.Context(), api, path+"/sent", query)
				}
				return list(c.Context(), p, api, path, nil, func(m messageView) {
					if transcript {
						for _, l := range m.Transcript {
							fmt.Fprintln(p.out, mail.Escape(l))
						}
						return
					}
					p.showMessage(m)
				})
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&raw, "raw", false, "print the message as it was received")
	f.BoolVar(&sent, "sent", false, "print the message as sent to a recipient")
	f.StringVar(&recipient, "recipient", "", "with --sent: the recipient's `ADDR` (else the first)")
	f.BoolVar(&transcript, "transcript", false, "print the SMTP session that brought it")
	c.MarkFlagsMutuallyExclusive("raw", "sent", "transcript")
	return p.jsonFlag(c)
}

func (p *program) copyOut(ctx context.Context, api *apiClient, path string, query url.Values) error {
	body, err := api.get(ctx, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(p.out, body); err != nil {
		return exitf(exitFailed, "the message broke off: %v", err)
	}
	return nil
}

func (p *program) showMessage(m messageView) {
	say := func(label, format string, args ...any) {
		fmt.Fprintf(p.out, "%-12s %s\n", label, mail.Escape(fmt.Sprintf(format, args...)))
	}
	say("Id", "%s", m.ID)
	say("Message-ID", "%s", m.MessageID)
	say("Received", "%s, %d octets", clockTime(m.Received), m.Size)
	say("From", "%s (MAIL FROM <%s>)", m.From, m.MailFrom)
	say("Subject", "%s", m.Subject)
	say("Account", "%s, provider %s", m.Account, m.Provider)
	say("Sender", "%s (%s by rule %s)", m.Alignment.Action, m.Alignment.From, m.Alignment.Rule)
	if m.Tracked {
		say("Tracked", "yes")
	} else {
		say("Tracked", "no: %s", m.Reason)
	}
	if len(m.Quirks) > 0 {
		say("Quirks", "%s", strings.Join(m.Quirks, ", "))
	}

	p.section("Deliveries")
	t := p.table("RECIPIENT", "STATUS", "BASIS", "TRIES", "OPENS", "CLICKS", "NEXT TRY", "REPLY")
	for _, d := range m.Deliveries {
		status := d.Status
		if d.Reason != "" {
			status += " (" + d.Reason + ")"
		}
		if d.Uncertain {
			status += " uncertain"
		}
		t.row(d.Recipient, status, d.Basis, strconv.Itoa(d.Attempts), hits(d.Opens, d.MachineOpens), hits(d.Clicks, d.MachineClicks), clockTime(d.NextAttempt), clip(strings.ReplaceAll(d.Reply, "\n", " / "), 70))
	}
	t.flush(p.out)
	for _, d := range m.Deliveries {
		p.explain(d.Recipient, d.Explain)
	}

	if len(m.Links) > 0 {
		p.section("Links")
		t = p.table("#", "DECISION", "CLICKS", "URL", "LABEL")
		for _, l := range m.Links {
			decision := l.Decision
			if l.Reason != "" {
				decision += ": " + l.Reason
			}
			t.row(strconv.Itoa(l.Index), decision, hits(l.Clicks, l.MachineClicks), l.URL, clip(l.Label, 30))
		}
		t.flush(p.out)
	}

	p.section("Events")
	t = p.table(eventHead...)
	for _, e := range m.Events {
		t.row(eventCells(e)...)
	}
	t.flush(p.out)
}

func (p *program) section(title string) { fmt.Fprintf(p.out, "\n%s\n", title) }

// explain says what a reply means and what to do.
func (p *program) explain(about string, x *mail.Explain) {
	if x == nil {
		return
	}
	fmt.Fprintf(p.out, "\n%s: %s\n  %s\n", mail.Escape(about), x.Title, x.Meaning)
	for i, s := range x.Steps {
		fmt.Fprintf(p.out, "  %d. %s\n", i+1, s)
	}
}

var eventHead = []string{"TIME", "KIND", "RECIPIENT", "LINK", "CLASS", "RULE", "IP", "COUNT", "TEXT"}

func eventCells(e eventView) []string {
	link := ""
	if e.Link > 0 {
		link = strconv.Itoa(e.Link)
	}
	said := e.Text
	if said == "" {
		said = e.UserAgent
	}
	kind := e.Kind
	if e.Basis == "click" && kind == "open" {
		kind = "open (by click)" // nobody saw it: a click tells of it
	}
	return []string{clockTime(e.Time), kind, e.Recipient, link, e.Class, e.Rule, e.IP, strconv.Itoa(e.Count), clip(strings.ReplaceAll(said, "\n", " / "), 60)}
}

func (p *program) eventsCommand() *cobra.Command {
	query := url.Values{}
	var follow bool
	c := &cobra.Command{
		Use: "events", Short: "List what happened, oldest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			flagsInto(c, query, "message", "since", "kind")
			return p.withAPI(c.Context(), func(api *apiClient) error {
				if !follow {
					t := p.table(append([]string{"MESSAGE"}, eventHead...)...)
					err := list(c.Context(), p, api, "/events", query, func(e eventView) {
						t.row(append([]string{e.Message}, eventCells(e)...)...)
					})
					if err != nil {
						return err
					}
					return t.flush(p.out)
				}
				if !api.server {
					return exitf(exitFailed, "no server runs on this data_dir, so nothing will happen; start it with: backstamp serve")
				}
				query.Set("follow", "1")
				return list(c.Context(), p, api, "/events", query, func(e eventView) {
					cells := append([]string{e.Message}, eventCells(e)...)
					fmt.Fprintln(p.out, mail.Escape(strings.Join(cells, "  ")))
				})
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&follow, "follow", false, "stay and print what happens")
	f.String("message", "", "only those of the message `ID`")
	f.String("since", "", "only since `D`: a duration back (2h, 7d) or a time")
	f.String("kind", "", "only those of kind `K` (accepted, sent, open, click, …)")
	c.AddCommand(&cobra.Command{
		Use: "reclassify", Short: "Judge the hits again by the rules of today", Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return exitf(exitUsage, "the command events reclassify is not available in this version")
		},
	})
	return p.jsonFlag(c)
}

func (p *program) statusCommand() *cobra.Command {
	var usage bool
	c := &cobra.Command{
		Use: "status", Short: "Show how the providers do", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.withAPI(c.Context(), func(api *apiClient) error {
				if usage {
					t := p.table("DAY", "ACCOUNT", "PROVIDER", "MESSAGES", "RECIPIENTS")
					err := list(c.Context(), p, api, "/usage", nil, func(u usageView) {
						t.row(u.Day, u.Account, u.Provider, strconv.Itoa(u.Messages), strconv.Itoa(u.Recipients))
					})
					if err != nil {
						return err
					}
					return t.flush(p.out)
				}
				return p.showStatus(c.Context(), api)
			})
		},
	}
	c.Flags().BoolVar(&usage, "usage", false, "count messages and recipients by account, provider and day")
	return p.jsonFlag(c)
}

// showStatus prints the providers; it ends degraded when one of them cannot
// send.
func (p *program) showStatus(ctx context.Context, api *apiClient) error {
	if !p.json {
		server := "no server runs on this data_dir"
		if api.server {
			server = "the server runs"
		}
		fmt.Fprintf(p.out, "%s\n", server)
		if text := p.trackingNote(); text != "" {
			fmt.Fprintf(p.out, "%s\n", text)
		}
		fmt.Fprintln(p.out)
	}
	degraded := false
	t := p.table("ACCOUNT", "PROVIDER", "PRESET", "STATE", "SENT TODAY", "LIMIT", "UNTIL", "LAST ERROR")
	body, err := api.get(ctx, "/status", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	err = lines(body, func(line []byte) error {
		var s statusView
		if err := unmarshal(line, &s); err != nil {
			return err
		}
		degraded = degraded || s.State != "ok"
		if p.json {
			_, err := p.out.Write(line)
			return err
		}
		limit := ""
		if s.Limit > 0 {
			limit = strconv.Itoa(s.Limit)
		}
		state := s.State
		if s.Reason != "" {
			state += " (" + s.Reason + ")"
		}
		t.row(s.Account, s.Provider, s.Preset, state, strconv.Itoa(s.SentToday), limit, clockTime(s.Until), clip(strings.ReplaceAll(s.LastError, "\n", " / "), 70))
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.flush(p.out); err != nil {
		return err
	}
	if degraded {
		return &exitError{code: exitDegraded}
	}
	return nil
}

func (p *program) queueCommand() *cobra.Command {
	queue := &cobra.Command{Use: "queue", Short: "What waits to be sent, and what to do with it", Args: cobra.NoArgs}
	queue.RunE = func(c *cobra.Command, _ []string) error {
		return exitf(exitUsage, "queue needs one of: ls, retry, hold, drop, move")
	}
	ls := &cobra.Command{
		Use: "ls", Short: "List the deliveries that wait, the next one first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return p.withAPI(c.Context(), func(api *apiClient) error {
				t := p.table("ID", "RECIPIENT", "PROVIDER", "STATUS", "TRIES", "NEXT TRY", "REPLY")
				err := list(c.Context(), p, api, "/queue", nil, func(d deliveryView) {
					status := d.Status
					if d.Reason != "" {
						status += " (" + d.Reason + ")"
					}
					said := d.Reply
					if said == "" && d.Explain != nil {
						said = d.Explain.Meaning
					}
					t.row(d.ID, clip(d.Recipient, 40), d.Provider, status, strconv.Itoa(d.Attempts), clockTime(d.NextAttempt), clip(strings.ReplaceAll(said, "\n", " / "), 60))
				})
				if err != nil {
					return err
				}
				return t.flush(p.out)
			})
		},
	}
	retry := p.queueAction("retry [ID…]", "Make deferred and held deliveries due now, all without ID", "retry", cobra.ArbitraryArgs)
	hold := p.queueAction("hold ID…", "Keep a message from being tried until retry", "hold", cobra.MinimumNArgs(1))
	drop := p.queueAction("drop ID…", "End a message's deliveries as failed", "drop", cobra.MinimumNArgs(1))
	move := p.queueAction("move --to ACCOUNT/NAME ID…", "Give a message to another provider", "move", cobra.MinimumNArgs(1))
	move.Flags().String("to", "", "the provider, as `ACCOUNT/NAME`")
	move.MarkFlagRequired("to")
	queue.AddCommand(p.jsonFlag(ls), retry, hold, drop, move)
	return queue
}

func (p *program) queueAction(use, short, action string, args cobra.PositionalArgs) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(c *cobra.Command, ids []string) error {
			in := map[string]any{"ids": ids}
			for _, id := range ids {
				if _, err := mail.ParseID(id); err != nil {
					return exitf(exitFailed, "no such message: %q", id)
				}
			}
			if f := c.Flags().Lookup("to"); f != nil {
				in["to"] = f.Value.String()
			}
			return p.withAPI(c.Context(), func(api *apiClient) error {
				var out struct{ Changed int }
				if err := api.post(c.Context(), "/queue/"+action, in, &out); err != nil {
					return err
				}
				if out.Changed == 0 {
					return exitf(exitDegraded, "nothing to do: no such delivery waits")
				}
				fmt.Fprintf(p.out, "%s: %d deliveries\n", action, out.Changed)
				return nil
			})
		},
	}
}

func (p *program) simulateCommand() *cobra.Command {
	simulate := &cobra.Command{Use: "simulate", Short: "Play a reader, through the real handler", Args: cobra.NoArgs}
	simulate.RunE = func(*cobra.Command, []string) error {
		return exitf(exitUsage, "simulate needs one of: open, click")
	}
	for _, kind := range []mail.Kind{mail.KindOpen, mail.KindClick} {
		var as, recipient string
		var link int
		c := &cobra.Command{
			Use: string(kind) + " ID", Short: "Play a reader's " + string(kind), Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				id, err := mail.ParseID(args[0])
				if err != nil {
					return exitf(exitFailed, "no such message: %q", args[0])
				}
				in := map[string]any{"kind": kind, "id": id, "as": as, "link": link, "recipient": recipient}
				return p.withAPI(c.Context(), func(api *apiClient) error {
					var hit web.Hit
					if err := api.post(c.Context(), "/simulate", in, &hit); err != nil {
						return err
					}
					return p.printHit(kind, hit)
				})
			},
		}
		c.Flags().StringVar(&as, "as", "human", "who: human, gmail, yahoo, apple-mpp, gmail-prefetch, safelinks, barracuda or head")
		c.Flags().StringVar(&recipient, "recipient", "", "whose copy, by `ADDR` (else the first)")
		if kind == mail.KindClick {
			c.Flags().IntVar(&link, "link", 1, "which link, by index")
		}
		simulate.AddCommand(p.jsonFlag(c))
	}
	provider := laterCommand("provider")
	simulate.AddCommand(provider)
	return simulate
}

func (p *program) printHit(kind mail.Kind, hit web.Hit) error {
	if p.json {
		return writeLine(p.out, hit)
	}
	fmt.Fprintf(p.out, "%s: class %s by rule %s, answered %d", kind, hit.Class, hit.Rule, hit.Status)
	if hit.Location != "" {
		fmt.Fprintf(p.out, " to %s", mail.Escape(hit.Location))
	}
	fmt.Fprintln(p.out)
	return nil
}

func (p *program) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionOf()
			if p.json {
				return writeLine(p.out, v)
			}
			fmt.Fprintf(p.out, "backstamp %s %s\n", v.Version, v.Go)
			return nil
		},
	}
	return p.jsonFlag(c)
}
