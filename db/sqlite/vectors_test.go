package sqlite

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"aigateway/cache"
)

// sample makes vectors of a kind; what embeddings look like, and what they do
// not.
type sample func(random *rand.Rand, width int) []float32

func gaussian(random *rand.Rand, width int) []float32 {
	v := make([]float32, width)
	for i := range v {
		v[i] = float32(random.NormFloat64())
	}
	return v
}

func unit(v []float32) []float32 {
	n := norm(v)
	for i := range v {
		v[i] = float32(float64(v[i]) / n)
	}
	return v
}

func samples() map[string]sample {
	// around a point: the greater the share, the nearer all are to one another.
	around := func(share float32) sample {
		return func(random *rand.Rand, width int) []float32 {
			v := unit(gaussian(random, width))
			for i := range v {
				v[i] = (1-share)*v[i] + share*float32(1/math.Sqrt(float64(width)))
			}
			return v
		}
	}
	return map[string]sample{
		"unit":        func(random *rand.Rand, width int) []float32 { return unit(gaussian(random, width)) },
		"narrow cone": func(random *rand.Rand, width int) []float32 { return unit(around(0.7)(random, width)) },
		"any length": func(random *rand.Rand, width int) []float32 {
			v := around(0.4)(random, width)
			by := float32(math.Exp(random.NormFloat64() * 2))
			for i := range v {
				v[i] *= by
			}
			return v
		},
		"nearly unit": func(random *rand.Rand, width int) []float32 {
			v := unit(gaussian(random, width))
			for i := range v {
				v[i] *= 1 + random.Float32()/100
			}
			return v
		},
		"sparse": func(random *rand.Rand, width int) []float32 {
			v := make([]float32, width)
			for range 1 + random.IntN(4) {
				v[random.IntN(width)] = float32(1 + random.IntN(2))
			}
			return v
		},
		"few directions": func(random *rand.Rand, width int) []float32 {
			v := make([]float32, width)
			v[random.IntN(3)], v[0] = 1, v[0]+1
			return v
		},
		"huge": func(random *rand.Rand, width int) []float32 {
			v := gaussian(random, width)
			for i := range v {
				v[i] *= 1e34
			}
			return v
		},
		"tiny": func(random *rand.Rand, width int) []float32 {
			v := gaussian(random, width)
			for i := range v {
				v[i] *= 1e-30
			}
			return v
		},
	}
}

var metrics = []cache.Metric{cache.Cosine, cache.Euclid, cache.InnerProduct}

// near is a vector a little off another.
func near(random *rand.Rand, v []float32, by float64) []float32 {
	noise, scale := gaussian(random, len(v)), by*norm(v)/math.Sqrt(float64(len(v)))
	w := slices.Clone(v)
	for i := range w {
		w[i] += noise[i] * float32(scale)
	}
	return w
}

// fill adds rows of a kind, of which many are near copies of earlier ones.
func fill(v *vectors, random *rand.Rand, kind sample, width, rows int) {
	var made [][]float32
	for i := range rows {
		x := kind(random, width)
		if len(made) > 0 && random.IntN(4) == 0 {
			x = near(random, made[random.IntN(len(made))], random.Float64())
		}
		made = append(made, x)
		v.add(int64(i+1), "app", cache.Hash{1}, fmt.Sprint(i), int64(random.IntN(10)), x)
	}
}

// compared is what a scan of all rows finds.
func compared(t testing.TB, v *vectors, q cache.Query) []cache.Near {
	t.Helper()
	s := &search{bucket: v.bucket(place{q.App, q.Bucket, len(q.Vector)})}
	s.begin(q, v.plausible)
	s.wide = true // no short cut in float32 either
	for row := range s.bucket.ids {
		s.consider(row)
	}
	return s.found()
}

func TestCodesHideNothingWithinTheBound(t *testing.T) {
	const rows = 500
	for name, kind := range samples() {
		for _, width := range []int{3, 100, 1536} {
			t.Run(fmt.Sprint(name, " ", width), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(3, uint64(width)))
				v := newVectors()
				fill(v, random, kind, width, rows)
				for i := range 40 {
					b := v.bucket(place{"app", cache.Hash{1}, width})
					q := cache.Query{App: "app", Bucket: cache.Hash{1}, Limit: 1 + random.IntN(6), Metric: metrics[i%3]}
					q.Vector = near(random, b.row(random.IntN(len(b.ids))), random.Float64())
					if random.IntN(3) == 0 {
						q.Since = instant(5)
					}
					// A bound that some rows are within.
					all := q
					all.Limit, all.Bound = len(b.ids), math.Inf(-1)
					if q.Metric == cache.Euclid {
						all.Bound = math.Inf(1)
					}
					scores := compared(t, v, all)
					q.Bound = scores[min(random.IntN(30), len(scores)-1)].Score
					if random.IntN(5) == 0 {
						q.Bound = scores[random.IntN(len(scores))].Score
					}
					got, err := v.nearest(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(compared(t, v, q), got); diff != "" {
						t.Fatalf("%s, bound %v, limit %d (-all +codes):\n%s", q.Metric, q.Bound, q.Limit, diff)
					}
					v.remove([]int64{b.ids[random.IntN(len(b.ids))]})
				}
			})
		}
	}
}

func TestCodesSpareMostOfAScan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, kind := range []string{"unit", "narrow cone"} {
		v := newVectors()
		for i := range 1000 {
			v.add(int64(i+1), "app", cache.Hash{}, "", 0, samples()[kind](random, 1536))
		}
		b := v.bucket(place{"app", cache.Hash{}, 1536})
		q := cache.Query{App: "app", Vector: near(random, b.row(7), 0.2), Metric: cache.Cosine, Bound: 0.95, Limit: 5}
		s := &search{bucket: b}
		s.begin(q, v.plausible)
		s.gather(ptr(v.rotation(1536).code(q.Vector, s.norm)), s.reach(s.least()))
		if len(s.rows) == 0 || len(s.rows) > 100 {
			t.Errorf("%s: %d of 1000 rows are compared, want at least one and at most 100", kind, len(s.rows))
		}
	}
}

func ptr[T any](x T) *T { return &x }

func TestDistanceOfCodesFollowsTheAngle(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, width := range []int{256, 1536, 4000} {
		r := newRotation(width)
		for range 30 {
			a := gaussian(random, width)
			b := near(random, a, 2*random.Float64())
			ca, cb := r.code(a, norm(a)), r.code(b, norm(b))
			want := math.Acos(dot64(a, b)/(norm(a)*norm(b))) / math.Pi
			if got := float64(distance(&ca, &cb)) / codeBits; math.Abs(got-want) > 0.08 {
				t.Errorf("width %d: %.3f of the planes part vectors whose angle is %.3f of a half-turn", width, got, want)
			}
		}
	}
}

func TestPlausibleCosinesFall(t *testing.T) {
	list := plausibleCosines()
	if list[0] != 1 || !slices.IsSortedFunc(list, func(a, b float64) int { return -cmpFloat(a, b) }) {
		t.Error("the list does not begin at 1 and fall")
	}
	if got := list[codeBits/2]; got <= 0 || got > 0.5 {
		t.Errorf("half of the planes apart: cosine up to %v, want a little above 0", got)
	}
	s := &search{plausible: list}
	for _, c := range []float64{-1, 0, 0.5, 0.9, 1} {
		h := s.reach(c)
		if h < 0 || list[h] < c-1e-8 || h < codeBits && list[h+1] >= c {
			t.Errorf("reach(%v) = %d, whose cosine is %v", c, h, list[h])
		}
	}
	if got := s.reach(1.1); got != -1 {
		t.Errorf("reach of an impossible cosine is %d, want -1", got)
	}
	if got := s.reach(math.Inf(-1)); got != codeBits {
		t.Errorf("reach without a bound is %d, want all", got)
	}
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Adding and removing in any order leaves what a map would hold.
func TestVectorsAreThoseAddedAndNotRemoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		v, model := newVectors(), map[int64][]float32{}
		most := rapid.SampledFrom([]int{3, 5, 7, 290}).Draw(t, "most")
		for id := int64(1); id <= int64(most); id++ {
			x := gaussian(random, 4)
			v.add(id, "app", cache.Hash{}, fmt.Sprint(id), id, x)
			model[id] = x
			for random.IntN(7) == 0 {
				gone := 1 + random.Int64N(id)
				v.remove([]int64{gone, gone, 10_000})
				delete(model, gone)
			}
		}
		for id, x := range model {
			at := v.where[id]
			b := v.bucket(at.place)
			if b.ids[at.row] != id || !slices.Equal(b.row(at.row), x) || b.texts[at.row] != fmt.Sprint(id) ||
				b.created[at.row] != id || b.norms[at.row] != norm(x) {
				t.Fatalf("entry %d is not where it should be", id)
			}
			if b.codes != nil && b.codes[at.row] != v.rotation(4).code(x, norm(x)) {
				t.Fatalf("entry %d has another's code", id)
			}
		}
		if len(v.where) != len(model) {
			t.Fatalf("%d vectors, want %d", len(v.where), len(model))
		}
		ids := make([]int64, 0, len(model))
		for id := range model {
			ids = append(ids, id)
		}
		v.remove(ids)
		if len(v.where) != 0 || len(v.buckets) != 0 {
			t.Fatalf("%d vectors and %d buckets are left of none", len(v.where), len(v.buckets))
		}
	})
}

func TestScanEndsWithItsContext(t *testing.T) {
	v := newVectors()
	fill(v, rand.New(rand.NewPCG(1, 1)), gaussian, 8, 600)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.nearest(ctx, cache.Query{App: "app", Bucket: cache.Hash{1}, Vector: gaussian(rand.New(rand.NewPCG(1, 2)), 8), Metric: cache.Cosine, Bound: -2, Limit: 1}); err == nil {
		t.Error("no error")
	}
}

func FuzzProductsAgree(f *testing.F) {
	f.Add([]byte("some bytes to begin with"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v := floats(b)
		for i := range v {
			// Others than these are compared in float64 only.
			if x := math.Abs(float64(v[i])); !(x < 1e6 && x > 1e-6) {
				v[i] = float32(i)
			}
		}
		want := 0.0
		for _, x := range v {
			want += float64(x) * float64(x)
		}
		if got := dot64(v, v); math.Abs(got-want) > 1e-9*want {
			t.Errorf("dot64: got %v, want %v", got, want)
		}
		if got := float64(dot32(v, v)); math.Abs(got-want) > 1e-5*want {
			t.Errorf("dot32: got %v, want %v", got, want)
		}
	})
}

// The nearest of 20,000 vectors as wide as text-embedding-3-small's. The kinds
// are how near unrelated texts are: not at all, or cosine 0.7 as with
// text-embedding-ada-002.
func BenchmarkNearest(b *testing.B) {
	const rows, width = 20_000, 1536
	for _, name := range []string{"unit", "narrow cone"} {
		random := rand.New(rand.NewPCG(1, 2))
		v := newVectors()
		for i := range rows {
			v.add(int64(i+1), "app", cache.Hash{}, "", 0, samples()[name](random, width))
		}
		at := v.bucket(place{"app", cache.Hash{}, width})
		for _, bound := range []float64{0.95, 0.8} {
			q := cache.Query{App: "app", Vector: unit(near(random, at.row(500), 0.3)), Metric: cache.Cosine, Bound: bound, Limit: 5}
			b.Run(fmt.Sprintf("%s/%v/codes", name, bound), func(b *testing.B) {
				for b.Loop() {
					if found, err := v.nearest(b.Context(), q); err != nil || len(found) == 0 {
						b.Fatal(found, err)
					}
				}
			})
		}
		b.Run(name+"/exact", func(b *testing.B) {
			q := cache.Query{App: "app", Vector: at.row(500), Metric: cache.Cosine, Bound: 0.95, Limit: 5}
			for b.Loop() {
				s := &search{bucket: at}
				s.begin(q, v.plausible)
				if err := s.exact(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCode(b *testing.B) {
	v := unit(gaussian(rand.New(rand.NewPCG(1, 2)), 1536))
	r := newRotation(1536)
	for b.Loop() {
		r.code(v, 1)
	}
}
