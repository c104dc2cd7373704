package persist

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRowsThatComeTogetherShareAnInsert(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{}
		w := start(t, Options{Store: store, Dir: dir})
		for n := range 100 { // 2 ms apart: ten in a linger
			w.Write(row(n))
			later(2 * time.Millisecond)
		}
		later(time.Second)
		if len(store.got()) != 100 || store.calls > 20 {
			t.Errorf("%d rows in %d inserts", len(store.got()), store.calls)
		}
	})
}

func TestRowsWaitOnDiskWhileTheDatabaseIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{fault: errRefused}
		w := start(t, Options{Store: store, Dir: dir, SegmentBytes: 4 << 10})
		for n := range 50 {
			w.Write(row(n))
			later(100 * time.Millisecond)
		}
		s := w.Stats()
		if s.Queued != 0 || s.SpooledRows != 50 || s.SpooledBytes == 0 || s.Written != 0 || s.Lost != 0 || !s.OldestSpooled.Equal(row(0).Start) {
			t.Errorf("%+v", s)
		}
		if s.LastError != "database: did not take rows" || s.LastErrorAt.IsZero() {
			t.Errorf("last error %q at %s", s.LastError, s.LastErrorAt)
		}
		if n := w.log.count("database takes no history"); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
		store.set(nil)
		later(longestPause + time.Second)
		if d := cmp.Diff(ids(0, 50), store.got()); d != "" {
			t.Error(d)
		}
		if s := w.Stats(); s.SpooledRows != 0 || s.SpooledBytes != 0 || s.Written != 50 || !s.OldestSpooled.IsZero() {
			t.Errorf("%+v", s)
		}
		if n := w.log.count("database takes history again"); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
	})
}

func TestADatabaseThatIsDownIsAskedLessAndLess(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{fault: errRefused}
		w := start(t, Options{Store: store, Dir: dir})
		w.Write(row(1))
		later(time.Minute)
		// 0.1, 0.2, … 3.2 s apart, then 5 s.
		if store.calls < 15 || store.calls > 20 {
			t.Errorf("asked %d times in a minute", store.calls)
		}
	})
}

func TestADatabaseKnownToBeDownIsNotAsked(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{}
		var mu sync.Mutex
		up := false
		w := start(t, Options{Store: store, Dir: dir, Up: func() bool { mu.Lock(); defer mu.Unlock(); return up }})
		w.Write(row(0))
		later(time.Minute)
		if store.calls != 0 {
			t.Errorf("asked %d times", store.calls)
		}
		mu.Lock()
		up = true
		mu.Unlock()
		later(longestPause + time.Second)
		if d := cmp.Diff(ids(0, 1), store.got()); d != "" {
			t.Error(d)
		}
	})
}

func TestASlowDatabaseHoldsUpNeitherWritesNorTheSpool(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{hold: func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Second):
				return nil
			}
		}}
		w := start(t, Options{Store: store, Dir: dir})
		w.Write(row(0))
		later(time.Second) // the insert hangs
		began := time.Now()
		for n := 1; n < 1000; n++ {
			w.Write(row(n))
		}
		if !time.Now().Equal(began) {
			t.Error("Write waits for the database")
		}
		synctest.Wait()
		if s := w.Stats(); s.Queued != 0 || s.SpooledRows != 1000 {
			t.Errorf("%+v", s)
		}
		later(5 * time.Minute)
		if d := cmp.Diff(ids(0, 1000), store.got()); d != "" {
			t.Error(d)
		}
	})
}

func TestAnInsertThatHangsIsEndedAndTriedWithFewerRows(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		var sizes []int // of the inserts
		store := &fakeStore{hold: func(ctx context.Context) error {
			if len(sizes) <= 2 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		store.see = func(_ context.Context, records []*Record) { sizes = append(sizes, len(records)) }
		w := start(t, Options{Store: store, Dir: dir, BatchRows: 100})
		synctest.Wait() // or the first insert may find one row only
		for n := range 250 {
			w.Write(row(n))
		}
		later(insertTimeout + time.Second)
		if s := w.Stats(); s.LastError != "database: timed out" {
			t.Errorf("last error %q", s.LastError)
		}
		later(insertTimeout + time.Second)
		if d := cmp.Diff([]int{100, 50, 25, 50, 100, 75}, sizes); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(ids(0, 250), store.got()); d != "" {
			t.Error(d)
		}
	})
}

func TestTheEndShipsWhatIsQueued(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		for _, d := range []string{dir, ""} {
			store := &fakeStore{}
			w := start(t, Options{Store: store, Dir: d, BatchRows: 7})
			for n := range 40 {
				w.Write(row(n))
			}
			w.stop()
			if d := cmp.Diff(ids(0, 40), store.got()); d != "" {
				t.Error(d)
			}
		}
	})
}

func TestTheEndLeavesOnDiskWhatTheDatabaseDoesNotTake(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{hold: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		w := start(t, Options{Store: store, Dir: dir})
		for n := range 40 {
			w.Write(row(n))
		}
		later(time.Second)
		began := time.Now()
		w.stop()
		if d := time.Since(began); d != lastShipping {
			t.Errorf("the end took %s, want %s", d, lastShipping)
		}
		w.Write(row(99)) // too late
		if s := w.Stats(); s.Lost != 1 {
			t.Errorf("%d lost, want 1", s.Lost)
		}

		store = &fakeStore{}
		w = start(t, Options{Store: store, Dir: dir})
		if s := w.Stats(); s.SpooledRows != 40 || !s.OldestSpooled.Equal(row(0).Start) {
			t.Errorf("at the start %+v", s)
		}
		w.Write(row(40))
		later(time.Second)
		if d := cmp.Diff(ids(0, 41), store.got()); d != "" {
			t.Error(d)
		}
	})
}

func TestTheEndTriesADatabaseThatIsDownForRowsThatAreNowhereElse(t *testing.T) {
	inBubble(t, func(t *testing.T, _ string) {
		store := &fakeStore{}
		w := start(t, Options{Store: store, Up: func() bool { return false }})
		w.Write(row(0))
		later(time.Second)
		w.stop()
		if d := cmp.Diff(ids(0, 1), store.got()); d != "" {
			t.Error(d)
		}
	})
}

func TestTheEndCountsWhatIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, _ string) {
		w := start(t, Options{Store: &fakeStore{fault: errRefused}})
		w.Write(row(0))
		w.Write(row(1))
		w.stop()
		if s := w.Stats(); s.Lost != 2 || w.log.count("history was lost") != 1 {
			t.Errorf("%+v, log: %s", s, w.log)
		}
	})
}

func TestTwoProcessesShareASpool(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{}
		a := start(t, Options{Store: store, Dir: dir})
		b := start(t, Options{Store: store, Dir: dir})
		for n := range 20 {
			[]*running{a, b}[n%2].Write(row(n))
		}
		later(2 * adoptEvery)
		if len(store.got()) != 20 || store.repeats != 0 {
			t.Errorf("%d rows, %d repeated", len(store.got()), store.repeats)
		}
		if found := files(t, dir, "*"); len(found) != 2 {
			t.Errorf("folders %v, want two", found)
		}
	})
}

func TestWhatADeadProcessLeftIsTakenOverByAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{}
		a := start(t, Options{Store: store, Dir: dir})
		dead := start(t, Options{Store: &fakeStore{fault: errRefused}, Dir: dir})
		for n := range 30 {
			dead.Write(row(n))
		}
		later(time.Second)
		dead.stop()
		later(adoptEvery + time.Second)
		if d := cmp.Diff(ids(0, 30), store.got()); d != "" {
			t.Error(d)
		}
		if left := files(t, dir, "1/*.seg"); len(left) != 0 {
			t.Errorf("%v is left", left)
		}
		if s := a.Stats(); s.Written != 30 || s.SpooledRows != 0 || s.SpooledBytes != 0 {
			t.Errorf("%+v", s)
		}
		next := start(t, Options{Store: store, Dir: dir}) // the folder is free again
		if got := filepath.Base(next.own.path); got != "1" {
			t.Errorf("the next process took folder %s, want 1", got)
		}
	})
}
