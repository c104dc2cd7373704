package otlp

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"aigateway/persist"
)

func TestAddressesAreThoseOfTheirTransport(t *testing.T) {
	const refused = "refused"
	for _, c := range []struct{ value, http, grpc string }{
		{"http://127.0.0.1:4318", "", ""},
		{"https://c.example/key?k=v", "", ""},
		{" HTTP://[::1]:4318 ", "", ""},
		{"localhost:18701", refused, "https://localhost:18701"},
		{"127.0.0.1:18701", refused, "https://127.0.0.1:18701"},
		{"[::1]:4317", refused, "https://[::1]:4317"},
		{"otel_collector:4317", refused, "https://otel_collector:4317"},
		{"c.example", refused, "https://c.example"},
		{"dns:///c.example:4317", refused, ""},
		{"dns:c.example", refused, ""},
		{"unix:///run/otel.sock", refused, ""},
		{"htp://c.example:4317", refused, refused},
		{"http://", refused, refused},
		{"http:c.example", refused, refused},
		{"http://:4318", refused, refused},
		{"http://c.example:port", refused, refused},
		{"http://%zz", refused, refused},
		{"//c.example:4317", refused, refused},
		{"/v1/traces", refused, refused},
		{"c.example:4317/v1", refused, refused},
		{"key@c.example:4317", refused, refused},
		{"two words", refused, refused},
		{":4317", refused, refused},
	} {
		for _, variable := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
			set := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "://", variable: c.value}
			for by, want := range map[string]string{overHTTP: c.http, overGRPC: c.grpc} {
				got, err := address(func(name string) (string, bool) { v, ok := set[name]; return v, ok }, signalTraces, by)
				if want == refused {
					if err == nil || !strings.HasPrefix(err.Error(), variable+": ") || strings.Contains(err.Error(), c.value) {
						t.Errorf("%s of %q by %s: got %q, %v", variable, c.value, by, got, err)
					}
				} else if got != want || err != nil {
					t.Errorf("%s of %q by %s: got %q, %v, want %q", variable, c.value, by, got, err, want)
				}
			}
		}
	}
}

func TestInsecureIsForAddressesWithoutScheme(t *testing.T) {
	for _, c := range []struct {
		all, traces string
		want        string
	}{
		{"", "", "https://c:1"}, {"true", "", "http://c:1"}, {"True", "false", "https://c:1"}, {"false", "TRUE", "http://c:1"}, {"yes", "", "https://c:1"},
	} {
		set := map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "c:1", "OTEL_EXPORTER_OTLP_INSECURE": c.all, "OTEL_EXPORTER_OTLP_TRACES_INSECURE": c.traces,
		}
		got, err := address(func(name string) (string, bool) { return set[name], true }, signalTraces, overGRPC)
		if got != c.want || err != nil {
			t.Errorf("%q, %q: got %q, %v", c.all, c.traces, got, err)
		}
	}
}

func TestOpenRefusesAddressesThatLeadNowhere(t *testing.T) {
	for _, exporter := range []string{"OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER"} {
		t.Run(exporter, func(t *testing.T) {
			t.Setenv(exporter, "none") // the other signal has to find out
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "sesame:18701")
			_, err := Open(t.Context(), Options{Service: "aigateway", Lookup: os.LookupEnv})
			if err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT: ") || strings.Contains(err.Error(), "sesame") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// metricsOverGRPC is a collector's service of metrics.
type metricsOverGRPC struct {
	colmetrics.UnimplementedMetricsServiceServer
	got *colmetrics.ExportMetricsServiceRequest
}

func (s *metricsOverGRPC) Export(_ context.Context, r *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	s.got = r
	return &colmetrics.ExportMetricsServiceResponse{}, nil
}

func TestGRPCTakesAHostWithoutScheme(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, spans, sums := grpc.NewServer(), &tracesOverGRPC{}, &metricsOverGRPC{}
	coltrace.RegisterTraceServiceServer(server, spans)
	colmetrics.RegisterMetricsServiceServer(server, sums)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(listener)
	}()
	defer func() {
		server.Stop()
		<-ended
	}()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", listener.Addr().String()) // which the SDK cannot read
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	t.Setenv("OTEL_EXPORTER_OTLP_INSECURE", "true")
	var log strings.Builder
	s := open(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	s.Send(t.Context(), []*persist.Exchange{failedOver()})
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if spans.got == nil || sums.got == nil || log.Len() > 0 {
		t.Errorf("got spans %v, metrics %v; told %s", spans.got != nil, sums.got != nil, log.String())
	}
}
