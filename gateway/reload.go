package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"

	"aigateway/config"
	"aigateway/metrics"
	"aigateway/router"
)

// live is the configuration in force, and the way to the next one.
type live struct {
	current atomic.Pointer[Snapshot]

	mu      sync.Mutex // one reload at a time
	refused string     // version last refused by Refresh, so that it is logged once; guarded by mu
}

// Load returns the snapshot in force. A request loads it once.
func (l *live) Load() *Snapshot { return l.current.Load() }

// Reload reads the configuration and puts it in force. On an error, which
// names every fault, nothing changes.
func (s *Server) Reload(ctx context.Context) (*Snapshot, error) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	snap, err := s.reload(ctx)
	if err != nil {
		s.metrics.Reloaded(false, s.generation())
		return nil, err
	}
	return snap, nil
}

// Refresh reloads when the configuration file, or a secret that it refers to,
// has changed. What is invalid is logged once and left alone until it changes
// again.
func (s *Server) Refresh(ctx context.Context) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	data, version, err := s.source.Read(ctx)
	if err == nil {
		var cfg *config.Config
		if cfg, err = config.Parse(data); err == nil {
			if now := s.live.Load(); cfg.Hash != now.Config.Hash || cfg.SecretsHash != now.Config.SecretsHash {
				err = s.swap(cfg)
			}
		}
	}
	if err == nil {
		s.live.refused = ""
		return
	}
	if seen := version + err.Error(); seen != s.live.refused {
		s.live.refused = seen
		s.metrics.Reloaded(false, s.generation())
		s.log.Error("changed configuration refused; the old one stays in force", "error", err)
	}
}

func (s *Server) reload(ctx context.Context) (*Snapshot, error) {
	data, _, err := s.source.Read(ctx)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse(data)
	if err != nil {
		return nil, err
	}
	if err := s.swap(cfg); err != nil {
		return nil, err
	}
	return s.live.Load(), nil
}

// swap puts cfg in force: first all that can fail, then all that cannot.
func (s *Server) swap(cfg *config.Config) error {
	next, err := s.compile(cfg)
	if err != nil {
		return err
	}
	before := s.live.Load()
	next.Generation = s.generation() + 1
	next.label = strconv.FormatUint(next.Generation, 10) + "-" + cfg.Hash[:8]

	specs := make([]metrics.AppSpec, len(next.apps))
	routers := make([]*router.Router, len(next.apps))
	for i, app := range next.apps {
		specs[i] = s.spec(app)
		routers[i] = app.Router
	}
	s.metrics.ConfigureTenants(tenantMetrics(&cfg.TenantMetrics))
	for i, m := range s.metrics.Configure(specs) {
		next.apps[i].Metrics = m
	}
	s.live.current.Store(next)
	s.fleet.Keep(routers...)
	s.limits.Keep(next.limits)
	s.metrics.Reloaded(true, next.Generation)
	s.log.Info("configuration in force", "generation", next.Generation, "hash", cfg.Hash[:8], "applications", len(next.apps))
	if before != nil && before.Config.Server.TLS != cfg.Server.TLS {
		s.log.Warn("server.tls takes effect at the next start")
	}
	return nil
}

func (s *Server) generation() uint64 {
	if snap := s.live.Load(); snap != nil {
		return snap.Generation
	}
	return 0
}

func (s *Server) spec(app *App) metrics.AppSpec {
	spec := metrics.AppSpec{
		ID: app.AppID, Type: string(app.AppType),
		CacheOn: s.settings.UseCache && app.CacheSettings.UseCache,
	}
	listed := map[string]int{}
	for i := range app.Endpoints {
		ep := &app.Endpoints[i]
		key := identity(ep)
		if listed[key]++; listed[key] > 1 { // the same endpoint once more counts for itself
			key += " " + strconv.Itoa(listed[key])
		}
		spec.Endpoints = append(spec.Endpoints, metrics.EndpointSpec{ID: ep.ID, URI: showURI(ep.URI), Key: key, Name: openaiName(ep, i)})
	}
	return spec
}

// openaiName is what an endpoint is called in the metrics by tenant: its id,
// or its host when that is no more than its position.
func openaiName(ep *config.Endpoint, position int) string {
	if u, err := url.Parse(ep.URI); err == nil && ep.ID == strconv.Itoa(position) {
		return u.Host
	}
	return ep.ID
}

func tenantMetrics(c *config.TenantMetrics) metrics.TenantOptions {
	buckets := func(b config.Buckets) metrics.Buckets {
		return metrics.Buckets{Start: b.Start, Width: b.Width, Count: b.Count}
	}
	return metrics.TenantOptions{
		Enabled: c.Enabled, MaxTenants: c.MaxTenants,
		PromptTokens: buckets(c.PromptTokens), CompletionTokens: buckets(c.CompletionTokens), TotalTokens: buckets(c.TotalTokens),
	}
}

// faults returns what is wrong with a configuration, a line each.
func faults(err error) []string {
	var all config.Faults
	if !errors.As(err, &all) {
		return []string{err.Error()}
	}
	lines := make([]string, len(all))
	for i, f := range all {
		lines[i] = fmt.Sprint(f)
	}
	return lines
}

// identity is what an endpoint's counters belong to: its URI and its key.
func identity(ep *config.Endpoint) string {
	sum := sha256.Sum256([]byte(ep.APIKey.Reveal()))
	return ep.URI + " " + hex.EncodeToString(sum[:8])
}
