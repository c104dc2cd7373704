package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"aigateway/cache"
	"aigateway/db"
	"aigateway/db/spec"
	"aigateway/gateway"
	"aigateway/limit"
	"aigateway/limit/redis"
	"aigateway/memory"
	"aigateway/metrics"
	"aigateway/persist"
	"aigateway/telemetry"
	"aigateway/telemetry/otlp"
)

// kept is what the gateway inside a profile keeps: as `gateway serve` wires it,
// without what recurs by the clock.
type kept struct {
	db      spec.DB // nil when nothing is kept
	pool    *cache.Pool
	threads *memory.Threads
	writer  *persist.Writer

	limits *limit.Limits
	shared *redis.Counter // nil: this process counts for itself
	traces *telemetry.Telemetry
}

// keep opens what the settings turn on. On an error nothing is left open that
// the end of the process would not close.
func keep(ctx context.Context, o *gateway.Options) (*kept, error) {
	k := &kept{}
	if err := k.account(ctx, o); err != nil {
		return nil, err
	}
	set := o.Settings
	if !set.UseCache && !set.StateMgmt && !set.PersistPrompts && !set.Ledger {
		return k, nil
	}
	url := cmp.Or(set.Database.Reveal(), "sqlite:"+filepath.Join(set.DataDir, "gateway.db"))
	store, err := db.Open(ctx, url, spec.Options{Log: o.Log})
	if err != nil {
		return nil, err
	}
	k.db = store
	up := func() bool { return store.State().Up }
	if set.UseCache {
		k.pool = cache.NewPool(cache.PoolOptions{Index: store.Cache(), Log: o.Log})
		o.Cache, o.Entries = k.pool, store.Cache()
	}
	if set.StateMgmt {
		k.threads = memory.NewThreads(store.Memory(), memory.Options{Log: o.Log, Up: up})
		o.Threads, o.Conversations = k.threads, store.Memory()
	}
	if set.PersistPrompts {
		o.History = store.Prompts()
	}
	if set.Ledger {
		o.Ledger = store.Ledger()
	}
	if set.PersistPrompts || set.Ledger {
		k.writer, err = persist.NewWriter(persist.Options{Store: store.Prompts(), Dir: filepath.Join(set.DataDir, "spool"), Up: up, Log: o.Log})
		o.Prompts = k.writer
	}
	return k, err
}

// account opens what counts, and what tells of requests.
func (k *kept) account(ctx context.Context, o *gateway.Options) (err error) {
	counting := limit.Options{Log: o.Log}
	if o.Settings.Redis != "" {
		if k.shared, err = redis.Open(ctx, redis.Options{URL: o.Settings.Redis.Reveal(), Log: o.Log}); err != nil {
			return err
		}
		counting.Shared, o.Shared = k.shared, k.shared.Up
	}
	if k.limits, err = limit.New(counting); err != nil {
		return err
	}
	o.Limits = k.limits
	if !otlp.Wanted(os.LookupEnv) {
		return nil
	}
	to, err := otlp.Open(ctx, otlp.Options{Service: "bench", Lookup: os.LookupEnv, Log: o.Log})
	if err != nil {
		return err
	}
	k.traces = telemetry.New(telemetry.Options{Log: o.Log, Sinks: []telemetry.Sink{to}})
	o.Telemetry = k.traces
	return nil
}

// share tells other replicas of throttled endpoints, and is told of theirs.
func (k *kept) share(server *gateway.Server) {
	if k.shared != nil {
		k.shared.Share(server.Fleet())
	}
}

// run runs what stores, counts and tells until ctx is over; ending waits for that.
func (k *kept) run(ctx context.Context) (ending func()) {
	var running sync.WaitGroup
	if k.pool != nil {
		running.Go(func() { k.pool.Run(ctx) })
	}
	if k.threads != nil {
		running.Go(func() { k.threads.Run(ctx) })
	}
	if k.writer != nil {
		running.Go(func() { k.writer.Run(ctx) })
		running.Go(func() { k.writer.Ship(ctx) })
	}
	running.Go(func() { k.limits.Run(ctx) })
	if k.shared != nil {
		running.Go(func() { k.shared.Run(ctx) })
	}
	for _, loop := range k.traces.Loops() {
		running.Go(func() { loop(ctx) })
	}
	return func() {
		running.Wait()
		_ = k.close() // its state is thrown away
	}
}

func (k *kept) close() (err error) {
	if k.shared != nil {
		err = k.shared.Close()
	}
	if k.db != nil {
		err = errors.Join(err, k.db.Close())
	}
	return err
}

// readings are those by which the benchmark knows that all is stored.
func (k *kept) readings() (list []metrics.Reading) {
	say := func(name string, n int64) {
		list = append(list, metrics.Reading{Name: name, Help: name, Value: float64(n)})
	}
	if k.pool != nil {
		s := k.pool.Stats()
		say("cache_waiting_entries", int64(s.Waiting))
		say("cache_stored_total", s.Stored)
		say("cache_dropped_total", s.Dropped)
	}
	if k.threads != nil {
		say("turns_waiting", int64(k.threads.Stats().Pending))
	}
	if k.writer != nil {
		s := k.writer.Stats()
		say("prompts_waiting", s.Queued+s.SpooledRows)
		say("prompts_stored_total", s.Written)
		say("prompts_lost_total", s.Lost)
	}
	say("limit_settlements_waiting", int64(k.limits.Readings().Waiting))
	say("telemetry_dropped_total", k.traces.Dropped())
	return list
}
