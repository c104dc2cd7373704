package main

import (
	"cmp"
	"context"
	"path/filepath"
	"sync"

	"aigateway/cache"
	"aigateway/db"
	"aigateway/db/spec"
	"aigateway/gateway"
	"aigateway/memory"
	"aigateway/metrics"
	"aigateway/persist"
)

// kept is what the gateway inside a profile keeps: as `gateway serve` wires it,
// without what recurs by the clock.
type kept struct {
	db      spec.DB // nil when nothing is kept
	pool    *cache.Pool
	threads *memory.Threads
	writer  *persist.Writer
}

// keep opens what the settings turn on.
func keep(ctx context.Context, o *gateway.Options) (*kept, error) {
	set := o.Settings
	if !set.UseCache && !set.StateMgmt && !set.PersistPrompts {
		return &kept{}, nil
	}
	url := cmp.Or(set.Database.Reveal(), "sqlite:"+filepath.Join(set.DataDir, "gateway.db"))
	store, err := db.Open(ctx, url, spec.Options{Log: o.Log})
	if err != nil {
		return nil, err
	}
	k := &kept{db: store}
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
		k.writer, err = persist.NewWriter(persist.Options{Store: store.Prompts(), Dir: filepath.Join(set.DataDir, "spool"), Up: up, Log: o.Log})
		o.Prompts, o.History = k.writer, store.Prompts()
	}
	return k, err
}

// run runs what stores until ctx is over; ending waits for that.
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
	return func() {
		running.Wait()
		_ = k.close() // its state is thrown away
	}
}

func (k *kept) close() error {
	if k.db == nil {
		return nil
	}
	return k.db.Close()
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
		say("prompts_lost_total", s.Lost)
	}
	return list
}
