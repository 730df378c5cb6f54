package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// A stage is one part of the running server. Stages start together and end
// one after the other, in their order: what others still report to ends last.
type stage struct {
	name string
	run  func(context.Context) error // returns soon after its context ends
	with bool                        // ends together with the stage before
}

// drainTime is how long all stages together may take to end. Of it tries on
// their way out have queueDrain; what remains is for recording how they ended,
// and for readers.
const (
	drainTime  = 30 * time.Second
	queueDrain = 20 * time.Second
)

// runStages runs them until stop ends or one of them fails, then ends them in
// order. When hurry ends before they have, it returns at once.
func runStages(stop, hurry context.Context, stages []stage) error {
	type running struct {
		cancel context.CancelFunc
		done   chan error
	}
	failed := make(chan error, len(stages))
	started := make([]running, len(stages))
	for i, s := range stages {
		ctx, cancel := context.WithCancel(context.WithoutCancel(stop))
		r := running{cancel, make(chan error, 1)}
		started[i] = r
		go func() {
			err := s.run(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", s.name, err)
			}
			if ctx.Err() == nil { // it ended by itself
				failed <- err
			}
			r.done <- err
		}()
	}

	var errs []error
	select {
	case <-stop.Done():
	case err := <-failed:
		errs = append(errs, err)
	}
	limit, cancel := context.WithTimeout(hurry, drainTime)
	defer cancel()
	for i, r := range started {
		r.cancel()
		for j := i + 1; j < len(stages) && stages[j].with; j++ {
			started[j].cancel()
		}
		select {
		case err := <-r.done:
			if err != nil && len(errs) == 0 {
				errs = append(errs, err)
			}
		case <-limit.Done():
			for _, r := range started[i:] {
				r.cancel()
			}
			return errors.Join(append(errs, fmt.Errorf("%s did not end in time", stages[i].name))...)
		}
	}
	return errors.Join(errs...)
}

// serveHTTP is a stage's run for an HTTP server.
func serveHTTP(s *http.Server, l net.Listener) func(context.Context) error {
	return func(ctx context.Context) error {
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
		}
		// Followers of events never end by themselves.
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if s.Shutdown(limit) != nil {
			s.Close()
		}
		<-done
		return nil
	}
}
