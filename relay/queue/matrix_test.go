package queue

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/mailtest"
	"backstamp/mail"
	"backstamp/relay/provider"
	"backstamp/relay/provider/catalogue"
)

// A cell is one kind of trouble at one stage of the dialogue with an upstream.
type cell struct {
	stage     mailtest.Stage
	behaviour string
	action    mailtest.Action
}

// cells are the 10 stages with the 6 behaviours each.
func cells() (all []cell) {
	for _, stage := range []mailtest.Stage{
		mailtest.Banner, mailtest.EHLO, mailtest.STARTTLS, mailtest.Auth, mailtest.Mail,
		mailtest.RcptNo(2), mailtest.Data, mailtest.Dot, mailtest.RSET, mailtest.QUIT,
	} {
		hard := "550 5.0.0 no"
		if stage == mailtest.Auth {
			hard = "535 5.7.8 no"
		}
		all = append(all,
			cell{stage, "4xx", mailtest.Reply("451 4.3.0 later")},
			cell{stage, "5xx", mailtest.Reply(hard)},
			cell{stage, "garbage", mailtest.Garbage()},
			cell{stage, "close", mailtest.Close()},
			cell{stage, "hang", mailtest.Hang()},
			cell{stage, "421", mailtest.ReplyClose("421 4.3.2 closing")},
		)
	}
	return all
}

// refuses reports whether the upstream said that it did not take the content
// that it got.
func (c cell) refuses() bool {
	return c.stage == mailtest.Dot && slices.Contains([]string{"4xx", "5xx", "421"}, c.behaviour)
}

// TestUpstreamMatrix sends a message to three recipients through every kind of
// trouble, and once more when the trouble is over. No recipient may be left
// undecided or get it twice, but where the table says that nobody can know.
func TestUpstreamMatrix(t *testing.T) {
	all := cells()
	rows := make([]string, len(all))
	t.Run("cells", func(t *testing.T) {
		ca := mailtest.NewCA(t)
		for i, c := range all {
			t.Run(string(c.stage)+"/"+c.behaviour, func(t *testing.T) {
				t.Parallel()
				rows[i] = runCell(t, ca, c)
			})
		}
	})
	if slices.Contains(rows, "") {
		return // of a part there is no table
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "stage\tbehaviour\tfirst try\tconnection\texplanation\tafter the trouble\tcopies")
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	w.Flush()
	mailtest.Golden(t, "testdata/matrix.txt", []byte(b.String()))
}

// A bench is a queue with a real provider that speaks to a scripted peer.
type bench struct {
	t      *testing.T
	store  *memStore
	queue  *Queue
	client provider.Client
	peer   *mailtest.Peer
	ids    mail.IDs
}

func newBench(t *testing.T, ca *mailtest.CA, c cell) *bench {
	b := &bench{t: t, store: newMemStore()}
	b.peer = mailtest.Start(t, mailtest.Script{TLS: ca.Valid(), Username: "joe", Password: "sesam"})
	b.peer.On(c.stage, c.action, mailtest.Normal())
	const long, short = 10 * time.Second, 300 * time.Millisecond
	s := provider.Settings{
		Name: main, Preset: "generic", Host: b.peer.Host, Port: b.peer.Port, TLS: "starttls", RootCAs: ca.Pool(),
		Username: "joe", Password: "sesam", Hostname: "relay.test", Connections: 1,
		Timeouts: provider.Timeouts{Connect: long, Greeting: long, Command: long, Content: long, Dot: long, Idle: long},
	}
	if c.behaviour == "hang" {
		s.Timeouts.Greeting, s.Timeouts.Command, s.Timeouts.Dot = short, short, short
	}
	log := slog.New(slog.DiscardHandler)
	var err error
	if b.client, err = provider.New(s, clock.System{}, log); err != nil {
		t.Fatal(err)
	}
	b.queue = New(b.store, Settings{}, clock.System{}, log, nil)
	b.queue.SetRoutes(Routes{Renderer: letters{}, Providers: map[string]Route{main: {Provider: b.client, Connections: 1}}})
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.queue.Run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		b.client.Close()
	})
	return b
}

// send hands in a message and waits until each recipient had a try.
func (b *bench) send(recipients ...string) mail.ID {
	b.t.Helper()
	now := time.Now()
	m := &mail.Message{ID: b.ids.Next(now), Received: now, Account: "shop", Provider: main, Recipients: recipients}
	if err := b.queue.Put(b.t.Context(), m, sheet("")); err != nil {
		b.t.Fatal(err)
	}
	b.until(func() bool {
		return b.all(m.ID, func(d *mail.Delivery) bool { return d.Attempts > 0 })
	})
	return m.ID
}

// all reports whether a test holds for each delivery of a message. The store is
// locked.
func (b *bench) all(id mail.ID, ok func(*mail.Delivery) bool) bool {
	for k, d := range b.store.rows {
		if k.id == id && !ok(d) {
			return false
		}
	}
	return true
}

// until waits for a condition that is looked at under the lock of the store.
func (b *bench) until(ok func() bool) {
	b.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		b.store.mu.Lock()
		done, changed := ok(), b.store.changed
		b.store.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-limit:
			b.t.Fatal("a recipient is left undecided")
		}
	}
}

// finish tries what waits once more, as a person would when the trouble is
// over, until it is sent.
func (b *bench) finish(id mail.ID) {
	b.t.Helper()
	over := func(d *mail.Delivery) bool { return !d.Unfinished() }
	for n := 1; ; n++ {
		b.store.mu.Lock()
		done := b.all(id, over)
		b.store.mu.Unlock()
		if done {
			return
		}
		if _, err := b.queue.Retry(b.t.Context()); err != nil || n > 5 {
			b.t.Fatalf("retry %d: %v", n, err)
		}
		b.until(func() bool {
			return b.all(id, func(d *mail.Delivery) bool { return over(d) || d.Attempts > n })
		})
	}
}

var three = []string{"1@y.test", "2@y.test", "3@y.test"}

// runCell returns a row of the table.
func runCell(t *testing.T, ca *mailtest.CA, c cell) string {
	b := newBench(t, ca, c)
	if c.stage == mailtest.RSET { // it is said after a transaction that came to nothing
		b.peer.On(mailtest.RcptTo("nobody@y.test"), mailtest.Reply("550 5.1.1 no"))
		b.send("nobody@y.test")
	}
	id := b.send(three...)
	if c.stage == mailtest.QUIT {
		b.client.Close()
	}
	first, explained := b.summary(id)
	b.finish(id)
	last, _ := b.summary(id)
	b.send("next@y.test")
	connection := "kept"
	if b.peer.Connections() > 1 {
		connection = "closed"
	}
	copies := b.copies(c)
	for i, n := range copies {
		d := b.store.rows[key{id, i + 1}]
		if taken := !d.Status.Ended(); !d.Uncertain && (n > 1 || taken != (n == 1)) {
			t.Errorf("recipient %d got %d copies: %+v", i+1, n, d)
		}
		if d.Explain == nil && d.Reply == "" {
			t.Errorf("recipient %d: nothing explains %s", i+1, d.Status)
		}
	}
	return strings.Join([]string{strings.ToUpper(string(c.stage)), c.behaviour, first, connection, cmp.Or(explained, "-"), last, short(copies)}, "\t")
}

// summary says how the recipients stand, and how that is explained.
func (b *bench) summary(id mail.ID) (how, explained string) {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	var all, why []string
	for i := range three {
		d := b.store.rows[key{id, i + 1}]
		text := strings.TrimSpace(string(d.Status) + " " + d.Reason)
		if d.Uncertain {
			text += ", uncertain"
		}
		all = append(all, text)
		if x := catalogue.Shown(d.Explain, "en"); x != nil && !slices.Contains(why, x.Title) {
			why = append(why, x.Title)
		}
	}
	return short(all), strings.Join(why, "; ")
}

// copies counts for each recipient how often the upstream took the message.
func (b *bench) copies(c cell) []int {
	n := make([]int, len(three))
	refused := c.refuses()
	for _, tx := range b.peer.Transactions() {
		if !tx.Complete {
			continue
		}
		if refused { // the first of them
			refused = false
			continue
		}
		for i, addr := range three {
			if slices.Contains(tx.Recipients, addr) {
				n[i]++
			}
		}
	}
	return n
}

// short lists values, or the one that all have in common.
func short[T comparable](all []T) string {
	if len(slices.Compact(slices.Clone(all))) == 1 {
		return fmt.Sprint(all[0])
	}
	var texts []string
	for _, v := range all {
		texts = append(texts, fmt.Sprint(v))
	}
	return strings.Join(texts, " | ")
}

// letters renders the same small message for everybody.
type letters struct{}

func (letters) Render(*mail.Message, mail.Content, int, string) (mail.Copy, error) {
	return text("Subject: hi\r\n\r\n.dot\r\nend\r\n"), nil
}
