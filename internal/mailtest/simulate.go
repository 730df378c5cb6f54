package mailtest

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	"backstamp/internal/simulator"
)

// A Simulation is a provider that is played on the loopback.
type Simulation struct {
	Addr string // host:port
	Host string // 127.0.0.1
	Port int

	mu       sync.Mutex
	outcomes []simulator.Outcome
}

// Simulate plays a provider until the test ends.
func Simulate(t testing.TB, o simulator.Options) *Simulation {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr)
	s := &Simulation{Addr: addr.String(), Host: addr.IP.String(), Port: addr.Port}
	o.Report = s.record
	server, err := simulator.New(o)
	if err != nil {
		ln.Close()
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *Simulation) record(o simulator.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes = append(s.outcomes, o)
}

// Outcomes returns what came of everything so far. What a client has the
// reply of is among it.
func (s *Simulation) Outcomes() []simulator.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.outcomes)
}

// Taken returns the outcomes of the messages that were taken.
func (s *Simulation) Taken() []simulator.Outcome {
	return slices.DeleteFunc(s.Outcomes(), func(o simulator.Outcome) bool { return o.ID == "" })
}
