package relay

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	connections prometheus.Counter
	open        prometheus.Gauge
	turnedAway  *prometheus.CounterVec // by why
	messages    *prometheus.CounterVec // by result
	untracked   *prometheus.CounterVec // by reason
	quirks      *prometheus.CounterVec // by quirk
	logins      *prometheus.CounterVec // by result
	octets      prometheus.Counter
	tooFast     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "backstamp_relay_" + name, Help: help})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "backstamp_relay_" + name, Help: help}, []string{label})
	}
	return &metrics{
		connections: counter("connections_total", "Connections that were served."),
		open:        f.NewGauge(prometheus.GaugeOpts{Name: "backstamp_relay_connections", Help: "Connections that are open."}),
		turnedAway:  counters("connections_refused_total", "Connections for which there was no room.", "why"),
		messages:    counters("messages_total", "Messages whose content came in, by result: accepted, incomplete (given up by the client), or the code of the refusal.", "result"),
		untracked:   counters("untracked_total", "Accepted messages that were not rewritten.", "reason"),
		quirks:      counters("quirks_total", "Accepted messages from clients with a quirk.", "quirk"),
		logins:      counters("logins_total", "Logins.", "result"),
		tooFast:     counter("too_fast_total", "Messages that were put off because their client was over its rate."),
		octets:      counter("octets_total", "Octets of accepted messages."),
	}
}

// refused counts a message that was not taken.
func (m *metrics) refused(err error) {
	m.messages.WithLabelValues(strconv.Itoa(asReply(err).Code)).Inc()
}

// errorLog is what go-smtp reports trouble to: panics, mostly.
type errorLog struct{ log *slog.Logger }

// Printf logs a line, unless it only says that the front has hung up.
func (l errorLog) Printf(format string, v ...any) {
	for _, arg := range v {
		if err, ok := arg.(error); ok && errors.Is(err, io.ErrClosedPipe) {
			return
		}
	}
	l.log.Error("smtp session", "err", fmt.Sprintf(format, v...))
}

// Println logs a line.
func (l errorLog) Println(v ...any) {
	l.log.Error("smtp session", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}
