//go:build unix

package crashtest

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Kill is one end of the relay.
type Kill struct {
	Cycle   int
	Point   string // "" at a random time
	Reached bool   // the relay ended itself at the point
	Broken  int    // copies that may not have been recorded, on the connections to the sink that it broke
}

// A Ledger knows what the relay answered with 250 and what came out of it. All
// of it is also in the file "ledger" of a directory, a line each, from which a
// stopped run goes on.
type Ledger struct {
	form Form
	dir  string

	mu       sync.Mutex // guards what follows
	file     *os.File
	accepted []string            // names of messages
	known    map[string]bool     // the same
	copies   map[copyKey]arrival // what came
	damaged  []string            // name, recipient and what is wrong
	foreign  int                 // messages that nobody sent
	replies  map[string]int      // other than 250, by code
	kills    []Kill
	latest   time.Time // of arrivals
}

type copyKey struct{ id, rcpt string }

// An arrival is what came of one copy.
type arrival struct {
	taken   int32 // times
	dropped int32 // of them, those whose reply the sink kept to itself
	cycle   int32 // in which it came first
}

// OpenLedger opens the ledger of a directory, or begins it.
func OpenLedger(dir string, f Form) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		form: f, dir: dir, file: file, latest: time.Now(),
		known: map[string]bool{}, copies: map[copyKey]arrival{}, replies: map[string]int{},
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		l.enter(strings.Fields(lines.Text()))
	}
	return l, nil
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }

// note enters words, and writes them down. Its callers hold the lock.
func (l *Ledger) note(words ...any) {
	line := fmt.Sprintln(words...)
	l.enter(strings.Fields(line))
	if _, err := l.file.WriteString(line); err != nil {
		panic(fmt.Errorf("ledger: %w", err)) // what is not written down proves nothing
	}
}

// enter takes one line over.
func (l *Ledger) enter(w []string) {
	switch {
	case len(w) == 2 && w[0] == "accepted":
		l.accepted = append(l.accepted, w[1])
		l.known[w[1]] = true
	case len(w) == 4 && w[0] == "taken":
		k := copyKey{w[1], w[2]}
		a, ok := l.copies[k]
		if !ok {
			a.cycle = int32(len(l.kills) + 1)
		}
		a.taken++
		if w[3] == "dropped" {
			a.dropped++
		}
		l.copies[k] = a
	case len(w) >= 4 && w[0] == "damaged":
		l.damaged = append(l.damaged, strings.Join(w[1:], " "))
	case len(w) == 2 && w[0] == "foreign":
		l.foreign++
	case len(w) == 2 && w[0] == "reply":
		l.replies[w[1]]++
	case len(w) == 5 && w[0] == "killed":
		k := Kill{Point: strings.TrimPrefix(w[2], "-"), Reached: w[3] == "true"}
		fmt.Sscan(w[1], &k.Cycle)
		fmt.Sscan(w[4], &k.Broken)
		l.kills = append(l.kills, k)
	}
}

// Answered enters the reply to a message.
func (l *Ledger) Answered(id, reply string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasPrefix(reply, "250") {
		l.note("accepted", id)
	} else {
		l.note("reply", reply[:3])
	}
}

// Take judges what came to the sink and enters it.
func (l *Ledger) Take(rcpts []string, content []byte, answered bool) {
	id, word, wrong := ID(content), "answered", ""
	if id != "" {
		wrong = l.form.Judge(id, content)
	}
	if !answered {
		word = "dropped"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = time.Now()
	if id == "" {
		l.note("foreign", len(content))
		l.keep(fmt.Sprintf("foreign-%d", l.foreign), content)
		return
	}
	for _, rcpt := range rcpts {
		l.note("taken", id, rcpt, word)
		if wrong != "" {
			l.note("damaged", id, rcpt, wrong)
			l.keep("damaged-"+id, content)
		}
	}
}

// keep writes down content that a person will want to see.
func (l *Ledger) keep(name string, content []byte) {
	os.WriteFile(filepath.Join(l.dir, name+".eml"), content, 0o600)
}

// Killed enters a kill.
func (l *Ledger) Killed(k Kill) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note("killed", k.Cycle, "-"+k.Point, k.Reached, k.Broken)
}

// Cycle returns the last cycle that was entered.
func (l *Ledger) Cycle() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kills)
}

// Accepted returns how many messages were answered with 250.
func (l *Ledger) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

// Names returns the names of the messages that were answered with 250.
func (l *Ledger) Names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.accepted)
}

// Latest returns when something came last.
func (l *Ledger) Latest() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest
}

// Missing returns the names of accepted messages of which a copy did not come
// yet, out of those that were missing before; nil: out of all.
func (l *Ledger) Missing(before []string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before == nil {
		before = l.accepted
	}
	missing := []string{}
	for _, id := range before {
		if l.lost(id) > 0 {
			missing = append(missing, id)
		}
	}
	return missing
}

// lost counts copies of a message that did not come.
func (l *Ledger) lost(id string) (n int) {
	_, rcpts := l.form.Message(id)
	for _, rcpt := range rcpts {
		if l.copies[copyKey{id, rcpt}].taken == 0 {
			n++
		}
	}
	return n
}
