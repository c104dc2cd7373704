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

// What is said in confidence is taken out before anything is kept: in the
// spool, in what the database rejects, and where there is no spool at all.
func TestRowsAreCleanedBeforeTheyAreKept(t *testing.T) {
	for _, c := range []struct {
		name    string
		spool   bool
		outcome func(*fakeStore)
	}{
		{"in the spool", true, func(s *fakeStore) { s.fault = errRefused }},
		{"rejected", true, func(s *fakeStore) { s.reject = func(*Record) bool { return true } }},
		{"without a spool", false, func(*fakeStore) {}},
	} {
		inBubble(t, func(t *testing.T, dir string) {
			store, o := &fakeStore{}, Options{Dir: dir}
			c.outcome(store)
			var seen []*Record
			store.see = func(_ context.Context, records []*Record) { seen = append(seen, records...) }
			o.Store = store
			if !c.spool {
				o.Dir = ""
			}
			w := start(t, o)
			r := row(0)
			r.Redactor, r.User = redactor(t, `555-\d+`), "call 555-1234"
			r.Prompt = []byte(`{"messages":["555-1234"],"tools":[{"headers":{"a":"hush"}}]}`)
			r.Completion = []byte("{\"choices\":[{\"text\":\"555-1234 \xff\",\"logprobs\":{\"tokens\":[\"555\",\"-1234\"]}}]}")
			w.Write(r)
			later(50 * time.Millisecond)
			w.stop()
			if len(seen) == 0 {
				t.Fatalf("%s: nothing reached the database", c.name)
			}
			for _, got := range seen {
				want := row(0)
				want.User = "call [redacted]"
				want.Prompt = []byte(`{"messages":["[redacted]"],"tools":[{"headers":{"a":"***"}}]}`)
				want.Completion = []byte("{\"choices\":[{\"text\":\"[redacted] \ufffd\",\"logprobs\":null}]}")
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: %s", c.name, d)
				}
			}
			for _, path := range files(t, dir, "*/*") {
				kept, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(kept, []byte("1234")) || bytes.Contains(kept, []byte("hush")) {
					t.Errorf("%s: %s holds %q", c.name, filepath.Base(path), kept)
				}
			}
			if s := w.Stats(); s.QueuedBytes != 0 {
				t.Errorf("%s: %d bytes are counted as queued", c.name, s.QueuedBytes)
			}
		})
	}
}

func TestRowsThatAreTriedAgainAreNotCleanedAgain(t *testing.T) {
	w, err := NewWriter(Options{Store: &fakeStore{}})
	if err != nil {
		t.Fatal(err)
	}
	const secret = `{"api_key":"hush"}`
	for n := range 2 {
		w.Write(row(n))
	}
	tried := w.take(10, 1<<20)
	w.back(tried[1:])
	w.back(tried[:1])
	w.Write(row(2))
	for _, r := range w.queue {
		r.Prompt = []byte(secret)
	}
	var got []string
	for range 2 { // in part, then the rest
		for _, r := range w.take(2, 1<<20) {
			got = append(got, string(r.Prompt))
		}
	}
	if d := cmp.Diff([]string{secret, secret, `{"api_key":"***"}`}, got); d != "" {
		t.Error(d)
	}
}
