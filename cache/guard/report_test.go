package guard

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestPairsAreEnoughToMeasureWith(t *testing.T) {
	const pairs, paraphrases, each, speak = 340, 130, 12, 10
	n, right, traps, languages := 0, 0, map[string]int{}, map[string]bool{}
	seen := map[string]bool{}
	for _, p := range Pairs() {
		n++
		languages[p.Language] = true
		if p.Trap {
			traps[p.Category]++
		} else {
			right++
		}
		if p.A == p.B || p.A == "" || seen[p.A+"\t"+p.B] {
			t.Errorf("pair %q, %q is empty, equal or there twice", p.A, p.B)
		}
		seen[p.A+"\t"+p.B] = true
	}
	if n < pairs || right < paraphrases || len(languages) < speak {
		t.Errorf("%d pairs, %d paraphrases, %d languages; want %d, %d, %d", n, right, len(languages), pairs, paraphrases, speak)
	}
	for _, category := range []string{Numbers, Dates, Negation, Code, Names, Order, Subject, Language} {
		if traps[category] < each {
			t.Errorf("%d traps of %s, want %d", traps[category], category, each)
		}
	}
}

// halfNear embeds texts so that those with an even length are all alike and no
// other is like them.
func halfNear(_ context.Context, text string) ([]float32, error) {
	if len(text)%2 == 0 {
		return []float32{1, 0}, nil
	}
	return []float32{0, 1}, nil
}

func TestMeasureCountsByThreshold(t *testing.T) {
	near, trapsNear := 0, 0
	for _, p := range Pairs() {
		if len(p.A)%2 == len(p.B)%2 {
			near++
			if p.Trap {
				trapsNear++
			}
		}
	}
	r, err := Measure(t.Context(), halfNear, []float64{0.5, 1.1})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 3 {
		t.Fatalf("rows: %v", r.Rows)
	}
	alone, half, none := r.Rows[0], r.Rows[1], r.Rows[2]
	if alone.Hits != r.Paraphrases || alone.FalseHits != r.Traps {
		t.Errorf("the guards alone do not see every pair: %+v", alone)
	}
	if half.Hits != near-trapsNear || half.FalseHits != trapsNear {
		t.Errorf("at 0.5: %+v, want %d hits, %d false ones", half, near-trapsNear, trapsNear)
	}
	if half.Guarded > half.Hits || half.FalseGuarded > alone.FalseGuarded || half.Guarded == 0 {
		t.Errorf("guards at 0.5: %+v", half)
	}
	if none != (Row{Threshold: 1.1}) {
		t.Errorf("at 1.1: %+v", none)
	}
}

func TestMeasureEndsAtAnEmbeddingError(t *testing.T) {
	broken := errors.New("no such model")
	_, err := Measure(t.Context(), func(context.Context, string) ([]float32, error) { return nil, broken }, nil)
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestReportListsFailuresWhenVerbose(t *testing.T) {
	r := Report{
		Paraphrases: 1, Traps: 1, Rows: []Row{{Hits: 1, FalseHits: 1, FalseGuarded: 1}},
		Groups:  []Group{{By: "language", Name: "en", Traps: 1, FalseHits: 1}},
		Failing: []Failure{{Pair: Pair{Trap: true, Language: "en", Category: Names, A: "one text", B: "another"}}},
	}
	written := func() string {
		var b strings.Builder
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got := written(); !strings.Contains(got, "1/1 (100.0 %)") || strings.Contains(got, "one text") {
		t.Errorf("brief report:\n%s", got)
	}
	r.Verbose = true
	if got := written(); !strings.Contains(got, "passed   en        names     -       one text  another") {
		t.Errorf("verbose report:\n%s", got)
	}
}
