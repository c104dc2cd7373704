package gateway_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"aigateway/cache"
	"aigateway/config"
	"aigateway/db/spec"
	"aigateway/db/sqlite"
	"aigateway/gateway"
	"aigateway/memory"
	"aigateway/persist"
	"aigateway/simulator"
)

// keeping is a gateway with everything on that keeps state.
type keeping struct {
	*setup
	db      spec.DB
	pool    *cache.Pool
	threads *memory.Threads
	writer  *persist.Writer
}

// newKeeping starts a gateway on an embedded store of its own, with cache,
// memory and prompts on; embeddings are made by the application "embed".
func newKeeping(t *testing.T, configJSON string, edit ...func(*config.Settings)) *keeping {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "gateway.db"), spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return newKeepingOn(t, db, configJSON, edit...)
}

// newKeepingOn is newKeeping on a given store, which it closes.
func newKeepingOn(t *testing.T, db spec.DB, configJSON string, edit ...func(*config.Settings)) *keeping {
	t.Helper()
	k := &keeping{db: db}
	edit = append([]func(*config.Settings){func(s *config.Settings) {
		s.UseCache, s.StateMgmt, s.PersistPrompts, s.VectorApp = true, true, true, "embed"
	}}, edit...)
	k.setup = newSetupKeeping(t, simulator.Options{}, func(s *setup, o *gateway.Options) func() {
		return k.open(t, s, o)
	}, configJSON, edit...)
	return k
}

func (k *keeping) open(t *testing.T, s *setup, o *gateway.Options) (stop func()) {
	t.Helper()
	up := func() bool { return k.db.State().Up }
	k.pool = cache.NewPool(cache.PoolOptions{Index: k.db.Cache(), Now: s.now, Log: o.Log})
	k.threads = memory.NewThreads(k.db.Memory(), memory.Options{Now: s.now, Log: o.Log, Up: up})
	var err error
	k.writer, err = persist.NewWriter(persist.Options{Store: k.db.Prompts(), Dir: t.TempDir(), Up: up, Now: s.now, Log: o.Log})
	if err != nil {
		t.Fatal(err)
	}
	o.Cache, o.Entries = k.pool, k.db.Cache()
	o.Threads, o.Conversations = k.threads, k.db.Memory()
	o.Prompts, o.History = k.writer, k.db.Prompts()
	o.Store = func() gateway.StoreState {
		st := k.db.State()
		return gateway.StoreState{Kind: st.Kind, Up: st.Up, Fault: st.Fault}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var jobs sync.WaitGroup
	for _, run := range []func(context.Context){k.pool.Run, k.threads.Run, k.writer.Run, k.writer.Ship} {
		jobs.Go(func() { run(ctx) })
	}
	return func() {
		cancel()
		jobs.Wait()
		if err := k.db.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	}
}

// eventually waits until f is true: what happens after the answer.
func (k *keeping) eventually(what string, f func() bool) {
	k.t.Helper()
	for deadline := time.After(10 * time.Second); !f(); {
		select {
		case <-deadline:
			k.t.Fatalf("not within 10 s: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// embedApp makes the embeddings.
const embedApp = `{"appId":"embed","appType":"azure_oai","endpoints":[{"apikey":"key-of-embed",
	"uri":"{{sim}}/openai/deployments/embed-ada-002/embeddings?api-version=2024-10-21"}]}`
