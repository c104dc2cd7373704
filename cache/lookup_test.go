package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSameRequestHitsTheExactLayerWithoutAnEmbedding(t *testing.T) {
	b := newBench(t, nil)
	b.learn(chat("what is up"), "the sky")
	made := b.pool.Stats().EmbeddingsMade
	b.clock = b.clock.Add(7 * time.Second)
	hit := b.wantHit(strings.Replace(chat("what is up"), "{", `{"stream":true, `, 1), Exact, "the sky")
	if hit.Age != 7*time.Second || hit.Score != 1 || hit.Entry.ID != 1 {
		t.Errorf("age %v, score %v, id %d; want 7s, 1, 1", hit.Age, hit.Score, hit.Entry.ID)
	}
	if s := b.pool.Stats(); s.EmbeddingsMade != made || b.index.called("Get") != 1 {
		t.Errorf("%d embeddings more, %d times asked the database; want 0 and the first time only", s.EmbeddingsMade-made, b.index.called("Get"))
	}
}

func TestStoredAnswerIsThereBeforeItIsWritten(t *testing.T) {
	b := newBench(t, nil)
	_, miss := b.lookup(chat("now"), anyAge)
	b.cache.Store(miss, "r", done(b, answerOf("yes")), answerOf("yes"), nil)
	b.wantHit(chat("now"), Exact, "yes")
}

func TestNearQuestionHitsTheSemanticLayer(t *testing.T) {
	b := newBench(t, nil)
	b.learn(chat("dormitory"), "a place to sleep")
	hit := b.wantHit(chat("dirty room"), Semantic, "a place to sleep")
	if hit.Score < 0.999 {
		t.Errorf("score %v, want that of equal vectors", hit.Score)
	}
	b.wantMiss(chat("something else altogether"), "miss")
}

func TestWhatIsNotTheQuestionHasToBeEqual(t *testing.T) {
	b := newBench(t, nil)
	b.learn(chat("dormitory"), "a place to sleep")
	for _, body := range []string{
		strings.Replace(chat("dirty room"), `"m"`, `"n"`, 1),
		strings.Replace(chat("dirty room"), "be brief", "be verbose", 1),
		strings.Replace(chat("dirty room"), `{"model"`, `{"temperature":0.1,"model"`, 1),
		strings.Replace(chat("dirty room"), `{"role":"user"`, `{"role":"user","content":"hello"},{"role":"assistant","content":"hi"},{"role":"user"`, 1),
		`{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"dirty room"}]}]}`,
	} {
		b.wantMiss(body, "miss")
	}
	if hit, _ := b.cache.Lookup(t.Context(), parse(t, chat("dormitory")), "completions", Asker{}, anyAge); hit != nil {
		t.Error("an answer of another operation is given")
	}
	if hit, _ := b.pool.For(Settings{App: "app", Deployments: []string{"other"}}).Lookup(t.Context(), parse(t, chat("dormitory")), "chat/completions", Asker{}, anyAge); hit != nil {
		t.Error("an answer of another deployment is given")
	}
}

func TestSettingsThatShapeNoAnswerKeepTheKeys(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Deployments = []string{"x", "y"} })
	b.learn(chat("dormitory"), "a place to sleep")
	b.cache = b.pool.For(Settings{App: "app", Deployments: []string{"y", "x", "y"}, Bound: 0.5, Term: "prompt", Guards: true})
	b.wantHit(chat("dormitory"), Exact, "a place to sleep")
}

func TestGuardRefusesANearQuestionAndTheNextIsTried(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Bound = 0.5 })
	parts := func(one, two string) string {
		return `{"messages":[{"role":"user","content":[{"type":"text","text":` + quote(one) + `},{"type":"text","text":` + quote(two) + `}]}]}`
	}
	b.learn(parts("refund", `within 14 days`), "yes")
	b.wantHit(parts("refund", `within 30 days`), Semantic, "yes")

	b = newBench(t, func(s *Settings) { s.Bound, s.Guards = 0.5, true })
	b.learn(parts("refund", `within 14 days`), "yes")
	hit, miss := b.lookup(parts("refund", `within 30 days`), anyAge)
	if hit != nil || !strings.HasPrefix(miss.Reason, "guard:") || miss.Bypass || !miss.Storable() {
		t.Fatalf("hit %v, miss %+v; want a miss of the guard that is stored", hit, miss)
	}
	b.cache.Store(miss, "r", done(t, answerOf("no")), answerOf("no"), nil)
	b.flush()
	// The third has another key and, in all, the same text. One that the guard
	// refuses is made to look nearer.
	b.learn(parts("a\\n\\nnot 5 km", "b"), "third")
	b.index.set(func() {
		third := b.index.entries[3]
		b.index.entries[1].Vector = slices.Clone(third.Vector)
		third.Vector = slices.Clone(third.Vector)
		third.Vector[25]++
	})
	b.wantHit(parts("a", "not 5 km\\n\\nb"), Semantic, "third")
}

func TestContentBesideTextIsNotCached(t *testing.T) {
	b := newBench(t, nil)
	image := `{"type":"image_url","image_url":{"url":"data:,"}}`
	for _, messages := range []string{
		`{"role":"user","content":[{"type":"text","text":"what is this"},` + image + `]}`,
		`{"role":"user","content":[` + image + `]},{"role":"assistant","content":"a cat"},{"role":"user","content":"sure?"}`,
		`{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}`,
		`{"role":"user","content":[{"type":"file","file":{}}]}`,
		`{"role":"user","content":[{"text":"no type"}]}`,
		`{"role":"user","content":["text"]}`,
		`{"role":"user","content":[{"type":"text","text":5}]}`,
		`{"role":"assistant","content":null,"audio":{"id":"a"}},{"role":"user","content":"go on"}`,
	} {
		if miss := b.wantMiss(`{"messages":[`+messages+`]}`, "content"); !miss.Bypass || miss.Storable() {
			t.Errorf("%s: %+v, want a bypass that stores nothing", messages, miss)
		}
	}
	b.wantMiss(`{"messages":[{"role":"user","content":[{"type":"text","text":"q"}]},{"role":"assistant","audio":null,"content":[{"type":"refusal","refusal":"no"}]},{"role":"user","content":"why"}]}`, "miss")
}

func TestQuestionsThatCannotBeEmbeddedUseTheExactLayer(t *testing.T) {
	body := func(content string) string { return `{"messages":[{"role":"user","content":` + content + `}]}` }
	for name, body := range map[string]string{
		"empty":             body(`""`),
		"blank":             body(`" \n\u00a0"`),
		"null":              body(`null`),
		"NUL":               body(`"a\u0000b"`),
		"half a pair":       body(`"a\ud800"`),
		"long":              body(quote(strings.Repeat("long ", 7000))),
		"answer of a tool":  `{"messages":[{"role":"user","content":"q"},{"role":"tool","tool_call_id":"c","content":"5"}]}`,
		"assistant is last": `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"5"}]}`,
		"token ids":         `{"prompt":[1,2,3]}`,
		"two prompts":       `{"prompt":["a","b"]}`,
		"prompt, by term":   `{"prompt":"a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.learn(body, "it")
			b.wantHit(body, Exact, "it")
			if made := b.pool.Stats().EmbeddingsMade; made != 0 || b.index.called("Nearest") != 0 {
				t.Errorf("%d embeddings, %d searches; want none", made, b.index.called("Nearest"))
			}
		})
	}
}

func TestTermAndRolesSayWhatIsEmbedded(t *testing.T) {
	for _, c := range []struct {
		name, term string
		roles      []string
		body       string
		want       string // the text, if one is embedded
	}{
		{"chat", "messages", []string{"system", "user"}, chat("why"), "why"},
		{"not users", "messages", []string{"system", "assistant"}, chat("why"), ""},
		{"chat by prompt", "prompt", []string{"user"}, chat("why"), ""},
		{"prompt", "prompt", nil, `{"prompt":"wh\u0079"}`, "why"},
		{"prompt in a list", "prompt", nil, `{"prompt":["why"]}`, "why"},
		{"parts", "messages", []string{"user"}, `{"messages":[{"content":[{"text":"a","type":"text"},{"type":"text","text":"b"}],"role":"user"}]}`, "a\n\nb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := ""
			b := newBench(t, func(s *Settings) {
				s.Term, s.Roles = c.term, c.roles
				s.Embed = func(ctx context.Context, t string) (Embedding, error) { text = t; return letters(ctx, t) }
			})
			b.lookup(c.body, anyAge)
			if text != c.want {
				t.Errorf("embedded %q, want %q", text, c.want)
			}
		})
	}
}

func TestScopesDoNotCross(t *testing.T) {
	alice := Asker{Tenant: "t", Caller: "c", User: "u"}
	for _, c := range []struct {
		scope  Scope
		same   []Asker
		others []Asker
	}{
		{ScopeApp, []Asker{{}, {"x", "y", "z"}}, nil},
		{ScopeTenant, []Asker{{"t", "y", "z"}}, []Asker{{"x", "c", "u"}, {"", "c", "u"}}},
		{ScopeCaller, []Asker{{"t", "c", "z"}}, []Asker{{"t", "x", "u"}, {"t", "", "u"}, {"tc", "", "u"}}},
		{ScopeUser, []Asker{alice}, []Asker{{"t", "c", "x"}, {"t", "x", "u"}, {"x", "c", "u"}, {"t", "c", ""}, {"t", "", "cu"}}},
		{"unknown", nil, []Asker{alice}},
	} {
		t.Run(string(c.scope), func(t *testing.T) {
			b := newBench(t, func(s *Settings) { s.Scope = c.scope })
			ask := func(who Asker, question string) *Hit {
				hit, miss := b.cache.Lookup(t.Context(), parse(t, chat(question)), "chat/completions", who, anyAge)
				if hit == nil && who == alice {
					b.cache.Store(miss, "r", done(t, answerOf("a")), answerOf("a"), nil)
					b.flush()
				}
				return hit
			}
			ask(alice, "dormitory")
			for _, who := range c.same {
				if ask(who, "dormitory") == nil || ask(who, "dirty room") == nil {
					t.Errorf("%+v does not share %+v's answer", who, alice)
				}
			}
			for _, who := range c.others {
				if ask(who, "dormitory") != nil || ask(who, "dirty room") != nil {
					t.Errorf("%+v gets %+v's answer", who, alice)
				}
			}
		})
	}
}

func TestAskerUnknownToTheScopeBypasses(t *testing.T) {
	for scope, want := range map[Scope]string{ScopeTenant: "no-tenant", ScopeCaller: "no-caller", ScopeUser: "no-user"} {
		b := newBench(t, func(s *Settings) { s.Scope = scope })
		if miss := b.wantMiss(chat("q"), want); !miss.Bypass || miss.Storable() {
			t.Errorf("%s: %+v, want a bypass that stores nothing", scope, miss)
		}
	}
}

func TestExpiredEntriesAreNotGiven(t *testing.T) {
	for _, layer := range []string{Exact, Semantic} {
		question := map[string]string{Exact: "dormitory", Semantic: "dirty room"}[layer]
		b := newBench(t, func(s *Settings) {
			s.Since = func(now time.Time) time.Time { return now.Add(-time.Minute) }
		})
		b.learn(chat("dormitory"), "old")
		b.clock = b.clock.Add(time.Minute)
		b.wantHit(chat(question), layer, "old")
		b.clock = b.clock.Add(time.Microsecond)
		b.wantMiss(chat(question), "miss")
		b.learn(chat(question), "new")
		b.wantHit(chat(question), Exact, "new")
	}
}

func TestRequestControls(t *testing.T) {
	b := newBench(t, nil)
	b.learn(chat("dormitory"), "first")
	b.clock = b.clock.Add(10 * time.Second)
	for _, c := range []struct {
		name     string
		question string
		ctl      Control
		want     string // layer, or reason of the miss
		bypass   bool
		storable bool
	}{
		{"any age", "dormitory", Control{MaxAge: -1}, Exact, false, false},
		{"young enough", "dormitory", Control{MaxAge: 10 * time.Second}, Exact, false, false},
		{"too old", "dormitory", Control{MaxAge: 9 * time.Second}, "miss", false, true},
		{"near, young enough", "dirty room", Control{MaxAge: 10 * time.Second}, Semantic, false, false},
		{"near, too old", "dirty room", Control{MaxAge: 9 * time.Second}, "miss", false, true},
		{"no-store reads", "dormitory", Control{MaxAge: -1, NoStore: true}, Exact, false, false},
		{"no-store", "new", Control{MaxAge: -1, NoStore: true}, "no-store", false, false},
		{"no-cache", "dormitory", Control{MaxAge: -1, NoRead: true}, "no-cache", true, true},
		{"off for one", "dormitory", Control{MaxAge: -1, NoRead: true, NoStore: true, Why: "use_cache"}, "use_cache", true, false},
	} {
		hit, miss := b.lookup(chat(c.question), c.ctl)
		if hit != nil {
			if hit.Layer != c.want {
				t.Errorf("%s: hit of the %s layer, want %s", c.name, hit.Layer, c.want)
			}
			continue
		}
		if miss.Reason != c.want || miss.Bypass != c.bypass || miss.Storable() != c.storable {
			t.Errorf("%s: %q, bypass %v, storable %v; want %q, %v, %v", c.name, miss.Reason, miss.Bypass, miss.Storable(), c.want, c.bypass, c.storable)
		}
	}
}

func TestNoCacheReplacesTheEntry(t *testing.T) {
	b := newBench(t, nil)
	b.learn(chat("dormitory"), "first")
	_, miss := b.lookup(chat("dormitory"), Control{MaxAge: -1, NoRead: true})
	b.cache.Store(miss, "r", done(t, answerOf("second")), answerOf("second"), nil)
	b.wantHit(chat("dormitory"), Exact, "second")
	b.flush()
	b.wantHit(chat("dirty room"), Semantic, "second")
	if len(b.index.entries) != 1 {
		t.Errorf("%d entries, want 1", len(b.index.entries))
	}
}

func TestNoStoreLeavesNoEmbedding(t *testing.T) {
	b := newBench(t, nil)
	b.lookup(chat("secret"), Control{MaxAge: -1, NoStore: true})
	if s := b.pool.Stats(); s.EmbeddingsMade != 1 || s.Embeddings != 0 {
		t.Errorf("%d made, %d kept; want 1, 0", s.EmbeddingsMade, s.Embeddings)
	}
}

func TestCacheThatIsOffStoresNothing(t *testing.T) {
	var c *Cache
	hit, miss := c.Lookup(t.Context(), parse(t, chat("q")), "chat/completions", Asker{}, anyAge)
	if hit != nil || miss.Reason != "off" || !miss.Bypass || miss.Storable() {
		t.Errorf("%v, %+v; want a bypass that is off", hit, miss)
	}
	c.Store(miss, "r", done(t, answerOf("a")), answerOf("a"), nil)
	var none *Miss
	if none.Storable() {
		t.Error("no miss is storable")
	}
}

func TestEmbeddingsOfOtherModelsAndWidthsAreNotCompared(t *testing.T) {
	model, width := "one", 3
	b := newBench(t, func(s *Settings) {
		s.Embed = func(_ context.Context, text string) (Embedding, error) {
			return Embedding{Vector: []float32{1, 2, 3, 4}[:width], Model: model}, nil
		}
	})
	b.learn(chat("a"), "a")
	b.wantHit(chat("b"), Semantic, "a")
	model = "two"
	b.wantMiss(chat("c"), "miss")
	model, width = "one", 4
	b.wantMiss(chat("d"), "miss")
}

func TestMemoryAsksTheDatabaseAgainAfterHalfAMinute(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Embed = nil })
	b.learn(chat("q"), "first")
	b.index.set(func() { clear(b.index.entries) }) // by another replica
	b.clock = b.clock.Add(recheck)
	b.wantHit(chat("q"), Exact, "first")
	b.clock = b.clock.Add(time.Nanosecond)
	b.wantMiss(chat("q"), "miss")
	b.wantMiss(chat("q"), "miss")
	if s := b.pool.Stats(); s.Entries != 0 {
		t.Errorf("%d entries in memory, want none", s.Entries)
	}
}

func TestMemoryTakesWhatAnotherReplicaStored(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Embed = nil })
	b.learn(chat("q"), "first")
	b.index.set(func() {
		e := *b.index.entries[1]
		e.ID, e.Answer = 9, answerOf("second")
		delete(b.index.entries, 1)
		b.index.entries[9] = &e
	})
	b.clock = b.clock.Add(recheck + 1)
	for range 3 {
		if hit := b.wantHit(chat("q"), Exact, "second"); hit.Entry.ID != 9 {
			t.Errorf("entry %d, want 9", hit.Entry.ID)
		}
	}
}

func TestStoreFaultsAreMissesThatSaySo(t *testing.T) {
	for _, c := range []struct {
		method, reason string
		storable       bool
	}{{"Get", "store-unavailable", false}, {"Nearest", "store-unavailable", true}, {"Entry", "store-unavailable", true}} {
		for _, hang := range []bool{false, true} {
			t.Run(fmt.Sprint(c.method, hang), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, nil)
					b.pool.now = time.Now
					b.learn(chat("dormitory"), "a")
					b.pool.recent = newRecent(1 << 20)
					b.index.set(func() {
						if b.index.hang[c.method] = hang; !hang {
							b.index.fail[c.method] = errors.New("down")
						}
					})
					begun := time.Now()
					if miss := b.wantMiss(chat("dirty room"), c.reason); miss.Bypass || miss.Storable() != c.storable {
						t.Errorf("%+v, want storable %v", miss, c.storable)
					}
					want := time.Duration(0)
					if hang {
						want = defaultLookup
					}
					if took := time.Since(begun); took != want {
						t.Errorf("took %v, want %v", took, want)
					}
					if n := b.pool.Stats().Faults; n != 1 {
						t.Errorf("%d faults, want 1", n)
					}
					b.index.set(func() { clear(b.index.fail); clear(b.index.hang) })
					b.wantHit(chat("dirty room"), Semantic, "a")
				})
			})
		}
	}
}

func TestOneLookupHasOneTimeForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(s *Settings) { s.LookupTimeout = time.Second })
		b.pool.now = time.Now
		b.learn(chat("dormitory"), "a")
		b.pool.recent = newRecent(1 << 20)
		b.index.hook = func(string) { <-time.After(400 * time.Millisecond) }
		begun := time.Now()
		b.wantMiss(chat("dirty room"), "store-unavailable") // Get, Nearest, and no time for Entry
		if took := time.Since(begun); took != 1200*time.Millisecond {
			t.Errorf("took %v, want three calls of the fake, the last in vain", took)
		}
	})
}

func TestClientThatLeavesIsNoFaultOfTheStore(t *testing.T) {
	b := newBench(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, miss := b.cache.Lookup(ctx, parse(t, chat("q")), "chat/completions", Asker{}, anyAge)
	if miss == nil || miss.Reason != "canceled" || b.pool.Stats().Faults != 0 {
		t.Errorf("%+v, %d faults; want canceled, none", miss, b.pool.Stats().Faults)
	}
}

func TestEntriesThatAreNotWhatWasAskedForAreNotGiven(t *testing.T) {
	b := newBench(t, nil)
	b.learn(chat("dormitory"), "a")
	b.pool.recent = newRecent(1 << 20)
	broken := &wrongIndex{fakeIndex: b.index}
	b.pool.index = broken
	b.wantMiss(chat("dormitory"), "miss")
	b.wantMiss(chat("dirty room"), "miss")
}

// wrongIndex answers with other entries than it is asked for.
type wrongIndex struct{ *fakeIndex }

func (w *wrongIndex) Get(ctx context.Context, app string, key Hash) (*Entry, error) {
	e, err := w.Entry(ctx, app, 1)
	if e != nil {
		e.Key[0]++
	}
	return e, err
}

func (w *wrongIndex) Nearest(context.Context, Query) ([]Near, error) {
	return []Near{{ID: 1, Score: 1, Created: time.Unix(1<<40, 0)}}, nil
}

func (w *wrongIndex) Entry(ctx context.Context, app string, id int64) (*Entry, error) {
	e, err := w.fakeIndex.Entry(ctx, app, id)
	if e != nil {
		e.Bucket[0]++
	}
	return e, err
}

func TestMetricsAndTheirBounds(t *testing.T) {
	vectors := map[string][]float32{"a": {3, 4}, "b": {3, 0}}
	for _, c := range []struct {
		metric Metric
		bound  float64
		hit    bool
	}{
		{Cosine, 0.6, false}, {Cosine, 0.5999, true}, {Euclid, 4, false}, {Euclid, 4.001, true}, {InnerProduct, 9, false}, {InnerProduct, 8.999, true},
	} {
		b := newBench(t, func(s *Settings) {
			s.Metric, s.Bound = c.metric, c.bound
			s.Embed = func(_ context.Context, text string) (Embedding, error) {
				return Embedding{Vector: vectors[text]}, nil
			}
		})
		b.learn(chat("a"), "a")
		if hit, _ := b.lookup(chat("b"), anyAge); (hit != nil) != c.hit {
			t.Errorf("%s, bound %v: hit %v, want %v", c.metric, c.bound, hit != nil, c.hit)
		}
	}
}

func TestAnswersDoNotCrossUnderConcurrency(t *testing.T) {
	const apps, users, rounds = 4, 5, 500
	index := newFakeIndex()
	pool := NewPool(PoolOptions{Index: index, EntryBytes: 64 << 10}) // small, so that entries come and go
	ctx, stop := context.WithCancel(t.Context())
	var run, asking sync.WaitGroup
	run.Go(func() { pool.Run(ctx) })
	for app := range apps {
		c := pool.For(Settings{App: fmt.Sprint("app", app), Scope: ScopeUser, Metric: Euclid, Bound: 0.5, Roles: []string{"user"}, Embed: letters})
		for user := range users {
			asking.Go(func() {
				who := Asker{User: fmt.Sprint("user", user)}
				for i := range rounds {
					question := strings.Repeat("x", i%7) + strings.Repeat("y", i%11)
					if i%3 == 0 { // asked in other words
						question = strings.Repeat("y", i%11) + strings.Repeat("x", i%7)
					}
					nonce := fmt.Sprint(app, "/", user, "/", len(question), strings.Count(question, "x"))
					hit, miss := c.Lookup(ctx, parse(t, chat(question)), "chat/completions", who, anyAge)
					if hit != nil {
						if string(hit.Entry.Answer) != string(answerOf(nonce)) {
							t.Errorf("%s got %s", nonce, hit.Entry.Answer)
						}
						continue
					}
					c.Store(miss, "r", done(t, answerOf(nonce)), answerOf(nonce), nil)
				}
			})
		}
	}
	asking.Wait()
	stop()
	run.Wait()
	if s := pool.Stats(); s.Stored == 0 || s.Faults != 0 || s.Waiting != 0 {
		t.Errorf("%+v: want entries stored, and none left", s)
	}
}

func TestHitCostsFewAllocations(t *testing.T) {
	b := newBench(t, nil)
	b.learn(chat("q"), "a")
	req, ctx := parse(t, chat("q")), t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if hit, _ := b.cache.Lookup(ctx, req, "chat/completions", Asker{}, anyAge); hit == nil {
			t.Fatal("miss")
		}
	}); n > 2 {
		t.Errorf("%v allocations, want the hit and the look-up", n)
	}
}

func TestMissRefersToNothingOfTheRequest(t *testing.T) {
	b := newBench(t, func(s *Settings) { s.Scope = ScopeUser })
	body := []byte(chat("dormitory"))
	_, miss := b.cache.Lookup(t.Context(), parse(t, string(body)), "chat/completions", Asker{User: "u"}, anyAge)
	before := *miss
	text := strings.Clone(miss.text)
	clear(body)
	if diff := cmp.Diff(text, before.text); diff != "" || text != "dormitory" {
		t.Errorf("the question became %q", miss.text)
	}
}

func BenchmarkExactHit(b *testing.B) {
	pool := NewPool(PoolOptions{Index: newFakeIndex()})
	c := pool.For(Settings{App: "app"})
	req := parse(b, chat("How do I reset my password?"))
	_, miss := c.Lookup(b.Context(), req, "chat/completions", Asker{}, anyAge)
	c.Store(miss, "r", done(b, answerOf("a")), answerOf("a"), nil)
	b.ReportAllocs()
	for b.Loop() {
		c.Lookup(b.Context(), req, "chat/completions", Asker{}, anyAge)
	}
}
