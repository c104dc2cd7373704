package azure

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"aigateway/persist"
	"aigateway/telemetry"
)

const (
	// every is the period of metrics: that of Application Insights' own
	// aggregation.
	every = time.Minute
	// seriesMost bounds the metrics of a period. What comes after counts as
	// "other".
	seriesMost = 800
	// namespace of the metrics, as Azure Monitor's explorer shows it.
	namespace = "aigateway"
)

// series is what a measurement counts under. Model is the one that answered, or
// the configured one: those that clients ask for are theirs to choose.
type series struct {
	name, app  string
	key, value string // of the second dimension
}

// sum is what was measured in a period.
type sum struct {
	count             int
	total, least, top float64
}

// metrics sums up exchanges, sampled or not.
type metrics struct {
	since time.Time
	sums  map[series]*sum
}

// observe counts an exchange. The names of the counts of tokens are those of
// Azure API Management, so that its dashboards fit.
func (m *metrics) observe(x *persist.Exchange) {
	if x.Trace != nil && !x.Own {
		m.add(series{"Requests", x.App, "Status", strconv.Itoa(x.Status/100) + "xx"}, 1)
	}
	if u := &x.Usage; u.Reported || u.Estimated {
		model := cmp.Or(x.Answered, telemetry.Configured(x), "unknown")
		m.add(series{"Prompt Tokens", x.App, "Model", model}, float64(u.PromptTokens))
		m.add(series{"Completion Tokens", x.App, "Model", model}, float64(u.CompletionTokens))
		m.add(series{"Total Tokens", x.App, "Model", model}, float64(u.TotalTokens))
	}
}

func (m *metrics) add(of series, n float64) {
	s := m.sums[of]
	if s == nil && len(m.sums) >= seriesMost {
		of.app, of.value = "other", "other"
		s = m.sums[of]
	}
	if s == nil {
		if m.sums == nil {
			m.sums = map[series]*sum{}
		}
		s = &sum{least: n, top: n}
		m.sums[of] = s
	}
	s.count++
	s.total += n
	s.least, s.top = min(s.least, n), max(s.top, n)
}

// measure puts what was measured into the backlog and begins a period.
func (s *Sink) measure(now time.Time) {
	all := make([]series, 0, len(s.metrics.sums))
	for of := range s.metrics.sums {
		all = append(all, of)
	}
	slices.SortFunc(all, func(a, b series) int {
		return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.value, b.value), cmp.Compare(a.name, b.name))
	})
	for _, of := range all {
		s.metric(of, s.metrics.sums[of])
	}
	s.metrics = metrics{since: now}
}

// metric writes a MetricData: an aggregation, whose value is the sum.
func (s *Sink) metric(of series, sum *sum) {
	l := &s.line
	s.head.begin(l, "Metric", s.metrics.since, 1)
	l.shut() // tags
	s.head.data(l, "MetricData")
	*l = append(*l, `"metrics":[{`...)
	l.text("ns", namespace, 256)
	l.text("name", of.name, nameMost)
	l.text("kind", "Aggregation", nameMost)
	l.number("value", sum.total)
	l.number("count", float64(sum.count))
	l.number("min", sum.least)
	l.number("max", sum.top)
	l.shut()
	(*l)[len(*l)-1] = ']'
	*l = append(*l, ',')
	l.open("properties")
	l.text("App", cmp.Or(of.app, "none"), chosenMost)
	l.text(of.key, of.value, chosenMost)
	l.shut()
	s.end(nil)
}
