package gateway_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

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
	frozen  atomic.Pointer[time.Time] // the gateway's clock stands here; nil when it runs
}

// now is the gateway's clock.
func (k *keeping) now() time.Time {
	if at := k.frozen.Load(); at != nil {
		return *at
	}
	return k.setup.now()
}

// freeze stops the gateway's clock.
func (k *keeping) freeze(at time.Time) { k.frozen.Store(&at) }

// newKeeping starts a gateway on an embedded store of its own, with cache,
// memory and prompts on; embeddings are made by the application "embed".
func newKeeping(t *testing.T, configJSON string, edit ...func(*config.Settings)) *keeping {
	t.Helper()
	return newKeepingOn(t, newSQLite(t), configJSON, edit...)
}

// newSQLite is an embedded store, empty.
func newSQLite(t *testing.T) spec.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "gateway.db"), spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// newKeepingOn is newKeeping on a given store, which it closes.
func newKeepingOn(t *testing.T, db spec.DB, configJSON string, edit ...func(*config.Settings)) *keeping {
	t.Helper()
	return newKeepingSim(t, simulator.Options{}, db, configJSON, edit...)
}

// newKeepingSim is newKeepingOn with a simulator that has options.
func newKeepingSim(t *testing.T, o simulator.Options, db spec.DB, configJSON string, edit ...func(*config.Settings)) *keeping {
	t.Helper()
	k := &keeping{db: db}
	edit = append([]func(*config.Settings){func(s *config.Settings) {
		s.UseCache, s.StateMgmt, s.PersistPrompts, s.VectorApp = true, true, true, "embed"
	}}, edit...)
	newSetupKeeping(t, o, func(s *setup, o *gateway.Options) func() {
		return k.open(t, s, o)
	}, configJSON, edit...)
	return k
}

func (k *keeping) open(t *testing.T, s *setup, o *gateway.Options) (stop func()) {
	t.Helper()
	k.setup, o.Now = s, k.now
	up := func() bool { return k.db.State().Up }
	k.pool = cache.NewPool(cache.PoolOptions{Index: k.db.Cache(), Now: k.now, Log: o.Log})
	k.threads = memory.NewThreads(k.db.Memory(), memory.Options{Now: k.now, Log: o.Log, Up: up})
	var err error
	k.writer, err = persist.NewWriter(persist.Options{Store: k.db.Prompts(), Dir: t.TempDir(), Up: up, Now: k.now, Log: o.Log})
	if err != nil {
		t.Fatal(err)
	}
	o.Cache, o.Entries = k.pool, k.db.Cache()
	o.Threads, o.Conversations = k.threads, k.db.Memory()
	o.Prompts, o.History = k.writer, k.db.Prompts()
	if o.Settings.Ledger {
		o.Ledger = k.db.Ledger()
	}
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

// reply is what a request was answered.
type reply struct {
	status int
	header http.Header
	body   string
	took   time.Duration
}

// text is what the model said in a chat completion, streamed or not; id is the
// completion's own.
func (r *reply) text() (id, text string) {
	if !strings.HasPrefix(r.header.Get("Content-Type"), "text/event-stream") {
		return gjson.Get(r.body, "id").String(), gjson.Get(r.body, "choices.0.message.content").String()
	}
	var b strings.Builder
	for event := range strings.SplitSeq(r.body, "\n\n") {
		data := gjson.Parse(strings.TrimPrefix(event, "data: "))
		id = cmp.Or(id, data.Get("id").String())
		b.WriteString(data.Get("choices.0.delta.content").String())
	}
	return id, b.String()
}

// call is do for goroutines beside the test's own: a fault fails the test
// without ending it.
func (k *keeping) call(method, path, body string, headers ...string) (r reply) {
	begun := time.Now()
	req, err := http.NewRequestWithContext(k.t.Context(), method, k.url+path, strings.NewReader(body))
	if err != nil {
		k.t.Errorf("%s %s: %v", method, path, err)
		return r
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := k.client.Do(req)
	if err != nil {
		k.t.Errorf("%s %s: %v", method, path, err)
		return r
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Errorf("%s %s: reading the answer: %v", method, path, err)
	}
	return reply{resp.StatusCode, resp.Header, string(all), time.Since(begun)}
}

// idle waits until every request is settled, and nothing waits to be stored any
// more; a batch of cache entries may still be on its way.
func (k *keeping) idle() {
	k.t.Helper()
	k.eventually("every request is settled", func() bool {
		_, _, text := k.get("/metrics?format=prometheus")
		return strings.Contains(text, "\ngateway_in_flight_requests 0\n")
	})
	k.eventually("nothing waits to be stored", func() bool {
		w, p := k.writer.Stats(), k.pool.Stats()
		return w.Queued+w.SpooledRows == 0 && p.Waiting == 0 && k.threads.Stats().Pending == 0
	})
}

// entries waits until the store holds as many cache entries of an application.
func (k *keeping) entries(app string, want int) {
	k.t.Helper()
	k.eventually(fmt.Sprintf("%d entries of %s", want, app), func() bool {
		list, err := k.db.Cache().List(k.t.Context(), app, 0, want+1)
		return err == nil && len(list) == want
	})
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

// testServer is the URL of the server that tests may make databases on.
func testServer(t *testing.T) string {
	t.Helper()
	server := os.Getenv("TEST_DATABASE_URL")
	if server == "" {
		t.Fatal("TEST_DATABASE_URL is not set: run `make test`, or `scripts/test-postgres go test ./…`")
	}
	return server
}
