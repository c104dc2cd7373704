package otlp

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	"aigateway/persist"
)

// setsMost bounds the attribute sets of calls, and of requests. What comes
// after counts under the attribute that OpenTelemetry has for it.
const setsMost = 200

// The instruments, with names, units and buckets of the conventions for GenAI
// and for HTTP.
var (
	genAIBuckets = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}

	requestDuration = instrument{
		"http.server.request.duration", "s", "Duration of HTTP server requests.",
		[]float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10},
	}
	operationDuration = instrument{"gen_ai.client.operation.duration", "s", "GenAI operation duration.", genAIBuckets}
	timeToFirstChunk  = instrument{"gen_ai.client.operation.time_to_first_chunk", "s", "Time to the first chunk of a streamed answer.", genAIBuckets}
	timePerChunk      = instrument{"gen_ai.client.operation.time_per_output_chunk", "s", "Time per chunk of a streamed answer after the first.", genAIBuckets}
	tokenUsage        = instrument{
		"gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.",
		[]float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864},
	}
)

// metrics sums up exchanges; the SDK's reader collects the sums and exports
// them. With the SDK's own instruments an exchange would cost half as much again.
type metrics struct {
	provider    *sdk.MeterProvider
	now         func() time.Time
	version     string
	scheme      string
	temporality metricdata.Temporality

	mu       sync.Mutex // guards what follows
	since    time.Time  // what the sums are since
	calls    map[call]*callSums
	requests map[request]*sum
	names    names
}

// call is what the metrics of calls are told apart by.
type call struct {
	operation, provider, host, fault string
	asked, answered                  string // models
	other                            bool   // beyond setsMost
}

type callSums struct{ duration, firstChunk, perChunk, input, output sum }

// request is what the metric of requests is told apart by.
type request struct {
	method, route, failure string
	status                 int
	other                  bool // beyond setsMost
}

func newMetrics(exporter sdk.Exporter, res *resource.Resource, o Options) *metrics {
	m := &metrics{
		now: o.Now, version: o.Version, scheme: o.Scheme, since: o.Now(),
		temporality: exporter.Temporality(sdk.InstrumentKindHistogram),
		calls:       map[call]*callSums{}, requests: map[request]*sum{}, names: names{},
	}
	reader := sdk.NewPeriodicReader(exporter, sdk.WithProducer(m))
	m.provider = sdk.NewMeterProvider(sdk.WithReader(reader), sdk.WithResource(res))
	return m
}

// observe counts exchanges.
func (m *metrics) observe(batch []*persist.Exchange) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range batch {
		if x.Trace != nil && !x.Own {
			m.ofRequest(x).add(requestDuration.bounds, x.Duration.Seconds(), 1)
		}
		if operation := operationOf(x); operation != "" {
			m.observeCalls(x, operation)
		}
	}
}

func (m *metrics) observeCalls(x *persist.Exchange, operation string) {
	asked := m.names.asked(x)
	for i := range x.Attempts {
		a, last := &x.Attempts[i], i == len(x.Attempts)-1
		address, _ := addressOf(a.Host)
		key := call{operation: operation, provider: providerOf(x, address), host: a.Host, fault: faultOf(x, i), asked: asked}
		if last && a.Status < 400 {
			key.answered = clean(x.Answered)
		}
		of := m.ofCall(key)
		of.duration.add(operationDuration.bounds, a.Duration.Seconds(), 1)
		if !last {
			continue
		}
		if x.Stream && a.FirstByte > 0 {
			of.firstChunk.add(timeToFirstChunk.bounds, a.FirstByte.Seconds(), 1)
			if t := x.Trace; t != nil && t.Chunks > 1 && a.Duration > a.FirstByte {
				// When each came is not known, only how long they took together.
				mean := (a.Duration - a.FirstByte).Seconds() / float64(t.Chunks-1)
				of.perChunk.add(timePerChunk.bounds, mean, uint64(t.Chunks-1))
			}
		}
		if x.Usage.Reported || x.Usage.Estimated {
			of.input.add(tokenUsage.bounds, float64(x.Usage.PromptTokens), 1)
			if x.Operation != "embeddings" {
				of.output.add(tokenUsage.bounds, float64(x.Usage.CompletionTokens), 1)
			}
		}
	}
}

// overflow is the attribute of what is beyond a bound, by OpenTelemetry's
// specification of metrics.
var overflow = attribute.Bool("otel.metric.overflow", true)

// ofRequest returns the sum that a request belongs to.
func (m *metrics) ofRequest(x *persist.Exchange) *sum {
	key := request{method: methodOf(x.Trace), route: x.Trace.Route, failure: failureOf(x), status: x.Status}
	s := m.requests[key]
	if s == nil && len(m.requests) >= setsMost {
		key = request{other: true}
		s = m.requests[key]
	}
	if s == nil {
		s = &sum{attributes: m.requestSet(key)}
		m.requests[key] = s
	}
	return s
}

func (m *metrics) requestSet(key request) attribute.Set {
	if key.other {
		return attribute.NewSet(overflow)
	}
	set := []attribute.KeyValue{
		attribute.String("http.request.method", key.method),
		attribute.String("url.scheme", m.scheme),
		attribute.Int("http.response.status_code", key.status),
	}
	set = appendText(set, "http.route", key.route)
	set = appendText(set, "error.type", key.failure)
	return attribute.NewSet(set...)
}

// ofCall returns the sums that a call belongs to.
func (m *metrics) ofCall(key call) *callSums {
	s := m.calls[key]
	if s == nil && len(m.calls) >= setsMost {
		key = call{other: true}
		s = m.calls[key]
	}
	if s == nil {
		s = newCallSums(key)
		m.calls[key] = s
	}
	return s
}

func newCallSums(key call) *callSums {
	set := []attribute.KeyValue{overflow}
	if !key.other {
		address, port := addressOf(key.host)
		set = []attribute.KeyValue{
			attribute.String("gen_ai.operation.name", key.operation),
			attribute.String("gen_ai.provider.name", key.provider),
		}
		set = appendText(set, "gen_ai.request.model", key.asked)
		set = appendText(set, "gen_ai.response.model", key.answered)
		set = appendText(set, "server.address", address)
		set = appendText(set, "error.type", key.fault)
		if port != 0 {
			set = append(set, attribute.Int("server.port", port))
		}
	}
	const kind = "gen_ai.token.type"
	n := len(set)
	all := attribute.NewSet(set...)
	return &callSums{
		duration: sum{attributes: all}, firstChunk: sum{attributes: all}, perChunk: sum{attributes: all},
		input:  sum{attributes: attribute.NewSet(append(set[:n:n], attribute.String(kind, "input"))...)},
		output: sum{attributes: attribute.NewSet(append(set[:n:n], attribute.String(kind, "output"))...)},
	}
}

func appendText(set []attribute.KeyValue, key, value string) []attribute.KeyValue {
	if value == "" {
		return set
	}
	return append(set, attribute.String(key, value))
}

// Produce returns the sums; the SDK's reader calls it when it exports. With
// delta temporality they begin anew.
func (m *metrics) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var requests, durations, firsts, chunks, tokens []*sum
	for _, s := range m.requests {
		requests = append(requests, s)
	}
	for _, s := range m.calls {
		durations = append(durations, &s.duration)
		firsts = append(firsts, &s.firstChunk)
		chunks = append(chunks, &s.perChunk)
		tokens = append(tokens, &s.input, &s.output)
	}
	out := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: scope, Version: m.version}}
	now := m.now()
	for _, f := range []struct {
		*instrument
		sums []*sum
	}{
		{&requestDuration, requests},
		{&operationDuration, durations},
		{&timeToFirstChunk, firsts},
		{&timePerChunk, chunks},
		{&tokenUsage, tokens},
	} {
		if metric, some := f.metric(f.sums, m.since, now, m.temporality); some {
			out.Metrics = append(out.Metrics, metric)
		}
	}
	if m.temporality == metricdata.DeltaTemporality {
		m.since = now
		clear(m.calls)
		clear(m.requests)
	}
	if len(out.Metrics) == 0 {
		return nil, nil
	}
	return []metricdata.ScopeMetrics{out}, nil
}
