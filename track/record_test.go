package track

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backstamp/internal/clock"
	"backstamp/mail"
)

var errStore = errors.New("the disk is full")

// A bench is a Handler that runs beside a store, in a bubble where time is the
// test's.
type bench struct {
	*Handler
	*ledger
	log  bytes.Buffer
	stop func() // ends Run and waits for it
}

func startBench(t *testing.T, spill string, kept *ledger) *bench {
	b := &bench{ledger: kept}
	h, err := New(Settings{Spill: spill}, fixedKeys(t), kept, clock.System{}, slog.New(slog.NewTextHandler(&b.log, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Handler = h
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := h.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	b.stop = func() { cancel(); <-ended }
	synctest.Wait()
	return b
}

// click follows a link and returns how long its reader waited.
func (b *bench) click(t *testing.T, n int) time.Duration {
	t.Helper()
	ks := b.policy.Load().keys
	tok := testToken(ks)
	tok.Message = numbered(n)
	start := time.Now()
	res := serve(b, "GET", mail.PathClick+signTest(t, ks, tok)+"."+mail.EncodeDestination(tok.Destination))
	if got := res.Header.Get("Location"); res.StatusCode != 302 || got != tok.Destination {
		t.Errorf("click %d: %d, Location %q", n, res.StatusCode, got)
	}
	return time.Since(start)
}

func numbered(n int) mail.ID { return mail.ID{1, 8: byte(n >> 8), 9: byte(n)} }

// wantOnce checks that the events of 0 to n-1 were kept, each once.
func (b *bench) wantOnce(t *testing.T, n int) {
	t.Helper()
	times := map[mail.ID]int{}
	for _, e := range b.all() {
		times[e.Message]++
	}
	for i := range n {
		if got := times[numbered(i)]; got != 1 {
			t.Errorf("event %d was kept %d times", i, got)
			return
		}
	}
	if len(times) != n {
		t.Errorf("events of %d messages, want %d", len(times), n)
	}
}

func (b *bench) wantMetrics(t *testing.T, waiting, spilled, dropped float64) {
	t.Helper()
	m := b.Handler.metrics
	if lost := b.Lost(); float64(lost) != dropped {
		t.Errorf("lost %d, want %v", lost, dropped)
	}
	if w, s, d := value(t, m.waiting), value(t, m.spilled), value(t, m.dropped); w != waiting || s != spilled || d != dropped {
		t.Errorf("waiting %v, spilled %v, dropped %v; want %v, %v, %v", w, s, d, waiting, spilled, dropped)
	}
}

func (b *bench) wantLogged(t *testing.T, text string, times int) {
	t.Helper()
	synctest.Wait() // nobody waits for the log
	if got := strings.Count(b.log.String(), text); got != times {
		t.Errorf("logged %q %d times, want %d:\n%s", text, got, times, b.log.String())
	}
}

func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, "", &ledger{fail: func(mail.Event) error { time.Sleep(time.Second); return nil }})
		if waited := b.click(t, 0); waited != patience {
			t.Errorf("the first reader waited %v, want %v", waited, patience)
		}
		for n := 1; n < 200; n++ { // the next need not find out again
			if waited := b.click(t, n); waited != 0 {
				t.Fatalf("reader %d waited %v", n, waited)
			}
		}
		time.Sleep(time.Minute)
		b.wantOnce(t, 200)
		if got := value(t, b.Handler.metrics.timeouts); got != 1 {
			t.Errorf("timeouts: %v, want 1", got)
		}
		b.setFail(nil)
		if waited := b.click(t, 200); waited != 0 || len(b.all()) != 201 {
			t.Errorf("the store is quick again: waited %v, %d events", waited, len(b.all()))
		}
		b.stop()
		b.wantMetrics(t, 0, 0, 0)
		b.wantLogged(t, "they wait", 1)
		b.wantLogged(t, "any more", 1)
	})
}

func TestHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		b := startBench(t, "", &ledger{fail: func(mail.Event) error { <-hang; return nil }})
		var wg sync.WaitGroup
		for n := range 10 { // who came together waits together
			wg.Go(func() { b.click(t, n) })
		}
		start := time.Now()
		wg.Wait()
		if waited := time.Since(start); waited != patience {
			t.Errorf("they waited %v, want %v", waited, patience)
		}
		for n := 10; n < 500; n++ {
			if waited := b.click(t, n); waited != 0 {
				t.Fatalf("reader %d waited %v", n, waited)
			}
		}
		time.Sleep(24 * time.Hour)
		close(hang)
		synctest.Wait()
		b.wantOnce(t, 500)
		b.stop()
		b.wantMetrics(t, 0, 0, 0)
	})
}

func TestFailingStoreComesBack(t *testing.T) {
	for name, fail := range map[string]func(mail.Event) error{
		"failing":   func(mail.Event) error { return errStore },
		"panicking": func(mail.Event) error { panic("poisoned") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := startBench(t, filepath.Join(t.TempDir(), "spill"), &ledger{fail: fail})
				for n := range 300 {
					if waited := b.click(t, n); waited != 0 {
						t.Fatalf("reader %d waited %v", n, waited)
					}
				}
				time.Sleep(time.Hour)
				if got := len(b.all()); got != 0 {
					t.Fatalf("%d events kept", got)
				}
				b.wantMetrics(t, 300, 0, 0)
				b.setFail(nil)
				time.Sleep(retryLast)
				synctest.Wait()
				b.wantOnce(t, 300)
				for i, e := range b.all() {
					if n := int(e.Message[8])<<8 | int(e.Message[9]); n != i {
						t.Fatalf("event %d was kept as number %d", n, i)
					}
				}
				b.click(t, 300)
				b.wantOnce(t, 301)
				b.stop()
				b.wantMetrics(t, 0, 0, 0)
				b.wantLogged(t, "they wait", 1)
				b.wantLogged(t, "any more", 1)
			})
		})
	}
}

// A store that is down tries again less and less often, but never more rarely
// than every half minute.
func TestRetryRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Time
		b := startBench(t, "", &ledger{fail: func(mail.Event) error { tries = append(tries, time.Now()); return errStore }})
		b.click(t, 0)
		time.Sleep(5 * time.Minute)
		b.stop()
		var rests []time.Duration
		for i := 1; i < len(tries); i++ {
			rests = append(rests, tries[i].Sub(tries[i-1])/time.Second)
		}
		want := []time.Duration{0, 1, 2, 4, 8, 16, 30, 30, 30}
		if len(rests) < len(want) || !slices.Equal(rests[:len(want)], want) {
			t.Errorf("rests of %v seconds, want %v …", rests, want)
		}
	})
}

func TestMemoryOverflowsIntoTheFile(t *testing.T) {
	const n = memoryMax + 2*batchMax + 1000
	synctest.Test(t, func(t *testing.T) {
		spill := filepath.Join(t.TempDir(), "spill")
		b := startBench(t, spill, &ledger{fail: func(mail.Event) error { return errStore }})
		for i := range n {
			b.click(t, i)
			if i%queueSize == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		spilled := value(t, b.Handler.metrics.spilled)
		if spilled < 1000 {
			t.Fatalf("%v events in the file, want what the memory does not hold", spilled)
		}
		if info, err := os.Stat(spill); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
		}
		b.setFail(nil)
		time.Sleep(retryLast)
		synctest.Wait()
		b.wantOnce(t, n)
		b.wantMetrics(t, 0, spilled, 0)
		if info, err := os.Stat(spill); err != nil || info.Size() != 0 {
			t.Errorf("the file still holds %d octets, %v", info.Size(), err)
		}
		b.stop()
	})
}

func TestShutdownKeepsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spill := filepath.Join(t.TempDir(), "spill")
		kept := &ledger{fail: func(mail.Event) error { return errStore }}
		b := startBench(t, spill, kept)
		for n := range 200 {
			b.click(t, n)
		}
		b.stop()
		b.wantMetrics(t, 200, 200, 0)

		b = startBench(t, spill, kept) // and a start that finds the store still down
		b.wantMetrics(t, 200, 0, 0)
		b.click(t, 200)
		b.stop()

		kept.setFail(nil)
		b = startBench(t, spill, kept)
		synctest.Wait()
		b.wantOnce(t, 201)
		b.wantMetrics(t, 0, 0, 0)
		b.stop()
	})
}

func TestShutdownWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, filepath.Join(t.TempDir(), "spill"), &ledger{fail: func(mail.Event) error { time.Sleep(3 * time.Second); return nil }})
		b.click(t, 0)
		b.stop()
		b.wantOnce(t, 1)
		b.wantMetrics(t, 0, 0, 0)
	})
}

func TestShutdownWithAHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		b := startBench(t, filepath.Join(t.TempDir(), "spill"), &ledger{fail: func(mail.Event) error { <-hang; return nil }})
		b.click(t, 0)
		start := time.Now()
		b.stop()
		if took := time.Since(start); took != grace {
			t.Errorf("the end took %v, want %v", took, grace)
		}
		b.wantMetrics(t, 0, 0, 1)
		close(hang)
	})
}

func TestDropsAreCountedAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, "", &ledger{fail: func(mail.Event) error { return errStore }})
		b.stop()
		for n := range 50 { // the first finds the store down, the others the queue closed
			b.click(t, n)
		}
		b.wantMetrics(t, 0, 0, 50)
		b.wantLogged(t, "are being lost", 1)
	})
}

// A frozen disk takes no write until it is thawed.
type frozenDisk struct {
	disk
	thawed chan struct{}
}

func (d frozenDisk) WriteAt(b []byte, at int64) (int, error) {
	<-d.thawed
	return d.disk.WriteAt(b, at)
}

func (d frozenDisk) Sync() error { <-d.thawed; return d.disk.Sync() }

// With both the store and the spill file on a disk that hangs, readers are
// answered, what waits is bounded, what is lost is counted, and the rest is kept
// once the disk is back.
func TestFrozenDisk(t *testing.T) {
	const n = 2 * (memoryMax + queueSize)
	synctest.Test(t, func(t *testing.T) {
		thawed := make(chan struct{})
		kept := &ledger{fail: func(mail.Event) error { <-thawed; return nil }}
		h, err := New(Settings{Spill: filepath.Join(t.TempDir(), "spill")}, fixedKeys(t), kept, clock.System{}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		h.events.open = func(path string) (*spillFile, error) {
			s, err := openSpill(path)
			if err == nil {
				s.f = frozenDisk{s.f, thawed}
			}
			return s, err
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Run(ctx) }()
		slow := 0
		for i := range n {
			start := time.Now()
			h.events.record(mail.Event{Time: start, Kind: mail.KindOpen, Message: numbered(i)})
			if waited := time.Since(start); waited > 0 {
				slow++
			}
			if i%queueSize == queueSize-1 {
				synctest.Wait()
			}
		}
		// The first learns it of the store, another of the queue.
		if slow != 2 {
			t.Errorf("%d readers waited", slow)
		}
		waiting, lost := int(value(t, h.metrics.waiting)), h.Lost()
		if most := memoryMax + queueSize + batchMax; waiting > most || waiting < memoryMax {
			t.Errorf("%d wait, want at most %d", waiting, most)
		}
		if lost+waiting+1 != n { // one is with the store
			t.Errorf("%d lost and %d wait, of %d", lost, waiting, n)
		}
		close(thawed)
		time.Sleep(retryLast)
		synctest.Wait()
		if got := len(kept.all()); got != n-lost || h.Lost() != lost {
			t.Errorf("%d kept and %d lost of %d", got, h.Lost(), n)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A stuck is a log that takes nothing, as on a disk that hangs.
type stuck chan struct{}

func (s stuck) Write(b []byte) (int, error) { <-s; return len(b), nil }

func TestHangingLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(stuck)
		h, err := New(Settings{}, fixedKeys(t), &ledger{fail: func(mail.Event) error { <-hang; return errStore }}, clock.System{}, slog.New(slog.NewTextHandler(hang, nil)), nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for range 2 * batchMax { // nobody runs Run
			wg.Go(func() { h.events.record(mail.Event{Kind: mail.KindOpen}) })
		}
		wg.Wait()
		for range queueSize + 10 {
			h.events.record(mail.Event{Kind: mail.KindOpen})
		}
		if waited := time.Since(start); waited != 2*patience { // for the store, then for the queue
			t.Errorf("readers waited %v, want %v", waited, 2*patience)
		}
		close(hang)
	})
}

// Where the queue has no room a reader waits as long as for the store, no
// longer, and the next not at all.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Settings{}, fixedKeys(t), &ledger{fail: func(mail.Event) error { return errStore }}, clock.System{}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range queueSize { // nobody runs Run
			h.events.record(mail.Event{Kind: mail.KindOpen})
		}
		start := time.Now()
		h.events.record(mail.Event{Kind: mail.KindOpen})
		h.events.record(mail.Event{Kind: mail.KindOpen})
		if waited, lost := time.Since(start), value(t, h.metrics.dropped); waited != patience || lost != 2 {
			t.Errorf("waited %v, dropped %v; want %v and both", waited, lost, patience)
		}
	})
}

// A flood of equal hits while the store is down takes one row a second.
func TestEqualHitsWaitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, filepath.Join(t.TempDir(), "spill"), &ledger{fail: func(mail.Event) error { return errStore }})
		const n = 5000
		for i := range n {
			b.click(t, 0)
			if i%100 == 0 {
				time.Sleep(60 * time.Millisecond) // 3 s in all
			}
		}
		synctest.Wait()
		if got := value(t, b.Handler.metrics.waiting); got > 5 {
			t.Errorf("%v rows wait", got)
		}
		b.setFail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		hits := 0
		for _, e := range b.all() {
			hits += e.Times()
		}
		if hits != n {
			t.Errorf("%d hits kept, want %d", hits, n)
		}
		b.stop()
		b.wantMetrics(t, 0, 0, 0)
	})
}

func TestPoisonEventDoesNotBlockTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poison := func(e mail.Event) error {
			if e.Message == numbered(7) {
				return errStore
			}
			return nil
		}
		b := startBench(t, filepath.Join(t.TempDir(), "spill"), &ledger{fail: poison})
		for n := range 100 {
			b.click(t, n)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		b.click(t, 100)
		if got := len(b.all()); got != 100 {
			t.Errorf("%d events kept, want all but one", got)
		}
		b.wantMetrics(t, 0, 0, 1)
		b.stop()
	})
}

func TestSpillFileThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBench(t, filepath.Join(t.TempDir(), "missing", "spill"), &ledger{fail: func(mail.Event) error { return errStore }})
		b.wantLogged(t, "in memory alone", 1)
		b.click(t, 0)
		b.setFail(nil)
		time.Sleep(retryLast)
		synctest.Wait()
		b.wantOnce(t, 1)
		b.stop()
	})
}

// Whatever the store does, each event is kept once.
func TestNeverTwiceUnderLoad(t *testing.T) {
	const n = 2000
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		var mu sync.Mutex
		moody := func(mail.Event) error {
			mu.Lock()
			mood, wait := r.IntN(10), time.Duration(r.IntN(400))*time.Millisecond
			mu.Unlock()
			time.Sleep(wait)
			switch mood {
			case 0, 1:
				return errStore
			case 2:
				panic("moody")
			}
			return nil
		}
		b := startBench(t, filepath.Join(t.TempDir(), "spill"), &ledger{fail: moody})
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if waited := b.click(t, i); waited > patience {
					t.Errorf("reader %d waited %v", i, waited)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		b.setFail(nil)
		time.Sleep(time.Hour)
		b.wantOnce(t, n)
		b.stop()
		b.wantMetrics(t, 0, 0, 0)
	})
}
