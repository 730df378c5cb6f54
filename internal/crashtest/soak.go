//go:build unix

package crashtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Soak is a steady load without kills, with readers who open and click, and
// samples of what the relay holds.
type Soak struct {
	For     time.Duration
	Every   time.Duration // between two samples
	Reader  string        // address of the tracking listener; "": nobody reads
	Metrics string        // URL of the relay's metrics, for its goroutines; may be empty
	Store   string        // directory whose size is sampled; may be empty

	links         chan string // paths on the tracking listener
	opens, clicks atomic.Int64
	failed, shed  atomic.Int64
}

// A Sample is what the relay held at one moment.
type Sample struct {
	Seconds     float64 `json:"seconds"` // since the start
	Accepted    int     `json:"accepted"`
	RSS         int64   `json:"rss"`  // octets
	Anon        int64   `json:"anon"` // of them those that are no pages of files, such as the store's
	Descriptors int     `json:"descriptors"`
	Goroutines  int     `json:"goroutines"`
	Store       int64   `json:"store"` // octets on disk
}

// A SoakReport is what a soak found.
type SoakReport struct {
	Report
	Opens   int64    `json:"opens"`
	Clicks  int64    `json:"clicks"`
	Failed  int64    `json:"failed"` // opens and clicks without their answer
	Shed    int64    `json:"shed"`   // not made, as the readers could not keep up
	Samples []Sample `json:"samples"`
}

// readers is how many open and click at one time; backlog is how many links
// may wait for them.
const (
	readers = 4
	backlog = 10_000
)

// Take returns what the sink is to call: take, and then readers follow some of
// the links of the copy.
func (s *Soak) Take(take func([]string, []byte, bool), f Form) func([]string, []byte, bool) {
	s.links = make(chan string, backlog)
	if f.Base == "" || s.Reader == "" {
		return take
	}
	link := regexp.MustCompile(`"` + regexp.QuoteMeta(f.Base) + `(/[oc]/[^"]+)"`)
	return func(rcpts []string, content []byte, answered bool) {
		for _, m := range link.FindAllSubmatch(content, -1) {
			if rand.IntN(2) == 0 {
				continue
			}
			select {
			case s.links <- string(m[1]):
			default:
				s.shed.Add(1)
			}
		}
		take(rcpts, content, answered)
	}
}

// Run runs the soak on a relay that is a Process.
func (s *Soak) Run(ctx context.Context, o Options) (SoakReport, error) {
	r := &run{Options: o.filled(), began: time.Now()}
	addr, ended, err := r.Relay.Start(ctx, "")
	if err != nil {
		return SoakReport{}, err
	}
	reading, close := context.WithCancel(ctx)
	defer close()
	var all sync.WaitGroup
	for range readers {
		all.Go(func() { s.read(reading) })
	}
	samples, err := s.load(ctx, r, addr, ended)
	if err == nil {
		err = r.settle(ctx, ended)
	}
	samples = append(samples, s.sample(r))
	close()
	all.Wait()
	rep := SoakReport{r.report(), s.opens.Load(), s.clicks.Load(), s.failed.Load(), s.shed.Load(), samples}
	return rep, errors.Join(err, r.Relay.Stop())
}

// load sends until the time is over and samples meanwhile.
func (s *Soak) load(ctx context.Context, r *run, addr string, ended <-chan struct{}) ([]Sample, error) {
	samples := []Sample{s.sample(r)}
	loading, stop := context.WithTimeout(ctx, s.For)
	defer stop()
	var senders sync.WaitGroup
	senders.Go(func() { Load(loading, addr, r.Ledger, r.Ledger.Cycle()+1, r.Senders, r.pause()) })
	defer senders.Wait()
	for loading.Err() == nil {
		if wait(loading, ended, s.Every) {
			stop()
			return samples, errors.New("the relay ended by itself")
		}
		one := s.sample(r)
		samples = append(samples, one)
		r.Log("%.0f s, %d messages accepted", one.Seconds, one.Accepted)
	}
	return samples, ctx.Err()
}

// read follows links until its context ends.
func (s *Soak) read(ctx context.Context) {
	t := &http.Transport{}
	defer t.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return
		case path := <-s.links:
			if err := s.follow(ctx, t, path); err != nil && ctx.Err() == nil {
				s.failed.Add(1)
			}
		}
	}
}

// follow opens or clicks as a browser would, and goes nowhere.
func (s *Soak) follow(ctx context.Context, t *http.Transport, path string) error {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.Reader+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	answer, err := t.RoundTrip(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	switch {
	case strings.HasPrefix(path, "/o/") && answer.StatusCode == http.StatusOK:
		s.opens.Add(1)
	case strings.HasPrefix(path, "/c/") && answer.StatusCode == http.StatusFound:
		s.clicks.Add(1)
	default:
		return fmt.Errorf("%s: %s", path, answer.Status)
	}
	return nil
}

// sample looks at the relay. What cannot be seen is 0.
func (s *Soak) sample(r *run) Sample {
	one := Sample{Seconds: time.Since(r.began).Seconds(), Accepted: r.Ledger.Accepted(), Goroutines: s.goroutines()}
	if p, ok := r.Relay.(*Process); ok {
		one.RSS, one.Anon, one.Descriptors = held(p.PID())
	}
	if s.Store != "" {
		filepath.WalkDir(s.Store, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if info, err := d.Info(); err == nil {
					one.Store += info.Size()
				}
			}
			return nil // a file that went meanwhile has no size
		})
	}
	return one
}

// held reads /proc: resident octets, those that are no pages of files, and open
// descriptors of a process.
func held(pid int) (rss, anon int64, descriptors int) {
	dir := fmt.Sprintf("/proc/%d", pid)
	text, _ := os.ReadFile(dir + "/status")
	for line := range strings.Lines(string(text)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kilobytes); err == nil {
			rss = kilobytes << 10
		}
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kilobytes); err == nil {
			anon = kilobytes << 10
		}
	}
	fds, _ := os.ReadDir(dir + "/fd")
	return rss, anon, len(fds)
}

// goroutines asks the relay's metrics.
func (s *Soak) goroutines() (n int) {
	if s.Metrics == "" {
		return 0
	}
	answer, err := http.Get(s.Metrics)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			n, _ = strconv.Atoi(text)
		}
	}
	return n
}

// Text writes the report for people.
func (r SoakReport) Text(w io.Writer) {
	r.Report.Text(w)
	fmt.Fprintf(w, "  %d opens, %d clicks, %d without an answer, %d not made\n", r.Opens, r.Clicks, r.Failed, r.Shed)
	fmt.Fprintln(w, "  seconds  accepted    RSS MiB   anon MiB  descriptors  goroutines  store MiB")
	for _, s := range r.Samples {
		fmt.Fprintf(w, "  %7.0f  %8d  %9.1f  %9.1f  %11d  %10d  %9.1f\n", s.Seconds, s.Accepted, float64(s.RSS)/(1<<20), float64(s.Anon)/(1<<20), s.Descriptors, s.Goroutines, float64(s.Store)/(1<<20))
	}
}
