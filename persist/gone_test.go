package persist

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestADeletedFolderIsReplaced(t *testing.T) {
	for _, c := range []struct {
		name string
		keep int64 // of rows in memory
		take func(dir string) error
		lost int
	}{
		{"all of it, rows in memory", 1 << 20, os.RemoveAll, 0},
		{"all of it, rows on disk only", 1, os.RemoveAll, 10},
		{"its lock", 1 << 20, func(dir string) error { return os.Remove(filepath.Join(dir, "0", "lock")) }, 0},
		{"its lock, rows on disk only", 1, func(dir string) error { return os.Remove(filepath.Join(dir, "0", "lock")) }, 0},
		{"its segment", 1 << 20, func(dir string) error {
			return os.Remove(filepath.Join(dir, "0", "0000000000000000.seg"))
		}, 0},
	} {
		inBubble(t, func(t *testing.T, dir string) {
			store := &fakeStore{fault: errRefused}
			w := start(t, Options{Store: store, Dir: dir})
			w.own.mu.Lock()
			w.own.keep = c.keep
			w.own.mu.Unlock()
			for n := range 10 {
				w.Write(row(n))
				synctest.Wait()
			}
			if err := c.take(dir); err != nil {
				t.Fatal(err)
			}
			later(2 * syncEvery)
			w.Write(row(10))
			synctest.Wait()
			if n := w.log.count("was deleted while in use"); n != 1 {
				t.Errorf("%s: logged %d times, want once", c.name, n)
			}
			if s := w.Stats(); s.Lost != int64(c.lost) || s.Blocked || s.QueuedBytes != 0 {
				t.Errorf("%s: %+v", c.name, s)
			}

			// A crash: what is to come is on disk.
			shipped := &fakeStore{}
			next := start(t, Options{Store: shipped, Dir: copyOf(t, dir)})
			later(time.Second)
			if d := cmp.Diff(ids(c.lost, 11), shipped.got()); d != "" {
				t.Errorf("%s, after a crash: %s", c.name, d)
			}
			next.stop()

			store.set(nil)
			later(2 * longestPause)
			if d := cmp.Diff(ids(c.lost, 11), store.got()); d != "" {
				t.Errorf("%s: %s", c.name, d)
			}
			if s := w.Stats(); s.SpooledRows != 0 || s.SpooledBytes != 0 {
				t.Errorf("%s, afterwards: %+v", c.name, s)
			}
			w.stop()
		})
	}
}

func TestAFolderThatStaysIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		w := start(t, Options{Store: &fakeStore{}, Dir: dir})
		own := w.own
		for n := range 5 {
			w.Write(row(n))
			later(2 * syncEvery)
		}
		if w.ownFolder() != own {
			t.Error("another folder is written")
		}
	})
}

// A batch on its way to the database when its folder goes is neither lost nor
// counted as such.
func TestAFolderDeletedDuringAnInsert(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{}
		hold := make(chan struct{})
		store.hold = func(context.Context) error { <-hold; return nil }
		w := start(t, Options{Store: store, Dir: dir})
		w.Write(row(0))
		synctest.Wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		later(2 * syncEvery)
		close(hold)
		w.Write(row(1))
		later(time.Minute)
		if d := cmp.Diff(ids(0, 2), store.got()); d != "" {
			t.Error(d)
		}
		if s := w.Stats(); s.Lost != 0 || s.SpooledRows != 0 || s.SpooledBytes != 0 || s.QueuedBytes != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// copyOf is what a folder's files are now.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := dir + ".copy"
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}
