package queue

import (
	"fmt"
	"sync"
	"time"

	"backstamp/internal/clock"
	"backstamp/store"
)

// A gate counts the transactions that run, for each credential and in all. It
// is what Put and the scheduler share, and so the one piece of the schedule
// under a lock.
type gate struct {
	clock   clock.Clock
	mu      sync.Mutex
	open    bool // Put may start first tries
	routes  Routes
	slots   map[string]*slots // by credential
	running int
	lent    int   // of all credentials
	ahead   int   // likewise
	octets  int64 // of content ahead
	most    int
}

// slots are the transactions that one credential may run.
type slots struct {
	running int
	lent    int  // taken transactions whose outcomes are being recorded, beside those that run
	ahead   int  // first tries that wait for a slot, in memory
	limit   int  // at present: fewer while the provider throttles
	most    int  // as configured
	shut    bool // parked or held: nothing starts but a probe
	queued  bool // others wait already, and Put gets in line
	coming  int  // messages of Put that got in line and that the scheduler does not know yet

	meter    *meter    // nil: no limits
	throttle int       // refusals in a row that asked for less
	restTo   time.Time // nothing starts before, because of them
}

func newGate(most int, clk clock.Clock) *gate {
	return &gate{most: most, clock: clk, slots: map[string]*slots{}}
}

// setRoutes takes over routes, and what they say of credentials. Of several
// entries with one credential the most cautious counts.
func (g *gate) setRoutes(r Routes) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.routes = r
	ways := map[string]way{}
	for name := range r.Providers {
		w, _ := r.way(name)
		if o, ok := ways[w.Credential]; ok {
			w.Connections, w.Limits = min(w.Connections, o.Connections), w.Limits.and(o.Limits)
		}
		ways[w.Credential] = w
	}
	for credential, w := range ways {
		s := g.slots[credential]
		if s == nil {
			s = &slots{queued: true} // until the scheduler has seen to what waits
			g.slots[credential] = s
		}
		s.most, s.limit = w.Connections, w.Connections
		s.throttle, s.restTo = 0, time.Time{}
		if s.meter == nil || !s.meter.limits.equal(w.Limits) {
			s.meter = newMeter(w.Limits)
		}
	}
	for credential, s := range g.slots {
		if _, ok := ways[credential]; !ok && s.running+s.lent+s.ahead+s.coming == 0 {
			delete(g.slots, credential)
		}
	}
}

// way returns the way to a provider, as Routes.way.
func (g *gate) way(provider string) (way, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.routes.way(provider)
}

// The bounds of what waits in memory for a slot, so that it need not be read
// from the store: jobs of one credential, and octets of content in all.
const (
	aheadMax    = 1000
	aheadOctets = 16 << 20
)

// reserve gives Put's jobs slots, none where others wait before them, and then
// places ahead of the store, for content of that size. It returns how many may
// begin and how many after them are ahead. Where all of that is not enough the
// message is in line, and keeps those after it there, until came.
func (g *gate) reserve(credential string, jobs []*job, size int64) (begin, ahead int, inLine bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[credential]
	if s == nil {
		return 0, 0, false
	}
	free := g.open && !s.shut && !s.queued && s.coming == 0
	for free && s.ahead == 0 && begin < len(jobs) {
		j := jobs[begin]
		if g.room(s, j).n < len(j.indexes) {
			break
		}
		g.begin(s, j, len(j.indexes))
		begin++
	}
	for free && begin+ahead < len(jobs) && ahead < s.limit && s.ahead < aheadMax && g.octets+size <= aheadOctets {
		s.ahead++
		g.ahead++
		g.octets += size
		ahead++
	}
	if begin+ahead == len(jobs) {
		return begin, ahead, false
	}
	s.coming++
	return begin, ahead, true
}

// leave gives up a place ahead, for a slot or because there will be none.
func (g *gate) leave(credential string, size int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[credential].ahead--
	g.ahead--
	g.octets -= size
}

// came says that the scheduler knows of a message that was in line, or that
// there is none.
func (g *gate) came(credential string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.slots[credential]; s != nil {
		s.coming--
	}
}

// take takes a slot for a job of the scheduler and says for how many of its
// recipients, or why there is none.
func (g *gate) take(credential string, j *job, most int) allowance {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[credential]
	if s == nil {
		return allowance{}
	}
	a := g.room(s, j)
	if a.n = min(a.n, most); a.n > 0 {
		g.begin(s, j, a.n)
	}
	return a
}

// room says for how many recipients of a job there is a slot.
func (g *gate) room(s *slots, j *job) allowance {
	if s.running >= s.limit || g.running >= g.most && s.running > 0 {
		return allowance{}
	}
	if s.meter == nil && s.throttle == 0 {
		return allowance{n: len(j.indexes)}
	}
	now := g.clock.Now()
	if s.throttle > 0 && s.restTo.After(now) && s.restTo.Sub(now) <= longestRest {
		return allowance{at: s.restTo}
	}
	if s.meter == nil {
		return allowance{n: len(j.indexes)}
	}
	return s.meter.allows(now, j.id, len(j.indexes))
}

func (g *gate) begin(s *slots, j *job, n int) {
	s.running++
	g.running++
	if j.meter = s.meter; j.meter != nil {
		j.fare = n
		j.meter.take(g.clock.Now(), j.id, n)
	}
}

// give returns the slot of a job that sent to so many recipients.
func (g *gate) give(j *job, sent int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[j.way.Credential].running--
	g.running--
	j.end(sent)
}

// end settles with the meter. The gate is locked.
func (j *job) end(sent int) {
	if j.meter != nil {
		j.meter.end(j.id, j.fare, sent)
		j.meter = nil
	}
}

// lend gives the slot of a transaction that was taken to the next one, while
// its outcome is recorded: the connection need not wait for the disk. No more
// are lent than may run, so that what is not recorded stays bounded.
func (g *gate) lend(credential string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[credential]
	if s.lent >= s.limit {
		return false
	}
	s.running--
	g.running--
	s.lent++
	g.lent++
	return true
}

// settle ends the recording of a job whose slot was lent.
func (g *gate) settle(j *job, sent int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[j.way.Credential].lent--
	g.lent--
	j.end(sent)
}

// firstRest is how long a credential rests after a refusal that asked for less;
// each that follows doubles it, up to longestRest.
const (
	firstRest   = time.Second
	longestRest = 5 * time.Minute
)

// pace halves what a throttled credential may run, and lets it rest; each
// success gives back one slot.
func (g *gate) pace(credential string, throttled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[credential]
	switch {
	case s == nil:
	case throttled:
		s.limit = max(1, s.limit/2)
		s.throttle = min(s.throttle+1, 16)
		s.restTo = g.clock.Now().Add(min(firstRest<<(s.throttle-1), longestRest))
	default:
		s.limit = min(s.most, s.limit+1)
		s.throttle = 0
	}
}

// unknown returns the credentials whose meters do not know what was spent
// before, and since when they want to.
func (g *gate) unknown(now time.Time) map[string]time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	since := map[string]time.Time{}
	for credential, s := range g.slots {
		if s.meter != nil && !s.meter.known {
			since[credential] = s.meter.limits.Day(now)
		}
	}
	return since
}

// daily words the limit of a credential for a day.
func (g *gate) daily(credential string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[credential]
	switch {
	case s == nil || s.meter == nil:
		return "nothing"
	case s.meter.limits.Recipients:
		return fmt.Sprintf("%d recipients", s.meter.limits.Daily)
	}
	return fmt.Sprintf("%d messages", s.meter.limits.Daily)
}

// restore tells a meter what was spent before.
func (g *gate) restore(credential string, minutes []store.Spent) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.slots[credential]; s != nil && s.meter != nil && !s.meter.known {
		s.meter.restore(minutes)
	}
}

// mark says of a credential whether it is shut and whether mail waits for it.
func (g *gate) mark(credential string, shut, queued bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.slots[credential]; s != nil {
		s.shut, s.queued = shut, queued
	}
}

// setOpen lets Put start first tries, or no more of them.
func (g *gate) setOpen(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
}

// idle reports whether nothing runs or is about to, and all of it is recorded.
func (g *gate) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running+g.lent+g.ahead == 0
}
