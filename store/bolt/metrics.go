package bolt

import (
	"errors"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/store"
)

type metrics struct {
	commits  prometheus.Counter
	group    prometheus.Histogram
	seconds  prometheus.Histogram
	failures *prometheus.CounterVec
	bodies   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, path string) *metrics {
	m := &metrics{
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "backstamp_store_commits_total", Help: "Commits, each with one sync."}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "backstamp_store_commit_operations", Help: "Operations that shared a commit.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11)}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "backstamp_store_commit_seconds", Help: "Time a commit took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstamp_store_failures_total", Help: "Commits and body files that could not be written, by cause."},
			[]string{"cause"}),
		bodies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstamp_store_bodies_bytes_total", Help: "Bodies written, by where they lie."},
			[]string{"place"}),
	}
	size := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "backstamp_store_size_bytes", Help: "Size of the database file, without the bodies beside it.",
	}, func() float64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return float64(info.Size())
	})
	reg.MustRegister(m.commits, m.group, m.seconds, m.failures, m.bodies, size)
	return m
}

func (m *metrics) commit(ops int, took time.Duration, err error) {
	if err != nil {
		m.failed(err)
		return
	}
	m.commits.Inc()
	m.group.Observe(float64(ops))
	m.seconds.Observe(took.Seconds())
}

func (m *metrics) failed(err error) {
	cause := "other"
	switch {
	case errors.Is(err, store.ErrFull):
		cause = "full"
	case errors.Is(err, store.ErrBroken):
		cause = "broken"
	case errors.Is(err, store.ErrCorrupt):
		cause = "corrupt"
	}
	m.failures.WithLabelValues(cause).Inc()
}

func (m *metrics) body(n int64, file bool) {
	where := "database"
	if file {
		where = "file"
	}
	m.bodies.WithLabelValues(where).Add(float64(n))
}
