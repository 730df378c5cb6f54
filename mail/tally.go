package mail

import "time"

// A Tally counts the hits of one Delivery, or of a whole Message where its
// recipients share one copy. Opens and Clicks count people (human, proxy,
// unknown), the machine fields prefetch and scanner; self counts nowhere.
type Tally struct {
	Opens         int               `json:"o,omitempty"`
	Clicks        int               `json:"c,omitempty"`
	MachineOpens  int               `json:"mo,omitempty"`
	MachineClicks int               `json:"mc,omitempty"`
	UniqueOpens   int               `json:"uo,omitempty"` // 0 or 1
	Arrived       bool              `json:"ar,omitempty"` // a prefetch came
	FirstOpen     time.Time         `json:"fo,omitzero"`  // by a person, or as the first click tells
	LastOpen      time.Time         `json:"lo,omitzero"`
	LastEvent     time.Time         `json:"le,omitzero"`
	Links         map[int]LinkTally `json:"ln,omitempty"` // by link index
}

// A LinkTally counts the clicks on one link; the times are those of people's.
type LinkTally struct {
	Clicks        int       `json:"c,omitempty"`
	MachineClicks int       `json:"mc,omitempty"`
	First         time.Time `json:"f,omitzero"`
	Last          time.Time `json:"l,omitzero"`
}

// Sums are the numbers of one Tally or of several.
type Sums struct {
	Opens, Clicks               int
	MachineOpens, MachineClicks int
	UniqueOpens, UniqueClicks   int
}

// Sums returns the numbers of the Tally.
func (t *Tally) Sums() Sums {
	return Sums{t.Opens, t.Clicks, t.MachineOpens, t.MachineClicks, t.UniqueOpens, t.UniqueClicks()}
}

// Add returns s with n times o added.
func (s Sums) Add(o Sums, n int) Sums {
	return Sums{
		s.Opens + n*o.Opens, s.Clicks + n*o.Clicks,
		s.MachineOpens + n*o.MachineOpens, s.MachineClicks + n*o.MachineClicks,
		s.UniqueOpens + n*o.UniqueOpens, s.UniqueClicks + n*o.UniqueClicks,
	}
}

// UniqueClicks returns how many links a person clicked at least once.
func (t *Tally) UniqueClicks() int {
	n := 0
	for _, l := range t.Links {
		if l.Clicks > 0 {
			n++
		}
	}
	return n
}

// Clicked returns when a person first and last clicked any link.
func (t *Tally) Clicked() (first, last time.Time) {
	for _, l := range t.Links {
		first, last = earlier(first, l.First), later(last, l.Last)
	}
	return first, last
}

// Count adds one open or click and returns the status that it proves, with its
// basis: prefetch proves arrival, a person's hit an open or a click, a scanner
// stands before the mailbox and proves nothing. implied reports that a click
// told of an open nobody saw: the caller keeps an open event of basis click.
// Events of other kinds move LastEvent alone.
func (t *Tally) Count(e Event) (proved Status, basis Basis, implied bool) {
	t.LastEvent = later(t.LastEvent, e.Time)
	n := e.Times()
	switch {
	case e.Class == Self:
	case e.Kind == KindOpen && e.Class.Machine():
		t.MachineOpens += n
		if e.Class == Prefetch {
			t.Arrived = true
			return Delivered, BasisOpen, false
		}
	case e.Kind == KindOpen:
		if e.Basis != BasisClick { // an implied open is no hit on the pixel
			t.Opens += n
		}
		t.opened(e.Time)
		t.LastOpen = later(t.LastOpen, e.Time)
		return Opened, BasisOpen, false
	case e.Kind == KindClick:
		if t.Links == nil {
			t.Links = map[int]LinkTally{}
		}
		l := t.Links[e.Link]
		defer func() { t.Links[e.Link] = l }()
		if e.Class.Machine() {
			t.MachineClicks += n
			l.MachineClicks += n
			return "", "", false
		}
		t.Clicks += n
		l.Clicks += n
		l.First, l.Last = earlier(l.First, e.Time), later(l.Last, e.Time)
		return Clicked, BasisClick, t.opened(e.Time)
	}
	return "", "", false
}

// opened notes that it was open at a time and reports whether that is news.
func (t *Tally) opened(at time.Time) (first bool) {
	first = t.UniqueOpens == 0
	t.UniqueOpens, t.FirstOpen = 1, earlier(t.FirstOpen, at)
	if first {
		t.LastOpen = at
	}
	return first
}

// earlier and later compare times; a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
