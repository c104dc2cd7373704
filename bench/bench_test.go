package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestBenchSmoke(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the benchmark measures other processes, which it can on Linux only")
	}
	file := filepath.Join(t.TempDir(), "report.json")
	args, stores := []string{"-quick", "-json", file}, []string{embedded, postgresql}
	if os.Getenv("TEST_DATABASE_URL") == "" {
		args, stores = append(args, "-stores", embedded), stores[:1]
	}
	var out, progress bytes.Buffer
	if code := run(args, &out, &progress); code != 0 {
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

	// Of each store: exact, semantic, miss on one connection and on many,
	// history. The goals: CPU of two hits, the nearest entry, added p50 and
	// throughput of a miss, reading among many.
	checkPart(t, &r.State, quick.stateRounds, 6*len(stores), stores, 5)
	// On one connection and on many, whole and streamed. The goals: limits alone,
	// CPU of telemetry whole and streamed, p50 with the ledger.
	checkPart(t, &r.Accounting, quick.rounds, 3+len(stores), append(stores, "limits", "telemetry"), 2)
}

// checkPart checks that each subject has so many trials, and each of them what
// its rounds measured.
func checkPart(t *testing.T, p *part, rounds, goals int, subjects []string, each int) {
	t.Helper()
	for _, subject := range subjects {
		got := slices.DeleteFunc(slices.Clone(p.Trials), func(s *trialResult) bool { return s.Subject != subject })
		if len(got) != each {
			t.Errorf("%d trials of %s, want %d", len(got), subject, each)
		}
		for _, s := range got {
			checkTrial(t, s, rounds)
		}
	}
	if len(p.Goals) != goals {
		t.Errorf("%d goals, want %d: %+v", len(p.Goals), goals, p.Goals)
	}
}

func checkTrial(t *testing.T, s *trialResult, rounds int) {
	t.Helper()
	for name, samples := range s.Samples {
		if len(samples) != rounds {
			t.Errorf("%s, %s: %d rounds of %s, want %d", s.Subject, s.Title, len(samples), name, rounds)
		}
		for _, got := range samples {
			if got.Rate <= 0 || got.P50 <= 0 || got.P99 < got.P50 {
				t.Errorf("%s, %s: %s measured %+v", s.Subject, s.Title, name, got)
			}
		}
	}
	for _, f := range s.Figures {
		if len(f.Rounds) != rounds {
			t.Errorf("%s, %s: %d values of %s, want %d", s.Subject, s.Title, len(f.Rounds), f.Name, rounds)
		}
	}
}

func TestStateWithoutServerIsRefusedAtOnce(t *testing.T) {
	t.Setenv("TEST_DATABASE_URL", "")
	var out bytes.Buffer
	if code := run([]string{"-quick", "-only", "exact"}, &out, &out); code != 1 || !strings.Contains(out.String(), "TEST_DATABASE_URL is not set") {
		t.Errorf("exit code %d, want 1\n%s", code, &out)
	}
}

func TestCommandLineFaultsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-only", "small,nothing"}, {"-rounds", "many"}, {"-stores", "paper"}, {"surplus"}} {
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
