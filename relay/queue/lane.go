package queue

import (
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// A key names one Delivery.
type key struct {
	id    mail.ID
	index int
}

// A job is what a worker does in one turn: deliveries of one message through
// one provider.
type job struct {
	id       mail.ID
	provider string
	indexes  []int

	// Of a first try, out of memory; else nil, to be read from the store.
	message *mail.Message
	content mail.ContentCloser // the job's to close
	ahead   bool               // it waits for a slot; else Put marked its one transaction as begun

	// Set when it is launched, or reserved its slot.
	way       way
	epoch     int         // of its lane
	probe     bool        // shows whether a parked lane works again
	crashes   map[int]int // how often an index crashed before
	then      []func()    // what waits for its end
	lent      bool        // its slot was given to another before its end
	elsewhere *view       // what a follower can take goes there; nil: nothing does
	meter     *meter      // that counted it; nil: none
	fare      int         // recipients that it counted

	line   []string        // where its first tries stand in order
	wait   []chan struct{} // those before it in their lines
	went   chan struct{}   // closed once it has begun; nil: nobody asks
	passed bool            // went is closed
}

// close lets go of the content of a job that nobody runs.
func (j *job) close() {
	if j.content != nil {
		j.content.Close()
	}
}

// first reports whether the message is at hand, as it was accepted.
func (j *job) first() bool { return j.message != nil }

// A lane is what one credential may do and what waits for it. It belongs to
// the scheduler.
type lane struct {
	credential string
	state      store.ProviderState
	unsaved    bool // the store does not know the state yet
	epoch      int  // counts changes of the state and of the routes

	probeAt time.Time // when a parked lane may be tried again
	ready   bool      // the next delivery may be the probe
	probing bool      // it runs

	unreachable time.Time // since when no try got a reply; zero: it is not
	waitTo      time.Time // when its limits or the provider's refusals let the next one go; zero: now

	backlog backlog
	more    map[string]bool // its providers for which the store has something due
}

// dailyLimit explains a lane that is held by our own count, not by a reply.
const dailyLimit = "queue.daily-limit"

// exhausted reports whether the lane is held for a limit of ours.
func (l *lane) exhausted() bool { return l.state.Explain != nil && l.state.Explain.ID == dailyLimit }

// blocked reports whether the lane is parked or held.
func (l *lane) blocked() bool { return l.state.State != store.StateOK }

// A backlog holds jobs that wait, claimed from the store or at hand as they were
// accepted. Its providers, and so accounts with entries of their own, take turns.
type backlog struct {
	jobs  map[string][]*job // by provider
	turns []string
	size  int // in deliveries
	ahead int // of which the messages are at hand
}

func (b *backlog) push(j *job) {
	if b.jobs == nil {
		b.jobs = map[string][]*job{}
	}
	if len(b.jobs[j.provider]) == 0 {
		b.turns = append(b.turns, j.provider)
	}
	b.jobs[j.provider] = append(b.jobs[j.provider], j)
	b.count(j, len(j.indexes))
}

// next returns the job that pop will, nil when there is none.
func (b *backlog) next() *job {
	if len(b.turns) == 0 {
		return nil
	}
	return b.jobs[b.turns[0]][0]
}

// pop returns the next job, nil when there is none.
func (b *backlog) pop() *job {
	if len(b.turns) == 0 {
		return nil
	}
	provider := b.turns[0]
	b.turns = b.turns[1:]
	j := b.jobs[provider][0]
	if rest := b.jobs[provider][1:]; len(rest) > 0 {
		b.jobs[provider] = rest
		b.turns = append(b.turns, provider)
	} else {
		delete(b.jobs, provider)
	}
	b.count(j, -len(j.indexes))
	return j
}

func (b *backlog) count(j *job, n int) {
	b.size += n
	if j.ahead {
		b.ahead += n
	}
}
