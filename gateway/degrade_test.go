package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/tidwall/gjson"

	"aigateway/cache"
	"aigateway/db/dbtest"
	"aigateway/db/postgres"
	"aigateway/db/spec"
)

// watchedDB counts what the cache asks of a database in requests, and how
// often it waited in vain.
type watchedDB struct {
	spec.DB
	asked, waited atomic.Int64
}

func (db *watchedDB) Cache() cache.Index { return &watchedIndex{db.DB.Cache(), db} }

type watchedIndex struct {
	cache.Index
	db *watchedDB
}

func (x *watchedIndex) Get(ctx context.Context, app string, key cache.Hash) (*cache.Entry, error) {
	e, err := x.Index.Get(ctx, app, key)
	x.note(ctx, err)
	return e, err
}

func (x *watchedIndex) Nearest(ctx context.Context, q cache.Query) ([]cache.Near, error) {
	near, err := x.Index.Nearest(ctx, q)
	x.note(ctx, err)
	return near, err
}

func (x *watchedIndex) note(ctx context.Context, err error) {
	x.db.asked.Add(1)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		x.db.waited.Add(1)
	}
}

// The clientele's kinds of requests.
const (
	plainChat   = "new chat"
	plainStream = "new stream"
	newQuestion = "new question"
	oldQuestion = "known question"
	newThread   = "new conversation"
	knownThread = "known conversation"
	underWay    = "turn under way" // of a known conversation, when it happens
)

// most is the longest that anything may take: far above every budget that is
// in force, so that slow machines pass, and far below a hang.
const most = 15 * time.Second

// clients is how many send requests at once.
const clients = 8

// clientele sends requests of every kind and keeps what came of them.
type clientele struct {
	k      *keeping
	serial atomic.Int64

	mu      sync.Mutex                // guards what follows
	kept    []string                  // ids of requests that were answered, so that rows are due
	threads map[string][]string       // by id, the questions that were answered
	seen    map[string]map[string]int // of a phase: by kind, what was answered and how often
	longest map[string]time.Duration  // of a phase, by kind
}

// note keeps what a request was answered.
func (f *clientele) note(kind, saw, id string, r reply) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[kind] == nil {
		f.seen[kind] = map[string]int{}
	}
	f.seen[kind][saw]++
	f.longest[kind] = max(f.longest[kind], r.took)
	if r.status == http.StatusOK {
		f.kept = append(f.kept, id)
	}
}

// begin begins a new phase.
func (f *clientele) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.longest = map[string]map[string]int{}, map[string]time.Duration{}
}

// round sends one request of each kind. thread is a conversation of the
// client's own; empty begins it.
func (f *clientele) round(thread string) (begun string) {
	for _, kind := range []string{plainChat, newQuestion, plainStream, knownThread, oldQuestion, newThread} {
		id := "request-" + strconv.FormatInt(f.serial.Add(1), 10)
		question, path, members, in := "What is behind door "+id+"?", "/lb/plain", "", ""
		switch kind {
		case plainStream:
			members = `"stream":true,`
		case newQuestion:
			path = "/lb/cached"
		case oldQuestion:
			path, question = "/lb/cached", "What is a gateway?"
		case newThread:
			path = "/lb/bot"
			if len(id)%2 == 0 {
				members = `"stream":true,`
			}
		case knownThread:
			if path, in = "/lb/bot", thread; in == "" {
				continue
			}
		}
		headers := []string{"X-Request-Id", id}
		if in != "" {
			headers = append(headers, "X-Thread-Id", in)
		}
		body := ask(members, question)
		if kind == plainChat {
			body = reminded(members, question)
		}
		r := f.k.call(http.MethodPost, path, body, headers...)
		f.note(kind, f.saw(kind, in, question, r), id, r)
		if kind == newThread && r.header.Get("X-Thread-Id") != "" {
			begun = r.header.Get("X-Thread-Id")
		}
	}
	return begun
}

// reminder is a system message so long that its request's buffer is used again
// for others.
func reminder(question string) string { return strings.Repeat("Mind this: "+question+" ", 500) }

// reminded is ask with a reminder in front.
func reminded(members, question string) string {
	return `{` + members + `"messages":[{"role":"system","content":"` + reminder(question) + `"},{"role":"user","content":"` + question + `"}]}`
}

// turn sends a request of a conversation, whose answer takes a while.
func (f *clientele) turn(thread string, stream bool) {
	id := "request-" + strconv.FormatInt(f.serial.Add(1), 10)
	question := "What is behind door " + id + "?"
	r := f.k.call(http.MethodPost, "/lb/bot", reminded(fmt.Sprintf(`"user":"sim:latency=500ms","stream":%t,`, stream), question), "X-Request-Id", id, "X-Thread-Id", thread)
	f.note(underWay, f.saw(underWay, thread, question, r), id, r)
}

// during does something while each client has sent a turn and waits.
func (f *clientele) during(threads []string, do func()) {
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { f.turn(threads[i], i%2 == 0) })
	}
	f.k.eventually("turns are under way", func() bool { return f.k.sim.Open() == clients })
	do()
	all.Wait()
}

// saw says in few words how a request was answered, and fails the test when
// the matrix knows no such answer.
func (f *clientele) saw(kind, thread, question string, r reply) string {
	saw := strconv.Itoa(r.status)
	if r.status == http.StatusOK {
		if _, text := r.text(); !strings.Contains(text, question) || strings.HasPrefix(r.body, "data:") && !strings.HasSuffix(r.body, "data: [DONE]\n\n") {
			f.k.t.Errorf("%s: asked %q, was answered %q", kind, question, r.body)
		}
	}
	switch kind {
	case newQuestion, oldQuestion:
		saw += ", x-cache: " + r.header.Get("X-Cache")
	case newThread, knownThread, underWay:
		status, id := r.header.Get("X-Thread-Status"), r.header.Get("X-Thread-Id")
		if status != "" {
			saw += ", x-thread-status: " + status
		}
		switch {
		case r.status == http.StatusServiceUnavailable && thread != "":
			if r.header.Get("Retry-After") == "" || gjson.Get(r.body, "error.code").String() != "storeUnavailable" {
				f.k.t.Errorf("%s: retry-after %q, %s", kind, r.header.Get("Retry-After"), r.body)
			}
			return saw + ", retry-after"
		case r.status == http.StatusOK && status == "unavailable":
			if id != "" || thread != "" {
				f.k.t.Errorf("%s: x-thread-id %q beside x-thread-status %q", kind, id, status)
			}
		case r.status == http.StatusOK && (status == "" || status == "pending"):
			if id == "" || thread != "" && id != thread {
				f.k.t.Errorf("%s %q: x-thread-id %q", kind, thread, id)
			}
			f.mu.Lock()
			f.threads[id] = append(f.threads[id], question)
			f.mu.Unlock()
		default:
			f.k.t.Errorf("%s: %d, x-thread-status %q, %s", kind, r.status, status, r.body)
		}
		return saw
	}
	if r.status != http.StatusOK {
		f.k.t.Errorf("%s: %d %s, want 200", kind, r.status, r.body)
	}
	return saw
}

// run sends rounds of requests from all clients, each in a conversation of
// its own.
func (f *clientele) run(threads []string, rounds int, each func()) {
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for range rounds {
				if begun := f.round(threads[i]); threads[i] == "" {
					threads[i] = begun
				}
				if each != nil && i == 0 {
					each()
				}
			}
		})
	}
	all.Wait()
}

// want fails the test when a kind was answered otherwise than in these ways.
func (f *clientele) want(phase, kind string, ways ...string) {
	f.k.t.Helper()
	for _, fault := range f.others(kind, ways...) {
		f.k.t.Errorf("%s: %s", phase, fault)
	}
}

// others tells how a kind was answered otherwise than in these ways.
func (f *clientele) others(kind string, ways ...string) (faults []string) {
	for saw, times := range f.seen[kind] {
		if !slices.Contains(ways, saw) {
			faults = append(faults, fmt.Sprintf("%s: %d times %q, want %q", kind, times, saw, ways))
		}
	}
	if len(f.seen[kind]) == 0 {
		faults = append(faults, kind+": never asked")
	}
	return faults
}

// wantHealthy sends rounds until everything is answered as with a store that
// is well: on a slow machine the first look-ups run out of time while the
// connections are made anew.
func (f *clientele) wantHealthy(phase string, threads []string) {
	f.k.t.Helper()
	const guarded = "200, x-cache: miss; reason=guard:"
	var faults []string
	for range 20 {
		f.begin()
		f.run(threads, 1, nil)
		faults = slices.Concat(
			f.others(newQuestion, "200, x-cache: miss", guarded+"identifiers", guarded+"numbers"),
			f.others(oldQuestion, "200, x-cache: hit", "200, x-cache: miss", guarded+"identifiers"),
			f.others(newThread, "200"), f.others(knownThread, "200"))
		if len(faults) == 0 {
			return
		}
	}
	f.k.t.Errorf("%s: 20 rounds later: %q", phase, faults)
}

// lines are the matrix's lines for a phase.
func (f *clientele) lines(phase string) string {
	f.k.t.Helper()
	var b strings.Builder
	b.WriteString(phase + "\n")
	for _, kind := range []string{underWay, plainChat, plainStream, newQuestion, oldQuestion, newThread, knownThread} {
		if len(f.seen[kind]) == 0 {
			continue
		}
		var ways []string
		for _, saw := range slices.Sorted(maps.Keys(f.seen[kind])) {
			ways = append(ways, fmt.Sprintf("%d × %s", f.seen[kind][saw], saw))
		}
		fmt.Fprintf(&b, "    %-18s  longest %5.2f s  %s\n", kind, f.longest[kind].Seconds(), strings.Join(ways, " | "))
		if f.longest[kind] > most {
			f.k.t.Errorf("%s: %s: %v", phase, kind, f.longest[kind])
		}
	}
	return b.String()
}

// statement runs a statement beside the gateway, on its database's server.
func statement(t *testing.T, dsn, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestDegradationIsAsTheMatrixSays(t *testing.T) {
	server := testServer(t)
	dsn := dbtest.Postgres(t)
	name := dsn[strings.LastIndex(dsn, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	proxy, through := dbtest.NewProxy(t, dsn)
	pg, err := postgres.Open(t.Context(), through, spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db := &watchedDB{DB: pg}
	k := newKeepingOn(t, db, applications(embedApp, chatApp("plain", "", "gpt-4o"), chatApp("cached", cacheOn, "gpt-4o"), chatApp("bot", memoryOn, "gpt-4o")))

	ctx, cancel := context.WithCancel(context.Background())
	var checks sync.WaitGroup
	checks.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ctx.Err() == nil; {
			select {
			case <-tick.C:
				_ = db.Check(ctx) // State tells how it ended
			case <-ctx.Done():
				tick.Stop()
			}
		}
	})
	t.Cleanup(func() { cancel(); checks.Wait(); proxy.Stop() })

	ready := func() (string, string) {
		_, _, body := k.get("/readyz")
		return gjson.Get(body, "status").String(), gjson.Get(body, "dependencies.store").String()
	}
	f := &clientele{k: k, threads: map[string][]string{}}
	threads, others := make([]string, clients), make([]string, clients)
	f.begin()
	f.run(threads, 2, nil) // conversations begin, the known question is kept
	f.run(others, 1, nil)
	k.idle()

	var table strings.Builder
	table.WriteString("\n")
	const kill = `; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s' AND pid <> pg_backend_pid()`
	for _, phase := range []struct {
		name string
		down bool // the store stays away until it is healed
		hurt func()
		each func() // after each round of one of the clients
		heal func()
	}{
		{"well", false, func() {}, nil, func() {}},
		{"refuses connections", true, proxy.Refuse, nil, proxy.Heal},
		{"accepts, never answers", true, proxy.Silence, nil, proxy.Heal},
		{"crashes again and again", false, proxy.Reset, proxy.Reset, func() {}},
		{"200 ms slower", false, func() { proxy.Delay(200 * time.Millisecond) }, nil, proxy.Heal},
		{"2 s slower", true, func() { proxy.Delay(2 * time.Second) }, nil, proxy.Heal},
		{
			"stopped by its operator", true,
			func() {
				statement(t, server, fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS false"+kill, name, name))
			}, nil,
			func() { statement(t, server, fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS true", name)) },
		},
		{
			"read-only", true,
			func() {
				statement(t, server, fmt.Sprintf("ALTER DATABASE %s SET default_transaction_read_only = on"+kill, name, name))
			}, nil,
			func() {
				statement(t, server, fmt.Sprintf("ALTER DATABASE %s RESET default_transaction_read_only"+kill, name, name))
			},
		},
	} {
		// It breaks under traffic. What the first requests see depends on the
		// moment: saw knows all that may be.
		db.waited.Store(0)
		f.begin()
		f.during(others, func() {
			phase.hurt()
			f.run(threads, 2, phase.each)
		})
		first := f.lines(phase.name + ", at first")
		if phase.down {
			k.eventually(phase.name+": the store is found to be down", func() bool { return !db.State().Up })
			first += fmt.Sprintf("    %d look-ups waited in vain\n", db.waited.Load())
			if n := db.waited.Load(); n > 3*clients {
				t.Errorf("%s: %d look-ups waited in vain, want at most %d", phase.name, n, 3*clients)
			}
			table.WriteString(first)

			// Then nothing waits for it any more.
			db.waited.Store(0)
			f.begin()
			f.run(threads, 2, nil)
			f.want(phase.name, newQuestion, "200, x-cache: miss; reason=store-unavailable")
			f.want(phase.name, oldQuestion, "200, x-cache: hit", "200, x-cache: miss; reason=store-unavailable")
			f.want(phase.name, newThread, "200, x-thread-status: unavailable")
			f.want(phase.name, knownThread, "503, retry-after")
			if n := db.waited.Load(); n != 0 {
				t.Errorf("%s: %d look-ups waited in vain though the store was known to be down", phase.name, n)
			}
			if n := k.writer.Stats(); n.Queued+n.SpooledRows == 0 || n.Lost+n.Rejected != 0 {
				t.Errorf("%s: prompts do not wait: %+v", phase.name, n)
			}
			state, why := ready()
			if state != "degraded" || why == "OK" || why == "" {
				t.Errorf("%s: readyz says %q, store %q", phase.name, state, why)
			}
			for _, page := range []string{"/sessions/bot", "/cache/cached", "/requests/plain/request-1"} {
				if status, h, body := k.get(page, "Authorization", "Bearer "+adminKey); status != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
					t.Errorf("%s: %s: %d %s", phase.name, page, status, body)
				}
			}
			table.WriteString(f.lines(phase.name + ", then"))
			fmt.Fprintf(&table, "    readyz: %s, store: %s; %d prompts and %d turns wait\n", state, why, k.writer.Stats().SpooledRows, k.threads.Stats().Pending)
		} else {
			table.WriteString(first)
		}

		// It comes back, and nobody has to do anything.
		phase.heal()
		k.eventually(phase.name+": the store is found to be back", func() bool {
			state, _ := ready()
			return db.State().Up && state == "OK"
		})
		k.idle()
		f.wantHealthy("after "+phase.name, threads)
		k.idle()
		k.eventually(phase.name+": every connection is back in the pool", func() bool { return db.State().InUse == 0 })
		table.WriteString(f.lines("after " + phase.name))
	}
	t.Log(table.String())

	wantRowsOnce(t, k, dsn, f.kept)
	wantTurnsOnce(t, k, f.threads)
}

// wantRowsOnce: of each request that was answered there is one row.
func wantRowsOnce(t *testing.T, k *keeping, dsn string, ids []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `SELECT requestid, count(*) FROM apigtwyprompts GROUP BY requestid`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	var id string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { got[id] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for _, id := range ids {
		want[id] = 1
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows by request (-want +got):\n%s", diff)
	}
	t.Logf("%d requests were answered, %d rows are stored, %+v", len(want), len(got), k.writer.Stats())
}

// wantTurnsOnce: every conversation holds the turns that were answered, each
// once, in order.
func wantTurnsOnce(t *testing.T, k *keeping, threads map[string][]string) {
	t.Helper()
	turns := 0
	for id, want := range threads {
		_, _, body := k.get("/sessions/bot/"+id, "Authorization", "Bearer "+adminKey)
		var got []string
		for _, turn := range gjson.Get(body, "interactions.#.messages").Array() {
			asked := turn.Get(`#(role=="user").content`).String()
			got = append(got, asked)
			if system := turn.Get(`#(role=="system").content`).String(); system != "" && system != reminder(asked) {
				t.Errorf("thread %s: beside the question %q stands %q", id, asked, system)
			}
			if answer := turn.Get(`#(role=="assistant").content`).String(); !strings.Contains(answer, asked) {
				t.Errorf("thread %s: the question %q is answered %q", id, asked, answer)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("thread %s (-want +got):\n%s", id, diff)
		}
		turns += len(got)
	}
	t.Logf("%d conversations hold %d turns", len(threads), turns)
}
