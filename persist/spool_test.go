package persist

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
		later(syncEvery / 2) // what is deleted is looked for each syncEvery
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
		w.Write(row(50))
		later(time.Second) // the database has it: only the row itself can find the spool
		if s := w.Stats(); s.Blocked {
			t.Errorf("then %+v", s)
		}
		store.set(errRefused)
		w.Write(row(51))
		later(5 * time.Second)
		if s := w.Stats(); s.Blocked || s.SpooledRows != 1 {
			t.Errorf("afterwards %+v", s)
		}
	})
}

func TestAFullDiskIsOutlived(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no device here that is always full")
	}
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{fault: errRefused}
		w := start(t, Options{Store: store, Dir: dir})
		w.Write(row(0))
		synctest.Wait()
		w.own.mu.Lock()
		disk := w.own.out
		w.own.out = full
		w.own.mu.Unlock()
		defer disk.Close()
		w.Write(row(1))
		synctest.Wait()
		if s := w.Stats(); !s.Blocked || s.Queued != 1 || s.SpooledRows != 1 || w.log.count("no space left on device") != 1 {
			t.Errorf("%+v, log %s", s, w.log)
		}
		later(2 * time.Second) // the next try is on a segment of its own
		if s := w.Stats(); s.Blocked || s.Queued != 0 || s.SpooledRows != 2 {
			t.Errorf("then %+v", s)
		}
		store.set(nil)
		later(longestPause + time.Second)
		if d := cmp.Diff(ids(0, 2), store.got()); d != "" {
			t.Error(d)
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
