package router

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSortByCostIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		costs := rapid.SliceOf(rapid.Float64Range(0, 3)).Draw(t, "costs")
		for i := range costs {
			costs[i] = float64(int(costs[i]))
		}
		eps := make([]*Endpoint, len(costs))
		for i := range eps {
			eps[i] = &Endpoint{Index: i}
		}
		ties := sortByCost(eps, func(e *Endpoint) float64 { return costs[e.Index] })
		want := 0
		for _, c := range costs {
			if c == slices.Min(costs) {
				want++
			}
		}
		if ties != want {
			t.Fatalf("%d share the least of %v, want %d", ties, costs, want)
		}
		for i := 1; i < len(eps); i++ {
			a, b := eps[i-1].Index, eps[i].Index
			if costs[a] > costs[b] || costs[a] == costs[b] && a >= b {
				t.Fatalf("endpoint %d before %d in %v", a, b, costs)
			}
		}
	})
}
