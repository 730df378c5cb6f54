//go:build unix

package crashtest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// A Report is what a run found.
type Report struct {
	Cycles     int   `json:"cycles"`
	Accepted   int   `json:"accepted"`   // messages answered with 250
	Copies     int   `json:"copies"`     // that came, each counted once
	Lost       int   `json:"lost"`       // copies of accepted messages that never came
	Duplicates int   `json:"duplicates"` // copies that came again
	InFlight   int   `json:"in_flight"`  // copies that may not have been recorded when the kills broke their connections: the bound of duplicates
	AfterDrop  int   `json:"after_drop"` // copies that came again since the sink had taken them and did not say so
	Damaged    int   `json:"damaged"`
	Unseen     int   `json:"unseen"`  // messages that came though the sender saw no 250
	Foreign    int   `json:"foreign"` // messages that nobody sent
	Replies    Codes `json:"replies,omitempty"`

	Points map[string]Point `json:"points,omitempty"`

	Seconds      float64  `json:"seconds"`
	DrainSeconds float64  `json:"drain_seconds"`
	Senders      int      `json:"senders"`
	Seed         uint64   `json:"seed"`
	Examples     []string `json:"examples,omitempty"` // of what is lost or damaged
}

// Codes counts replies other than 250.
type Codes map[string]int

// A Point is what was found at one crash point.
type Point struct {
	Kills      int `json:"kills"`
	Reached    int `json:"reached"` // the others came at the end of the time
	Duplicates int `json:"duplicates"`
	InFlight   int `json:"in_flight"`
}

// OK reports whether every promise was kept.
func (r Report) OK() bool {
	return r.Accepted > 0 && r.Lost == 0 && r.Damaged == 0 && r.Foreign == 0 && r.Duplicates <= r.InFlight
}

// examples is how many of them a report shows.
const examples = 10

// Report compares what was accepted with what came.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Report{
		Cycles: len(l.kills), Accepted: len(l.accepted), Copies: len(l.copies), Damaged: len(l.damaged),
		Foreign: l.foreign, Replies: maps.Clone(l.replies), Points: map[string]Point{},
		Examples: slices.Clone(l.damaged[:min(examples, len(l.damaged))]),
	}
	for _, id := range l.accepted {
		n := l.lost(id)
		r.Lost += n
		if n > 0 && len(r.Examples) < examples {
			r.Examples = append(r.Examples, id+" lost")
		}
	}
	for _, k := range l.kills {
		r.InFlight += k.Broken
		p := r.Points[k.Point]
		p.Kills++
		p.InFlight += k.Broken
		if k.Reached {
			p.Reached++
		}
		r.Points[k.Point] = p
	}
	l.repeats(&r)
	delete(r.Points, "") // those at a random time are the report itself
	return r
}

// repeats counts what came again, each at the kill that followed its first
// arrival, and what came unseen.
func (l *Ledger) repeats(r *Report) {
	unseen := map[string]bool{}
	for k, a := range l.copies {
		if !l.known[k.id] {
			unseen[k.id] = true
		}
		excused := min(a.taken-1, a.dropped)
		r.AfterDrop += int(excused)
		again := int(a.taken - 1 - excused)
		r.Duplicates += again
		if again > 0 && int(a.cycle) <= len(l.kills) {
			name := l.kills[a.cycle-1].Point
			p := r.Points[name]
			p.Duplicates += again
			r.Points[name] = p
		}
	}
	r.Unseen = len(unseen)
}

// JSON writes the report as JSON.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text writes the report for people.
func (r Report) Text(w io.Writer) {
	verdict := "every promise kept"
	if !r.OK() {
		verdict = "PROMISES BROKEN"
	}
	fmt.Fprintf(w, "%d kills, %d messages accepted by %d senders: %s\n", r.Cycles, r.Accepted, r.Senders, verdict)
	fmt.Fprintf(w, "  lost        %d\n  damaged     %d\n", r.Lost, r.Damaged)
	fmt.Fprintf(w, "  duplicates  %d (%.4f %% of %d copies; in flight at the kills: %d)\n", r.Duplicates, 100*float64(r.Duplicates)/float64(max(r.Copies, 1)), r.Copies, r.InFlight)
	fmt.Fprintf(w, "  came again after the sink kept its reply to itself: %d\n", r.AfterDrop)
	fmt.Fprintf(w, "  came though its sender saw no 250: %d; that nobody sent: %d\n", r.Unseen, r.Foreign)
	if len(r.Replies) > 0 {
		fmt.Fprintf(w, "  replies other than 250: %v\n", r.Replies)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Points)) {
		p := r.Points[name]
		fmt.Fprintf(w, "  at %-20s %d kills, %d reached, %d duplicates of %d in flight\n", name, p.Kills, p.Reached, p.Duplicates, p.InFlight)
	}
	fmt.Fprintf(w, "  %.0f s (%.2f s a cycle, drain %.0f s), seed %d\n", r.Seconds, (r.Seconds-r.DrainSeconds)/float64(max(r.Cycles, 1)), r.DrainSeconds, r.Seed)
	for _, e := range r.Examples {
		fmt.Fprintf(w, "  %s\n", e)
	}
}
