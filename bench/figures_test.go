package main

import (
	"slices"
	"strings"
	"testing"
)

func TestFiguresAreOfTheSameRound(t *testing.T) {
	r := newTrialResult(&trial{subject: "shelf", title: "a load", takes: []take{{name: "a"}, {name: "b"}}, figures: []figure{
		{name: "ratio", most: 1, of: func(at round) float64 { return at["a"].CPU / at["b"].CPU }},
		{name: "added", unit: "µs", of: func(at round) float64 { return at["a"].P50 - at["b"].P50 }},
		{name: "rate", least: 3, of: func(at round) float64 { return at["a"].Rate }},
	}})
	r.add(round{"a": {CPU: 1, P50: 100, Rate: 2}, "b": {CPU: 2, P50: 40}})
	r.add(round{"a": {CPU: 30, P50: 50, Rate: 2}, "b": {CPU: 10, P50: 40}})
	r.add(round{"a": {CPU: 1, P50: 90, Rate: 5}, "b": {P50: 20}}) // nothing can be said of its ratio
	goals := r.conclude()

	if got, want := r.Figures[0].Got, (spread{1.75, 0.5, 3}); got != want {
		t.Errorf("ratio %v, want %v", got, want)
	}
	if got, want := r.Figures[1].Got, (spread{60, 10, 70}); got != want {
		t.Errorf("added %v, want %v", got, want)
	}
	if len(goals) != 2 || goals[0].Reached || goals[1].Reached {
		t.Errorf("goals %+v, want two that are missed", goals)
	}
	var out strings.Builder
	r.print(&out)
	printGoals(&out, "goals", goals)
	for _, want := range []string{"60 µs (10–70)", "shelf: ratio", "at most 1", "at least 3"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, &out)
		}
	}
}

func TestGoalsAreReachedAtTheirBounds(t *testing.T) {
	f := func(value float64, want bool, g figure) {
		t.Helper()
		g.of = func(round) float64 { return value }
		r := newTrialResult(&trial{figures: []figure{g}})
		r.add(round{})
		if goals := r.conclude(); len(goals) != 1 || goals[0].Reached != want {
			t.Errorf("%v: %+v, want reached %t", value, goals, want)
		}
	}
	f(1, true, figure{most: 1})
	f(1.01, false, figure{most: 1})
	f(0.5, true, figure{least: 0.5})
	f(0.49, false, figure{least: 0.5})
}

func TestRequestsAreSpreadOverConnections(t *testing.T) {
	lists := spreadOver(2, [][]byte{[]byte("a"), []byte("b"), []byte("c")})
	var got []string
	for _, l := range lists {
		for _, r := range l {
			got = append(got, string(r))
		}
		got = append(got, "|")
	}
	if want := []string{"a", "c", "|", "b", "|"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStoredWordingsAreNotAskedTwice(t *testing.T) {
	n := &near{entries: 7}
	known := map[string]bool{}
	for _, q := range n.fresh(7 * (len(questionFrames) - 1)) {
		known[q] = true
	}
	for i := range 7 {
		if known[question(i, 0)] {
			t.Error("a question is asked as it was stored")
		}
	}
	if got, want := len(known), 7*(len(questionFrames)-1); got != want {
		t.Errorf("%d different wordings, want %d", got, want)
	}
}
