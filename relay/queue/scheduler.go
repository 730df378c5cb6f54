package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

const (
	claimBatch = 1000
	backlogLow = 100  // with fewer, more are looked for
	amendMost  = 5000 // being amended, above which none is claimed that may follow
	probeEvery = 15 * time.Minute
	storePause = 5 * time.Second // after the store failed us
	longestNap = 10 * time.Minute

	// unreadableWait is how long what the store has due and does not give is
	// left alone.
	unreadableWait = time.Minute

	// lease is how long the store keeps a claimed delivery from being claimed
	// again: longer than any try, and its recording, takes. Should it end all
	// the same, the busy map stands for it within this process.
	lease = 24 * time.Hour

	// grace is what is left for recording outcomes after the drain, and once
	// more for workers to end.
	grace = 2 * time.Second
)

// A use says why a delivery may not be claimed, changed or tried by another.
type use byte

const (
	waiting  use = iota + 1 // in a backlog
	running                 // a worker has it
	amending                // its record is being changed
)

// A hand is what holds a delivery. The job tells one that waits from what is
// left of it in a job that it was taken out of.
type hand struct {
	use use
	job *job
}

// The scheduler owns the schedule: lanes, backlogs, and which delivery is in
// whose hands. All its methods are called by the goroutine of Run.
type scheduler struct {
	*Queue
	stopping context.Context // ends when Run is told to end
	tries    context.Context
	records  context.Context

	routed  bool       // routes were set
	routes  Routes     //
	waits   []Failover // of the accounts, each once
	lanes   map[string]*lane
	ring    []*lane // lanes in the order of their turns
	busy    map[key]hand
	strays  map[key]bool     // claimed while busy: their leases end with that use
	after   map[key][]change // changes that wait for a running try to end
	crashes map[key]int
	order   order
	helpers int // goroutines beside the workers
	amends  int // deliveries that are being amended
	epoch   int // counts changes of routes and of lanes

	due      bool      // the store may have something to claim
	dueAt    time.Time // when it next will; zero: nothing known
	pausedTo time.Time // no store calls before
	sweeping bool
	sweepDue bool
	changed  bool // States are to be published
	seen     time.Time
	looked   time.Time // failovers up to then were seen to
}

// Run is the scheduler. It ends when ctx does: nothing new is begun then,
// running tries have Settings.Drain to end, and what ended is recorded.
func (q *Queue) Run(ctx context.Context) error {
	tries, endTries := context.WithCancel(context.WithoutCancel(ctx))
	defer endTries()
	records, endRecords := context.WithCancel(context.WithoutCancel(ctx))
	defer endRecords()
	defer q.notes.close()
	s := &scheduler{
		Queue: q, stopping: ctx, tries: tries, records: records, due: true,
		lanes: map[string]*lane{}, busy: map[key]hand{}, strays: map[key]bool{}, after: map[key][]change{}, crashes: map[key]int{},
		order: order{},
	}
	if err := s.restore(); err != nil {
		return err
	}
	q.gate.setOpen(true)
	for ctx.Err() == nil {
		s.work()
		timer := q.clock.NewTimer(s.nap())
		select {
		case <-ctx.Done():
		case <-timer.C():
			s.tick()
		case <-q.inbox.wake:
			s.handle()
		}
		timer.Stop()
	}
	return s.drain(endTries, endRecords)
}

// handle does what others left in the inbox.
func (s *scheduler) handle() {
	for _, f := range s.inbox.take() {
		f(s)
	}
}

// work does everything that can be done now.
func (s *scheduler) work() {
	for again := s.routed; again; again = s.dispatch() {
		if s.sweepDue {
			s.sweep()
		}
		s.reckon()
		s.claim()
	}
	s.save()
	s.publish()
}

// tick looks at what the time has brought.
func (s *scheduler) tick() {
	now := s.clock.Now()
	if !s.dueAt.IsZero() {
		s.note(s.dueAt)
	}
	wall := now.Round(0)
	s.sweepDue = s.sweepDue || wall.Before(s.seen) // the clock was put back
	s.seen = wall
	s.sweepDue = s.sweepDue || s.failsOver(now)
	for _, l := range s.lanes {
		switch {
		case l.state.State == store.StateHeld && (!now.Before(l.state.Until) || l.state.Until.Sub(now) > longestHold):
			s.free(l) // the window is over, or was set by a clock that was wrong
		case l.state.State == store.StateParked && !now.Before(l.probeAt):
			s.invite(l)
			s.seek(l)
		}
	}
}

// note remembers that the store will have something due at a time; zero says
// that it will not.
func (s *scheduler) note(at time.Time) {
	switch {
	case at.IsZero():
	case !at.After(s.clock.Now()):
		s.due, s.dueAt = true, time.Time{}
	case s.dueAt.IsZero() || at.Before(s.dueAt):
		s.dueAt = at
	}
}

// nap returns how long nothing will be due. It is bounded because the clock of
// the machine may be set, or the machine sleep, behind our back.
func (s *scheduler) nap() time.Duration {
	now := s.clock.Now()
	next := now.Add(longestNap)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	if s.pausedTo.After(now) {
		sooner(s.pausedTo)
	} else {
		sooner(s.dueAt)
	}
	for _, l := range s.lanes {
		if l.backlog.size > 0 {
			sooner(l.waitTo)
		}
		for at := range s.failovers(l) {
			if at.After(s.looked) {
				sooner(at)
			}
		}
		switch l.state.State {
		case store.StateHeld:
			sooner(l.state.Until)
		case store.StateParked:
			sooner(l.probeAt)
		}
	}
	return next.Sub(now)
}

// claim fills the backlogs from the store. The mail of providers that have
// enough stays there, however much it is.
func (s *scheduler) claim() {
	for s.wanting() && s.amends < amendMost && !s.clock.Now().Before(s.pausedTo) {
		now := s.clock.Now() // anew each time: it has to catch up with what is due
		sated := s.sated()
		ds, err := s.store.Claim(s.stopping, now, claimBatch, lease, sated...)
		if err != nil {
			s.pause("claiming deliveries", err)
			return
		}
		if len(ds) > 0 {
			s.metrics.late.Set(max(0, now.Sub(ds[len(ds)-1].NextAttempt).Seconds()))
		}
		s.admit(ds)
		if s.due = len(ds) == claimBatch; !s.due {
			s.plan(sated, len(ds) == 0, now)
		}
	}
}

// plan asks when the next claim is worth while, after one that left nothing but
// the mail of those who have enough.
func (s *scheduler) plan(sated []string, empty bool, now time.Time) {
	next, err := s.store.NextDue(s.stopping, sated...)
	if err != nil {
		s.pause("reading the next due time", err)
		return
	}
	if empty && !next.IsZero() && !next.After(now) {
		next = now.Add(unreadableWait) // due, and not to be had
	}
	for _, l := range s.lanes {
		clear(l.more)
	}
	for _, provider := range sated {
		s.laneOf(provider).more[provider] = true
	}
	s.dueAt = time.Time{}
	s.note(next)
}

// wanting reports whether the store may have something that somebody needs
// now. A provider that is busy with its backlog needs nothing.
func (s *scheduler) wanting() bool {
	for _, l := range s.lanes {
		for provider := range l.more {
			if len(l.backlog.jobs[provider]) < backlogLow && l.backlog.size < s.settings.Backlog {
				return true
			}
		}
	}
	return s.due
}

// sated returns the providers that have enough to do.
func (s *scheduler) sated() (names []string) {
	for name := range s.routes.Providers {
		l := s.laneOf(name)
		if l.backlog.size >= s.settings.Backlog || len(l.backlog.jobs[name]) >= claimBatch {
			names = append(names, name)
		}
	}
	return names
}

// pause keeps from the store for a while when it fails. What is due stays due.
func (s *scheduler) pause(doing string, err error) {
	if s.stopping.Err() != nil {
		return
	}
	s.due = true
	s.pausedTo = s.clock.Now().Add(storePause)
	s.metrics.trouble.Inc()
	s.log.Error(doing, "err", err)
}

// admit gives claimed deliveries to their lanes. Those that cannot be tried
// now leave the store's due times, so that they hide nobody else's.
func (s *scheduler) admit(ds []mail.Delivery) {
	var last *job
	var stay []key
	for _, d := range ds {
		k := key{d.Message, d.Index}
		if s.busy[k].use != 0 {
			s.strays[k] = true // its lease ended before the scheduler heard of it
			continue
		}
		l := s.laneOf(d.Provider)
		if l == nil || l.blocked() && (!l.ready || l.probing) {
			stay = append(stay, k)
			continue
		}
		if last != nil && last.id == d.Message && last.provider == d.Provider {
			s.busy[k] = hand{waiting, last}
			last.indexes = append(last.indexes, d.Index)
			last.goesTo(d)
			l.backlog.size++
			continue
		}
		last = &job{id: d.Message, provider: d.Provider, indexes: []int{d.Index}}
		last.goesTo(d)
		s.busy[k] = hand{waiting, last}
		if l.blocked() {
			l.probing, l.ready = true, false
			l.probeAt = s.clock.Now().Add(probeEvery)
			last.probe = true
		}
		l.backlog.push(last)
	}
	s.settle(stay, nil)
}

// laneOf returns the lane of a provider, nil when it has no route.
func (s *scheduler) laneOf(provider string) *lane {
	w, ok := s.routes.way(provider)
	if !ok {
		return nil
	}
	return s.lane(w.Credential)
}

// dispatch launches jobs while there are slots. Lanes take turns. Stopped says
// that it met the limit of one, and that there is more to do.
func (s *scheduler) dispatch() (stopped bool) {
	epoch := s.epoch
	for again := true; again; {
		again = false
		for range s.ring {
			l := s.ring[0]
			s.ring = append(s.ring[1:], l)
			again = l.backlog.size > 0 && s.begin(l) || again
		}
	}
	total := 0
	for _, l := range s.ring {
		total += l.backlog.size
		s.gate.mark(l.credential, l.blocked(), l.backlog.size > l.backlog.ahead || len(l.more) > 0 || s.due || s.sweeping || s.sweepDue)
	}
	s.metrics.backlog.Set(float64(total))
	return s.epoch != epoch
}

// begin launches the next job of a lane if there is a slot for it.
func (s *scheduler) begin(l *lane) bool {
	j := l.backlog.next()
	if !j.ahead {
		j.way, _ = s.routes.way(j.provider)
	}
	a := s.gate.take(l.credential, j, j.way.MaxRecipients)
	l.waitTo = a.at
	switch {
	case a.n > 0:
		s.next(l, a.n)
	case a.full && !l.blocked():
		s.exhaust(l, a.at)
	}
	return a.n > 0
}

// next launches the next job of a lane with a slot that was taken for so many
// of its recipients.
func (s *scheduler) next(l *lane, most int) {
	j := l.backlog.pop()
	if j.ahead {
		s.gate.leave(l.credential, j.content.Size())
	}
	j.indexes = s.share(l, j, s.left(j), most)
	for _, i := range j.indexes {
		s.busy[key{j.id, i}] = hand{running, j}
	}
	if len(j.indexes) == 0 {
		l.probing = l.probing && !j.probe
		s.gate.give(j, 0)
		j.close()
		return
	}
	s.launch(l, j)
}

// left returns what no operator has taken out of a job that waited.
func (s *scheduler) left(j *job) []int {
	return slices.DeleteFunc(j.indexes, func(i int) bool { return s.busy[key{j.id, i}] != hand{waiting, j} })
}

// share leaves a job as many deliveries as may go in one transaction. The others
// get in line again, where other connections find them.
func (s *scheduler) share(l *lane, j *job, indexes []int, most int) []int {
	if len(indexes) <= most {
		return indexes
	}
	rest := &job{id: j.id, provider: j.provider, indexes: slices.Clone(indexes[most:])}
	for _, i := range rest.indexes {
		s.busy[key{j.id, i}] = hand{waiting, rest}
	}
	l.backlog.push(rest)
	return indexes[:most]
}

// launch starts a worker.
func (s *scheduler) launch(l *lane, j *job) {
	j.epoch = l.epoch
	for _, i := range j.indexes {
		if n := s.crashes[key{j.id, i}]; n > 0 {
			if j.crashes == nil {
				j.crashes = map[int]int{}
			}
			j.crashes[i] = n
		}
	}
	s.order.line(j)
	if s.away(l) {
		j.elsewhere = s.view()
	}
	w := &worker{Queue: s.Queue, job: j, tries: s.tries, records: s.records, stop: s.stopping.Done()}
	go func() {
		rest := w.run()
		s.inbox.post(func(s *scheduler) { s.done(j, w.results, rest) })
	}()
}

// expect marks the deliveries of first tries, before the store has them.
func (s *scheduler) expect(jobs []*job) {
	for _, j := range jobs {
		for _, i := range j.indexes {
			s.busy[key{j.id, i}] = hand{running, j}
		}
	}
}

// forget takes it back: the store did not keep them.
func (s *scheduler) forget(jobs []*job) {
	for _, j := range jobs {
		for _, i := range j.indexes {
			s.release(key{j.id, i}, mail.Failed)
		}
		if j.ahead {
			s.gate.leave(j.way.Credential, j.content.Size())
		} else {
			s.gate.give(j, 0)
		}
		j.close()
	}
}

// accepted launches first tries that have a slot, also when we are about to
// end, and lines up those that wait for one. Rest says that other recipients
// wait in the store.
func (s *scheduler) accepted(jobs []*job, provider string, rest bool) {
	for _, j := range jobs {
		l := s.lane(j.way.Credential)
		if !j.ahead {
			s.launch(l, j)
			continue
		}
		for _, i := range j.indexes {
			s.busy[key{j.id, i}] = hand{waiting, j}
		}
		l.backlog.push(j)
		if l.blocked() || s.stopping.Err() != nil {
			s.flush(l)
		}
	}
	if !rest {
		return
	}
	if l := s.laneOf(provider); l != nil && !l.blocked() {
		l.more[provider] = true
	} else {
		s.due = true
	}
}

// done takes back the slot and the deliveries of a job.
func (s *scheduler) done(j *job, results []result, rest []int) {
	l := s.lane(j.way.Credential)
	sent := 0
	for _, r := range results {
		if a := r.attempt; a != nil && (a.Taken() || a.Uncertain) {
			sent++
		}
	}
	if j.lent {
		s.gate.settle(j, sent)
	} else {
		s.gate.give(j, sent)
	}
	s.order.leave(j)
	if j.probe {
		l.probing, l.ready = false, !slices.ContainsFunc(results, result.tried)
	}
	var left []key
	for _, r := range results {
		k := key{j.id, r.index}
		left = append(left, k)
		delete(s.crashes, k)
		if r.crashed && r.status == mail.Deferred {
			s.crashes[k] = j.crashes[r.index] + 1
		}
		if r.attempt != nil {
			s.learn(l, j, *r.attempt)
			s.reach(l, r)
		}
		s.note(r.next)
		s.release(k, r.status)
	}
	s.putBack(j, rest)
	if !l.standing().well() && s.followed(l) { // even a probe that found it so need not wait
		s.settle(left, nil)
	}
	for _, f := range j.then {
		f()
	}
}

// putBack queues what a job left for another turn.
func (s *scheduler) putBack(j *job, rest []int) {
	var ds []mail.Delivery
	for _, i := range rest {
		k := key{j.id, i}
		if s.release(k, mail.Queued); s.busy[k].use == 0 {
			ds = append(ds, mail.Delivery{Message: j.id, Index: i, Provider: j.provider})
		}
	}
	if s.stopping.Err() != nil {
		s.store.Release(ds)
		return
	}
	s.admit(ds)
}

// release ends the use of a delivery, and makes a change that waited for it.
func (s *scheduler) release(k key, status mail.Status) {
	delete(s.busy, k)
	if s.strays[k] {
		delete(s.strays, k)
		s.store.Release([]mail.Delivery{{Message: k.id, Index: k.index}})
		s.due = true
	}
	waiting := s.after[k]
	if len(waiting) == 0 {
		return
	}
	delete(s.after, k)
	if d := (mail.Delivery{Status: status}); !d.Unfinished() {
		return
	}
	if len(waiting) > 1 {
		s.after[k] = waiting[1:]
	}
	s.amend(amendment{keys: []key{k}, change: waiting[0], owed: true})
}

// flush gives the backlog of a lane back to the store.
func (s *scheduler) flush(l *lane) {
	for j := l.backlog.pop(); j != nil; j = l.backlog.pop() {
		if j.ahead {
			s.gate.leave(l.credential, j.content.Size())
			j.close()
		}
		var ds []mail.Delivery
		for _, i := range s.left(j) {
			k := key{j.id, i}
			delete(s.busy, k)
			delete(s.strays, k)
			ds = append(ds, mail.Delivery{Message: j.id, Index: i, Provider: j.provider})
		}
		if j.probe {
			l.probing, l.ready = false, true
		}
		s.store.Release(ds)
		s.due = true
	}
}

// drain lets what runs come to its end.
func (s *scheduler) drain(endTries, endRecords func()) error {
	defer s.save()
	s.gate.setOpen(false)
	for _, l := range s.lanes {
		s.flush(l)
	}
	s.log.Info("queue drains", "running", len(s.busy))
	steps := []struct {
		after time.Duration
		do    func()
	}{{s.settings.Drain, endTries}, {grace, endRecords}, {grace, nil}}
	timer := s.clock.NewTimer(steps[0].after)
	defer func() { timer.Stop() }()
	for {
		s.handle()
		if s.gate.idle() && s.helpers == 0 && s.inbox.close() {
			return nil
		}
		select {
		case <-s.inbox.wake:
		case <-timer.C():
			if steps[0].do == nil {
				return errors.New("queue: tries did not end in time")
			}
			steps[0].do()
			steps = steps[1:]
			timer = s.clock.NewTimer(steps[0].after)
		}
	}
}
