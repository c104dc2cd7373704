package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"aigateway/cache"
	"aigateway/config"
	"aigateway/db"
	"aigateway/db/spec"
	"aigateway/gateway"
	"aigateway/job"
	"aigateway/memory"
	"aigateway/persist"
)

const (
	// checkEvery is how often the database is asked whether it is there.
	checkEvery = time.Second
	// tendEvery is how often a database may look after its indexes.
	tendEvery = time.Minute
)

// state is what the gateway keeps, and what runs for it. Each feature that is
// off for the whole gateway is nil.
type state struct {
	db      spec.DB
	pool    *cache.Pool
	threads *memory.Threads
	history persist.Store
	ledger  persist.Ledger
	writer  *persist.Writer // of both; nil too in a command that stores none
	runs    invalidatorRuns
}

// databaseURL is the store that the settings name: the embedded one in the
// data directory where they name none.
func databaseURL(settings *config.Settings) string {
	if settings.Database != "" {
		return settings.Database.Reveal()
	}
	return "sqlite:" + filepath.Join(settings.DataDir, "gateway.db")
}

// openState opens what the features that are on need; nil when none is. The
// spool of prompts belongs to a gateway that serves.
func openState(ctx context.Context, settings *config.Settings, log *slog.Logger, serves bool) (*state, error) {
	if !settings.UseCache && !settings.StateMgmt && !settings.PersistPrompts && !settings.Ledger {
		return nil, nil //nolint:nilnil // nothing is kept
	}
	if err := checkSchedules(settings); err != nil {
		return nil, err
	}
	store, err := db.Open(ctx, databaseURL(settings), spec.Options{NoMigrate: !settings.Migrate, Log: log})
	if err != nil {
		return nil, fmt.Errorf("opening the store (DATABASE_URL, VECTOR_DB_*, API_GATEWAY_DATA_DIR): %w", err)
	}
	st := &state{db: store}
	up := func() bool { return store.State().Up }
	if settings.UseCache {
		st.pool = cache.NewPool(cache.PoolOptions{Index: store.Cache(), Log: log})
	}
	if settings.StateMgmt {
		st.threads = memory.NewThreads(store.Memory(), memory.Options{Log: log, Up: up})
	}
	if settings.PersistPrompts {
		st.history = store.Prompts()
	}
	if settings.Ledger {
		st.ledger = store.Ledger()
	}
	if (settings.PersistPrompts || settings.Ledger) && serves {
		st.writer, err = persist.NewWriter(persist.Options{
			Store: store.Prompts(), Dir: filepath.Join(settings.DataDir, "spool"), Up: up, Log: log,
		})
		if err != nil {
			return nil, errorsJoinClose(err, store)
		}
	}
	return st, nil
}

func errorsJoinClose(err error, store spec.DB) error {
	if closing := store.Close(); closing != nil {
		return fmt.Errorf("%w (and closing the store: %w)", err, closing)
	}
	return err
}

// checkSchedules returns what is wrong with the schedules, each with its
// variable.
func checkSchedules(settings *config.Settings) error {
	var faults []error
	for _, s := range []struct {
		on             bool
		variable, spec string
	}{
		{settings.UseCache, "API_GATEWAY_CACHE_INVAL_SCHEDULE", settings.CacheSchedule},
		{settings.StateMgmt, "API_GATEWAY_MEMORY_INVAL_SCHEDULE", settings.MemorySchedule},
		{settings.PersistPrompts, "API_GATEWAY_PROMPT_INVAL_SCHEDULE", settings.PromptSchedule},
		{settings.Ledger, "API_GATEWAY_LEDGER_INVAL_SCHEDULE", settings.LedgerSchedule},
	} {
		if _, err := job.ParseSchedule(s.spec); s.on && err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", s.variable, err))
		}
	}
	return errors.Join(faults...)
}

// options are the parts of the gateway's options that the state fills in.
func (st *state) options(o *gateway.Options) {
	if st == nil {
		return
	}
	o.Store = st.show
	if st.pool != nil {
		o.Cache, o.Entries = st.pool, st.db.Cache()
	}
	if st.threads != nil {
		o.Threads, o.Conversations = st.threads, st.db.Memory()
	}
	o.Prompts, o.History, o.Ledger = st.writer, st.history, st.ledger
}

func (st *state) show() gateway.StoreState {
	now := st.db.State()
	shown := gateway.StoreState{Kind: now.Kind, Up: now.Up, Fault: now.Fault, Since: now.Since.UTC().Format(time.RFC3339)}
	if st.writer != nil {
		s := st.writer.Stats()
		shown.Waiting = s.Queued + s.SpooledRows
		if s.Blocked {
			shown.Spool = "prompts that wait cannot be written to disk: " + s.LastError
		}
	}
	return shown
}

// start runs what recurs.
func (st *state) start(jobs *job.Group, server *gateway.Server, settings *config.Settings, log *slog.Logger) error {
	if st == nil {
		return nil
	}
	server.AddReadings(st.readings)
	jobs.Every("database", checkEvery, func(ctx context.Context) {
		_ = st.db.Check(ctx) // its state tells
	})
	if tended, ok := st.db.(interface {
		Tend(ctx context.Context) error
	}); ok {
		jobs.Every("indexes", tendEvery, func(ctx context.Context) {
			if err := tended.Tend(ctx); err != nil && ctx.Err() == nil {
				log.Warn("indexes not looked after; it is tried again", "error", err)
			}
		})
	}
	if st.pool != nil {
		jobs.Go("cache", st.pool.Run)
	}
	if st.threads != nil {
		jobs.Go("conversations", st.threads.Run)
	}
	if st.writer != nil {
		jobs.Go("prompts to the spool", st.writer.Run)
		jobs.Go("prompts to the store", st.writer.Ship)
	}
	for _, inv := range st.invalidators(server, settings) {
		schedule, err := job.ParseSchedule(inv.schedule)
		if err != nil {
			return fmt.Errorf("BUG: a schedule that was checked: %w", err)
		}
		st.runs.deleted(inv.name, 0) // it shows before its first run
		jobs.Cron("invalidator "+inv.name, schedule, time.Now, func(ctx context.Context) (int, error) {
			start := time.Now()
			return st.invalidate(ctx, inv, log, min(heldFor, schedule.Next(start).Sub(start)/2))
		}, func(o job.Outcome) {
			if o.Err != nil {
				st.runs.note(inv.name, "failed")
			}
		})
	}
	return nil
}

// invalidator is a job that deletes what has expired.
type invalidator struct {
	name, schedule string
	run            func(ctx context.Context, progress func(rows int)) (int, error)
}

// invalidators are those of the features that are on.
func (st *state) invalidators(server *gateway.Server, settings *config.Settings) []invalidator {
	var all []invalidator
	if st.pool != nil {
		all = append(all, invalidator{"cache", settings.CacheSchedule, server.ExpireCache})
	}
	if st.threads != nil {
		all = append(all, invalidator{"memory", settings.MemorySchedule, server.ExpireMemory})
	}
	if st.history != nil {
		all = append(all, invalidator{"prompts", settings.PromptSchedule, server.ExpirePrompts})
	}
	if st.ledger != nil {
		all = append(all, invalidator{"ledger", settings.LedgerSchedule, server.ExpireLedger})
	}
	return all
}

// heldFor is how long after its time a scheduled run keeps its lock: the
// other replicas, whose clocks may be as far behind, then leave that time to
// it.
const heldFor = 20 * time.Second

// invalidate runs one, unless another process does so right now. A run that
// went well keeps the lock until hold has passed since its start.
func (st *state) invalidate(ctx context.Context, inv invalidator, log *slog.Logger, hold time.Duration) (int, error) {
	start := time.Now()
	unlock, ok, err := st.db.Lock(ctx, "invalidator "+inv.name)
	if err != nil {
		return 0, fmt.Errorf("taking the lock: %w", err)
	}
	if !ok {
		st.runs.note(inv.name, "elsewhere")
		log.Info("another process deletes what has expired", "of", inv.name)
		return 0, nil
	}
	defer unlock()
	n, err := inv.run(ctx, func(rows int) {
		st.runs.deleted(inv.name, rows)
		log.Debug("deleting what has expired", "of", inv.name, "rows", rows)
	})
	if err != nil {
		return n, fmt.Errorf("deleting what has expired: %w", err)
	}
	st.runs.note(inv.name, "ok")
	log.Info("deleted what had expired", "of", inv.name, "rows", n, "duration_ms", time.Since(start).Milliseconds())
	select {
	case <-ctx.Done():
	case <-time.After(hold - time.Since(start)):
	}
	return n, nil
}

// close ends the store's connections; everything that runs has ended before.
func (st *state) close() error {
	if st == nil {
		return nil
	}
	return st.db.Close()
}
