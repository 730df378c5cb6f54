package queue

import "sync"

// An inbox holds what others want the scheduler to do. It never makes them
// wait; what it can grow to is bounded by the slots of the gate and by the
// operator's patience.
type inbox struct {
	wake chan struct{} // holds one token while something waits

	mu     sync.Mutex
	posted []func(*scheduler)
	closed bool
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// post leaves f to the scheduler. It reports false when there will be none to
// run it.
func (b *inbox) post(f func(*scheduler)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.posted = append(b.posted, f)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// take empties the inbox.
func (b *inbox) take() []func(*scheduler) {
	b.mu.Lock()
	defer b.mu.Unlock()
	posted := b.posted
	b.posted = nil
	return posted
}

// close ends the inbox if nothing is left in it.
func (b *inbox) close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = len(b.posted) == 0
	return b.closed
}
