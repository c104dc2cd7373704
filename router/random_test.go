package router

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestRandomMakesEveryOrderAlikeLikely(t *testing.T) {
	fleet, _ := fleetAt()
	eps := New(application("priority", 3), fleet).Endpoints()
	shuffle := random(rand.New(rand.NewPCG(3, 4)).IntN)
	const draws = 60_000
	got := map[[3]int]float64{}
	for range draws {
		order := []*Endpoint{eps[0], eps[1], eps[2]}
		shuffle(Facts{}, order)
		got[[3]int{order[0].Index, order[1].Index, order[2].Index}]++
	}
	for order, n := range got {
		if share := n / draws; math.Abs(share-1.0/6) > 0.01 {
			t.Errorf("%v: %.4f of the draws, want a sixth", order, share)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d orders, want 6", len(got))
	}
}
