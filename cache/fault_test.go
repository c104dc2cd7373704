package cache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

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
	for name, spoil := range map[string]func(*Entry){
		"application":    func(e *Entry) { e.App = "other" },
		"key and bucket": func(e *Entry) { e.Key[0]++; e.Bucket[0]++ },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.learn(chat("dormitory"), "a")
			b.pool.recent = newRecent(1 << 20)
			b.pool.index = &wrongIndex{b.index, spoil}
			b.wantMiss(chat("dormitory"), "miss")
			b.wantMiss(chat("dirty room"), "miss")
		})
	}
}

// wrongIndex answers with other entries than it is asked for.
type wrongIndex struct {
	*fakeIndex
	spoil func(*Entry)
}

func (w *wrongIndex) Get(ctx context.Context, app string, key Hash) (*Entry, error) {
	e, err := w.fakeIndex.Get(ctx, app, key)
	if e != nil {
		w.spoil(e)
	}
	return e, err
}

func (w *wrongIndex) Entry(ctx context.Context, app string, id int64) (*Entry, error) {
	e, err := w.fakeIndex.Entry(ctx, app, id)
	if e != nil {
		w.spoil(e)
	}
	return e, err
}
