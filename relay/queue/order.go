package queue

import (
	"context"
	"slices"
	"strings"

	"backstamp/mail"
)

// An order keeps first tries in the order in which mail was accepted: for each
// provider entry, and so for each account, and each domain of recipients it
// knows the job that was launched last. A job calls on its provider once those
// before it did, however many connections there are. It belongs to the
// scheduler.
type order map[string]chan struct{}

// line puts a job behind those before it.
func (o order) line(j *job) {
	if len(j.line) == 0 {
		return
	}
	j.went = make(chan struct{})
	for _, name := range j.line {
		if before := o[name]; before != nil {
			j.wait = append(j.wait, before)
		}
		o[name] = j.went
	}
}

// leave forgets a job that is done.
func (o order) leave(j *job) {
	for _, name := range j.line {
		if o[name] == j.went {
			delete(o, name)
		}
	}
}

// goesTo notes where a delivery stands in line, if this will be its first try.
func (j *job) goesTo(d mail.Delivery) {
	if d.Attempts > 0 || d.Recipient == "" {
		return
	}
	domain := d.Recipient[strings.LastIndexByte(d.Recipient, '@')+1:]
	if name := d.Provider + " " + strings.ToLower(domain); !slices.Contains(j.line, name) {
		j.line = append(j.line, name)
	}
}

// begin waits for those before the job to have begun, and lets those after it.
func (j *job) begin(ctx context.Context) {
	for _, before := range j.wait {
		select {
		case <-before:
		case <-ctx.Done():
		}
	}
	j.pass()
}

// pass lets those after the job begin.
func (j *job) pass() {
	if j.went != nil && !j.passed {
		j.passed = true
		close(j.went)
	}
	j.wait = nil
}
