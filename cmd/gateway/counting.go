package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"aigateway/config"
	"aigateway/gateway"
	"aigateway/job"
	"aigateway/limit"
	"aigateway/limit/redis"
	"aigateway/metrics"
)

// counting is how much is used and may be: in this process, and with the other
// replicas where there is a Redis.
type counting struct {
	limits *limit.Limits
	shared *redis.Counter // nil: this process counts for itself
}

// openCounting never waits for Redis: without it each replica has its part.
func openCounting(ctx context.Context, settings *config.Settings, log *slog.Logger) (*counting, error) {
	c := &counting{}
	o := limit.Options{Log: log, Model: gateway.ModelFamily, File: filepath.Join(settings.DataDir, "limits.json")}
	if settings.Redis != "" {
		var err error
		if c.shared, err = redis.Open(ctx, redis.Options{URL: settings.Redis.Reveal(), Log: log}); err != nil {
			return nil, fmt.Errorf("REDIS_URL: %w", err)
		}
		o.Shared = c.shared
	}
	var err error
	if c.limits, err = limit.New(o); err != nil {
		return nil, fmt.Errorf("opening what is counted: %w", err)
	}
	return c, nil
}

// options are the parts of the gateway's options that counting fills in.
func (c *counting) options(o *gateway.Options) {
	if c == nil {
		return
	}
	o.Limits = c.limits
	if c.shared != nil {
		o.Shared = c.shared.Up
	}
}

// start runs what recurs.
func (c *counting) start(ctx context.Context, jobs *job.Group, server *gateway.Server) {
	server.AddReadings(c.readings)
	c.limits.Meet(ctx)
	jobs.Go("limits", c.limits.Run)
	if c.shared != nil {
		c.shared.Share(server.Fleet())
		jobs.Go("shared limits", c.shared.Run)
	}
}

// close gives Redis up, when everything that runs has ended.
func (c *counting) close() error {
	if c == nil || c.shared == nil {
		return nil
	}
	return c.shared.Close()
}

// readings are what counting says of itself at each scrape.
func (c *counting) readings() []metrics.Reading {
	r := c.limits.Readings()
	list := []metrics.Reading{{Name: "limit_accounts", Help: "Accounts of limits held in memory.", Value: float64(r.Accounts)}}
	const decisions = "Requests that a limit decided on; over is one that it only observed to be over it, crowded one that shared an account because there are too many."
	for _, d := range r.Decisions {
		for _, one := range []struct {
			name string
			n    int64
		}{{"admitted", d.Admitted}, {"refused", d.Refused}, {"over", d.Over}, {"crowded", d.Crowded}} {
			list = append(list, metrics.Reading{
				Name: "limit_decisions_total", Help: decisions, Counter: true, Value: float64(one.n),
				Labels: []string{"limit", d.Limit, "decision", one.name},
			})
		}
	}
	if r.Shared {
		up := 0.0
		if r.Up {
			up = 1
		}
		list = append(list,
			metrics.Reading{Name: "limit_shared_up", Help: "1 while replicas count together, 0 while each has its part.", Value: up},
			metrics.Reading{Name: "limit_replicas", Help: "Replicas that count together, as last known.", Value: float64(c.shared.Replicas())},
			metrics.Reading{Name: "limit_settlements_waiting", Help: "Accounts and corrections that the shared counters have not been told of.", Value: float64(r.Waiting)})
	}
	return list
}
