package relay

import (
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// What wrong passwords cost. The first few are free; beyond, each makes the next
// look at a password wait twice as long, whatever number of connections it is
// asked for on. Time forgives, so that nobody is locked out for ever.
const (
	guessesFree  = 10
	guessesWorst = 20          // more are not counted
	guessWaitMax = time.Minute // between two looks
	guessKept    = 20 * time.Second
	guessForgive = 5 * time.Minute // one wrong password each
	guessersMax  = 10_000          // that are remembered
)

// A guesser is who is held to account for a wrong password: the client, the name
// that was tried, or, with both, a client that is known to have that name.
type guesser struct {
	client netip.Prefix
	user   digest
}

// guesses remember wrong passwords.
type guesses struct {
	mu    sync.Mutex
	known map[guesser]*guessing
}

type guessing struct {
	wrong int
	at    time.Time // when wrong was true
	next  time.Time // no password is looked at before
	owner bool      // it gave the right one
}

// forgive forgets what is long ago.
func (g *guessing) forgive(now time.Time) {
	n := max(0, int(now.Sub(g.at)/guessForgive))
	g.wrong = max(0, g.wrong-n)
	g.at = g.at.Add(time.Duration(n) * guessForgive)
}

// spacing is how far looks at its passwords are apart.
func (g *guessing) spacing() time.Duration {
	if g.wrong < guessesFree {
		return 0
	}
	return min(guessWaitMax, time.Second<<(g.wrong-guessesFree))
}

// answerable returns who pays for a password. Whoever gave the right one from the
// same place answers for itself alone, so that neither its neighbours behind one
// address nor strangers who try its name keep it out. Programs on this machine
// share an address and do not answer for each other.
func answerable(addr netip.Addr, user string) (own guesser, others []guesser) {
	own = guesser{clientOf(addr), hashOf(user)}
	others = []guesser{{user: own.user}, {client: own.client}}
	if addr.IsLoopback() {
		others[1] = own
	}
	return own, others
}

// guessers are those that pay now.
func (g *guesses) guessers(addr netip.Addr, user string) []guesser {
	own, others := answerable(addr, user)
	if k := g.known[own]; k != nil && k.owner {
		return []guesser{own}
	}
	return others
}

// turn returns how long a client has to wait until its password is looked at, or
// false: longer than anybody is kept waiting.
func (g *guesses) turn(addr netip.Addr, user string, now time.Time) (wait time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, who := now, g.guessers(addr, user)
	for _, w := range who {
		if k := g.known[w]; k != nil {
			k.forgive(now)
			if k.spacing() > 0 && k.next.After(at) {
				at = k.next
			}
		}
	}
	if wait = at.Sub(now); wait > guessKept {
		return wait, false
	}
	for _, w := range who {
		if k := g.known[w]; k != nil {
			k.next = at.Add(k.spacing())
		}
	}
	return wait, true
}

// learn remembers whether a password was right.
func (g *guesses) learn(addr netip.Addr, user string, right bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if right {
		own, _ := answerable(addr, user)
		k := g.get(own, now)
		k.owner, k.wrong, k.at = true, 0, now
		return
	}
	for _, w := range g.guessers(addr, user) {
		k := g.get(w, now)
		k.forgive(now)
		k.wrong = min(guessesWorst, k.wrong+1)
	}
}

func (g *guesses) get(w guesser, now time.Time) *guessing {
	k := g.known[w]
	if k == nil {
		g.makeRoom(now)
		k = &guessing{at: now}
		g.known[w] = k
	}
	return k
}

// makeRoom forgets those who were forgiven, and all where they are still too
// many; owners last.
func (g *guesses) makeRoom(now time.Time) {
	drop := []func(*guessing) bool{
		func(k *guessing) bool { k.forgive(now); return k.wrong == 0 && !k.owner },
		func(k *guessing) bool { return !k.owner },
		func(*guessing) bool { return true },
	}
	for i := 0; len(g.known) >= guessersMax; i++ {
		for w, k := range g.known {
			if drop[i](k) {
				delete(g.known, w)
			}
		}
	}
}

// guess has a password looked at when it is its turn.
func (s *session) guess(username, password string) (*account, error) {
	addr, clk := s.peer.addr.Addr(), s.server.clock
	wait, ok := s.server.guesses.turn(addr, username, clk.Now())
	if !ok {
		return nil, refusal(454, "4.7.0", "too many failed logins; try again later")
	}
	if err := s.server.rest(s.server.running, wait); err != nil {
		return nil, asReply(err)
	}
	a := s.server.policy.Load().login(username, password)
	s.server.guesses.learn(addr, username, a != nil, clk.Now())
	if a == nil {
		return nil, smtp.ErrAuthFailed
	}
	return a, nil
}
