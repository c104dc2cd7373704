package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestBenchSmoke(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the benchmark measures other processes, which it can on Linux only")
	}
	file := filepath.Join(t.TempDir(), "report.json")
	var out, progress bytes.Buffer
	if code := run([]string{"-quick", "-json", file}, &out, &progress); code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, &out, &progress)
	}
	for _, name := range names {
		if got, want := strings.Count(out.String(), name+" "), len(quick.scenarios()); got < want {
			t.Errorf("%d rows of the %s, want %d", got, name, want)
		}
	}
	if strings.Contains(out.String(), "NaN") {
		t.Error("a value is not a number")
	}
	if t.Failed() {
		t.Logf("\n%s", &out)
	}

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if got, want := len(r.Scenarios), len(quick.scenarios()); got != want {
		t.Fatalf("%d scenarios, want %d", got, want)
	}
	for _, s := range r.Scenarios {
		for which, samples := range s.Samples {
			if len(samples) != quick.rounds {
				t.Errorf("%s: %d rounds of the %s, want %d", s.Name, len(samples), names[which], quick.rounds)
			}
			for _, got := range samples {
				if got.Rate <= 0 || got.P50 <= 0 || got.P99 < got.P50 || got.CPU <= 0 {
					t.Errorf("%s: the %s measured %+v", s.Name, names[which], got)
				}
			}
		}
	}
	if len(r.Memory.Proxy) != quick.repeats || len(r.Memory.Gateway) != quick.repeats {
		t.Errorf("memory %+v, want %d values each", r.Memory, quick.repeats)
	}
	if r.Allocations == nil {
		t.Error("allocations were not counted")
	}
	// CPU of three scenarios, added p50 of two, memory, allocations.
	if len(r.Goals) != 7 {
		t.Errorf("%d goals, want 7: %+v", len(r.Goals), r.Goals)
	}
}

func TestCommandLineFaultsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-only", "small,nothing"}, {"-rounds", "many"}, {"surplus"}} {
		var out bytes.Buffer
		if code := run(args, &out, &out); code != 1 {
			t.Errorf("%q: exit code %d, want 1\n%s", args, code, &out)
		}
	}
}

func TestPromptsHaveTheirLength(t *testing.T) {
	if got := len(prose(largePrompt)); got != largePrompt {
		t.Errorf("%d bytes, want %d", got, largePrompt)
	}
}
