package router

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestWeightedDrawsInProportionWithoutReplacement(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("priority", 3)
	weights := []float64{1, 2, 5}
	for i, w := range weights {
		app.Endpoints[i].Weight = w
	}
	eps := New(app, fleet).Endpoints()
	draw := weighted(rand.New(rand.NewPCG(1, 2)).ExpFloat64)

	const draws = 100_000
	var got [3][3]float64 // [first][second]
	for range draws {
		order := []*Endpoint{eps[0], eps[1], eps[2]}
		draw(Facts{}, order)
		got[order[0].Index][order[1].Index]++
	}
	for i, w := range weights {
		for k, v := range weights {
			if i == k {
				continue
			}
			want := w / 8 * v / (8 - w)
			if share := got[i][k] / draws; math.Abs(share-want) > 0.005 {
				t.Errorf("%d then %d: %.4f of the draws, want %.4f", i, k, share, want)
			}
		}
	}
}

func TestWeightedCopesWithExtremeWeights(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("weighted", 3)
	app.Endpoints[0].Weight, app.Endpoints[1].Weight, app.Endpoints[2].Weight = math.MaxFloat64, math.MaxFloat64, 1e-300
	r := New(app, fleet)
	for range 100 {
		if got := order(r.Plan(Facts{})); len(got) != 3 || got[2] != "2" {
			t.Fatalf("order %v, want 2 last", got)
		}
	}
}
