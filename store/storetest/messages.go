package storetest

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// journey follows one message from its acceptance to a click.
func journey(s *suite) {
	m := s.put(start, "a@x.test")
	ds := s.claim(start, 5)
	if len(ds) != 1 || ds[0].Message != m.ID || ds[0].Index != 1 || ds[0].Recipient != "a@x.test" || ds[0].Uncertain {
		s.Fatalf("claimed %+v", ds)
	}
	s.ok(s.Start(s.ctx, after(time.Second), ds))
	equal(s, "status while it runs", s.delivery(m.ID, 1).Status, mail.Queued)
	s.conclude(mail.Outcome{Message: m.ID, Index: 1, At: after(2 * time.Second), Status: mail.Sent, Attempted: true,
		Reply: "250 2.0.0 ok", UpstreamID: "up-1", Kind: mail.KindSent, Text: "250 2.0.0 ok"})
	d := s.delivery(m.ID, 1)
	if d.Status != mail.Sent || d.Attempts != 1 || d.Reply != "250 2.0.0 ok" || d.UpstreamID != "up-1" ||
		!d.Started.IsZero() || d.Uncertain {
		s.Errorf("concluded: %+v", d)
	}
	s.record(mail.Event{Time: after(time.Minute), Kind: mail.KindOpen, Message: m.ID, Recipient: 1, Class: mail.Human, Rule: "browser"})
	s.record(mail.Event{Time: after(2 * time.Minute), Kind: mail.KindClick, Message: m.ID, Recipient: 1, Link: 2, Class: mail.Human, IP: "192.0.2.0"})

	d = s.delivery(m.ID, 1)
	if d.Status != mail.Clicked || d.Basis != mail.BasisClick || d.Tally.Opens != 1 || d.Tally.Clicks != 1 ||
		d.Tally.Links[2].Clicks != 1 || !d.Tally.FirstOpen.Equal(after(time.Minute)) || !d.Tally.LastEvent.Equal(after(2*time.Minute)) {
		s.Errorf("after the click: %+v", d)
	}
	equal(s, "events", s.kinds(m.ID), []mail.Kind{mail.KindAccepted, mail.KindSent, mail.KindOpen, mail.KindClick})
	rows := all(s, s.Events(s.ctx, store.EventFilter{Message: m.ID, Kind: mail.KindClick}))
	if len(rows) != 1 || rows[0].Link != 2 || rows[0].IP != "192.0.2.0" || rows[0].Class != mail.Human || rows[0].Recipient != 1 ||
		rows[0].Message != m.ID || !rows[0].Time.Equal(after(2*time.Minute)) {
		s.Errorf("click event: %+v", rows)
	}
	list := all(s, s.Messages(s.ctx, store.Filter{}))
	if len(list) != 1 || list[0].Message.ID != m.ID || list[0].Deliveries[0].Status != mail.Clicked {
		s.Errorf("listing: %+v", list)
	}
	if left := all(s, s.Unfinished(s.ctx)); len(left) != 0 {
		s.Errorf("unfinished: %+v", left)
	}
	if again := s.claim(after(240*time.Hour), 5); len(again) != 0 {
		s.Errorf("claimed again: %+v", again)
	}
}

// detail expects everything back that was put, from Message, and all but the
// detail from a listing.
func detail(s *suite) {
	m, ds := s.message(start.Add(123456789), "a@x.test", "b@x.test", "한@x.test")
	m.Tag, m.Meta, m.Tracked, m.Reason = "spring", map[string]string{"order": "7"}, true, "why"
	m.Subject = "견적서 \"A\"\u2028"
	m.Detail = mail.Detail{
		Plan:       []byte{0, 1, 0xff, '"', '\n'},
		Alignment:  mail.Alignment{Rule: "from", From: "sales@shop.test", Action: mail.ActionEnvelope},
		Client:     mail.Client{Addr: "127.0.0.1:50000", Helo: "app", User: "shop", TLS: "1.3"},
		Header:     mail.HeaderEdits{Add: []string{"X-A: 1\r\n 2"}, Remove: []string{"Bcc"}},
		Quirks:     []string{"bare-lf"},
		Transcript: []string{"C: EHLO app", "S: 250 ok"},
	}
	ds[1].Explain = &mail.Explain{ID: "x", Steps: []string{"one"}}
	s.ok(s.Put(s.ctx, m, ds, content(m)))
	s.reopen()

	row, err := s.Message(s.ctx, m.ID)
	s.ok(err)
	if !row.Message.Received.Equal(m.Received) {
		s.Errorf("received %v, want %v", row.Message.Received, m.Received)
	}
	row.Message.Received = m.Received
	if !reflect.DeepEqual(row.Message, m) {
		s.Errorf("message:\n got %+v\nwant %+v", row.Message, m)
	}
	if !reflect.DeepEqual(row.Deliveries, ds) {
		s.Errorf("deliveries:\n got %+v\nwant %+v", row.Deliveries, ds)
	}
	listed := all(s, s.Messages(s.ctx, store.Filter{}))[0]
	if !reflect.DeepEqual(listed.Message.Detail, mail.Detail{}) {
		s.Errorf("a listing has detail: %+v", listed.Message.Detail)
	}
	equal(s, "recipients in a listing", listed.Message.Recipients, m.Recipients)
}

// bodies expects content of any size and any bytes as it was.
func bodies(s *suite) {
	sizes := []int{0, 1, 4096, 32 << 10, 32<<10 + 1, 1 << 20}
	var ms []*mail.Message
	for _, n := range sizes {
		m, ds := s.message(start, "a@x.test")
		s.ok(s.Put(s.ctx, m, ds, bytes.NewReader(pattern(n))))
		ms = append(ms, m)
	}
	for range 2 {
		for i, m := range ms {
			got := s.content(m.ID)
			if !bytes.Equal(got, pattern(sizes[i])) {
				s.Errorf("body of %d octets came back as %d others", sizes[i], len(got))
			}
		}
		s.reopen()
	}
}

// body puts bodies that were written in pieces: each can be read before, after
// and beside its being put, is what was written, and is taken once.
func body(s *suite) {
	for _, size := range []int{0, 1, 32 << 10, 32<<10 + 1, 1 << 20} {
		want := pattern(size)
		b := s.NewBody()
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 7777)
			if got, err := b.Write(rest[:n]); got != n || err != nil {
				s.Fatalf("wrote %d of %d: %v", got, n, err)
			}
			rest = rest[n:]
		}
		equal(s, "before it is put", bytes.Equal(whole(s, b), want), true)
		m, ds := s.message(start, "a@x.test")
		s.ok(s.Put(s.ctx, m, ds, b))
		equal(s, "after it was put", bytes.Equal(whole(s, b), want), true)
		if _, err := b.Write([]byte("more")); err == nil {
			s.Error("a body that was put can be written to")
		}
		if m, ds := s.message(start, "a@x.test"); s.Put(s.ctx, m, ds, b) == nil {
			s.Error("a body was put twice")
		}
		s.ok(b.Close())
		equal(s, "as kept", bytes.Equal(s.content(m.ID), want), true)
		s.reopen()
		equal(s, "as kept over a restart", bytes.Equal(s.content(m.ID), want), true)
	}
	equal(s, "messages", len(all(s, s.Messages(s.ctx, store.Filter{}))), 5)
}

// bodyClosed closes bodies that nobody put, and reads and writes closed ones.
func bodyClosed(s *suite) {
	for _, size := range []int{1, 100 << 10} {
		b := s.NewBody()
		_, err := b.Write(pattern(size))
		s.ok(err)
		s.ok(b.Close())
		if _, err := b.Write([]byte("x")); err == nil {
			s.Error("wrote to a closed body")
		}
		if _, err := b.ReadAt(make([]byte, 1), 0); err == nil || err == io.EOF {
			s.Errorf("read from a closed body: %v", err)
		}
		m, ds := s.message(start, "a@x.test")
		if s.Put(s.ctx, m, ds, b) == nil {
			s.Error("put a closed body")
		}
	}
	equal(s, "messages", len(all(s, s.Messages(s.ctx, store.Filter{}))), 0)
}

func whole(s *suite, c mail.Content) []byte {
	s.Helper()
	b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	s.ok(err)
	return b
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

// refused puts what makes no sense: nothing of it may be kept.
func refused(s *suite) {
	for name, spoil := range map[string]func(*mail.Message, []mail.Delivery) []mail.Delivery{
		"no id":         func(m *mail.Message, ds []mail.Delivery) []mail.Delivery { m.ID = mail.ID{}; return ds },
		"no deliveries": func(*mail.Message, []mail.Delivery) []mail.Delivery { return nil },
		"wrong index":   func(_ *mail.Message, ds []mail.Delivery) []mail.Delivery { ds[1].Index = 5; return ds },
		"from zero":     func(_ *mail.Message, ds []mail.Delivery) []mail.Delivery { ds[0].Index = 0; return ds },
		"of another":    func(_ *mail.Message, ds []mail.Delivery) []mail.Delivery { ds[1].Message[0]++; return ds },
	} {
		m, ds := s.message(start, "a@x.test", "b@x.test")
		if err := s.Put(s.ctx, m, spoil(m, ds), empty); err == nil {
			s.Errorf("%s: accepted", name)
		}
	}
	if n := len(all(s, s.Messages(s.ctx, store.Filter{}))) + len(all(s, s.Unfinished(s.ctx))) +
		len(all(s, s.Events(s.ctx, store.EventFilter{}))); n != 0 {
		s.Errorf("%d rows of refused messages", n)
	}
}

// twice puts a message under an ID that is taken: the first stays as it is.
func twice(s *suite) {
	for _, n := range []int{10, 100 << 10} {
		m, ds := s.message(start, "a@x.test")
		s.ok(s.Put(s.ctx, m, ds, bytes.NewReader(pattern(n))))
		if err := s.Put(s.ctx, m, ds, bytes.NewReader(pattern(n+1))); err == nil {
			s.Error("put twice")
		}
		equal(s, "size of the first", len(s.content(m.ID)), n)
	}
}

// unknown asks for what is not there.
func unknown(s *suite) {
	m := s.put(start, "a@x.test")
	other := s.ids.Next(start)
	missing := func(what string, err error) {
		s.Helper()
		if !errors.Is(err, store.ErrNotFound) {
			s.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	_, err := s.Message(s.ctx, other)
	missing("message", err)
	_, err = s.Content(s.ctx, other)
	missing("content", err)
	_, err = s.Delivery(s.ctx, other, 1)
	missing("delivery", err)
	_, err = s.Delivery(s.ctx, m.ID, 2)
	missing("second delivery", err)
	missing("record", s.Record(s.ctx, mail.Event{Time: start, Kind: mail.KindOpen, Message: other, Recipient: 1})[0])
	missing("record of nobody", s.Record(s.ctx, mail.Event{Time: start, Kind: mail.KindOpen, Message: m.ID, Recipient: 2})[0])
	missing("conclude", s.Conclude(s.ctx, []mail.Outcome{{Message: other, Index: 1, At: start, Status: mail.Sent}}))
	missing("start", s.Start(s.ctx, start, []mail.Delivery{{Message: other, Index: 1}}))
	if n := len(all(s, s.Events(s.ctx, store.EventFilter{Message: other}))); n != 0 {
		s.Errorf("%d events of a message that is not there", n)
	}
	equal(s, "events", s.kinds(m.ID), []mail.Kind{mail.KindAccepted})
}

// listing expects messages newest first, however many, and as many as wanted.
func listing(s *suite) {
	const n = 700 // more than a backend may read at a time
	var want []mail.ID
	for i := range n {
		want = append(want, s.put(after(time.Duration(i)*time.Second), "a@x.test").ID)
	}
	rows := all(s, s.Messages(s.ctx, store.Filter{}))
	if len(rows) != n {
		s.Fatalf("%d rows, want %d", len(rows), n)
	}
	for i, r := range rows {
		if r.Message.ID != want[n-1-i] {
			s.Fatalf("row %d is %s, want %s", i, r.Message.ID, want[n-1-i])
		}
	}
	for _, limit := range []int{1, 5, n, n + 1} {
		equal(s, "rows", len(all(s, s.Messages(s.ctx, store.Filter{Limit: limit}))), min(limit, n))
	}
	equal(s, "rows since", len(all(s, s.Messages(s.ctx, store.Filter{Since: after(690 * time.Second)}))), 10)
	equal(s, "unfinished", len(all(s, s.Unfinished(s.ctx))), n)

	seen := 0 // a consumer may write, and stop
	for r, err := range s.Messages(s.ctx, store.Filter{}) {
		s.ok(err)
		s.sent(r.Message.ID, 1, after(time.Hour))
		if seen++; seen == 3 {
			break
		}
	}
	equal(s, "sent", len(all(s, s.Messages(s.ctx, store.Filter{Status: mail.Sent}))), 3)
}

// filters tries each field of a filter.
func filters(s *suite) {
	a, ds := s.message(start, "Ann@X.test", "bob@y.test")
	a.Tag, a.Subject = "spring", "Größe 견적"
	ds[1].Provider = "shop/spare"
	s.ok(s.Put(s.ctx, a, ds, empty))
	b, ds := s.message(after(time.Hour), "carl@x.test")
	b.Account, b.Provider, b.HeaderFrom = "lab", "lab/main", "probe@lab.test"
	ds[0].Provider = b.Provider
	s.ok(s.Put(s.ctx, b, ds, empty))
	s.sent(a.ID, 2, after(time.Minute))

	for _, c := range []struct {
		name   string
		filter store.Filter
		want   []mail.ID
	}{
		{"all", store.Filter{}, []mail.ID{b.ID, a.ID}},
		{"status of one delivery", store.Filter{Status: mail.Sent}, []mail.ID{a.ID}},
		{"status of the other", store.Filter{Status: mail.Queued}, []mail.ID{b.ID, a.ID}},
		{"account", store.Filter{Account: "lab"}, []mail.ID{b.ID}},
		{"account is whole", store.Filter{Account: "la"}, nil},
		{"provider", store.Filter{Provider: "lab/main"}, []mail.ID{b.ID}},
		{"provider by name", store.Filter{Provider: "main"}, []mail.ID{b.ID, a.ID}},
		{"provider of a delivery", store.Filter{Provider: "spare"}, []mail.ID{a.ID}},
		{"provider is whole", store.Filter{Provider: "mai"}, nil},
		{"from", store.Filter{From: "SALES@"}, []mail.ID{a.ID}},
		{"to", store.Filter{To: "ann@x"}, []mail.ID{a.ID}},
		{"to the second", store.Filter{To: "y.TEST"}, []mail.ID{a.ID}},
		{"subject", store.Filter{Subject: "GRÖSSE"}, nil},
		{"subject without case", store.Filter{Subject: "größe"}, []mail.ID{a.ID}},
		{"subject in hangul", store.Filter{Subject: "견"}, []mail.ID{a.ID}},
		{"message-id", store.Filter{MessageID: b.MessageID}, []mail.ID{b.ID}},
		{"message-id without <>", store.Filter{MessageID: strings.Trim(b.MessageID, "<>")}, []mail.ID{b.ID}},
		{"message-id is whole", store.Filter{MessageID: b.MessageID[:9]}, nil},
		{"tag", store.Filter{Tag: "spring"}, []mail.ID{a.ID}},
		{"since", store.Filter{Since: after(time.Hour)}, []mail.ID{b.ID}},
		{"since later", store.Filter{Since: after(time.Hour + 1)}, nil},
		{"two that match", store.Filter{To: "x.test", Account: "shop"}, []mail.ID{a.ID}},
		{"two that do not", store.Filter{Tag: "spring", Account: "lab"}, nil},
		{"limit of matches", store.Filter{Account: "shop", Limit: 1}, []mail.ID{a.ID}},
	} {
		var got []mail.ID
		for _, r := range all(s, s.Messages(s.ctx, c.filter)) {
			got = append(got, r.Message.ID)
		}
		equal(s, c.name, got, c.want)
	}
}
