package bolt

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"backstamp/mail"
	"backstamp/store"
)

// TestTab has hits share a commit with what else changes their messages, and
// expects of it what the same changes come to one by one.
func TestTab(t *testing.T) {
	mine := errors.New("mine")
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			alone, together := tabbedStore(t, shared), tabbedStore(t, shared)
			open := mail.Event{Time: begin, Kind: mail.KindOpen, Message: alone.id, Recipient: 1, Class: mail.Human, IP: "192.0.2.1"}
			click, second := open, open
			click.Kind, click.Link = mail.KindClick, 3
			second.Recipient = 2
			sent := mail.Outcome{Message: alone.id, Index: 2, At: begin.Add(time.Second), Status: mail.Sent, Kind: mail.KindSent}
			late := mail.Outcome{Message: alone.id, Index: 1, At: begin.Add(time.Minute), Status: mail.Sent, UpstreamID: "late"}
			record := func(es ...mail.Event) func(*tx, int) error {
				return func(t *tx, i int) error { return t.record(es[i], mail.Timing{}) }
			}
			changes := []struct {
				n     int
				hits  bool
				apply func(*tx, int) error
			}{
				{3, true, record(open, click, open)},
				{1, true, record(second)}, // before it was sent
				{1, false, func(t *tx, _ int) error { return t.conclude([]place{{sent.Message, 2}}, []mail.Outcome{sent}) }},
				{1, false, func(t *tx, _ int) error { return t.conclude([]place{{late.Message, 1}}, []mail.Outcome{late}) }},
				{2, true, record(second, click)},
				{1, true, func(t *tx, _ int) error { t.record(open, mail.Timing{}); return mine }},
				{1, false, func(t *tx, _ int) error { t.record(open, mail.Timing{}); panic(mine) }},
				{1, true, record(open)},
			}
			g := shut(t, together.Store)
			for _, c := range changes {
				g.add(c.n, c.hits, c.apply)
				for i := range c.n {
					o := newOp(1, func(t *tx, _ int) error { return c.apply(t, i) })
					o.hits = c.hits
					alone.writeAll(t.Context(), o)
				}
			}
			last := g.add(1, false, func(*tx, int) error { return nil })
			g.pass()
			<-g.entered
			g.pass()
			<-last.done
			together.writer.commit = (*bbolt.Tx).Commit
			if g.commits != 2 {
				t.Fatalf("%d commits, want the gate's and one", g.commits)
			}
			if got, want := together.told(t), alone.told(t); got != want {
				t.Errorf("together:\n%s\none by one:\n%s", got, want)
			}
		})
	}
}

// A tabStore is a store with a message to two, of which the first was sent.
type tabStore struct {
	*Store
	id mail.ID
}

func tabbedStore(t *testing.T, shared bool) tabStore {
	s := opened(t, t.TempDir(), Options{Create: true})
	m, ds := aMessage(new(mail.IDs))
	m.ID, m.Shared, m.Tag = mail.ID{1}, shared, "spring"
	ds = append(ds, ds[0])
	for i := range ds {
		ds[i].Message, ds[i].Index = m.ID, i+1
	}
	if err := s.Put(t.Context(), m, ds, octets(0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Conclude(t.Context(), []mail.Outcome{{Message: m.ID, Index: 1, At: begin, Status: mail.Sent}}); err != nil {
		t.Fatal(err)
	}
	return tabStore{s, m.ID}
}

// told is all that the store says of its message, rows of equal hits as one.
func (s tabStore) told(t *testing.T) (text string) {
	t.Helper()
	row, err := s.Message(t.Context(), s.id)
	text = fmt.Sprintf("%+v %v\n", row.Message.Tally, err)
	for _, d := range row.Deliveries {
		text += fmt.Sprintf("%+v\n", d)
	}
	hits := map[string]int{}
	for e := range s.Events(t.Context(), store.EventFilter{}) {
		hits[fmt.Sprint(e.Kind, " of ", e.Recipient, e.Link, e.Class, e.Rule, e.Basis, e.IP)] += e.Times()
	}
	text += fmt.Sprintln(hits)
	for u := range s.Tags(t.Context()) {
		text += fmt.Sprintf("\n%+v", u)
	}
	for u := range s.Usage(t.Context()) {
		text += fmt.Sprintf("\n%+v", u)
	}
	return text
}
