package queue

import (
	"github.com/prometheus/client_golang/prometheus"

	"backstamp/mail"
)

type metrics struct {
	attempts *prometheus.CounterVec // by provider and class
	running  prometheus.Gauge
	backlog  prometheus.Gauge
	late     prometheus.Gauge
	trouble  prometheus.Counter
	parked   *prometheus.CounterVec // by provider
}

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstamp_queue_attempts_total",
			Help: "Tries that ended, by recipient; class is taken, a reply class, or none.",
		}, []string{"provider", "class"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "backstamp_queue_running",
			Help: "Deliveries that are being tried.",
		}),
		backlog: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "backstamp_queue_backlog",
			Help: "Deliveries that are due and wait for a free connection.",
		}),
		late: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "backstamp_queue_late_seconds",
			Help: "How long after its time the delivery claimed last was claimed.",
		}),
		trouble: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "backstamp_queue_store_errors_total",
			Help: "Calls to the store that failed and are tried again.",
		}),
		parked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backstamp_queue_parked_total",
			Help: "How often a provider was parked because it refused the login.",
		}, []string{"provider"}),
	}
	reg.MustRegister(m.attempts, m.running, m.backlog, m.late, m.trouble, m.parked)
	return m
}

// attempt counts one try.
func (m *metrics) attempt(provider string, a mail.Attempt) {
	class := a.Class
	switch {
	case a.Taken():
		class = "taken"
	case class == "":
		class = "none"
	}
	m.attempts.WithLabelValues(provider, class).Inc()
}
