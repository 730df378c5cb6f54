package bolt

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"backstamp/mail"
	"backstamp/store"
)

// TestScale fills a store with waiting messages, 10 times as many in each
// round, and measures what a server does all the time: none of it may take
// longer, or more memory, because of how much there is. Starting may, but not
// long. BACKSTAMP_TEST_MESSAGES is how many there are in the last round, such
// as 1000000; the default is 10000.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures")
	}
	most := 10_000
	if text := os.Getenv("BACKSTAMP_TEST_MESSAGES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		most = n
	}
	dir := t.TempDir()
	s := opened(t, dir, Options{Create: true})
	sc := &scale{ctx: t.Context(), took: map[string][]time.Duration{}}
	for have, want := 0, 1000; want <= most; have, want = want, want*10 {
		sc.fill(t, s, want-have)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s = opened(t, dir, Options{})
		open := time.Since(start)
		if open > 10*time.Second {
			t.Errorf("starting with %d messages took %v", want, open)
		}
		sc.measure(t, s)
		info, err := os.Stat(s.db.Path())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%8d messages: open %v, %s; private memory %d MiB, file %d MiB",
			want, open.Round(time.Millisecond), sc.last(), privateMemory()>>20, info.Size()>>20)
	}
	sc.compare(t)
}

// A scale measures operations on a store.
type scale struct {
	ctx  context.Context
	ids  mail.IDs
	took map[string][]time.Duration // by operation: the median of each round
}

var operations = []string{"put", "claim 100", "next due", "conclude", "record", "newest 100", "show"}

// fill puts n small messages, most for one provider, due in the order of their
// coming.
func (sc *scale) fill(t *testing.T, s *Store, n int) {
	t.Helper()
	work := make(chan struct{})
	var wait sync.WaitGroup
	for range 256 {
		wait.Go(func() {
			for range work {
				if _, err := sc.put(s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range n {
		work <- struct{}{}
	}
	close(work)
	wait.Wait()
}

func (sc *scale) put(s *Store) (mail.ID, error) {
	m, ds := aMessage(&sc.ids)
	if m.ID[len(m.ID)-1]%16 == 0 {
		ds[0].Provider = "lab/main"
	}
	return m.ID, s.Put(sc.ctx, m, ds, bytes.NewReader(smallBody))
}

var smallBody = bytes.Repeat([]byte("one line of a small message\r\n"), 10)

// measure takes the median of some runs of each operation.
func (sc *scale) measure(t *testing.T, s *Store) {
	t.Helper()
	const runs = 31
	took := map[string][]time.Duration{}
	timed := func(name string, f func() error) {
		start := time.Now()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		took[name] = append(took[name], time.Since(start))
	}
	for range runs {
		var id mail.ID
		var ds []mail.Delivery
		timed("put", func() (err error) { id, err = sc.put(s); return err })
		timed("claim 100", func() (err error) { ds, err = s.Claim(sc.ctx, begin, 100, time.Minute, "shop/main"); return err })
		timed("next due", func() error { _, err := s.NextDue(sc.ctx, "lab/main"); return err })
		timed("conclude", func() error {
			return s.Conclude(sc.ctx, []mail.Outcome{{Message: id, Index: 1, At: begin, Status: mail.Sent, Kind: mail.KindSent}})
		})
		timed("record", func() error {
			return s.Record(sc.ctx, mail.Event{Time: begin, Kind: mail.KindOpen, Message: id, Recipient: 1, Class: mail.Human})[0]
		})
		timed("newest 100", func() (err error) {
			for _, e := range s.Messages(sc.ctx, store.Filter{Limit: 100}) {
				err = e
			}
			return err
		})
		timed("show", func() error { _, err := s.Message(sc.ctx, id); return err })
		s.Release(ds)
	}
	for name, all := range took {
		slices.Sort(all)
		sc.took[name] = append(sc.took[name], all[len(all)/2])
	}
}

// last describes the last round.
func (sc *scale) last() (text string) {
	for _, name := range operations {
		all := sc.took[name]
		text += fmt.Sprintf("%s %v, ", name, all[len(all)-1].Round(time.Microsecond))
	}
	return text
}

// compare expects no round to be much slower than the first. What is short
// enough to be noise passes.
func (sc *scale) compare(t *testing.T) {
	t.Helper()
	for _, name := range operations {
		all := sc.took[name]
		for _, d := range all {
			if d > 5*all[0] && d > 20*time.Millisecond {
				t.Errorf("%s: %v, flat is %v", name, all, all[0])
			}
		}
	}
}

// privateMemory is what the process has that no file backs, in octets; 0 where
// that is not known.
func privateMemory() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		var kib int64
		if n, _ := fmt.Sscanf(string(line), "RssAnon: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
