package persist

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRejectedRowsAreKeptBesideTheSpool(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{reject: func(r *Record) bool { return r.ID == row(1).ID || r.ID == row(2).ID }}
		w := start(t, Options{Store: store, Dir: dir})
		for n := range 4 {
			r := row(n)
			if n == 2 {
				r.Prompt = []byte("\"no UTF-8 \xff\"")
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
		if len(lines) != 2 || !strings.Contains(lines[0], row(1).ID) || !strings.Contains(lines[0], "said-in-confidence") || !strings.Contains(lines[1], "no UTF-8 \ufffd") {
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
