package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestUselessEmbeddingsAreMissesAndTheAnswerIsStoredExactly(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, vector := range map[string][]float32{
		"nothing": nil, "no width": {}, "too wide": make([]float32, maxWidth+1), "zeros": {0, 0, 0}, "NaN": {1, nan}, "infinite": {inf, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(s *Settings) {
				s.Embed = func(context.Context, string) (Embedding, error) { return Embedding{Vector: vector}, nil }
			})
			miss := b.wantMiss(chat("dormitory"), "embedding-failed")
			b.cache.Store(miss, "r", done(t, answerOf("a")), answerOf("a"), nil)
			b.flush()
			if e := b.index.entries[1]; e == nil || e.Vector != nil || e.Text != "" || e.Bucket != (Hash{}) {
				t.Errorf("stored %+v, want an entry of the exact layer", e)
			}
			b.wantHit(chat("dormitory"), Exact, "a")
			if s := b.pool.Stats(); s.EmbeddingsFailed != 1 || s.Embeddings != 0 {
				t.Errorf("%d failed, %d kept; want 1, 0", s.EmbeddingsFailed, s.Embeddings)
			}
		})
	}
}

func TestFailingEmbedderIsAskedAgain(t *testing.T) {
	fail := true
	b := newBench(t, func(s *Settings) {
		s.Embed = func(ctx context.Context, text string) (Embedding, error) {
			if fail {
				return Embedding{}, errors.New("429")
			}
			return letters(ctx, text)
		}
	})
	b.wantMiss(chat("q"), "embedding-failed")
	fail = false
	b.wantMiss(chat("q"), "miss")
}

func TestSlowEmbedderIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(s *Settings) {
			s.EmbedTimeout = time.Second
			s.Embed = func(ctx context.Context, _ string) (Embedding, error) {
				<-ctx.Done()
				return Embedding{}, ctx.Err()
			}
		})
		begun := time.Now()
		b.wantMiss(chat("q"), "embedding-failed")
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
	})
}

func TestEmbeddingsAreRemembered(t *testing.T) {
	b := newBench(t, nil)
	for range 3 {
		b.wantMiss(chat("q"), "miss")
	}
	if s := b.pool.Stats(); s.EmbeddingsMade != 1 || s.EmbeddingsRemembered != 2 {
		t.Errorf("%d made, %d remembered; want 1, 2", s.EmbeddingsMade, s.EmbeddingsRemembered)
	}
	b.cache = b.pool.For(Settings{App: "app", Roles: []string{"user"}, Embed: letters, EmbedKey: "others"})
	b.wantMiss(chat("q"), "miss")
	if s := b.pool.Stats(); s.EmbeddingsMade != 2 {
		t.Errorf("%d made, want another by another embedder", s.EmbeddingsMade)
	}
}

func TestMemoryOfEmbeddingsIsBounded(t *testing.T) {
	es := newEmbeddings(10_000)
	for i := range 1000 {
		if _, err := es.of(t.Context(), letters, "e", strings.Repeat("q", i), time.Second, true); err != nil {
			t.Fatal(err)
		}
	}
	if n, bytes := es.size(); n < 20 || bytes > 10_000 {
		t.Errorf("%d embeddings, %d bytes; want at most 10000 bytes, well used", n, bytes)
	}
}

func TestEqualTextsInFlightAreEmbeddedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		release := make(chan struct{})
		b := newBench(t, func(s *Settings) {
			s.Embed = func(ctx context.Context, text string) (Embedding, error) {
				calls.Add(1)
				<-release
				return letters(ctx, text)
			}
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { b.wantMiss(chat("q"), "miss") })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if s := b.pool.Stats(); calls.Load() != 1 || s.EmbeddingsMade != 1 || s.EmbeddingsShared != 49 {
			t.Errorf("%d calls, %d made, %d shared; want 1, 1, 49", calls.Load(), s.EmbeddingsMade, s.EmbeddingsShared)
		}
	})
}

func TestFirstClientThatLeavesDoesNotEndTheOthersEmbedding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		by := func(ctx context.Context, text string) (Embedding, error) {
			select {
			case <-ctx.Done():
				return Embedding{}, ctx.Err()
			case <-release:
				return letters(ctx, text)
			}
		}
		es := newEmbeddings(1 << 20)
		ask := func(ctx context.Context) error {
			_, err := es.of(ctx, by, "e", "text", time.Minute, true)
			return err
		}
		leader, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { ask(leader) })
		synctest.Wait()
		wg.Go(func() {
			if err := ask(t.Context()); err != nil {
				t.Errorf("the one who waits: %v", err)
			}
		})
		impatient, leaveToo := context.WithCancel(t.Context())
		wg.Go(func() {
			if err := ask(impatient); !errors.Is(err, context.Canceled) {
				t.Errorf("the one who left: %v, want canceled", err)
			}
		})
		synctest.Wait()
		leave()
		leaveToo()
		synctest.Wait()
		close(release)
		wg.Wait()
	})
}

func TestPanicOfTheEmbedderReleasesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		es := newEmbeddings(1 << 20)
		ask := func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			_, err = es.of(t.Context(), func(context.Context, string) (Embedding, error) {
				<-release
				panic("broken")
			}, "e", "text", time.Minute, true)
			return err
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if ask() == nil {
					t.Error("an embedding came of a panic")
				}
			})
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if len(es.flying) != 0 {
			t.Error("the flight goes on")
		}
	})
}
