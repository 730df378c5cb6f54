// Package storetest is the suite that every backend of the store must pass: it
// says in tests what package store promises in words.
package storetest

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// A Backend is what the rooms ask of a store, all of it together.
type Backend interface {
	NewBody() mail.Body
	Put(context.Context, *mail.Message, []mail.Delivery, mail.Content) error
	Claim(ctx context.Context, now time.Time, n int, lease time.Duration, except ...string) ([]mail.Delivery, error)
	Start(context.Context, time.Time, []mail.Delivery) error
	Conclude(context.Context, []mail.Outcome, ...mail.Letter) error
	Hold([]mail.Delivery)
	Release([]mail.Delivery)
	NextDue(ctx context.Context, except ...string) (time.Time, error)
	Record(context.Context, ...mail.Event) []error
	SetTiming(mail.Timing)
	Reclassify(context.Context, func(mail.Event) (mail.Class, string), mail.Timing) (store.Reclassified, error)

	Message(context.Context, mail.ID) (store.Row, error)
	Delivery(context.Context, mail.ID, int) (mail.Delivery, error)
	Content(context.Context, mail.ID) (mail.ContentCloser, error)
	Messages(context.Context, store.Filter) iter.Seq2[store.Row, error]
	Unfinished(context.Context) iter.Seq2[mail.Delivery, error]
	Events(context.Context, store.EventFilter) iter.Seq2[store.EventRow, error]
	Watch() <-chan struct{}
	Expire(ctx context.Context, now time.Time, r store.Retention) (store.Expired, error)

	Tags(context.Context) iter.Seq2[store.Usage, error]
	Usage(context.Context) iter.Seq2[store.Usage, error]
	Spent(ctx context.Context, credential string, since time.Time) ([]store.Spent, error)
	SaveProvider(context.Context, store.ProviderState) error
	Providers(context.Context) ([]store.ProviderState, error)
	SaveVisitors(ctx context.Context, changed []mail.Visitor, gone []string) error
	Visitors(context.Context) ([]mail.Visitor, error)

	Healthy() error
	Close() error
}

// Open opens the store of that name, making it if it is new; after Close the
// same name opens the same store again. The name is a directory that exists
// and is empty at first. now is what the store's clock says.
type Open func(t *testing.T, name string, now time.Time) Backend

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"Journey", journey},
		{"Detail", detail},
		{"Bodies", bodies},
		{"Body", body},
		{"BodyClosed", bodyClosed},
		{"Refused", refused},
		{"Twice", twice},
		{"Unknown", unknown},
		{"ClaimOrder", claimOrder},
		{"ClaimOnce", claimOnce},
		{"ClaimExcept", claimExcept},
		{"LeaseEnds", leaseEnds},
		{"PutStarted", putStarted},
		{"PutHeld", putHeld},
		{"ReleaseStarted", releaseStarted},
		{"Uncertain", uncertain},
		{"StartEnded", startEnded},
		{"Held", held},
		{"NextDue", nextDue},
		{"ConcludeAllOrNone", concludeAllOrNone},
		{"ConcludeLetters", concludeLetters},
		{"Reopen", reopen},
		{"ExpireContent", expireContent},
		{"ExpireEvents", expireEvents},
		{"ExpireNothing", expireNothing},
		{"ExpireMany", expireMany},
		{"NeverLower", neverLower},
		{"OpenEndsRetries", openEndsRetries},
		{"ImpliedOpen", impliedOpen},
		{"Shared", shared},
		{"SharedAlone", sharedAlone},
		{"Unsent", unsent},
		{"Usage", usage},
		{"Spent", spent},
		{"UsageOfHits", usageOfHits},
		{"Timing", timing},
		{"TimingShared", timingShared},
		{"TimingFlood", timingFlood},
		{"Reclassify", reclassify},
		{"ReclassifyNothing", reclassifyNothing},
		{"ReclassifyImplied", reclassifyImplied},
		{"ReclassifyTiming", reclassifyTiming},
		{"ReclassifyShared", reclassifyShared},
		{"ReclassifyKeeps", reclassifyKeeps},
		{"ReclassifyExpired", reclassifyExpired},
		{"ReclassifyMany", reclassifyMany},
		{"Providers", providers},
		{"Visitors", visitors},
		{"Messages", listing},
		{"Filters", filters},
		{"Events", events},
		{"LateEvents", lateEvents},
		{"Watch", watch},
		{"Cancelled", cancelled},
		{"Closed", closed},
		{"Isolation", isolation},
		{"Concurrent", concurrent},
		{"ClaimRace", claimRace},
		{"TwoQueues", twoQueues},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, ctx: t.Context(), open: open, dir: t.TempDir()}
			s.Backend = open(t, s.dir, start)
			t.Cleanup(func() { s.Backend.Close() })
			c.test(s)
		})
	}
}

// start is when the tests begin.
var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return start.Add(d) }

// A suite is one test with its store.
type suite struct {
	*testing.T
	Backend
	ctx  context.Context
	open Open
	dir  string
	ids  mail.IDs
}

// reopen closes the store and opens it again.
func (s *suite) reopen() {
	s.Helper()
	s.ok(s.Close())
	s.Backend = s.open(s.T, s.dir, start)
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// message makes a message and its deliveries, not yet put.
func (s *suite) message(at time.Time, to ...string) (*mail.Message, []mail.Delivery) {
	m := &mail.Message{
		ID: s.ids.Next(at), Received: at, Account: "shop", Provider: "shop/main",
		MailFrom: "app@shop.test", HeaderFrom: "Sales@shop.test", Recipients: to,
		Subject: "Your order", Size: 12,
	}
	m.MessageID = "<" + m.ID.String() + "@shop.test>"
	ds := make([]mail.Delivery, len(to))
	for i := range to {
		ds[i] = mail.Delivery{
			Message: m.ID, Index: i + 1, Recipient: to[i], Provider: m.Provider, Status: mail.Queued,
		}
	}
	return m, ds
}

// put puts a plain message.
func (s *suite) put(at time.Time, to ...string) *mail.Message {
	s.Helper()
	m, ds := s.message(at, to...)
	s.ok(s.Put(s.ctx, m, ds, content(m)))
	return m
}

func content(m *mail.Message) mail.Content { return strings.NewReader(text(m)) }

func text(m *mail.Message) string { return fmt.Sprintf("Subject: %s\r\n\r\nhello\r\n", m.ID) }

// empty is the content of messages of which it does not matter.
var empty mail.Content = strings.NewReader("")

// content reads the whole content of a message.
func (s *suite) content(id mail.ID) []byte {
	s.Helper()
	c, err := s.Content(s.ctx, id)
	s.ok(err)
	defer c.Close()
	return whole(s, c)
}

// claim claims up to n, for ten minutes.
func (s *suite) claim(now time.Time, n int) []mail.Delivery {
	s.Helper()
	ds, err := s.Claim(s.ctx, now, n, 10*time.Minute)
	s.ok(err)
	return ds
}

// delivery reads one delivery.
func (s *suite) delivery(id mail.ID, index int) mail.Delivery {
	s.Helper()
	d, err := s.Delivery(s.ctx, id, index)
	s.ok(err)
	return d
}

// conclude applies one outcome.
func (s *suite) conclude(o mail.Outcome) {
	s.Helper()
	s.ok(s.Conclude(s.ctx, []mail.Outcome{o}))
}

func (s *suite) sent(id mail.ID, index int, at time.Time) {
	s.Helper()
	s.conclude(mail.Outcome{Message: id, Index: index, At: at, Status: mail.Sent, Attempted: true,
		Reply: "250 ok", Kind: mail.KindSent, Text: "250 ok"})
}

func (s *suite) record(e mail.Event) {
	s.Helper()
	s.ok(s.Record(s.ctx, e)[0])
}

// all collects a listing that must not fail.
func all[T any](s *suite, seq iter.Seq2[T, error]) (list []T) {
	s.Helper()
	for v, err := range seq {
		s.ok(err)
		list = append(list, v)
	}
	return list
}

// kinds are the kinds of the events of a message, in order.
func (s *suite) kinds(id mail.ID) (kinds []mail.Kind) {
	s.Helper()
	for _, e := range all(s, s.Events(s.ctx, store.EventFilter{Message: id})) {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// places name deliveries as recipients.
func recipients(ds []mail.Delivery) (to []string) {
	for _, d := range ds {
		to = append(to, d.Recipient)
	}
	return to
}

// equal compares what can be printed.
func equal(s *suite, what string, got, want any) {
	s.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		s.Errorf("%s: got %s, want %s", what, g, w)
	}
}
