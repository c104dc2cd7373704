package persist

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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

func TestNilWriterKeepsNoHistory(t *testing.T) {
	var w *Writer
	w.Write(row(1))
	if d := cmp.Diff(Stats{}, w.Stats()); d != "" {
		t.Error(d)
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
	next := start(t, Options{Store: store, Dir: w.o.Dir}) // for what is left
	store.mu.Lock()
	store.hold = nil
	store.mu.Unlock()
	for next.Stats().SpooledRows > 0 {
		runtime.Gosched()
	}
	if s := w.Stats(); len(store.got()) != 2000 || s.Lost != 0 {
		t.Errorf("%d rows of 2000 arrived, %+v", len(store.got()), s)
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
