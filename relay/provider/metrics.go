package provider

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"backstamp/mail"
)

type metrics struct {
	attempts    *prometheus.CounterVec   // provider, result: taken or a reply class
	connections *prometheus.CounterVec   // provider, result: open or failed
	stale       *prometheus.CounterVec   // provider
	open        *prometheus.GaugeVec     // provider
	verdict     *prometheus.HistogramVec // provider
}

// newMetrics registers the metrics, or finds them where another provider of
// the process did.
func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	return &metrics{
		attempts: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstamp_provider_attempts_total",
			Help: "Tries, each for one recipient, by how they ended: taken or the class of the reply.",
		}, []string{"provider", "result"})),
		connections: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstamp_provider_connections_total",
			Help: "Connections made to providers: open or failed.",
		}, []string{"provider", "result"})),
		stale: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstamp_provider_stale_connections_total",
			Help: "Kept connections that turned out to be dead when they were needed.",
		}, []string{"provider"})),
		open: register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "backstamp_provider_open_connections",
			Help: "Connections that are open, busy or idle.",
		}, []string{"provider"})),
		verdict: register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "backstamp_provider_verdict_seconds",
			Help:    "Time from the final dot to the reply.",
			Buckets: []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 600},
		}, []string{"provider"})),
	}
}

func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	var already prometheus.AlreadyRegisteredError
	switch err := reg.Register(c); {
	case errors.As(err, &already):
		return already.ExistingCollector.(C)
	case err != nil:
		panic(err) // a name clash between rooms: a mistake in the program
	}
	return c
}

func (m *metrics) count(provider string, attempts []mail.Attempt) {
	for _, a := range attempts {
		result := a.Class
		if a.Taken() {
			result = "taken"
		}
		m.attempts.WithLabelValues(provider, result).Inc()
	}
}
