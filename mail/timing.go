package mail

import (
	"slices"
	"time"
)

// RuleTiming is the rule of hits that their pace gave away.
const RuleTiming = "timing"

// Timing tells machines from people by the pace of their hits on one copy of a
// message. It takes both signals: the first hit comes at most First after the
// copy was sent, and all its links, Links or more, are clicked Within. The zero
// Timing tells nothing.
type Timing struct {
	First  time.Duration
	Within time.Duration
	Links  int
}

// Applies reports whether the pace of hits on a message with so many tracked
// links may tell anything.
func (t Timing) Applies(links int) bool { return t.Links > 0 && links >= t.Links }

// Rush reports of each of the hits on one copy with so many tracked links
// whether it was a machine's: a click in a stretch of t.Within in which every
// link was clicked, or an open there by a reader who clicked in it too. The hits
// are in the order of their times. Without a time at which the copy was sent
// nothing is known.
func (t Timing) Rush(hits []Event, links int, sent time.Time) []bool {
	rush := make([]bool, len(hits))
	if !t.Applies(links) || sent.IsZero() || !slices.ContainsFunc(hits, func(e Event) bool { return t.Early(e, sent) }) {
		return rush
	}
	for from := range hits {
		to := from
		for to < len(hits) && hits[to].Time.Sub(hits[from].Time) <= t.Within {
			to++
		}
		if clicked(hits[from:to]) >= links {
			markRush(hits[from:to], rush[from:to])
		}
	}
	return rush
}

// Early reports whether a hit comes so soon after its copy was sent that it may
// be a machine's.
func (t Timing) Early(e Event, sent time.Time) bool {
	return e.paced() && e.Time.Sub(sent) <= t.First
}

// paced reports whether the pace of a hit may tell who made it. That of
// mailboxes' own fetchers tells nothing, and what was before anything was sent
// had no pace.
func (e Event) paced() bool {
	return e.IsHit() && !e.Simulated && e.Class != Self && e.Class != Proxy && e.Class != Prefetch && e.Rule != RuleUnsent
}

// clicked counts the links that were clicked.
func clicked(hits []Event) int {
	links := map[int]bool{}
	for _, e := range hits {
		if e.Kind == KindClick && e.paced() {
			links[e.Link] = true
		}
	}
	return len(links)
}

// markRush marks the clicks, and the opens of those who clicked.
func markRush(hits []Event, rush []bool) {
	for i, e := range hits {
		rush[i] = rush[i] || e.paced() && (e.Kind == KindClick || slices.ContainsFunc(hits, func(o Event) bool {
			return o.Kind == KindClick && o.IP == e.IP && o.UserAgent == e.UserAgent
		}))
	}
}
