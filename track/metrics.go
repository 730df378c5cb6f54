package track

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what this room does. Rates of badTokens tell of somebody who
// tries, unknown of links that outlived their message.
type metrics struct {
	hits      *prometheus.CounterVec // by kind and class
	badTokens *prometheus.CounterVec // by kind
	unknown   prometheus.Counter
	panics    prometheus.Counter
	timeouts  prometheus.Counter
	failures  prometheus.Counter
	spilled   prometheus.Counter
	dropped   prometheus.Counter
	waiting   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "backstamp_track_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "backstamp_track_" + name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		hits:      vec("hits_total", "Requests with a good token.", "kind", "class"),
		badTokens: vec("bad_tokens_total", "Requests whose token does not verify.", "kind"),
		unknown:   counter("unknown_messages_total", "Hits of messages that the store does not remember."),
		panics:    counter("panics_total", "Panics while a hit was counted."),
		timeouts:  counter("store_timeouts_total", "Hits answered before the store had kept their event."),
		failures:  counter("store_failures_total", "Events that the store refused when they were offered."),
		spilled:   counter("spilled_events_total", "Events written to the spill file."),
		dropped:   counter("dropped_events_total", "Events lost."),
		waiting:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "backstamp_track_waiting_events", Help: "Events that wait for the store."}),
	}
	reg.MustRegister(m.waiting)
	return m
}
