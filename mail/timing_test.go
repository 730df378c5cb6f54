package mail

import (
	"fmt"
	"testing"
	"time"
)

func TestRush(t *testing.T) {
	sent := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	timing := Timing{First: 5 * time.Second, Within: 2 * time.Second, Links: 3}
	type hit struct {
		at    float64 // seconds after it was sent
		link  int     // 0: an open
		class Class
		ip    string
	}
	human := func(at float64, link int) hit { return hit{at, link, Human, "192.0.2.0/24"} }
	tests := []struct {
		name  string
		links int
		hits  []hit
		want  string // of each hit
	}{
		{"all links at once", 3, []hit{human(1, 1), human(1.5, 2), human(2, 3)}, "mmm"},
		{"in the very time", 3, []hit{human(5, 1), human(6, 2), human(7, 3)}, "mmm"},
		{"too late a start", 3, []hit{human(5.1, 1), human(5.2, 2), human(5.3, 3)}, "..."},
		{"too slow", 3, []hit{human(1, 1), human(2, 2), human(3.1, 3)}, "..."},
		{"a link left out", 4, []hit{human(1, 1), human(1.1, 2), human(1.2, 3)}, "..."},
		{"one link again and again", 3, []hit{human(1, 1), human(1.1, 1), human(1.2, 1)}, "..."},
		{"too few links", 2, []hit{human(1, 1), human(1.1, 2)}, ".."},
		{"before the provider's reply was recorded", 3, []hit{human(-0.3, 1), human(-0.2, 2), human(-0.1, 3)}, "mmm"},
		{"early by HEAD, fast later", 3, []hit{{1, 1, Scanner, "x"}, human(60, 1), human(60.1, 2), human(60.2, 3)}, ".mmm"},
		{"early by a mailbox's fetcher, fast later", 3, []hit{{1, 0, Prefetch, "x"}, human(60, 1), human(60.1, 2), human(60.2, 3)}, "...."},
		{"early by the operator, fast later", 3, []hit{{1, 1, Self, "x"}, human(60, 1), human(60.1, 2), human(60.2, 3)}, "...."},
		{"a reader afterwards", 3, []hit{human(1, 1), human(1.5, 2), human(2, 3), human(4, 2), human(9, 0)}, "mmm.."},
		{"again while it lasts", 3, []hit{human(1, 1), human(1.5, 2), human(2, 3), human(2.9, 1)}, "mmmm"},
		{"the pixel by whom the links were", 3, []hit{human(1, 0), human(1.2, 1), human(1.5, 2), human(2, 3)}, "mmmm"},
		{"the pixel by another", 3, []hit{{1, 0, Human, "198.51.100.0/24"}, human(1.2, 1), human(1.5, 2), human(2, 3)}, ".mmm"},
		{"an image proxy meanwhile", 3, []hit{human(1, 1), human(1.2, 2), {1.3, 0, Proxy, "192.0.2.0/24"}, human(2, 3)}, "mm.m"},
		{"nothing", 3, nil, ""},
	}
	for _, tt := range tests {
		var hits []Event
		for _, h := range tt.hits {
			e := Event{Time: sent.Add(time.Duration(h.at * float64(time.Second))), Kind: KindClick, Link: h.link, Class: h.class, IP: h.ip}
			if h.link == 0 {
				e.Kind = KindOpen
			}
			hits = append(hits, e)
		}
		if got := marks(timing.Rush(hits, tt.links, sent)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		for i := range hits {
			hits[i].Simulated = true
		}
		if got := timing.Rush(hits, tt.links, sent); fmt.Sprint(got) != fmt.Sprint(make([]bool, len(hits))) {
			t.Errorf("%s, simulated: %v", tt.name, got)
		}
		if got := timing.Rush(hits, tt.links, time.Time{}); fmt.Sprint(got) != fmt.Sprint(make([]bool, len(hits))) {
			t.Errorf("%s, never sent: %v", tt.name, got)
		}
	}
}

func marks(rush []bool) (text string) {
	for _, r := range rush {
		if r {
			text += "m"
		} else {
			text += "."
		}
	}
	return text
}
