package queue

import (
	"fmt"
	"io"
	"os"
	"sync"

	"backstamp/mail"
)

// notes say which messages are being rendered at this moment, in a small file,
// so that the next life of the program knows on which of them the last one
// ended: no recover helps against running out of memory or stack. They are
// written without a sync, since only what ends the process and not the machine
// can be the fault of a message. A nil *notes keeps none.
//
// A message that a life ended on is a suspect. Who merely stood by clears
// itself by being rendered to its end, to nobody at first. One on which
// mostDeaths noted lives ended in a row is not tried any more.
type notes struct {
	mu     sync.Mutex
	file   *os.File
	on     bool            // the last life did not end as it should
	slots  []bool          // by place in the file: in use
	deaths map[mail.ID]int // lives that ended on a message, in a row
	places map[mail.ID]int // of suspects
}

// mostDeaths is how many noted lives may end on a message; one came before.
const mostDeaths = mostCrash - 1

// A note is the ID, then whether it is being rendered, then the deaths. The
// note without an ID is that of the program.
const noteSize = len(mail.ID{}) + 2

// openNotes reads what the last life left at path, and goes on there.
func openNotes(path string) (*notes, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open notes: %w", err)
	}
	left, err := io.ReadAll(f)
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read notes: %w", err)
	}
	n := &notes{file: f, deaths: map[mail.ID]int{}, places: map[mail.ID]int{}}
	n.on = len(left) >= noteSize && left[noteSize-2] == 1
	n.take(mail.ID{}, true)
	for ; len(left) >= noteSize; left = left[noteSize:] {
		id := mail.ID(left[:len(mail.ID{})])
		running, deaths := int(left[noteSize-2]), int(left[noteSize-1])
		if deaths = min(deaths+running, mostDeaths); !id.IsZero() && running <= 1 && deaths > n.deaths[id] {
			n.deaths[id] = deaths
		}
	}
	for id := range n.deaths {
		n.places[id] = n.take(id, false)
	}
	return n, nil
}

// take writes a note in a free place.
func (n *notes) take(id mail.ID, running bool) int {
	place := 0
	for place < len(n.slots) && n.slots[place] {
		place++
	}
	if place == len(n.slots) {
		n.slots = append(n.slots, false)
	}
	n.slots[place] = true
	n.write(place, id, running)
	return place
}

// write puts a note in its place. A disk that takes none is no reason to keep
// mail: then a death is not noticed.
func (n *notes) write(place int, id mail.ID, running bool) {
	b := append(id[:], 0, byte(n.deaths[id]))
	if running {
		b[noteSize-2] = 1
	}
	n.file.WriteAt(b, int64(place*noteSize))
}

// free takes a note away.
func (n *notes) free(place int) {
	n.slots[place] = false
	n.write(place, mail.ID{}, false)
}

// died returns how many lives in a row ended on a message.
func (n *notes) died(id mail.ID) int {
	if n == nil {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.deaths[id]
}

// during notes that f renders a message, if it is to be noted. When it returns,
// or panics, this life did not end on it.
func (n *notes) during(id mail.ID, f func() error) error {
	if n == nil || !n.on && n.died(id) == 0 {
		return f()
	}
	n.mu.Lock()
	place := n.take(id, true)
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.free(place)
	}()
	return f()
}

// clear forgets that a message was a suspect.
func (n *notes) clear(id mail.ID) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if place, ok := n.places[id]; ok {
		delete(n.places, id)
		delete(n.deaths, id)
		n.free(place)
	}
}

// close says that the program ends as it should, and lets go of the file.
func (n *notes) close() {
	if n != nil {
		n.free(0)
		n.file.Close()
	}
}

// render makes a copy under a note, and has it written under one too. The copy
// of a suspect is written to nobody once, so that it need not be noted while a
// slow provider takes it in.
func (w *worker) render(m *mail.Message, content mail.Content, recipient int) (c mail.Copy, err error) {
	suspect := w.notes.died(m.ID) > 0
	err = w.notes.during(m.ID, func() (err error) {
		c, err = w.job.way.renderer.Render(m, content, recipient, w.job.provider)
		if err == nil && suspect {
			_, err = c.WriteTo(io.Discard)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case suspect:
		w.notes.clear(m.ID)
		return c, nil
	}
	return notedCopy{c, w.notes, m.ID}, nil
}

// A notedCopy is noted while it is written.
type notedCopy struct {
	mail.Copy
	notes *notes
	id    mail.ID
}

func (c notedCopy) WriteTo(to io.Writer) (n int64, err error) {
	err = c.notes.during(c.id, func() (err error) {
		n, err = c.Copy.WriteTo(to)
		return err
	})
	return n, err
}
