package track_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"backstamp/internal/clock"
	"backstamp/internal/readers"
	"backstamp/mail"
	"backstamp/track"
)

// A gate lets nothing into a store while it is shut.
type gate struct {
	track.Recorder
	open chan struct{}
}

func (g *gate) Record(ctx context.Context, events ...mail.Event) []error {
	<-g.open
	return g.Recorder.Record(ctx, events...)
}

// With the store hung for five seconds under load no reader is refused or waits
// for it, and no hit is lost.
func TestBlockedStore(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes its time")
	}
	const clients, blocked = 64, 5 * time.Second
	l := newLab(t)
	l.settings.Spill = filepath.Join(t.TempDir(), "spill")
	g := &gate{l.store, make(chan struct{})}
	h, err := track.New(l.settings, l.keys, g, clock.System{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	srv := track.Server(h)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(socket)
	defer srv.Close()

	transport := &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	var ids []mail.ID
	for range clients {
		ids = append(ids, l.put(3, true))
	}
	waits := make([][]time.Duration, clients)
	load, over := context.WithTimeout(t.Context(), blocked)
	defer over()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for n := 0; load.Err() == nil; n++ {
				r := l.request(ids[i], readers.Hit{Method: "GET", Link: n % 4, UserAgent: chrome})
				r.URL.Scheme, r.URL.Host, r.RequestURI = "http", socket.Addr().String(), ""
				start := time.Now()
				answer, err := transport.RoundTrip(r)
				if err != nil || answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusFound {
					t.Errorf("%v, %v", answer, err)
					return
				}
				answer.Body.Close()
				waits[i] = append(waits[i], time.Since(start))
			}
		})
	}
	wg.Wait()
	close(g.open)
	srv.Shutdown(t.Context())
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// What the store had no time for lies in the spill file; the next life brings it in.
	h, err = track.New(l.settings, l.keys, l.store, clock.System{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(waits...)
	slices.Sort(all)
	ctx, stop = context.WithCancel(t.Context())
	go func() { ended <- h.Run(ctx) }()
	kept := 0
	for limit := time.Now().Add(30 * time.Second); kept < len(all) && time.Now().Before(limit); {
		more := l.store.Watch()
		kept = 0
		for _, id := range ids {
			for _, e := range l.hits(id) {
				kept += e.Times()
			}
		}
		if kept < len(all) {
			select {
			case <-more:
			case <-time.After(time.Second):
			}
		}
	}
	stop()
	<-ended
	if kept != len(all) {
		t.Errorf("%d hits kept of %d", kept, len(all))
	}
	t.Logf("%d requests in %v, all answered, %d kept; p50 %v, p99 %v, longest %v",
		len(all), blocked, kept, all[len(all)/2], all[len(all)*99/100], all[len(all)-1])
}
