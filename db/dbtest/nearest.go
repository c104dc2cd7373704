package dbtest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"aigateway/cache"
	"aigateway/db/spec"
)

// query asks for up to ten entries of the bucket that entry makes.
func query(app string, m cache.Metric, bound float64, vector ...float32) cache.Query {
	return cache.Query{App: app, Bucket: hash("bucket"), Vector: vector, Metric: m, Bound: bound, Limit: 10}
}

func near(t testing.TB, index cache.Index, q cache.Query) []cache.Near {
	t.Helper()
	found, err := index.Nearest(t.Context(), q)
	ok(t, "looking for the nearest", err)
	return found
}

func nearTexts(found []cache.Near) []string {
	list := []string{}
	for _, n := range found {
		list = append(list, n.Text)
	}
	return list
}

// metrics are all there are.
func metrics() []cache.Metric {
	return []cache.Metric{cache.Cosine, cache.Euclid, cache.InnerProduct}
}

func runNearest(t *testing.T, open func(t *testing.T) spec.DB) {
	index := open(t).Cache()

	parallel(t, "the bound itself is not within", func(t *testing.T) {
		for _, c := range []struct {
			metric        cache.Metric
			query, stored []float32
			score, within float64
		}{
			{cache.Cosine, []float32{1, 0, 0}, []float32{0, 2, 0}, 0, -1e-6},
			{cache.Euclid, []float32{1, 1, 1}, []float32{4, 5, 1}, 5, 5.00001},
			{cache.InnerProduct, []float32{1, 2, 3}, []float32{4, 5, 6}, 32, 31.9999},
		} {
			app := anApp()
			e := entry(app, "q", c.stored...)
			add(t, index, e)
			if got := near(t, index, query(app, c.metric, c.score, c.query...)); len(got) != 0 {
				t.Errorf("%s: found %v at the bound", c.metric, got)
			}
			got := near(t, index, query(app, c.metric, c.within, c.query...))
			if len(got) != 1 || math.Abs(got[0].Score-c.score) > 1e-6 {
				t.Fatalf("%s: got %v, want one of score %v", c.metric, got, c.score)
			}
			same(t, "found", got[0], cache.Near{ID: e.ID, Text: "q", Score: got[0].Score, Created: base()})
		}
	})

	parallel(t, "the nearest come first, at most Limit", func(t *testing.T) {
		app := anApp()
		add(t, index, entry(app, "far", 1, 3, 0), entry(app, "near", 1, 0.5, 0), entry(app, "nearest", 2, 0, 0), entry(app, "away", -1, 0, 0))
		for m, want := range map[cache.Metric][]string{
			cache.Cosine:       {"nearest", "near", "far"},
			cache.Euclid:       {"near", "nearest", "away", "far"},
			cache.InnerProduct: {"nearest", "near", "far"},
		} {
			bound := 0.0
			q := query(app, m, bound, 1, 0, 0)
			if m == cache.Euclid {
				q.Bound = 100
			}
			if m == cache.InnerProduct { // near and far are equal by it
				q.Limit = 1
				want = want[:1]
			}
			same(t, string(m), nearTexts(near(t, index, q)), want)
			q.Limit = 1
			same(t, string(m)+" limit 1", nearTexts(near(t, index, q)), want[:1])
		}
	})

	parallel(t, "buckets, applications and bare entries stay apart", func(t *testing.T) {
		app := anApp()
		other := entry(app, "other bucket", 1, 0, 0)
		other.Bucket = hash("other")
		bare := entry(app, "bare")
		add(t, index, entry(app, "mine", 1, 0, 0), other, bare, entry(anApp(), "foreign", 1, 0, 0))
		same(t, "found", nearTexts(near(t, index, query(app, cache.Cosine, 0.5, 1, 0, 0))), []string{"mine"})
		none := query(app, cache.Cosine, 0.5, 1, 0, 0)
		none.Bucket = hash("never seen")
		same(t, "empty bucket", len(near(t, index, none)), 0)
		none.App, none.Bucket = anApp(), hash("bucket")
		same(t, "empty application", len(near(t, index, none)), 0)
	})

	parallel(t, "what was created before Since is not found", func(t *testing.T) {
		app := anApp()
		at, earlier := entry(app, "at", 1, 0.5, 0), entry(app, "earlier", 1, 0, 0)
		earlier.Created = base().Add(-time.Microsecond)
		add(t, index, at, earlier)
		q := query(app, cache.Cosine, 0.1, 1, 0, 0)
		same(t, "all", nearTexts(near(t, index, q)), []string{"earlier", "at"})
		q.Since, q.Limit = base(), 1
		same(t, "since", nearTexts(near(t, index, q)), []string{"at"})
		q.Since = base().Add(time.Microsecond)
		same(t, "since later", len(near(t, index, q)), 0)
	})

	parallel(t, "a query that cannot be compared finds nothing", func(t *testing.T) {
		app := anApp()
		add(t, index, entry(app, "q", 1, 0, 0))
		for name, v := range map[string][]float32{"width": {1, 0}, "zero": {0, 0, 0}, "NaN": {float32(math.NaN()), 0, 0}, "none": nil} {
			if got, err := index.Nearest(t.Context(), query(app, cache.Cosine, -2, v...)); err == nil && len(got) > 0 {
				t.Errorf("%s: found %v", name, got)
			}
		}
	})

	for _, width := range []int{3, 256, 1536, 4000, 5000} {
		parallel(t, fmt.Sprint("width ", width), func(t *testing.T) {
			checkNearest(t, index, rand.New(rand.NewPCG(1, uint64(width))), width, 30)
		})
	}

	parallel(t, "a large bucket gives the same as comparing all", func(t *testing.T) {
		checkNearest(t, index, rand.New(rand.NewPCG(1, 2)), 96, 1500)
	})

	parallel(t, "the nearest are those of comparing all", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			width, rows := rapid.IntRange(1, 12).Draw(rt, "width"), rapid.IntRange(0, 25).Draw(rt, "rows")
			seed := rapid.Uint64().Draw(rt, "seed")
			checkNearest(rt, index, rand.New(rand.NewPCG(seed, 0)), width, rows)
		})
	})
}

// failer is the part of testing.TB that rapid.T has too.
type failer interface {
	Context() context.Context
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// checkNearest fills a bucket with vectors in clusters, deletes some, and
// compares what queries of every metric find with a scan of all.
func checkNearest(t failer, index cache.Index, random *rand.Rand, width, rows int) {
	t.Helper()
	ctx := t.Context()
	app := anApp()
	var centres [][]float32
	for range 1 + rows/10 {
		centres = append(centres, randomVector(random, width))
	}
	var kept, list []*cache.Entry
	for i := range rows {
		list = append(list, entry(app, fmt.Sprint(i), blurred(random, centres[random.IntN(len(centres))])...))
	}
	if err := index.Add(ctx, list); err != nil {
		t.Fatalf("adding: %v", err)
	}
	for _, e := range list {
		if random.IntN(8) > 0 {
			kept = append(kept, e)
			continue
		}
		if there, err := index.Delete(ctx, app, e.ID); !there || err != nil {
			t.Fatalf("deleting: %v, %v", there, err)
		}
	}
	for _, m := range metrics() {
		for range 2 {
			q := query(app, m, 0, blurred(random, centres[random.IntN(len(centres))])...)
			q.Limit = 1 + random.IntN(8)
			type scored struct {
				id    int64
				score float64
			}
			var all []scored
			byID := map[int64]float64{}
			for _, e := range kept {
				s := score(m, q.Vector, e.Vector)
				all, byID[e.ID] = append(all, scored{e.ID, s}), s
			}
			sign := 1.0 // turns scores so that less is nearer
			if m != cache.Euclid {
				sign = -1
			}
			slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(sign*a.score, sign*b.score) })
			q.Bound = sign * 1e9
			if len(all) > 0 && random.IntN(3) > 0 {
				q.Bound = all[random.IntN(min(len(all), 12))].score
			}
			if m == cache.Cosine {
				q.Bound = max(q.Bound, -1.5)
			}
			const slack = 1e-5 // of rounding: the vectors are of length 1
			surely, possibly := 0, 0
			for _, s := range all {
				if sign*s.score < sign*q.Bound-slack {
					surely++
				}
				if sign*s.score < sign*q.Bound+slack {
					possibly++
				}
			}
			found, err := index.Nearest(ctx, q)
			if err != nil {
				t.Fatalf("%s: looking for the nearest: %v", m, err)
			}
			if len(found) < min(surely, q.Limit) || len(found) > min(possibly, q.Limit) {
				t.Fatalf("%s width %d: found %d of bound %v limit %d, want %d to %d", m, width, len(found), q.Bound, q.Limit, min(surely, q.Limit), min(possibly, q.Limit))
			}
			for i, n := range found {
				truth, there := byID[n.ID]
				if !there || math.Abs(truth-n.Score) > slack || math.Abs(all[i].score-n.Score) > slack {
					t.Fatalf("%s width %d: place %d has score %v, really %v (there: %v), want %v", m, width, i, n.Score, truth, there, all[i].score)
				}
			}
		}
	}
}

// randomVector is of length 1, as embeddings are.
func randomVector(random *rand.Rand, width int) []float32 {
	v, sum := make([]float32, width), 0.0
	for sum == 0 {
		for i := range v {
			v[i] = float32(random.NormFloat64())
			sum += float64(v[i]) * float64(v[i])
		}
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}

// blurred is a vector near another, of length 1.
func blurred(random *rand.Rand, v []float32) []float32 {
	noise, w, sum := randomVector(random, len(v)), make([]float32, len(v)), 0.0
	by := random.Float32()
	for i := range v {
		w[i] = v[i] + by*noise[i]
		sum += float64(w[i]) * float64(w[i])
	}
	if sum < 1e-6 {
		return v
	}
	for i := range w {
		w[i] /= float32(math.Sqrt(sum))
	}
	return w
}

// score is the definition of the metrics.
func score(m cache.Metric, a, b []float32) float64 {
	var dot, aa, bb, distance float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb, distance = dot+x*y, aa+x*x, bb+y*y, distance+(x-y)*(x-y)
	}
	switch m {
	case cache.Euclid:
		return math.Sqrt(distance)
	case cache.InnerProduct:
		return dot
	default:
		return dot / math.Sqrt(aa*bb)
	}
}
