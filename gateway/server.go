// Package gateway is the HTTP server: it holds the live configuration, reads
// each request from top to bottom, and turns every outcome into an answer. It
// is the only package, beside the console, that knows gin.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"aigateway/backend"
	"aigateway/cache"
	"aigateway/config"
	"aigateway/limit"
	"aigateway/memory"
	"aigateway/metrics"
	"aigateway/persist"
	"aigateway/router"
	"aigateway/telemetry"
)

// Options are what a Server is made of.
type Options struct {
	Settings *config.Settings
	Source   config.Source
	Log      *slog.Logger
	Version  string
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	// What keeps state, each nil where its feature is off for the whole
	// gateway. Their owner runs them.
	Cache   *cache.Pool
	Entries cache.Index // behind Cache
	Threads *memory.Threads
	// Conversations is what is behind Threads.
	Conversations memory.Store
	Prompts       *persist.Writer
	History       persist.Store // where Prompts end up
	// Store tells what is known of the database; nil where there is none.
	Store func() StoreState
	// Ledger tells what was used; nil where it is not kept.
	Ledger persist.Ledger
	// Limits count what is used; nil counts it in this process alone.
	Limits *limit.Limits
	// Shared tells whether replicas count together at the moment; nil where each
	// counts for itself.
	Shared func() bool
	// Telemetry is told of every request; nil is off.
	Telemetry *telemetry.Telemetry
}

// StoreState is what info pages and readiness show of the database.
type StoreState struct {
	Kind  string `json:"kind"`
	Up    bool   `json:"up"`
	Since string `json:"since,omitempty"`
	Fault string `json:"fault,omitempty"`
	// Waiting is the number of prompts that wait to be stored, Spool why they
	// cannot wait on disk; empty when they can.
	Waiting int64  `json:"promptsWaiting"`
	Spool   string `json:"spoolFault,omitempty"`
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

	cache         *cache.Pool
	entries       cache.Index
	threads       *memory.Threads
	conversations memory.Store
	prompts       *persist.Writer
	history       persist.Store
	store         func() StoreState
	ledger        persist.Ledger
	limits        *limit.Limits
	shared        func() bool
	telemetry     *telemetry.Telemetry
	averages      averages
	noEmbeddings  sync.Map // ids of applications that fail to make them
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
		cache: o.Cache, entries: o.Entries, threads: o.Threads, conversations: o.Conversations,
		prompts: o.Prompts, history: o.History, store: o.Store,
		ledger: o.Ledger, limits: o.Limits, shared: o.Shared, telemetry: o.Telemetry,
		fleet:   router.NewFleet(o.Now),
		backend: backend.NewClient(o.Now),
		metrics: metrics.New(metrics.Options{
			Interval: o.Settings.MetricsInterval, History: o.Settings.MetricsHistory,
			Now: o.Now, Version: o.Version,
		}),
	}
	if s.limits == nil {
		var err error
		if s.limits, err = limit.New(limit.Options{Now: o.Now, Log: o.Log, Model: ModelFamily}); err != nil {
			return nil, err
		}
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

// AddReadings adds what other parts of the gateway count to its metrics.
func (s *Server) AddReadings(read func() []metrics.Reading) { s.metrics.AddReadings(read) }

// CloseIdle closes connections to endpoints that nobody has used for a while.
func (s *Server) CloseIdle(unusedFor time.Duration) { s.backend.CloseIdle(unusedFor) }

// Fleet is what is known of endpoints, so that replicas can share it.
func (s *Server) Fleet() *router.Fleet { return s.fleet }

// Config is the configuration in force.
func (s *Server) Config() *config.Config { return s.live.Load().Config }

// BaseContext returns the context that all requests' contexts come from, and
// the function that ends them: the last step of a shutdown that cannot wait.
func BaseContext() (ctx context.Context, end func()) {
	server, cancel := context.WithCancelCause(context.Background())
	return context.WithValue(server, serverKey{}, server), func() { cancel(errDraining) }
}
