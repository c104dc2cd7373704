package persist

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// The test binary run with this variable is a process that writes history to
// the spool in that folder until it is killed.
const childDir = "PERSIST_TEST_CHILD_DIR"

// child is that process. It tells the number of the last row that has left
// the queue for the spool, on a line of its own each time.
func child() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	first, err := strconv.Atoi(os.Getenv(childDir + "_FIRST"))
	if err != nil {
		panic(err)
	}
	table, err := os.OpenFile(filepath.Join(dir, "table"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	w, err := NewWriter(Options{Store: &fileStore{table: table}, Dir: filepath.Join(dir, "spool"), SegmentBytes: 16 << 10, QueueBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	go w.Run(context.Background())
	go w.Ship(context.Background())
	for n := first; ; {
		for range 10 {
			w.Write(row(n))
			n++
		}
		for w.Stats().Queued > 0 {
			runtime.Gosched()
		}
		fmt.Fprintln(os.Stdout, n-1)
	}
}

// fileStore is a database as a file of ids. It fails now and then, so that
// there is a backlog.
type fileStore struct {
	fakeStore
	table *os.File
	asked int
}

func (s *fileStore) Insert(_ context.Context, records []*Record) ([]int, error) {
	if s.asked++; s.asked%10 == 9 {
		return nil, errRefused
	}
	var lines strings.Builder
	for _, r := range records {
		lines.WriteString(r.ID + "\n")
	}
	_, err := s.table.WriteString(lines.String())
	return nil, err
}

func TestWhatWasSpooledOutlivesAKill(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	first := 0
	for round := range 3 {
		last := killedAt(t, dir, first, 200*(round+1))
		acknowledged = append(acknowledged, ids(first, last+1)...)
		first = last + 100 // above what it may have written since
	}

	// What the database has, and what the next process brings to it.
	table, err := os.ReadFile(filepath.Join(dir, "table"))
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]int{}
	for id := range strings.FieldsSeq(string(table)) {
		there[id]++
	}
	store := &fakeStore{}
	w := start(t, Options{Store: store, Dir: filepath.Join(dir, "spool")})
	w.stop()
	if s := w.Stats(); s.Lost != 0 || s.SpooledRows != 0 {
		t.Errorf("%+v", s)
	}
	for _, id := range store.got() {
		there[id]++
	}
	again, missing := 0, 0
	for _, n := range there {
		again += n - 1
	}
	for _, id := range acknowledged {
		if there[id] == 0 {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d acknowledged rows are missing", missing, len(acknowledged))
	}
	if store.repeats > 0 || len(store.got()) == 0 {
		t.Errorf("the spool held %d rows, %d of them twice", len(store.got()), store.repeats)
	}
	if again > 3*40 { // the key makes them one: at most a segment at each kill
		t.Errorf("%d rows came again", again)
	}
	t.Logf("%d rows acknowledged, %d from the spool, %d of them there already", len(acknowledged), len(store.got()), again)
}

// killedAt runs the child from a row on, kills it once it has told some times,
// and returns the last row that it told of.
func killedAt(t *testing.T, dir string, first, times int) (last int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childDir+"_FIRST="+strconv.Itoa(first))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for told := 1; lines.Scan(); told++ { // to the end: what it told before it died counts
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if told == times {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || last < first {
		t.Fatalf("the child ended by itself at row %d: %v", last, err)
	}
	return last
}
