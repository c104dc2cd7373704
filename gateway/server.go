// Package gateway is the HTTP server: it holds the live configuration, reads
// each request from top to bottom, and turns every outcome into an answer. It
// is the only package, beside the console, that knows gin.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"aigateway/backend"
	"aigateway/config"
	"aigateway/metrics"
	"aigateway/router"
)

// Options are what a Server is made of.
type Options struct {
	Settings *config.Settings
	Source   config.Source
	Log      *slog.Logger
	Version  string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Server answers requests. It starts no goroutine; Refresh and CloseIdle are
// for its owner to call from time to time.
type Server struct {
	settings *config.Settings
	source   config.Source
	log      *slog.Logger
	version  string
	now      func() time.Time
	started  time.Time

	live     live
	fleet    *router.Fleet
	backend  *backend.Client
	metrics  *metrics.Metrics
	draining atomic.Bool
}

// errDraining is the cause of contexts that end because the server does.
var errDraining = errors.New("server is shutting down")

// New returns a server with its first configuration in force, or every fault
// of it.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{
		settings: o.Settings, source: o.Source, log: o.Log, version: o.Version,
		now: o.Now, started: o.Now(),
		fleet:   router.NewFleet(o.Now),
		backend: backend.NewClient(o.Now),
		metrics: metrics.New(metrics.Options{
			Interval: o.Settings.MetricsInterval, History: o.Settings.MetricsHistory,
			Now: o.Now, Version: o.Version,
		}),
	}
	s.metrics.SetEndpointStates(s.endpointStates)
	if _, err := s.Reload(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Drain makes readiness fail, so that load balancers send nothing new, and
// keep-alive connections end with their next answer.
func (s *Server) Drain() { s.draining.Store(true) }

// CloseIdle closes connections to endpoints that nobody has used for a while.
func (s *Server) CloseIdle(unusedFor time.Duration) { s.backend.CloseIdle(unusedFor) }

// Config is the configuration in force.
func (s *Server) Config() *config.Config { return s.live.Load().Config }

// BaseContext returns the context that all requests' contexts come from, and
// the function that ends them: the last step of a shutdown that cannot wait.
func BaseContext() (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	return ctx, func() { cancel(errDraining) }
}
