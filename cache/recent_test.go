package cache

import (
	"testing"
	"time"
)

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

func TestPopularEntryIsAskedForOnce(t *testing.T) {
	b := newBench(t, exactOnly)
	b.learn(chat("q"), "a")
	b.clock = b.clock.Add(recheck + 1)
	others := 0
	b.index.hook = func(string) { // while the first asks the database
		if others++; others < 10 {
			b.wantHit(chat("q"), Exact, "a")
		}
	}
	before := b.index.called("Get")
	b.wantHit(chat("q"), Exact, "a")
	if n := b.index.called("Get") - before; n != 1 {
		t.Errorf("asked for %d times, want once", n)
	}
}
