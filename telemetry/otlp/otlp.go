// Package otlp exports exchanges as OpenTelemetry's traces and metrics, by the
// conventions for generative AI and for HTTP, to a collector. It stands behind
// the queue of package telemetry: no request waits for it.
//
// Spans are made whole from finished exchanges, so there is no tracer. The
// SDK's exporters bring them to the collector.
package otlp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"aigateway/persist"
	"aigateway/telemetry"
)

const (
	// scope names the instrumentation.
	scope = "aigateway"
	// uploadBytes is the length of spans after which they are sent: collectors
	// take 4 MiB over gRPC by default.
	uploadBytes = 2 << 20
	// retryMost is how long spans are offered to a collector that is busy; the
	// queue before the sink fills meanwhile.
	retryMost = 10 * time.Second
)

// Options say how exchanges are exported. Service and Lookup are needed, the
// zero value of the others works.
type Options struct {
	Service, Version, Instance string // of the resource, where the environment does not say
	// Lookup reads the variables that choose what is exported and how. All
	// others (addresses, headers, certificates, time-outs, intervals, resource)
	// the SDK reads from the process's environment.
	Lookup Lookup
	Scheme string // by which clients reach the gateway: http (the default) or https
	Now    func() time.Time
	Log    *slog.Logger // nil discards
	// Content: prompts and answers are exported.
	Content bool
}

// Sink exports to a collector. It implements telemetry.Sink.
type Sink struct {
	o        Options
	client   otlptrace.Client // nil: no traces
	metrics  *metrics         // nil: none
	resource *resourcepb.Resource
	wire     wire
	held     int64 // exchanges in wire
	lost     atomic.Int64

	mu     sync.Mutex // guards what follows
	told   time.Time
	untold int64 // lost since then
}

// Open prepares the export that the environment asks for, and must only be
// called when it is Wanted. Nothing is sent yet, and a collector need not be
// there. An error is a setting that cannot be used.
//
// What the SDK has to say goes to the log from then on; there is one for the
// whole process.
func Open(ctx context.Context, o Options) (*Sink, error) {
	o.Scheme = cmp.Or(o.Scheme, "http")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sink{o: o}
	s.listen()
	res, err := s.describe(ctx)
	if err != nil {
		return nil, err
	}
	if wants(o.Lookup, signalTraces) {
		if s.client, err = traces(o.Lookup); err != nil {
			return nil, err
		}
		if err := s.client.Start(ctx); err != nil {
			return nil, fmt.Errorf("preparing the export of traces: %w", telemetry.Discreet(err))
		}
		s.resource = toProto(res)
	}
	if wants(o.Lookup, signalMetrics) {
		exporter, err := measurements(ctx, o.Lookup)
		if err != nil {
			return nil, errors.Join(err, s.Close(ctx))
		}
		s.metrics = newMetrics(exporter, res, o)
	}
	return s, nil
}

// describe returns what is told of this process: OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES go before the options.
func (s *Sink) describe(ctx context.Context) (*resource.Resource, error) {
	own := []attribute.KeyValue{attribute.String("service.name", s.o.Service)}
	own = appendText(own, "service.version", s.o.Version)
	own = appendText(own, "service.instance.id", s.o.Instance)
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(own...), resource.WithFromEnv())
	if errors.Is(err, resource.ErrPartialResource) {
		s.o.Log.Warn("telemetry goes without a part of OTEL_RESOURCE_ATTRIBUTES", "error", err)
		return res, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return res, nil
}

func traces(lookup Lookup) (otlptrace.Client, error) {
	by, err := transport(lookup, signalTraces)
	if err != nil {
		return nil, err
	}
	to, err := address(lookup, signalTraces, by)
	if err != nil {
		return nil, err
	}
	if by == overGRPC {
		options := []otlptracegrpc.Option{otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: retryMost, MaxElapsedTime: retryMost,
		})}
		if to != "" {
			options = append(options, otlptracegrpc.WithEndpointURL(to))
		}
		return otlptracegrpc.NewClient(options...), nil
	}
	return otlptracehttp.NewClient(otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
		Enabled: true, InitialInterval: time.Second, MaxInterval: retryMost, MaxElapsedTime: retryMost,
	})), nil
}

func measurements(ctx context.Context, lookup Lookup) (exporter sdk.Exporter, err error) {
	by, err := transport(lookup, signalMetrics)
	if err != nil {
		return nil, err
	}
	to, err := address(lookup, signalMetrics, by)
	if err != nil {
		return nil, err
	}
	switch {
	case by == overHTTP:
		exporter, err = otlpmetrichttp.New(ctx)
	case to != "":
		exporter, err = otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(to))
	default:
		exporter, err = otlpmetricgrpc.New(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("preparing the export of metrics: %w", telemetry.Discreet(err))
	}
	return exporter, nil
}

// toProto translates a resource, whose values all are texts.
func toProto(res *resource.Resource) *resourcepb.Resource {
	out := &resourcepb.Resource{}
	for _, kv := range res.Attributes() {
		out.Attributes = append(out.Attributes, &commonpb.KeyValue{
			Key:   string(kv.Key),
			Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: kv.Value.AsString()}},
		})
	}
	return out
}

// Send counts exchanges and sends the spans of those that are sampled.
func (s *Sink) Send(ctx context.Context, batch []*persist.Exchange) {
	if s.metrics != nil {
		s.metrics.observe(batch)
	}
	if s.client == nil {
		return
	}
	for _, x := range batch {
		if x.Trace == nil || !x.Trace.Sampled {
			continue
		}
		s.wire.exchange(x, s.o.Scheme, s.o.Content)
		s.held++
		if len(s.wire.spans) >= uploadBytes {
			s.upload(ctx)
		}
	}
	s.upload(ctx)
}

// upload sends the spans of wire. The client marshals fields that it does not
// know as they are: so it sends what wire has written.
func (s *Sink) upload(ctx context.Context) {
	if s.held == 0 {
		return
	}
	spans := &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: scope, Version: s.o.Version}}
	spans.ProtoReflect().SetUnknown(s.wire.spans)
	err := s.client.UploadTraces(ctx, []*tracepb.ResourceSpans{{Resource: s.resource, ScopeSpans: []*tracepb.ScopeSpans{spans}}})
	if err != nil {
		s.lost.Add(s.held)
		s.report(err, s.held)
	}
	s.held = 0
	if s.wire.spans = s.wire.spans[:0]; cap(s.wire.spans) > 2*uploadBytes {
		s.wire.spans = nil
	}
}

// Dropped is how many exchanges had spans that could not be sent.
func (s *Sink) Dropped() int64 { return s.lost.Load() }

// Close sends the metrics once more and ends the connections.
func (s *Sink) Close(ctx context.Context) error {
	var errs []error
	if s.metrics != nil {
		errs = append(errs, s.metrics.provider.Shutdown(ctx))
	}
	if s.client != nil {
		errs = append(errs, s.client.Stop(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("ending the export: %w", telemetry.Discreet(err))
	}
	return nil
}
