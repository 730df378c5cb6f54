package track_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"backstamp/internal/readers"
	"backstamp/mail"
)

// classes are those of the tables, in their order.
var classes = []string{"human", "proxy", "prefetch", "scanner", "self", "unknown"}

// A matrix counts hits by what they were and what they were taken for.
type matrix map[[2]string]int

// rates returns which part of the hits taken for a class were of it, and which
// part of those of it were taken for it.
func (m matrix) rates(class string) (precision, recall float64) {
	taken, truly := 0, 0
	for _, other := range classes {
		taken += m[[2]string{other, class}]
		truly += m[[2]string{class, other}]
	}
	right := float64(m[[2]string{class, class}])
	return right / float64(max(1, taken)), right / float64(max(1, truly))
}

// A mixed stream of invented readers, whose makers know what each hit is and
// nothing of the rules: what is taken for what, at once and judged again. The
// tables are in docs/tracking.md; -update writes them.
func TestMixedStream(t *testing.T) {
	most := 100_000
	if testing.Short() {
		most = 5_000
	}
	l := newLab(t)
	copies := readers.Stream(8, most)
	ids := make([]mail.ID, len(copies))
	work := make(chan int)
	var wg sync.WaitGroup
	for range 128 {
		wg.Go(func() {
			for i := range work {
				ids[i] = l.put(copies[i].Links, true)
				l.play(ids[i], copies[i].Hits)
			}
		})
	}
	for i := range copies {
		work <- i
	}
	close(work)
	wg.Wait()

	compare := func() matrix {
		m := matrix{}
		for i, c := range copies {
			kept := l.hits(ids[i])
			if len(kept) != len(c.Hits) {
				t.Fatalf("%d hits kept of %d", len(kept), len(c.Hits))
			}
			for n, hit := range c.Hits {
				if !kept[n].Time.Equal(labTime.Add(hit.After)) {
					t.Fatalf("hit %d was kept at another time", n)
				}
				m[[2]string{hit.Truth, string(kept[n].Class)}]++
			}
		}
		return m
	}
	atOnce := compare()
	l.reclassify()
	again := compare()
	text := table(atOnce, again)
	t.Log("\n" + text)
	for _, floor := range []struct {
		class             string
		precision, recall float64
	}{
		{"human", 0.87, 0.98}, {"proxy", 1, 1}, {"prefetch", 1, 0.99}, {"scanner", 0.98, 0.77}, {"self", 1, 1}, {"unknown", 0.6, 0.98},
	} {
		if p, r := again.rates(floor.class); p < floor.precision || r < floor.recall {
			t.Errorf("%s: precision %.4f, recall %.4f; want at least %.3f, %.3f", floor.class, p, r, floor.precision, floor.recall)
		}
	}
	if !testing.Short() {
		writeSection(t, "stream", text)
	}
}

func table(atOnce, again matrix) string {
	var b strings.Builder
	n := 0
	for _, hits := range again {
		n += hits
	}
	fmt.Fprintf(&b, "%d hits, judged again: rows are what they were, columns what they are taken for.\n\n", n)
	fmt.Fprintf(&b, "| | %s | recall |\n|---|%s---|\n", strings.Join(classes, " | "), strings.Repeat("---|", len(classes)))
	for _, truth := range classes {
		fmt.Fprintf(&b, "| %s |", truth)
		for _, class := range classes {
			fmt.Fprintf(&b, " %d |", again[[2]string{truth, class}])
		}
		_, recall := again.rates(truth)
		fmt.Fprintf(&b, " %.4f |\n", recall)
	}
	b.WriteString("\n| | precision | recall | at once: precision | recall |\n|---|---|---|---|---|\n")
	for _, class := range classes {
		p, r := again.rates(class)
		p0, r0 := atOnce.rates(class)
		fmt.Fprintf(&b, "| %s | %.4f | %.4f | %.4f | %.4f |\n", class, p, r, p0, r0)
	}
	return b.String()
}

// The stream is the same each time, in order, and mixed.
func TestStreamIsMixed(t *testing.T) {
	truths := map[string]int{}
	for _, c := range readers.Stream(8, 5000) {
		if !slices.IsSortedFunc(c.Hits, func(a, b readers.Hit) int { return int(a.After - b.After) }) {
			t.Fatal("out of order")
		}
		for i, h := range c.Hits {
			if h.Link > c.Links || i > 0 && h.After-c.Hits[i-1].After < time.Microsecond {
				t.Fatalf("%+v", h)
			}
			truths[h.Truth]++
		}
	}
	for _, class := range classes {
		if truths[class] < 30 {
			t.Errorf("%d hits of %s", truths[class], class)
		}
	}
	first, again := fmt.Sprint(readers.Stream(3, 100)), fmt.Sprint(readers.Stream(3, 100))
	if first != again {
		t.Error("not the same again")
	}
}
