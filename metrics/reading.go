package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Reading is one value that another part of the gateway counts for itself:
// the cache's memory, the prompts that wait, the database.
type Reading struct {
	Name    string // without the prefix gateway_; with _total for a counter
	Help    string
	Counter bool // it only grows; else it is a gauge
	Value   float64
	Labels  []string // name, value, name, value …; never what a caller chooses
}

// AddReadings adds what is asked for readings at each scrape. Two readings of
// one name have the same label names.
func (m *Metrics) AddReadings(read func() []Reading) {
	m.configuring.Lock()
	defer m.configuring.Unlock()
	sources := append(slices.Clone(m.readings()), read)
	m.sources.Store(&sources)
}

func (m *Metrics) readings() []func() []Reading {
	if sources := m.sources.Load(); sources != nil {
		return *sources
	}
	return nil
}

// readings shows them to a registry.
type readings struct{ m *Metrics }

// Describe implements [prometheus.Collector]: what will come is not known yet.
func (readings) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (r readings) Collect(ch chan<- prometheus.Metric) {
	s := sink(ch)
	for _, read := range r.m.readings() {
		for _, one := range read() {
			var names, values []string
			for i := 0; i+1 < len(one.Labels); i += 2 {
				names, values = append(names, one.Labels[i]), append(values, one.Labels[i+1])
			}
			kind := prometheus.GaugeValue
			if one.Counter {
				kind = prometheus.CounterValue
			}
			desc := prometheus.NewDesc("gateway_"+one.Name, one.Help, names, nil)
			s.send(prometheus.NewConstMetric(desc, kind, one.Value, values...))
		}
	}
}
