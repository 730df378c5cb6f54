package mail

// A Replay is what the hits on one copy of a Message come to, counted in the
// order in which they were recorded.
type Replay struct {
	Tally   Tally
	Status  Status // Sent, or what they prove beyond it
	Basis   Basis
	Implied int    // index of the click that tells of an open; -1: none does
	Gained  []Sums // by each hit
}

// ReplayHits counts hits as if they came now.
func ReplayHits(hits []Event) Replay {
	r := Replay{Status: Sent, Implied: -1, Gained: make([]Sums, len(hits))}
	for i, e := range hits {
		before := r.Tally.Sums()
		status, basis, implied := r.Tally.Count(e)
		if next := r.Status.Advance(status); next != r.Status {
			r.Status, r.Basis = next, basis
		}
		if implied {
			r.Implied = i
		}
		r.Gained[i] = r.Tally.Sums().Add(before, -1)
	}
	return r
}

// Recount puts hits that were judged anew in the place of what they were
// counted as. A status that hits alone proved becomes what they prove now, which
// may be less; what else proved something stays, and so does what waits or has
// ended.
func (d *Delivery) Recount(was, is Replay) {
	d.Tally = d.Tally.Recount(was.Tally, is.Tally)
	switch {
	case d.Unfinished() || d.Status.Ended():
	case d.Status.rank() > was.Status.rank():
		d.prove(is.Status, is.Basis)
	default:
		d.Status, d.Basis = is.Status, is.Basis
	}
}

// Recount returns t with hits that were judged anew in the place of what they
// were counted as.
func (t Tally) Recount(was, is Tally) Tally {
	if is.FirstOpen.Equal(was.FirstOpen) {
		is.FirstOpen = t.FirstOpen // of the hits that share a row the log has one time
	}
	is.LastEvent = t.LastEvent
	return is
}
