package cache

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
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

// wrongIndex answers with other entries than it is asked for.

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
	least := math.MaxFloat64 // a pool may lose what it holds at any time
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, func() {
			if hit, _ := b.cache.Lookup(ctx, req, "chat/completions", Asker{}, anyAge); hit == nil {
				t.Fatal("miss")
			}
		}))
	}
	if least > 1 {
		t.Errorf("%v allocations, want the hit alone", least)
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
