package dbtest

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"aigateway/cache"
	"aigateway/db/spec"
	"aigateway/persist"
)

func runState(t *testing.T, open func(t *testing.T) spec.DB) {
	parallel(t, "an open database is up and says what it is", func(t *testing.T) {
		db := open(t)
		ok(t, "checking", db.Check(t.Context()))
		s := db.State()
		if !s.Up || s.Fault != "" || s.Schema < 1 || s.Since.IsZero() {
			t.Errorf("got %+v, want it up, with a schema", s)
		}
		kind, version, _ := strings.Cut(s.Kind, " ")
		if kind != "sqlite" && kind != "postgresql" || version == "" {
			t.Errorf("kind %q, want a name and a version", s.Kind)
		}
	})

	parallel(t, "one at a time holds a lock", func(t *testing.T) {
		db := open(t)
		unlock, free, err := db.Lock(t.Context(), "a")
		if err != nil || !free {
			t.Fatalf("first: %v, %v", free, err)
		}
		if _, free, err := db.Lock(t.Context(), "a"); free || err != nil {
			t.Errorf("second: %v, %v, want it taken", free, err)
		}
		other, free, err := db.Lock(t.Context(), "b")
		if err != nil || !free {
			t.Fatalf("other name: %v, %v", free, err)
		}
		unlock()
		again, free, err := db.Lock(t.Context(), "a")
		if err != nil || !free {
			t.Fatalf("after unlock: %v, %v", free, err)
		}
		unlock() // the first holder's, too late
		if _, free, err := db.Lock(t.Context(), "a"); free || err != nil {
			t.Errorf("a second unlock gave another's lock back: %v, %v", free, err)
		}
		again()
		other()
		if _, free, err := db.Lock(ended(), "a"); err == nil {
			t.Errorf("with an ended context: %v, nil, want an error", free)
		}
	})

	parallel(t, "of many who want a lock at once one has it", func(t *testing.T) {
		db := open(t)
		var holders, most, taken atomic.Int64
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for range 20 {
					unlock, free, err := db.Lock(t.Context(), "contested")
					if err != nil {
						t.Errorf("locking: %v", err)
						return
					}
					if !free {
						continue
					}
					taken.Add(1)
					if n := holders.Add(1); n > most.Load() {
						most.Store(n)
					}
					holders.Add(-1)
					unlock()
				}
			})
		}
		wg.Wait()
		if most.Load() != 1 || taken.Load() == 0 {
			t.Errorf("%d had it at once, %d in all, want 1 at once", most.Load(), taken.Load())
		}
	})

	parallel(t, "after Close everything fails and nothing panics", func(t *testing.T) {
		db := open(t)
		add(t, db.Cache(), entry("app", "q", 1, 0, 0))
		ok(t, "closing", db.Close())
		_, _, lockErr := db.Lock(t.Context(), "a")
		for name, err := range map[string]error{
			"Get":     second(db.Cache().Get(t.Context(), "app", cache.Hash{})),
			"Add":     db.Cache().Add(t.Context(), []*cache.Entry{entry("app", "r", 1, 0, 0)}),
			"Nearest": second(db.Cache().Nearest(t.Context(), query("app", cache.Cosine, 0, 1, 0, 0))),
			"Append":  db.Memory().Append(t.Context(), start("app", "q")),
			"Thread":  second(db.Memory().Thread(t.Context(), "app", "t", 0)),
			"Insert":  second(db.Prompts().Insert(t.Context(), []*persist.Record{record("app", base())})),
			"Usage":   second(db.Ledger().Usage(t.Context(), persist.UsageQuery{From: base(), To: after(1)}, 1)),
			"Minutes": second(db.Ledger().Minutes(t.Context(), "", base(), after(1))),
			"Check":   db.Check(t.Context()),
			"Lock":    lockErr,
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if db.State().Up {
			t.Error("a closed database is up")
		}
		if err := db.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}
