package metrics

import (
	"net/http"
	"runtime"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// EndpointState is what the router knows of an endpoint at this moment.
type EndpointState struct {
	App, Endpoint string // ids as configured
	Resting       bool   // given no request until its rest is over
	InFlight      int    // requests it is answering
	RPMUsed       int    // requests admitted in the last minute
}

// SetEndpointStates sets what is asked for the endpoints' states at each
// scrape. It names each endpoint once and may be called by several goroutines
// at once.
func (m *Metrics) SetEndpointStates(states func() []EndpointState) { m.states.Store(&states) }

// ServePrometheus answers with the Prometheus form: OpenMetrics when the
// request's Accept header prefers it, else Prometheus text. With the metrics by
// tenant it is never OpenMetrics, which names a counter's family without _total:
// there the counter openai_prompt_tokens_total and the histogram
// openai_prompt_tokens would be one family of two types.
func (m *Metrics) ServePrometheus(w http.ResponseWriter, r *http.Request) {
	if m.tenants.Load() != nil {
		m.scrapeText.ServeHTTP(w, r)
		return
	}
	m.scrape.ServeHTTP(w, r)
}

// newScrapes returns the handlers of the Prometheus form, with and without
// OpenMetrics, with a registry of their own. A metric that cannot be collected
// does not take the others with it.
func newScrapes(m *Metrics) (whole, text http.Handler) {
	registry := newRegistry(m)
	handler := func(openMetrics bool) http.Handler {
		return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			EnableOpenMetrics: openMetrics,
			ErrorHandling:     promhttp.ContinueOnError,
		})
	}
	return handler(true), handler(false)
}

func newRegistry(m *Metrics) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		&collector{m: m, descs: newDescs()},
		newTenantCollector(m),
		readings{m},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// descs describe the metrics: names, help and labels.
type descs struct {
	requests, requestDuration, firstByte, perToken    *prometheus.Desc
	limited, usage, cost                              *prometheus.Desc
	cacheHits, cacheRequests, saved, savedCost        *prometheus.Desc
	attempts, attemptDuration, endpointFirst, tokens  *prometheus.Desc
	resting, endpointInFlight, rpmUsed                *prometheus.Desc
	inFlight, buildInfo, configGeneration, configLoad *prometheus.Desc
}

func newDescs() descs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("gateway_"+name, help, labels, nil)
	}
	return descs{
		requests:         desc("requests_total", "Requests to an application by how they ended.", "app", "operation", "outcome"),
		requestDuration:  desc("request_duration_seconds", "Time from a request's start to the last byte written.", "app", "operation"),
		firstByte:        desc("time_to_first_byte_seconds", "Time from a request's start to the first byte of a successful answer.", "app"),
		perToken:         desc("time_per_output_token_seconds", "Time of each token of a streamed answer after its first.", "app"),
		limited:          desc("limited_total", "Requests that a limit refused, by status: 429 for a rate, 403 for a quota, 400 for more than it ever allows.", "app", "status"),
		usage:            desc("usage_total", "Requests that reached an endpoint by how their tokens are known: reported by it, estimated here, or none.", "app", "kind"),
		cost:             desc("cost_total", "Cost of tokens used, in the currency of the price catalogue.", "app"),
		saved:            desc("saved_tokens_total", "Tokens of the answers that the semantic cache gave again.", "app"),
		savedCost:        desc("saved_cost_total", "Cost of the answers that the semantic cache gave again, in the currency of the price catalogue.", "app"),
		cacheHits:        desc("cache_hits_total", "Requests answered by the semantic cache.", "app"),
		cacheRequests:    desc("cache_requests_total", "Requests by what the semantic cache said of them; bypass is one that it was not asked about.", "app", "result"),
		attempts:         desc("attempts_total", "Calls to an endpoint by how they ended.", "app", "endpoint", "outcome"),
		attemptDuration:  desc("attempt_duration_seconds", "Time of a call to an endpoint, failed ones included, those canceled by the client not.", "app", "endpoint"),
		endpointFirst:    desc("endpoint_first_byte_seconds", "Time from a call to an endpoint to the first byte of a successful answer.", "app", "endpoint"),
		tokens:           desc("tokens_total", "Tokens used at an endpoint. cached_input is part of input, reasoning is part of output.", "app", "endpoint", "type"),
		resting:          desc("endpoint_resting", "1 while an endpoint rests and gets no requests, else 0.", "app", "endpoint"),
		endpointInFlight: desc("endpoint_in_flight", "Requests an endpoint is answering.", "app", "endpoint"),
		rpmUsed:          desc("endpoint_rpm_used", "Requests admitted to an endpoint in the last minute.", "app", "endpoint"),
		inFlight:         desc("in_flight_requests", "Requests being answered."),
		buildInfo:        desc("build_info", "1, labelled by what this gateway was built from.", "version", "goversion"),
		configGeneration: desc("config_generation", "Number of the configuration in force."),
		configLoad:       desc("config_reloads_total", "Attempts to put a configuration in force.", "result"),
	}
}

// collector shows the counters of m to a registry. Nothing is counted twice:
// it reads the same atomics as the JSON form where both show a thing.
type collector struct {
	m *Metrics
	descs
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.requests, c.requestDuration, c.firstByte, c.perToken,
		c.limited, c.usage, c.cost,
		c.cacheHits, c.cacheRequests, c.saved, c.savedCost,
		c.attempts, c.attemptDuration, c.endpointFirst, c.tokens,
		c.resting, c.endpointInFlight, c.rpmUsed,
		c.inFlight, c.buildInfo, c.configGeneration, c.configLoad,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := sink(ch)
	s.gauge(c.inFlight, float64(c.m.inFlight.Load()))
	s.gauge(c.buildInfo, 1, c.m.version, runtime.Version())
	s.gauge(c.configGeneration, float64(c.m.generation.Load()))
	s.counter(c.configLoad, &c.m.reloaded, "ok")
	s.counter(c.configLoad, &c.m.failed, "error")
	for _, a := range *c.m.apps.Load() {
		c.collectApp(s, a)
		for i, e := range a.spec.Endpoints {
			c.collectEndpoint(s, a.spec.ID, e.ID, a.endpoints[i])
		}
	}
	if states := c.m.states.Load(); states != nil {
		for _, e := range (*states)() {
			c.collectState(s, e)
		}
	}
}

// collectApp sends an application's metrics; of an operation only once there
// was a request for it, for most applications serve but one.
func (c *collector) collectApp(s sink, a *App) {
	for op := range operations {
		if seen, _, _ := a.counts.durations[op].read(); seen == 0 {
			continue
		}
		for o := range outcomes {
			s.counter(c.requests, &a.counts.requests[op][o], a.spec.ID, op.String(), o.String())
		}
		s.histogram(c.requestDuration, &a.counts.durations[op], a.spec.ID, op.String())
	}
	s.histogram(c.firstByte, &a.counts.firstByte, a.spec.ID)
	for r := range refusals {
		s.counter(c.limited, &a.counts.limited[r], a.spec.ID, r.String())
	}
	if inference(a.spec.Type) {
		s.histogram(c.perToken, &a.counts.perToken, a.spec.ID)
		for k := range usageKinds {
			s.counter(c.usage, &a.counts.usage[k], a.spec.ID, k.String())
		}
		s.money(c.cost, &a.counts.cost, a.spec.ID)
	}
	if a.spec.CacheOn {
		s.counter(c.saved, &a.counts.saved, a.spec.ID)
		s.money(c.savedCost, &a.counts.savedCost, a.spec.ID)
		s.counter(c.cacheHits, &a.counts.hits, a.spec.ID)
		s.counter(c.cacheRequests, &a.counts.hits, a.spec.ID, "hit")
		s.counter(c.cacheRequests, &a.counts.misses, a.spec.ID, "miss")
		s.counter(c.cacheRequests, &a.counts.bypasses, a.spec.ID, "bypass")
	}
}

func (c *collector) collectEndpoint(s sink, app, endpoint string, e *endpointCounts) {
	for o := range attemptOutcomes {
		s.counter(c.attempts, &e.attempts[o], app, endpoint, o.String())
	}
	s.histogram(c.attemptDuration, &e.durations, app, endpoint)
	s.histogram(c.endpointFirst, &e.firstByte, app, endpoint)
	for t := range tokenTypes {
		s.counter(c.tokens, &e.tokens[t], app, endpoint, t.String())
	}
}

func (c *collector) collectState(s sink, e EndpointState) {
	resting := 0.0
	if e.Resting {
		resting = 1
	}
	s.gauge(c.resting, resting, e.App, e.Endpoint)
	s.gauge(c.endpointInFlight, float64(e.InFlight), e.App, e.Endpoint)
	s.gauge(c.rpmUsed, float64(e.RPMUsed), e.App, e.Endpoint)
}

// sink takes metrics as they are now. One whose labels cannot be shown is
// reported to the registry as an error.
type sink chan<- prometheus.Metric

func (s sink) counter(d *prometheus.Desc, n *atomic.Int64, labels ...string) {
	s.send(prometheus.NewConstMetric(d, prometheus.CounterValue, float64(n.Load()), labels...))
}

// money sends a counter of billionths in units.
func (s sink) money(d *prometheus.Desc, n *atomic.Int64, labels ...string) {
	s.send(prometheus.NewConstMetric(d, prometheus.CounterValue, float64(n.Load())/1e9, labels...))
}

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.send(prometheus.NewConstMetric(d, prometheus.GaugeValue, v, labels...))
}

func (s sink) histogram(d *prometheus.Desc, h *histogram, labels ...string) {
	count, sum, upTo := h.read()
	s.send(prometheus.NewConstHistogram(d, count, sum, upTo, labels...))
}

func (s sink) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	}
	s <- m
}
