//go:build unix

// Package crashtest kills a mail relay under load, again and again, and
// compares what it answered with 250 to what came out of it. It knows nothing
// of the relay but an address and how to start it, so that any relay can be
// measured.
//
// The content of every message follows from its name, so that the sink can
// judge a copy when it comes: all header fields that were sent must be there in
// their order (a relay may add fields), and the body must be the same byte for
// byte. Where the relay tracks, its links are first replaced by what they
// lead to and its pixel is taken out.
package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync"
	"time"
)

// A Relay is what is killed.
type Relay interface {
	// Start starts it and returns, once it takes mail, the address where, and
	// a channel that is closed if it ends by itself. It is to end itself at
	// the crash point, unless that is "".
	Start(ctx context.Context, point string) (addr string, ended <-chan struct{}, err error)
	// Kill ends it as a power cut would, but for what the kernel keeps.
	Kill() error
	// Stop asks it to end, and waits until it has.
	Stop() error
}

// Options say what a run does.
type Options struct {
	Relay   Relay
	Sink    *Sink
	Ledger  *Ledger
	Cycles  int           // kills
	Senders int           // at one time
	Rate    float64       // messages a second of all senders together; 0: as fast as they can
	Load    time.Duration // the longest load before a kill, which comes at a random time; 0: 800 ms
	Points  []string      // crash points, used in turn instead of kills at a random time
	Pass    int           // a crash point is passed up to so many times before it counts; 0: 50
	Drain   []string      // a command that makes the relay try what it deferred; may be empty
	Quiet   time.Duration // a drain without an arrival for so long gives up; 0: a minute
	Seed    uint64
	Log     func(format string, args ...any) // progress; may be nil
}

func (o Options) filled() Options {
	if o.Senders == 0 {
		o.Senders = 8
	}
	if o.Load == 0 {
		o.Load = 800 * time.Millisecond
	}
	if o.Pass == 0 {
		o.Pass = 50
	}
	if o.Quiet == 0 {
		o.Quiet = time.Minute
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	return o
}

// Run runs the cycles and the drain after them. The error is about the harness
// or a relay that does not start; what the relay lost is in the report.
func Run(ctx context.Context, o Options) (Report, error) {
	r := &run{Options: o.filled(), random: rand.New(rand.NewPCG(o.Seed, 1)), began: time.Now()}
	first := r.Ledger.Cycle() + 1
	for cycle := first; cycle < first+o.Cycles; cycle++ {
		if err := r.cycle(ctx, cycle); err != nil {
			return r.report(), fmt.Errorf("cycle %d: %w", cycle, err)
		}
		if (cycle-first+1)%50 == 0 {
			r.Log("%d cycles, %d messages accepted, %v", cycle, r.Ledger.Accepted(), time.Since(r.began).Round(time.Second))
		}
	}
	err := r.drain(ctx)
	return r.report(), err
}

// A run is Run while it runs.
type run struct {
	Options
	random   *rand.Rand
	began    time.Time
	draining time.Duration
}

// cycle starts the relay, loads it and kills it.
func (r *run) cycle(ctx context.Context, cycle int) error {
	name, point := r.point(cycle)
	addr, ended, err := r.Relay.Start(ctx, point)
	if err != nil {
		return err
	}
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var senders sync.WaitGroup
	senders.Go(func() { Load(loading, addr, r.Ledger, cycle, r.Senders, r.pause()) })
	reached := wait(ctx, ended, r.until(point))
	err = r.Relay.Kill()
	stop()
	senders.Wait()
	r.Ledger.Killed(Kill{Cycle: cycle, Point: name, Reached: reached && name != "", Broken: r.Sink.Broken()})
	if reached && name == "" {
		err = errors.Join(err, errors.New("the relay ended by itself"))
	}
	return errors.Join(err, ctx.Err())
}

// point returns the crash point of a cycle, and with how many times it is
// passed, or "".
func (r *run) point(cycle int) (name, point string) {
	if len(r.Points) == 0 {
		return "", ""
	}
	name = r.Points[cycle%len(r.Points)]
	return name, fmt.Sprintf("%s:%d", name, 1+r.random.IntN(r.Pass))
}

// until returns when the kill comes. A crash point has more time, for it may
// be rare.
func (r *run) until(point string) time.Duration {
	if point != "" {
		return 10 * r.Load
	}
	return r.Load/8 + time.Duration(r.random.Int64N(int64(r.Load*7/8)))
}

// pause returns how long each sender waits between messages.
func (r *run) pause() time.Duration {
	if r.Rate == 0 {
		return 0
	}
	return time.Duration(float64(r.Senders) / r.Rate * float64(time.Second))
}

// wait reports whether ended was closed within d.
func wait(ctx context.Context, ended <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	return false
}

// The rhythm of a drain.
const (
	look    = 100 * time.Millisecond
	nudge   = 2 * time.Second // between two runs of the drain command
	settled = 2 * time.Second // without an arrival, when nothing is missing: what comes twice has come
)

// drain starts the relay once more and lets it deliver what it still has, to a
// sink that behaves.
func (r *run) drain(ctx context.Context) error {
	_, ended, err := r.Relay.Start(ctx, "")
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if err := r.settle(ctx, ended); err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), r.Relay.Kill())
	}
	return r.Relay.Stop()
}

// settle waits until nothing is missing and nothing comes any more, or in
// vain.
func (r *run) settle(ctx context.Context, ended <-chan struct{}) error {
	began, nudged := time.Now(), time.Time{}
	defer func() { r.draining = time.Since(began) }()
	r.Sink.Calm()
	missing := r.Ledger.Missing(nil)
	for quiet := time.Duration(0); quiet < min(settled, r.Quiet) || len(missing) > 0 && quiet < r.Quiet; {
		if time.Since(nudged) > nudge {
			r.nudge(ctx)
			nudged = time.Now()
		}
		if wait(ctx, ended, look) {
			return errors.New("the relay ended by itself")
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		missing = r.Ledger.Missing(missing)
		quiet = time.Since(later(began, r.Ledger.Latest()))
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// nudge runs the drain command. It fails while the relay starts, and then it
// runs again.
func (r *run) nudge(ctx context.Context) {
	if len(r.Drain) > 0 {
		exec.CommandContext(ctx, r.Drain[0], r.Drain[1:]...).Run()
	}
}

func (r *run) report() Report {
	rep := r.Ledger.Report()
	rep.Seed, rep.Senders = r.Seed, r.Senders
	rep.Seconds = time.Since(r.began).Seconds()
	rep.DrainSeconds = r.draining.Seconds()
	return rep
}
