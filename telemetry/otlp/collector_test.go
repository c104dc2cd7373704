package otlp

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector stands in for an OpenTelemetry collector that takes OTLP over HTTP.
type collector struct {
	t      *testing.T
	answer func(w http.ResponseWriter, r *http.Request) // nil: 200

	mu       sync.Mutex
	spans    []*tracepb.Span
	scopes   []*commonpb.InstrumentationScope
	resource *resourcepb.Resource
	metrics  []map[string]*metricspb.Metric // by name, of each export
}

// collecting starts a collector that the environment names, which ends with the
// test.
func collecting(t *testing.T) *collector {
	t.Helper()
	c := &collector{t: t}
	web := httptest.NewServer(c)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", web.URL)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("%s with %s: %v", r.Method, r.Header.Get("Content-Type"), err)
	}
	if c.answer != nil {
		c.answer(w, r)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/v1/traces":
		c.traces(body)
	case "/v1/metrics":
		var request colmetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			c.t.Error(err)
		}
		by := map[string]*metricspb.Metric{}
		for _, of := range request.ResourceMetrics {
			for _, scope := range of.ScopeMetrics {
				for _, m := range scope.Metrics {
					by[m.Name] = m
				}
			}
		}
		c.metrics = append(c.metrics, by)
	default:
		c.t.Errorf("path %s", r.URL.Path)
	}
}

func (c *collector) traces(body []byte) {
	var request coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		c.t.Error(err)
	}
	for _, of := range request.ResourceSpans {
		c.resource = of.Resource
		for _, scope := range of.ScopeSpans {
			c.scopes = append(c.scopes, scope.Scope)
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// open opens the export to what the environment names.
func open(t *testing.T, o Options) *Sink {
	t.Helper()
	o.Service, o.Lookup = "aigateway", os.LookupEnv
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // a second time, where the test has closed it
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Close(ctx)
	})
	return s
}

// close ends the export, at which the metrics come.
func (c *collector) close(s *Sink) {
	c.t.Helper()
	if err := s.Close(context.Background()); err != nil {
		c.t.Error(err)
	}
}

// pairs are attributes as a map.
func pairs(of []*commonpb.KeyValue) map[string]any {
	out := map[string]any{}
	for _, kv := range of {
		if _, twice := out[kv.Key]; twice {
			panic(kv.Key + " is there twice")
		}
		out[kv.Key] = value(kv.Value)
	}
	return out
}

func value(v *commonpb.AnyValue) any {
	switch v := v.Value.(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_ArrayValue:
		var all []any
		for _, one := range v.ArrayValue.Values {
			all = append(all, value(one))
		}
		return all
	}
	return nil
}

// clock is a clock that moves by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// lines is a log that counts its lines.
type lines struct {
	mu sync.Mutex
	n  int
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	return len(p), nil
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func (l *lines) log() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
