package bolt

import (
	"context"
	"errors"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"

	"backstamp/mail"
	"backstamp/store"
)

// A gate holds the writer inside a commit, so that a test decides what shares
// the next one.
type gate struct {
	s       *Store
	entered chan struct{}
	leave   chan struct{}
	commits int
}

// shut makes the writer stop in its next commits until pass.
func shut(t *testing.T, s *Store) *gate {
	g := &gate{s: s, entered: make(chan struct{}), leave: make(chan struct{})}
	s.writer.commit = func(t *bbolt.Tx) error {
		g.commits++
		g.entered <- struct{}{}
		<-g.leave
		return t.Commit()
	}
	go s.SaveProvider(t.Context(), store.ProviderState{Credential: "gate"})
	<-g.entered
	return g
}

// add puts n changes behind the gate and returns where their outcomes come.
func (g *gate) add(n int, hits bool, apply func(*tx, int) error) *op {
	o := newOp(n, apply)
	o.hits = hits
	g.s.writer.add(o)
	return o
}

// pass lets the commit go that the writer stands in.
func (g *gate) pass() { g.leave <- struct{}{} }

// TestGroup expects all that waits to share one commit, and those that fail or
// panic, before or after they wrote, to fail alone.
func TestGroup(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true})
	g := shut(t, s)
	write := func(key string, err error) func(*tx) error {
		return func(t *tx) error { t.put(providers, []byte(key), []byte("{}")); return err }
	}
	mine := errors.New("mine")
	cases := []struct {
		name  string
		apply func(*tx) error
		fails bool
	}{
		{"good", write("a", nil), false},
		{"refuses", func(*tx) error { return mine }, true},
		{"fails after writing", write("b", mine), true},
		{"good, in the middle", write("c", nil), false},
		{"panics", func(*tx) error { panic("assertion failed") }, true},
		{"panics after writing", func(t *tx) error { write("d", nil)(t); panic(mine) }, true},
		{"dereferences nil", func(*tx) error { var p *op; p.bytes++; return nil }, true},
		{"good, at the end", write("e", nil), false},
	}
	var alone []*op
	for _, c := range cases {
		alone = append(alone, g.add(1, false, func(t *tx, _ int) error { return c.apply(t) }))
	}
	together := g.add(len(cases), false, func(t *tx, i int) error { return cases[i].apply(t) })
	g.pass()
	<-g.entered
	g.pass()
	<-together.done
	for i, c := range cases {
		<-alone[i].done
		for _, err := range []error{alone[i].failed[0], together.failed[i]} {
			if (err != nil) != c.fails {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	if g.commits != 2 {
		t.Errorf("%d commits, want the gate's and one", g.commits)
	}
	s.writer.commit = (*bbolt.Tx).Commit
	states, err := s.Providers(t.Context())
	if err != nil || len(states) != 4 {
		t.Errorf("%d rows were written, want those of the good: %v", len(states), err)
	}
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
}

// TestGroupBounds expects a commit to end at its bounds, and one operation
// beyond them to go alone.
func TestGroupBounds(t *testing.T) {
	w := &writer{}
	add := func(n, bytes int) {
		for range n {
			o := newOp(1, nil)
			o.bytes = bytes
			w.waiting = append(w.waiting, o)
		}
	}
	add(2, bytesMax/2)
	add(1, 1)
	add(1, bytesMax*3)
	add(groupMax+1, 0)
	w.waiting = append(w.waiting, newOp(groupMax, nil), newOp(groupMax+1, nil))
	for i, want := range []int{2, 1, 1, groupMax, 1, 1, 1} {
		if group, _ := w.take(); len(group) != want {
			t.Errorf("group %d has %d operations, want %d", i, len(group), want)
		}
	}
	if group, _ := w.take(); len(group) != 0 {
		t.Errorf("%d operations are left", len(group))
	}
}

// TestWithdraw ends the context of a change that waits, and of one that is
// being committed.
func TestWithdraw(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true})
	g := shut(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error)
	m, ds := aMessage(new(mail.IDs))
	ds[0].Started = begin
	go func() { cancelled <- s.Put(ctx, m, ds, octets(0)) }()
	waitFor(s.writer, 1)
	cancel()
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Errorf("withdrawn: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	go func() { cancelled <- s.Put(ctx, m, ds, octets(0)) }()
	waitFor(s.writer, 1)
	g.pass()
	<-g.entered
	cancel()
	g.pass()
	if err := <-cancelled; err != nil {
		t.Errorf("committed all the same: %v", err)
	}
	s.writer.commit = (*bbolt.Tx).Commit
	if _, err := s.Message(t.Context(), m.ID); err != nil {
		t.Error(err)
	}
}

// waitFor waits until n operations wait for the writer.
func waitFor(w *writer, n int) {
	for have := -1; have != n; runtime.Gosched() {
		w.mu.Lock()
		have = len(w.waiting)
		w.mu.Unlock()
	}
}

// TestCloseWhileBusy closes the store while changes wait: each gets an answer,
// and what was answered with nil is there.
func TestCloseWhileBusy(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, Options{Create: true})
	var ids mail.IDs
	const n = 50
	type put struct {
		id  mail.ID
		err error
	}
	done := make(chan put, n)
	for range n {
		m, ds := aMessage(&ids)
		go func() { done <- put{m.ID, s.Put(context.Background(), m, ds, octets(0))} }()
	}
	puts := []put{<-done}
	s.Close()
	for len(puts) < n {
		puts = append(puts, <-done)
	}
	s = opened(t, dir, Options{})
	for _, p := range puts {
		_, err := s.Message(t.Context(), p.id)
		if p.err == nil && err != nil || p.err != nil && !errors.Is(p.err, store.ErrClosed) {
			t.Errorf("put: %v, then %v", p.err, err)
		}
	}
}

// TestSharedRow expects equal hits in one commit to share a row that counts
// them, and only those.
func TestSharedRow(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true})
	m, ds := aMessage(new(mail.IDs))
	if err := s.Put(t.Context(), m, ds, octets(0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Conclude(t.Context(), []mail.Outcome{{Message: m.ID, Index: 1, At: begin, Status: mail.Sent}}); err != nil {
		t.Fatal(err)
	}
	open := mail.Event{Time: begin, Kind: mail.KindOpen, Message: m.ID, Recipient: 1, Class: mail.Proxy, Rule: "gmail", IP: "192.0.2.1"}
	later, twice, other, machine := open, open, open, open
	later.Time = begin.Add(time.Second)
	twice.Count = 2
	other.IP = "192.0.2.2"
	machine.Class = mail.Prefetch
	g := shut(t, s)
	hits := []mail.Event{open, later, other, twice, machine}
	recorded := g.add(len(hits), true, func(t *tx, i int) error { return t.record(hits[i], mail.Timing{}) })
	g.pass()
	<-g.entered
	g.pass()
	<-recorded.done
	if err := errors.Join(recorded.failed...); err != nil {
		t.Fatal(err)
	}
	s.writer.commit = (*bbolt.Tx).Commit
	if err := s.Record(t.Context(), open)[0]; err != nil { // in a commit of its own
		t.Fatal(err)
	}
	var counts []int
	for e, err := range s.Events(t.Context(), store.EventFilter{Kind: mail.KindOpen}) {
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, e.Times())
	}
	if want := []int{4, 1, 1, 1}; len(counts) != 4 || counts[0] != 4 || counts[1]+counts[2]+counts[3] != 3 {
		t.Errorf("rows count %v, want %v", counts, want)
	}
	d, err := s.Delivery(t.Context(), m.ID, 1)
	if err != nil || d.Tally.Opens != 6 || d.Tally.MachineOpens != 1 {
		t.Errorf("tally %+v: %v", d.Tally, err)
	}
}

// TestUnreadable damages single rows: listings tell of them and go on, and the
// queue goes on without them.
func TestUnreadable(t *testing.T) {
	s := opened(t, t.TempDir(), Options{Create: true})
	var ids mail.IDs
	var ms []*mail.Message
	for range 3 {
		m, ds := aMessage(&ids)
		if err := s.Put(t.Context(), m, ds, octets(0)); err != nil {
			t.Fatal(err)
		}
		ms = append(ms, m)
	}
	bad := place{ms[1].ID, 1}
	err := s.write(t.Context(), 0, func(t *tx) error { return t.put(deliveries, bad.key(), []byte("{")) })
	if err != nil {
		t.Fatal(err)
	}
	var good, failed int
	tell := func(err error) {
		if errors.Is(err, store.ErrCorrupt) {
			failed++
		} else if err == nil {
			good++
		}
	}
	for _, err := range s.Messages(t.Context(), store.Filter{}) {
		tell(err)
	}
	for _, err := range s.Unfinished(t.Context()) {
		tell(err)
	}
	if good != 4 || failed != 2 {
		t.Errorf("%d rows were read and %d told of, want 4 and 2", good, failed)
	}
	ds, err := s.Claim(t.Context(), begin, 9, time.Minute)
	if err != nil || len(ds) != 2 {
		t.Errorf("claimed %d of 2: %v", len(ds), err)
	}
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
}

// TestMetrics expects the counters to tell what was done.
func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := opened(t, t.TempDir(), Options{Create: true, Reg: reg, InlineBody: 10})
	var ids mail.IDs
	for _, size := range []int{4, 100} {
		m, ds := aMessage(&ids)
		if err := s.Put(t.Context(), m, ds, octets(size)); err != nil {
			t.Fatal(err)
		}
	}
	s.writer.commit = func(t *bbolt.Tx) error { t.Rollback(); return syscall.ENOSPC }
	s.SaveProvider(t.Context(), store.ProviderState{Credential: "aa"})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"backstamp_store_commits_total":               2,
		"backstamp_store_commit_operations":           2,
		"backstamp_store_commit_seconds":              2,
		"backstamp_store_failures_total full":         1,
		"backstamp_store_bodies_bytes_total database": 4,
		"backstamp_store_bodies_bytes_total file":     100,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if got["backstamp_store_size_bytes"] < 1000 {
		t.Errorf("size is %v", got["backstamp_store_size_bytes"])
	}
}
