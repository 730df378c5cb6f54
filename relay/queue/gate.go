package queue

import "sync"

// A gate counts the transactions that run, for each credential and in all. It
// is what Put and the scheduler share, and so the one piece of the schedule
// under a lock.
type gate struct {
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
}

func newGate(most int) *gate { return &gate{most: most, slots: map[string]*slots{}} }

// setRoutes takes over routes, and what they say of credentials. Of several
// entries with one credential the most cautious counts.
func (g *gate) setRoutes(r Routes) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.routes = r
	most := map[string]int{}
	for name := range r.Providers {
		w, _ := r.way(name)
		if n, ok := most[w.Credential]; !ok || w.Connections < n {
			most[w.Credential] = w.Connections
		}
	}
	for credential, n := range most {
		s := g.slots[credential]
		if s == nil {
			s = &slots{queued: true} // until the scheduler has seen to what waits
			g.slots[credential] = s
		}
		s.most, s.limit = n, n
	}
	for credential, s := range g.slots {
		if _, ok := most[credential]; !ok && s.running+s.lent+s.ahead+s.coming == 0 {
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

// reserve takes up to want slots for Put, none where others wait before it, and
// then as many places ahead of the store for jobs of that size. Where all of that
// is not enough the message is in line, and keeps those after it there, until came.
func (g *gate) reserve(credential string, want int, size int64) (begin, ahead int, inLine bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[credential]
	if s == nil {
		return 0, 0, false
	}
	free := g.open && !s.shut && !s.queued && s.coming == 0
	for free && s.ahead == 0 && begin < want && g.room(s) {
		g.begin(s)
		begin++
	}
	for free && begin+ahead < want && ahead < s.limit && s.ahead < aheadMax && g.octets+size <= aheadOctets {
		s.ahead++
		g.ahead++
		g.octets += size
		ahead++
	}
	if begin+ahead == want {
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

// take takes a slot for the scheduler, if there is one.
func (g *gate) take(credential string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[credential]
	if s == nil || !g.room(s) {
		return false
	}
	g.begin(s)
	return true
}

func (g *gate) room(s *slots) bool {
	return s.running < s.limit && (g.running < g.most || s.running == 0)
}

func (g *gate) begin(s *slots) {
	s.running++
	g.running++
}

// give returns a slot.
func (g *gate) give(credential string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[credential].running--
	g.running--
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

// settle ends the recording of a transaction whose slot was lent.
func (g *gate) settle(credential string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[credential].lent--
	g.lent--
}

// pace halves what a throttled credential may run, and gives back one slot for
// each success.
func (g *gate) pace(credential string, throttled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[credential]
	if s == nil {
		return
	}
	if throttled {
		s.limit = max(1, s.limit/2)
	} else {
		s.limit = min(s.most, s.limit+1)
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
