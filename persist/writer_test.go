package persist

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// later lets the bubble's clock go on.
func later(d time.Duration) { <-time.After(d) }

// inBubble runs a test whose clock is its own.
func inBubble(t *testing.T, f func(t *testing.T, dir string)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	synctest.Test(t, func(t *testing.T) { f(t, dir) })
}

func TestRowsReachTheDatabaseInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{}
		w := start(t, Options{Store: store, Dir: dir, BatchRows: 10})
		for n := range 95 {
			w.Write(row(n))
		}
		later(time.Second)
		if d := cmp.Diff(ids(0, 95), store.got()); d != "" {
			t.Error(d)
		}
		if store.largest > 10 {
			t.Errorf("an insert of %d rows, at most 10 may be", store.largest)
		}
		want := Stats{Written: 95}
		if d := cmp.Diff(want, w.Stats()); d != "" {
			t.Error(d)
		}
		if left := files(t, dir, "*/*.seg"); len(left) != 1 || sizeOf(t, left...) != 0 {
			t.Errorf("%d bytes in %v after all was shipped", sizeOf(t, left...), left)
		}
		w.stop()
		if left := files(t, dir, "*/*.seg"); len(left) != 0 {
			t.Errorf("%v is left", left)
		}
	})
}

func sizeOf(t testing.TB, paths ...string) (sum int64) {
	t.Helper()
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

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

func TestNilWriterKeepsNoHistory(t *testing.T) {
	var w *Writer
	w.Write(row(1))
	if d := cmp.Diff(Stats{}, w.Stats()); d != "" {
		t.Error(d)
	}
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

func TestRejectedRowsAreKeptBesideTheSpool(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{reject: func(r *Record) bool { return r.ID == row(1).ID || r.ID == row(2).ID }}
		w := start(t, Options{Store: store, Dir: dir})
		for n := range 4 {
			r := row(n)
			if n == 2 {
				r.Prompt = []byte("no JSON \xff")
			}
			w.Write(r)
		}
		later(time.Second)
		if d := cmp.Diff([]string{row(0).ID, row(3).ID}, store.got()); d != "" {
			t.Error(d)
		}
		if s := w.Stats(); s.Rejected != 2 || s.Written != 2 || s.SpooledRows != 0 {
			t.Errorf("%+v", s)
		}
		path := filepath.Join(dir, "0", "rejected.jsonl")
		kept, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(kept)), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], row(1).ID) || !strings.Contains(lines[0], "said-in-confidence") || !strings.Contains(lines[1], "no JSON \ufffd") {
			t.Errorf("%q", lines)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if w.log.count("rejected") != 1 || w.log.count("said-in-confidence") != 0 {
			t.Errorf("log: %s", w.log)
		}
	})
}

func TestRejectedRowsAreBounded(t *testing.T) {
	f, _ := folderOf(t, t.TempDir(), 0)
	path := filepath.Join(f.path, "rejected.jsonl")
	for range 3 {
		if err := f.keepRejected(epoch, row(1)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, rejectedBytes-1); err != nil { // a hole: it takes no space
			t.Fatal(err)
		}
	}
	if err := f.keepRejected(epoch, row(1)); err != nil {
		t.Fatal(err)
	}
	found := files(t, f.path, "rejected*")
	if len(found) != 2 || sizeOf(t, path) > 2000 || sizeOf(t, found...) > 2*rejectedBytes {
		t.Errorf("%v, %d bytes", found, sizeOf(t, found...))
	}
}

func TestMemoryIsBoundedAndWhatIsOverItIsLostAloud(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{fault: errRefused}
		const room = 100
		w := start(t, Options{Store: store, QueueBytes: room * weight(row(1))})
		for n := range 150 {
			w.Write(row(n))
		}
		if s := w.Stats(); s.Queued != room || s.Lost != 50 || s.QueuedBytes != room*weight(row(1)) {
			t.Errorf("%+v", s)
		}
		if n := w.log.count("history is being lost"); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
		store.set(nil)
		later(time.Minute)
		if d := cmp.Diff(ids(0, room), store.got()); d != "" {
			t.Error(d)
		}
		if !strings.Contains(w.log.String(), `msg="history was lost" rows=50`) {
			t.Errorf("log: %s", w.log)
		}
		w.Write(row(room))
		later(time.Second)
		if s := w.Stats(); s.Written != room+1 || s.Lost != 50 || s.Queued != 0 || s.QueuedBytes != 0 {
			t.Errorf("afterwards %+v", s)
		}
	})
}

func TestSpooledRowsInMemoryAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{fault: errRefused}
		w := start(t, Options{Store: store, Dir: dir, QueueBytes: 64 << 10, SegmentBytes: 16 << 10})
		for n := range 1000 {
			w.Write(row(n))
			synctest.Wait()
			if w.own.liveBytes > 16<<10 {
				t.Fatalf("%d bytes in memory", w.own.liveBytes)
			}
		}
		if s := w.Stats(); s.SpooledRows != 1000 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
		store.set(nil)
		later(time.Minute)
		if d := cmp.Diff(ids(0, 1000), store.got()); d != "" {
			t.Error(d)
		}
	})
}

func TestAFullSpoolPassesOnToMemoryAndRecovers(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{fault: errRefused}
		w := start(t, Options{Store: store, Dir: dir, SpoolBytes: 20 << 10, SegmentBytes: 4 << 10})
		for n := range 100 {
			w.Write(row(n))
			later(10 * time.Millisecond)
			if s := w.Stats(); s.SpooledBytes > 20<<10 || sizeOf(t, files(t, dir, "*/*.seg")...) > 20<<10 {
				t.Fatalf("the spool has %d bytes", s.SpooledBytes)
			}
		}
		s := w.Stats()
		if !s.Blocked || s.SpooledRows == 0 || s.Queued == 0 || s.SpooledRows+s.Queued != 100 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
		if n := w.log.count("history spool cannot be written"); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
		store.set(nil)
		later(time.Minute)
		if d := cmp.Diff(ids(0, 100), store.got()); d != "" {
			t.Error(d)
		}
		w.Write(row(100))
		later(2 * time.Second)
		if s := w.Stats(); s.Blocked || s.Queued != 0 || s.SpooledBytes != 0 || s.Written != 101 {
			t.Errorf("afterwards %+v", s)
		}
	})
}

func TestARowTooLargeForTheSpoolGoesToTheDatabaseItself(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{}
		w := start(t, Options{Store: store, Dir: dir, SpoolBytes: 20 << 10})
		big := row(0)
		big.Prompt = []byte(`"` + strings.Repeat("x", 30<<10) + `"`)
		w.Write(big)
		w.Write(row(1))
		later(5 * time.Second)
		if d := cmp.Diff(ids(0, 2), store.got()); d != "" {
			t.Error(d)
		}
		if s := w.Stats(); s.Queued != 0 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestASpoolThatCannotBeWrittenIsPassedByAndRecovers(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{}
		w := start(t, Options{Store: store, Dir: dir, SegmentBytes: 1})
		w.Write(row(0))
		later(time.Second)
		folder := filepath.Join(dir, "0")
		if err := os.Rename(folder, folder+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(folder, nil, 0o600); err != nil { // permissions do not bind root
			t.Fatal(err)
		}
		w.own.mu.Lock()
		w.own.seal() // so that a new segment is needed
		w.own.mu.Unlock()
		for n := 1; n < 50; n++ {
			w.Write(row(n))
		}
		later(5 * time.Second)
		if d := cmp.Diff(ids(0, 50), store.got()); d != "" {
			t.Error(d)
		}
		if s := w.Stats(); !s.Blocked || s.LastError != "spool: not a directory" || s.Lost != 0 || s.Queued != 0 {
			t.Errorf("%+v", s)
		}
		if err := os.Remove(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(folder+".away", folder); err != nil {
			t.Fatal(err)
		}
		store.set(errRefused)
		w.Write(row(50))
		later(5 * time.Second)
		if s := w.Stats(); s.Blocked || s.SpooledRows != 1 {
			t.Errorf("afterwards %+v", s)
		}
	})
}

func TestASpoolThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewWriter(Options{Store: &fakeStore{}, Dir: file}); err == nil || !strings.Contains(err.Error(), "history spool") {
		t.Errorf("error %v", err)
	}
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

func TestManyWritersAtOnceLoseNothing(t *testing.T) {
	store := &fakeStore{}
	var mu sync.Mutex
	calls := 0
	store.hold = func(context.Context) error { // each third insert fails
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls%3 == 0 {
			return errRefused
		}
		return nil
	}
	w := start(t, Options{Store: store, Dir: filepath.Join(t.TempDir(), "spool"), SegmentBytes: 32 << 10, QueueBytes: 8 << 20, BatchRows: 50})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 250 {
				w.Write(row(g*1000 + n))
				w.Stats()
			}
		})
	}
	wg.Wait()
	w.stop()
	left := start(t, Options{Store: &fakeStore{}, Dir: w.o.Dir}).Stats().SpooledRows
	if s := w.Stats(); s.Written+left != 2000 || s.Lost != 0 {
		t.Errorf("%+v, %d on disk", s, left)
	}
	last := map[string]string{} // by writer
	for _, id := range store.got() {
		g := id[:len(id)-3]
		if last[g] >= id {
			t.Fatalf("%s came after %s", id, last[g])
		}
		last[g] = id
	}
}

func TestLogsAndErrorsHoldNoContent(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{fault: fmt.Errorf("dial tcp 10.0.0.1:5432: %w", errRefused)}
		w := start(t, Options{Store: store, Dir: dir})
		w.Write(row(0))
		r := row(1)
		r.Start = time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC) // cannot be encoded
		w.Write(r)
		later(10 * time.Second)
		s := w.Stats()
		if s.Lost != 1 || strings.Contains(s.LastError, "10.0.0.1") {
			t.Errorf("%+v", s)
		}
		if bytes.Contains([]byte(w.log.String()), []byte("said-in-confidence")) {
			t.Errorf("log: %s", w.log)
		}
	})
}
