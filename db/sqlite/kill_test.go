package sqlite

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"aigateway/db/spec"
	"aigateway/memory"
)

const killedThread = "6f1b2f62-6f0c-4a3e-9a55-5f2c0c3a4a11"

// appendUntilKilled adds turns from several sides, and tells of each when it
// is durable.
func appendUntilKilled(path string) error {
	ctx := context.Background()
	d, err := Open(ctx, path, spec.Options{})
	if err != nil {
		return err
	}
	turn := func(i int) error {
		return d.Memory().Append(ctx, &memory.Turn{
			ID: uuid.NewString(), Thread: killedThread, App: "app", Start: i == 0, Extends: -1, At: time.Now(),
			Messages: []json.RawMessage{[]byte(fmt.Sprintf(`{"role":"user","content":"%d"}`, i))},
		})
	}
	if err := turn(0); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for side := range 4 {
		wg.Go(func() {
			for i := 1 + side; turn(i) == nil; i += 4 {
				fmt.Fprintln(os.Stdout, i)
			}
		})
	}
	wg.Wait()
	return nil
}

func TestAcknowledgedTurnsSurviveAKill(t *testing.T) {
	if path := os.Getenv("GATEWAY_TEST_KILLED"); path != "" {
		t.Fatal(appendUntilKilled(path))
	}
	path := filepath.Join(t.TempDir(), "gateway.db")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAcknowledgedTurnsSurviveAKill$")
	child.Env = append(os.Environ(), "GATEWAY_TEST_KILLED="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var told []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := strconv.Atoi(lines.Text()); err != nil {
			t.Fatalf("the child says %q", lines.Text())
		}
		if told = append(told, lines.Text()); len(told) == 400 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // it was killed
	if len(told) < 400 {
		t.Fatalf("the child ended after %d turns", len(told))
	}
	r, err := openPath(t, path).Memory().Thread(t.Context(), "app", killedThread, 0)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	for i, x := range r.Interactions {
		if x.Number != i || len(x.Messages) != 1 {
			t.Fatalf("interaction at %d has number %d and %d messages", i, x.Number, len(x.Messages))
		}
		stored[string(x.Messages[0])] = true
	}
	for _, n := range told {
		if !stored[`{"role":"user","content":"`+n+`"}`] {
			t.Errorf("turn %s was acknowledged and is gone", n)
		}
	}
}

func TestCommitsWaitForTheDisk(t *testing.T) {
	d := openNew(t)
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
		var got string
		if err := d.writer.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", pragma, got, err, want)
		}
	}
}
