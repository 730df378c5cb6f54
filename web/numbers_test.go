package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"backstamp/store"
)

func TestNumbersPage(t *testing.T) {
	damaged := listed[store.Usage]{err: fmt.Errorf("usage 7: %w", store.ErrCorrupt)}
	day := func(day string, messages int) listed[store.Usage] {
		return listed[store.Usage]{row: store.Usage{Account: "shop", Provider: "shop/main", Day: day, Messages: messages}}
	}
	for name, c := range map[string]struct {
		query  string
		usage  []listed[store.Usage]
		status int
		want   []string
		not    string
	}{
		"nothing":    {want: []string{"Nothing was sent or read in these days."}, not: "<table"},
		"two days":   {query: "?days=2", usage: []listed[store.Usage]{day("2026-03-02", 7000), day("2026-03-03", 200), day("2026-03-04", 30)}, want: []string{">230<", ">2026-03-03<", ">2026-03-04<", "No message had a tag."}, not: "7000"},
		"damaged":    {usage: []listed[store.Usage]{damaged, day("2026-03-04", 30)}, want: []string{"1 damaged and left out", ">2026-03-04<"}},
		"no days":    {query: "?days=0", status: http.StatusBadRequest, want: []string{"expected 1 to 3660"}},
		"other name": {query: "?day=3", status: http.StatusBadRequest, want: []string{"day"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := newHouse(t, func(_ *Settings, _ *Actions, s *fakeStore) { s.usage, s.tags = c.usage, nil })
			got := in.body(t, "/numbers"+c.query, max(c.status, http.StatusOK))
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in %s", want, got)
				}
			}
			if c.not != "" && strings.Contains(got, c.not) {
				t.Errorf("%q in %s", c.not, got)
			}
		})
	}
}

// What was lost is told by the page and the API.
func TestLostHits(t *testing.T) {
	in := newHouse(t, func(_ *Settings, do *Actions, _ *fakeStore) { do.Lost = func() int { return 7 } })
	if got := in.body(t, "/", http.StatusOK); !strings.Contains(got, "7 opens and clicks were lost") {
		t.Errorf("the page says nothing: %s", got)
	}
	if got := in.get("/api/v1/tracking").Body.String(); got != "{\"lost\":7}\n" {
		t.Errorf("the API says %q", got)
	}
	in = newHouse(t, nil)
	if got := in.body(t, "/", http.StatusOK); strings.Contains(got, "lost") {
		t.Errorf("nothing was lost: %s", got)
	}
}
