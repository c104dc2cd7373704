package cache

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// running runs f beside the pool's Run, in a bubble whose clock is the pool's.
// stop ends Run and waits for it.
func running(t *testing.T, edit func(*Settings), f func(b *bench, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, edit)
		b.pool.now = time.Now
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.pool.Run(ctx) })
		stop := func() { cancel(); wg.Wait() }
		defer stop()
		f(b, stop)
	})
}

// keep stores an answer to a question that is not known.
func (b *bench) keep(question, answer string) {
	b.Helper()
	_, miss := b.lookup(chat(question), anyAge)
	if miss == nil {
		b.Fatalf("%s is known", question)
	}
	b.cache.Store(miss, "r", done(b, answerOf(answer)), answerOf(answer), nil)
}

func exactOnly(s *Settings) { s.Embed = nil }

func TestEntriesAreStoredAsTheyCome(t *testing.T) {
	running(t, exactOnly, func(b *bench, _ func()) {
		begun := time.Now()
		b.keep("q", "a")
		synctest.Wait()
		if s := b.pool.Stats(); s.Stored != 1 || s.Waiting != 0 || time.Since(begun) != 0 {
			t.Errorf("%d stored, %d wait after %v; want 1, 0 at once", s.Stored, s.Waiting, time.Since(begun))
		}
		if hit := b.wantHit(chat("q"), Exact, "a"); hit.Entry.ID != 1 {
			t.Errorf("entry %d, want 1", hit.Entry.ID)
		}
	})
}

func TestEntriesAreStoredInBatches(t *testing.T) {
	running(t, exactOnly, func(b *bench, _ func()) {
		release := make(chan struct{})
		b.index.hook = func(method string) {
			if method == "Add" {
				<-release
			}
		}
		b.keep("first", "a")
		synctest.Wait()
		for i := range 250 {
			b.keep(fmt.Sprint(i), "a")
		}
		close(release)
		synctest.Wait()
		if got, want := b.index.batches, []int{1, 100, 100, 50}; !slices.Equal(got, want) {
			t.Errorf("batches of %v, want %v", got, want)
		}
	})
}

func TestHitsAreReportedTogether(t *testing.T) {
	running(t, exactOnly, func(b *bench, stop func()) {
		b.keep("q", "a")
		b.keep("r", "b")
		synctest.Wait()
		for range 3 {
			b.wantHit(chat("q"), Exact, "a")
		}
		b.wantHit(chat("r"), Exact, "b")
		at := time.Now()
		if b.index.called("Touch") != 0 {
			t.Error("reported at each hit")
		}
		time.Sleep(report) //nolint:forbidigo // the bubble's clock, not the machine's
		synctest.Wait()
		slices.SortFunc(b.index.uses, func(a, b Use) int { return cmp.Compare(a.ID, b.ID) })
		if want := []Use{{1, 3, at}, {2, 1, at}}; !slices.Equal(b.index.uses, want) {
			t.Errorf("reported %v, want %v", b.index.uses, want)
		}
		b.wantHit(chat("q"), Exact, "a")
		stop()
		if n := len(b.index.uses); n != 3 {
			t.Errorf("%d reports, want that of the last hit at the end", n)
		}
	})
}

func TestRunStoresWhatWaitsWhenItEnds(t *testing.T) {
	running(t, exactOnly, func(b *bench, stop func()) {
		b.index.set(func() { b.index.hang["Add"] = true })
		for i := range 150 {
			b.keep(fmt.Sprint(i), "a")
		}
		synctest.Wait() // the first batch hangs
		b.index.set(func() { b.index.hang["Add"] = false })
		stop()
		if s := b.pool.Stats(); s.Stored != 150 || s.Dropped != 0 {
			t.Errorf("%d stored, %d dropped; want 150, 0", s.Stored, s.Dropped)
		}
	})
}

func TestRunEndsInItsTime(t *testing.T) {
	running(t, exactOnly, func(b *bench, stop func()) {
		b.index.set(func() { b.index.hang["Add"] = true })
		for i := range 150 {
			b.keep(fmt.Sprint(i), "a")
		}
		synctest.Wait()
		begun := time.Now()
		stop()
		if took := time.Since(begun); took != lastLimit {
			t.Errorf("took %v, want %v", took, lastLimit)
		}
		if s := b.pool.Stats(); s.Dropped != 150 {
			t.Errorf("%d dropped, want 150", s.Dropped)
		}
	})
}

func TestOutageIsLoggedOnceAndDropsWhatItMeets(t *testing.T) {
	var log bytes.Buffer
	running(t, exactOnly, func(b *bench, _ func()) {
		b.pool.log = slog.New(slog.NewTextHandler(&log, nil))
		b.index.set(func() { b.index.fail["Add"] = errors.New("refused") })
		for i := range 3 {
			b.keep(fmt.Sprint("lost", i), "a")
			synctest.Wait()
		}
		b.wantMiss(chat("lost1"), "miss") // memory has only what the database has
		b.index.set(func() { clear(b.index.fail) })
		b.keep("kept", "a")
		synctest.Wait()
		if s := b.pool.Stats(); s.Dropped != 3 || s.Stored != 1 {
			t.Errorf("%d dropped, %d stored; want 3, 1", s.Dropped, s.Stored)
		}
		text := log.String()
		if strings.Count(text, "level=WARN") != 1 || strings.Count(text, "level=INFO") != 1 || strings.Contains(text, "lost") {
			t.Errorf("log, want one warning and one all-clear, without content:\n%s", text)
		}
	})
}

func TestSlowDatabaseLosesABatchNotThePool(t *testing.T) {
	running(t, exactOnly, func(b *bench, _ func()) {
		b.index.set(func() { b.index.hang["Add"] = true })
		b.keep("lost", "a")
		time.Sleep(writeLimit) //nolint:forbidigo // the bubble's clock, not the machine's
		synctest.Wait()
		b.index.set(func() { clear(b.index.hang) })
		b.keep("kept", "a")
		synctest.Wait()
		if s := b.pool.Stats(); s.Dropped != 1 || s.Stored != 1 {
			t.Errorf("%d dropped, %d stored; want 1, 1", s.Dropped, s.Stored)
		}
	})
}

func TestApplicationsAreTrimmedToTheirBounds(t *testing.T) {
	bounded := func(s *Settings) { s.Embed, s.MaxEntries = nil, 700 }
	running(t, bounded, func(b *bench, _ func()) {
		for i := range 2000 {
			b.keep(fmt.Sprint(i), "a")
		}
		tick := func() {
			time.Sleep(report) //nolint:forbidigo // the bubble's clock, not the machine's
			synctest.Wait()
		}
		if tick(); len(b.index.entries) != 700 {
			t.Errorf("%d entries, want 700", len(b.index.entries))
		}
		calls := b.index.called("Trim")
		if tick(); b.index.called("Trim") != calls {
			t.Error("trimmed although nothing was added")
		}
		b.cache = b.pool.For(Settings{App: "app", MaxBytes: 10_000})
		b.index.set(func() { b.index.fail["Trim"] = errors.New("down") })
		tick()
		b.index.set(func() { clear(b.index.fail) })
		tick()
		var bytes int64
		for _, e := range b.index.entries {
			bytes += e.Size()
		}
		if bytes > 10_000 || bytes < 9_000 {
			t.Errorf("%d bytes after new bounds and a fault, want about 10000", bytes)
		}
	})
}

func TestApplicationsWithoutBoundsAreNotTrimmed(t *testing.T) {
	running(t, exactOnly, func(b *bench, _ func()) {
		b.keep("q", "a")
		time.Sleep(2 * report) //nolint:forbidigo // the bubble's clock, not the machine's
		if n := b.index.called("Trim"); n != 0 {
			t.Errorf("trimmed %d times", n)
		}
	})
}

func TestHitsOfTooManyEntriesAreNotCounted(t *testing.T) {
	var u uses
	now := time.Unix(1, 0)
	for i := range maxUses + 10 {
		u.add(&Entry{ID: int64(i + 1)}, Use{ID: int64(i + 1), Hits: 1, Last: now})
	}
	u.add(&Entry{ID: 1}, Use{ID: 1, Hits: 1, Last: now.Add(-1)})
	u.add(&Entry{}, Use{Hits: 1, Last: now})
	list := u.take()
	first := slices.IndexFunc(list, func(u Use) bool { return u.ID == 1 })
	if len(list) != maxUses || list[first] != (Use{1, 2, now}) {
		t.Errorf("%d entries, the first %v; want %d, 2 hits at the later time", len(list), list[first], maxUses)
	}
	if len(u.take()) != 0 {
		t.Error("hits are told twice")
	}
}
