package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"aigateway/config"
	"aigateway/gateway"
	"aigateway/job"
	"aigateway/metrics"
	"aigateway/telemetry"
	"aigateway/telemetry/azure"
	"aigateway/telemetry/otlp"
)

// serviceName is the gateway's in traces and on application maps.
const serviceName = "aigateway"

// openTelemetry opens what the environment asks for; nil when that is nothing.
func openTelemetry(ctx context.Context, settings *config.Settings, log *slog.Logger) (*telemetry.Telemetry, error) {
	content := telemetry.ContentOf(os.LookupEnv)
	var sinks []telemetry.Sink
	if otlp.Wanted(os.LookupEnv) {
		sink, err := otlp.Open(ctx, otlp.Options{
			Service: serviceName, Version: version(), Instance: settings.Name, Lookup: os.LookupEnv, Log: log, Content: content,
		})
		if err != nil {
			return nil, fmt.Errorf("opening OpenTelemetry (OTEL_*): %w", err)
		}
		sinks = append(sinks, sink)
	}
	if settings.AppInsights != "" {
		sink, err := azure.Open(azure.Options{
			ConnectionString: settings.AppInsights.Reveal(), Role: serviceName, Instance: settings.Name, Version: version(), Log: log, Content: content,
		})
		if err != nil {
			return nil, fmt.Errorf("APPLICATIONINSIGHTS_CONNECTION_STRING: %w", err)
		}
		sinks = append(sinks, sink)
	}
	if len(sinks) == 0 {
		return nil, nil //nolint:nilnil // it is off
	}
	sampler, err := telemetry.SamplerOf(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	return telemetry.New(telemetry.Options{Log: log, Sinks: sinks, Sampler: sampler, Content: content}), nil
}

// startTelemetry runs what brings exchanges to where they are looked at.
func startTelemetry(t *telemetry.Telemetry, jobs *job.Group, server *gateway.Server) {
	if t == nil {
		return
	}
	for _, loop := range t.Loops() {
		jobs.Go("telemetry", loop)
	}
	server.AddReadings(func() []metrics.Reading {
		return []metrics.Reading{{Name: "telemetry_dropped_total", Help: "Exchanges that telemetry could not take.", Counter: true, Value: float64(t.Dropped())}}
	})
}
