package gateway_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"aigateway/db/dbtest"
	"aigateway/db/postgres"
	"aigateway/db/spec"
	"aigateway/persist"
)

// canaryRequests is how many requests TestNothingCrosses sends; CANARY in the
// environment does the same.
var canaryRequests = flag.Int("canary", 0, "requests of the canary test; 100000 is the full form")

// canaries is the number of requests to send: what was asked for, or usual.
func canaries(t *testing.T, usual int) int {
	t.Helper()
	n := *canaryRequests
	if text := os.Getenv("CANARY"); text != "" && n == 0 {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("CANARY is %q, want a number", text)
		}
	}
	if n > 0 {
		return n
	}
	build, _ := debug.ReadBuildInfo()
	if build != nil && slices.Contains(build.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return usual / 3 // everything takes ten times as long
	}
	return usual
}

// canaryCaller is somebody who asks.
type canaryCaller struct{ id, key, tenant string }

// canary is one request and what came of it. Its texts hold nonces that no
// other's do, save that a question may be asked again by anybody.
type canary struct {
	id                           string // x-request-id
	app                          string
	caller                       canaryCaller
	user                         string
	system, question             string // nonces; system is empty in later turns of a thread
	wording                      int    // of the question
	long                         bool   // the system prompt is some 20 kB
	stream                       bool
	thread, answer, cache, layer string // as answered: answer is the completion's own id
}

// flock is the canary's requests.
type flock struct {
	k       *keeping
	callers []canaryCaller
	total   int64
	sent    atomic.Int64
	crossed atomic.Int64 // answers to others that were asked for again, so that they could have crossed

	mu      sync.Mutex // guards what follows
	all     []*canary
	asked   []*canary // questions to be asked again
	threads map[string]*canaryThread
}

// canaryThread is one conversation: what it must hold.
type canaryThread struct {
	app, id   string
	caller    canaryCaller
	questions []string
}

// wordings are ways to ask the same.
var wordings = [...]string{"What does part %s cost today?", "Please tell me what does part %s cost today", "What does part %s cost today, thanks"}

// nonceForm finds nonces in texts.
var nonceForm = regexp.MustCompile(`\b[qs]nonce\d{9}\b`)

// canaryConfig has applications of each scope, with conversations and a cache
// for which all questions of the canaries are near to each other, and callers
// of several tenants.
func canaryConfig() (configJSON string, callers []canaryCaller) {
	var list []string
	for i := range 12 {
		c := canaryCaller{"caller" + strconv.Itoa(i), fmt.Sprintf("key-of-canary-%02d", i), "tenant" + strconv.Itoa(i%4)}
		callers = append(callers, c)
		list = append(list, fmt.Sprintf(`{"id":%q,"key":%q,"apps":["*"],"tenant":%q}`, c.id, c.key, c.tenant))
	}
	apps := []string{embedApp}
	for _, scope := range []string{"app", "tenant", "caller", "user"} {
		for i := range 2 {
			apps = append(apps, chatApp(scope+strconv.Itoa(i), `"cacheSettings":{"useCache":true,"searchDistance":0.6,"scope":"`+scope+`"},`+memoryOn, "gpt-4o"))
		}
	}
	return `{"callers":[` + strings.Join(list, ",") + `],"applications":[` + strings.Join(apps, ",") + `]}`, callers
}

// nonce is a word that nothing else holds.
func (f *flock) nonce(kind string, n int64) string { return fmt.Sprintf("%snonce%09d", kind, n) }

// fly sends requests until all are sent.
func (f *flock) fly(seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 4))
	for {
		n := f.sent.Add(1)
		if n > f.total {
			return
		}
		c := &canary{
			id: fmt.Sprintf("canary-%09d", n), caller: f.callers[dice.IntN(len(f.callers))], user: "user" + strconv.Itoa(dice.IntN(3)),
			app:    []string{"app", "tenant", "caller", "user"}[dice.IntN(4)] + strconv.Itoa(dice.IntN(2)),
			system: f.nonce("s", n), question: f.nonce("q", n), stream: dice.IntN(3) == 0,
			long: dice.IntN(30) == 0,
		}
		switch p := dice.IntN(10); {
		case p < 4: // what was asked before, by anybody, of any application
			if was := f.anyOf(dice); was != nil {
				c.system, c.question, c.long, c.wording = was.system, was.question, was.long, dice.IntN(len(wordings))
				if dice.IntN(4) > 0 {
					c.app = was.app
				}
				switch dice.IntN(8) {
				case 0: // under another system prompt
					c.system = f.nonce("s", n)
				case 1: // another part
					c.question = f.nonce("q", n)
				}
				if dice.IntN(3) == 0 {
					c.caller, c.user = was.caller, was.user
				}
			}
			f.send(c, nil)
		case p < 5: // the same of two callers at once
			f.both(c, dice)
		case p < 6: // near to others in all but the nonce
			f.send(c, nil)
		default: // a conversation
			f.converse(c, dice)
		}
	}
}

// both sends a request, and at the same time another's of the same texts.
func (f *flock) both(c *canary, dice *rand.Rand) {
	other := *c
	other.caller = f.callers[dice.IntN(len(f.callers))]
	var two sync.WaitGroup
	two.Go(func() { f.send(c, nil) })
	if n := f.sent.Add(1); n <= f.total {
		other.id = fmt.Sprintf("canary-%09d", n)
		two.Go(func() { f.send(&other, nil) })
	}
	two.Wait()
}

func (f *flock) anyOf(dice *rand.Rand) *canary {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return nil
	}
	return f.asked[max(0, len(f.asked)-1-dice.IntN(200))]
}

// converse begins a conversation and goes on with it, now and then with two
// turns at once.
func (f *flock) converse(c *canary, dice *rand.Rand) {
	f.send(c, nil)
	if c.thread == "" {
		return
	}
	th := &canaryThread{app: c.app, id: c.thread, caller: c.caller, questions: []string{c.question}}
	f.mu.Lock()
	f.threads[th.id] = th
	f.mu.Unlock()
	for range 1 + dice.IntN(4) {
		var turns sync.WaitGroup
		for range 1 + dice.IntN(5)/4 {
			n := f.sent.Add(1)
			if n > f.total {
				break
			}
			next := *c
			next.id, next.system, next.question, next.stream = fmt.Sprintf("canary-%09d", n), "", f.nonce("q", n), dice.IntN(3) == 0
			turns.Go(func() { f.send(&next, th) })
		}
		turns.Wait()
	}
}

// send sends a request, and looks at its answer.
func (f *flock) send(c *canary, in *canaryThread) {
	t := f.k.t
	messages := fmt.Sprintf(`{"role":"user","content":"`+wordings[c.wording]+`"}`, c.question)
	headers := []string{"Api-Key", c.caller.key, "X-Request-Id", c.id}
	if in == nil {
		system := "You sell for " + c.system + "."
		if c.long { // its buffer is used again for others
			system += strings.Repeat(" Mind "+c.system, 1000)
		}
		messages = `{"role":"system","content":"` + system + `"},` + messages
	} else {
		headers = append(headers, "X-Thread-Id", in.id)
	}
	r := f.k.call(http.MethodPost, "/lb/"+c.app, fmt.Sprintf(`{"user":%q,"stream":%t,"messages":[%s]}`, c.user, c.stream, messages), headers...)
	var text string
	c.answer, text = r.text()
	c.cache, c.layer, c.thread = r.header.Get("X-Cache"), r.header.Get("X-Cache-Layer"), r.header.Get("X-Thread-Id")
	if got := nonceForm.FindAllString(text, -1); r.status != http.StatusOK || !slices.Equal(got, []string{c.question}) || r.header.Get("X-Request-Id") != c.id {
		t.Errorf("%+v: answered %d %q", *c, r.status, r.body)
		return
	}
	if in != nil && c.thread != in.id || c.thread == "" {
		t.Errorf("%+v: x-thread-id %q", *c, c.thread)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, c)
	switch {
	case in != nil:
		in.questions = append(in.questions, c.question)
	case c.cache != "hit":
		f.asked = append(f.asked, c)
	}
}

// wantHitsInScope: what answers from the cache was made by a request of the
// same application, scope, system prompt and question.
func (f *flock) wantHitsInScope() (hits int) {
	t := f.k.t
	made := map[string]*canary{}
	first := map[string]*canary{}
	for _, c := range f.all {
		if c.cache != "hit" {
			if made[c.answer] != nil {
				t.Errorf("two models' answers have the id %s", c.answer)
			}
			made[c.answer] = c
			if c.system != "" {
				first[c.system] = c
			}
		}
	}
	byScope := map[string]int{}
	for _, c := range f.all {
		scope := strings.TrimRight(c.app, "01")
		if c.cache != "hit" {
			if was := first[c.system]; was != nil && was != c {
				f.crossed.Add(1)
			}
			continue
		}
		hits++
		byScope[scope+" "+c.layer]++
		from := made[c.answer]
		switch {
		case from == nil:
			t.Errorf("%+v: a hit on an answer that no model gave", *c)
		case from.app != c.app || from.system != c.system || from.question != c.question,
			scope != "app" && from.caller.tenant != c.caller.tenant,
			(scope == "caller" || scope == "user") && from.caller != c.caller,
			scope == "user" && from.user != c.user:
			t.Errorf("%+v: a hit on the answer to %+v", *c, *from)
		}
	}
	t.Logf("%d hits by scope and layer: %v; %d times there was another's answer, which was not given", hits, byScope, f.crossed.Load())
	for _, scope := range []string{"app", "tenant", "caller", "user"} {
		if byScope[scope+" exact"]+byScope[scope+" semantic"] == 0 {
			t.Errorf("no hit in scope %s: the test shows nothing", scope)
		}
	}
	if f.crossed.Load() == 0 {
		t.Error("nothing was asked in two scopes: the test shows nothing")
	}
	return hits
}

// wantThreadsWhole: every conversation holds its own turns, each once, and is
// its caller's only.
func (f *flock) wantThreadsWhole() (turns int) {
	t := f.k.t
	for _, th := range f.threads {
		r := f.k.call(http.MethodGet, "/sessions/"+th.app+"/"+th.id, "", "Api-Key", th.caller.key)
		var said, answered []string
		for _, m := range gjson.Get(r.body, "interactions.#.messages|@flatten").Array() {
			found := nonceForm.FindString(m.Get("content").String())
			switch m.Get("role").String() {
			case "user":
				said = append(said, found)
			case "assistant":
				answered = append(answered, found)
			}
		}
		// Two turns at once are kept in the order in which their answers ended.
		want := slices.Sorted(slices.Values(th.questions))
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(said))); diff != "" || !slices.Equal(said, answered) {
			t.Errorf("thread %s of %s: answers %q; turns (-want +got):\n%s", th.id, th.caller.id, answered, diff)
		}
		turns += len(said)
		other := f.callers[(slices.Index(f.callers, th.caller)+1)%len(f.callers)]
		if r := f.k.call(http.MethodGet, "/sessions/"+th.app+"/"+th.id, "", "Api-Key", other.key); r.status != http.StatusNotFound {
			t.Errorf("thread %s of %s: %s reads %d", th.id, th.caller.id, other.id, r.status)
		}
	}
	return turns
}

// wantRowsWhole: every request has one row, with its own prompt and answer.
func (f *flock) wantRowsWhole() {
	t := f.k.t
	for _, c := range f.all {
		row, err := f.k.db.Prompts().Record(t.Context(), persist.Ref{App: c.app, RequestID: c.id, Caller: c.caller.id, Tenant: c.caller.tenant})
		if err != nil {
			t.Errorf("%+v: its row: %v", *c, err)
			continue
		}
		asked, answered := slices.Compact(nonceForm.FindAllString(string(row.Prompt), -1)), nonceForm.FindAllString(string(row.Completion), -1)
		want := []string{c.question}
		if c.system != "" {
			want = []string{c.system, c.question}
		}
		if !slices.Equal(asked, want) || !slices.Equal(answered, []string{c.question}) || gjson.GetBytes(row.Completion, "id").String() != c.answer ||
			row.Caller != c.caller.id || row.Tenant != c.caller.tenant || row.User != c.user || row.Thread != c.thread || row.Cached != (c.cache == "hit") {
			t.Errorf("%+v: its row: %+v\n%s\n%s", *c, row.Exchange, row.Prompt, row.Completion)
		}
	}
}

func testNothingCrosses(t *testing.T, db spec.DB, total int) {
	configJSON, callers := canaryConfig()
	k := newKeepingOn(t, db, configJSON)
	f := &flock{k: k, callers: callers, total: int64(total), threads: map[string]*canaryThread{}}
	begun := time.Now()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() { f.fly(uint64(i)) })
	}
	all.Wait()
	took := time.Since(begun)
	k.idle()
	if len(f.all) != total {
		t.Errorf("%d of %d requests were answered as they should", len(f.all), total)
	}
	hits := f.wantHitsInScope()
	turns := f.wantThreadsWhole()
	f.wantRowsWhole()
	if s := k.writer.Stats(); s.Written != int64(total) || s.Lost+s.Rejected != 0 {
		t.Errorf("rows: %+v, want %d written", s, total)
	}
	k.eventually("every connection is back in the pool", func() bool { return db.State().InUse == 0 })
	t.Logf("%d requests in %.1f s: %d hits, %d conversations with %d turns, %d rows; cache %+v",
		total, took.Seconds(), hits, len(f.threads), turns, k.writer.Stats().Written, k.pool.Stats())
}

func TestNothingCrossesOnSQLite(t *testing.T) {
	testNothingCrosses(t, newSQLite(t), canaries(t, 3000))
}

func TestNothingCrossesOnPostgreSQL(t *testing.T) {
	db, err := postgres.Open(t.Context(), dbtest.Postgres(t), spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	testNothingCrosses(t, db, canaries(t, 2400))
}
