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
	FirstOpen     time.Time         `json:"fo,omitzero"`
	LastEvent     time.Time         `json:"le,omitzero"`
	Links         map[int]LinkTally `json:"ln,omitempty"` // by link index
}

// A LinkTally counts the clicks on one link.
type LinkTally struct {
	Clicks        int `json:"c,omitempty"`
	MachineClicks int `json:"mc,omitempty"`
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

// Count adds one open or click and returns the status that it proves, with its
// basis: prefetch proves arrival, a person's hit an open or a click, a scanner
// stands before the mailbox and proves nothing. implied reports that a click
// told of an open nobody saw: the caller keeps an open event of basis click.
// Events of other kinds move LastEvent alone.
func (t *Tally) Count(e Event) (proved Status, basis Basis, implied bool) {
	if e.Time.After(t.LastEvent) {
		t.LastEvent = e.Time
	}
	n := e.Times()
	switch {
	case e.Class == Self:
	case e.Kind == KindOpen && e.Class.Machine():
		t.MachineOpens += n
		if e.Class == Prefetch {
			return Delivered, BasisOpen, false
		}
	case e.Kind == KindOpen:
		if e.Basis != BasisClick { // an implied open is no hit on the pixel
			t.Opens += n
		}
		t.firstOpen(e.Time)
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
		return Clicked, BasisClick, t.firstOpen(e.Time)
	}
	return "", "", false
}

// firstOpen notes an open and reports whether it is the first.
func (t *Tally) firstOpen(at time.Time) bool {
	if t.UniqueOpens > 0 {
		if at.Before(t.FirstOpen) {
			t.FirstOpen = at
		}
		return false
	}
	t.UniqueOpens, t.FirstOpen = 1, at
	return true
}
