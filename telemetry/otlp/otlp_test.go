package otlp

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"aigateway/persist"
)

func TestSendGivesUpWithItsContextWhenTheCollectorHangs(t *testing.T) {
	to := collecting(t)
	reached, release := make(chan struct{}, 1), make(chan struct{})
	to.answer = func(http.ResponseWriter, *http.Request) {
		select {
		case reached <- struct{}{}:
		default:
		}
		<-release
	}
	defer close(release)
	var log lines
	s := open(t, Options{Log: log.log()})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	s.Send(ctx, []*persist.Exchange{failedOver(), failedOver()}) // which returns, or the test never ends
	if s.Dropped() != 2 || log.count() != 1 {
		t.Errorf("dropped %d, told %d times", s.Dropped(), log.count())
	}
	ending, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if s.Close(ending) == nil {
		t.Error("the metrics of a collector that hangs count as sent")
	}
}

func TestACollectorThatRefusesIsToldOnceAMinute(t *testing.T) {
	to := collecting(t)
	to.answer = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadRequest) }
	var log lines
	at := &clock{at: begin}
	s := open(t, Options{Log: log.log(), Now: at.now})
	for range 5 {
		s.Send(t.Context(), []*persist.Exchange{failedOver()})
	}
	if log.count() != 1 || s.Dropped() != 5 {
		t.Errorf("told %d times, dropped %d", log.count(), s.Dropped())
	}
	at.add(tell)
	s.Send(t.Context(), []*persist.Exchange{failedOver()})
	if log.count() != 2 {
		t.Errorf("told %d times after a minute", log.count())
	}
}

func TestSpansAreSentAgainWhenTheCollectorIsBusy(t *testing.T) {
	to := collecting(t)
	asked := 0
	to.answer = func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	t.Setenv("OTEL_METRICS_EXPORTER", "none")
	s := open(t, Options{})
	s.Send(t.Context(), []*persist.Exchange{failedOver()})
	if asked != 2 || s.Dropped() != 0 {
		t.Errorf("asked %d times, dropped %d", asked, s.Dropped())
	}
}

func TestLongBatchesAreSentInParts(t *testing.T) {
	to := collecting(t)
	s := open(t, Options{Content: true})
	var batch []*persist.Exchange
	for range 20 {
		x := failedOver()
		x.Trace.Prompt = []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat("a", contentMost/2) + `"}]}`)
		batch = append(batch, x)
	}
	s.Send(t.Context(), batch)
	if len(to.spans) != 60 || len(to.scopes) < 2 {
		t.Errorf("got %d spans in %d parts", len(to.spans), len(to.scopes))
	}
}

func TestNothingIsSentForNothing(t *testing.T) {
	to := collecting(t)
	to.answer = func(_ http.ResponseWriter, r *http.Request) { t.Errorf("got %s", r.URL.Path) }
	t.Setenv("OTEL_METRICS_EXPORTER", "none")
	s := open(t, Options{})
	s.Send(t.Context(), nil)
	to.close(s)
}

// tracesOverGRPC is a collector's service of traces.
type tracesOverGRPC struct {
	coltrace.UnimplementedTraceServiceServer
	got  *coltrace.ExportTraceServiceRequest
	head metadata.MD
}

func (s *tracesOverGRPC) Export(ctx context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	s.got = r
	s.head, _ = metadata.FromIncomingContext(ctx)
	return &coltrace.ExportTraceServiceResponse{}, nil
}

func TestSpansGoOverGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, to := grpc.NewServer(), &tracesOverGRPC{}
	coltrace.RegisterTraceServiceServer(server, to)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(listener)
	}()
	defer func() {
		server.Stop()
		<-ended
	}()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"+listener.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
	s := open(t, Options{})
	s.Send(t.Context(), []*persist.Exchange{failedOver()})
	if s.Dropped() > 0 || to.got == nil {
		t.Fatal("nothing came")
	}
	if spans := to.got.ResourceSpans[0].ScopeSpans[0].Spans; len(spans) != 3 || spans[0].Name != "POST /lb/:app" {
		t.Errorf("got %v", spans)
	}
	if got := to.head.Get("x-team"); len(got) != 1 || got[0] != "blue" {
		t.Errorf("got header %v", got)
	}
	if s.metrics != nil {
		t.Error("metrics are exported, and nobody asked")
	}
}

func TestWantedFollowsTheEnvironment(t *testing.T) {
	const endpoint = "http://127.0.0.1:4318"
	for _, c := range []struct {
		set             map[string]string
		traces, metrics bool
	}{
		{map[string]string{}, false, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, true, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, false, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint}, true, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": endpoint}, false, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "True"}, false, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "none"}, false, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_METRICS_EXPORTER": "none"}, true, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"}, false, false},
	} {
		lookup := func(name string) (string, bool) { v, ok := c.set[name]; return v, ok }
		if got := Wanted(lookup); got != (c.traces || c.metrics) {
			t.Errorf("%v: wanted %v", c.set, got)
		}
		if got := wants(lookup, signalTraces); got != c.traces {
			t.Errorf("%v: traces %v", c.set, got)
		}
		if got := wants(lookup, signalMetrics); got != c.metrics {
			t.Errorf("%v: metrics %v", c.set, got)
		}
	}
}

func TestOpenRefusesWhatItCannotDo(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL":        "http/json",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "carrier pigeon",
		"OTEL_TRACES_EXPORTER":               "zipkin",
		"OTEL_METRICS_EXPORTER":              "prometheus",
	} {
		t.Run(name, func(t *testing.T) {
			collecting(t)
			t.Setenv(name, value)
			s, err := Open(t.Context(), Options{Service: "aigateway", Lookup: os.LookupEnv})
			if err == nil || s != nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), value) {
				t.Errorf("got %v", err)
			}
		})
	}
}
