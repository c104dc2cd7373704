package sqlite

import (
	"cmp"
	"context"
	"math"
	"slices"

	"aigateway/cache"
)

// search is one look-up in one bucket. Within it nearness is a number of which
// less is nearer, for all metrics: see away.
type search struct {
	bucket *bucket
	query  []float32
	norm   float64
	metric cache.Metric
	since  int64
	limit  int
	bound  float64 // nearness that is not near enough
	rough  float64 // what a product of float32 may be off by, for a row of norm 1
	wide   bool    // numbers so great or small that float32 does not do

	best []match // nearest first, at most limit

	plausible []float64
	near      []uint64 // distance of code and row, of those that may be near
	rows      []int32  // the same, in order of distance
	far       []uint16
	counts    []int32
}

// match is a row that is within the bound.
type match struct {
	row  int
	id   int64
	away float64
}

func (s *search) begin(q cache.Query, plausible []float64) {
	s.query, s.norm, s.metric, s.limit, s.plausible = q.Vector, norm(q.Vector), q.Metric, q.Limit, plausible
	s.since, s.best = math.MinInt64, s.best[:0]
	if !q.Since.IsZero() {
		s.since = q.Since.UnixMicro()
		if q.Since.Nanosecond()%1000 > 0 {
			s.since++
		}
	}
	s.bound = q.Bound
	if s.metric != cache.Euclid {
		s.bound = -q.Bound
	}
	// A sum of n products in eight parts: n/8 roundings in each, and some to
	// add them, each of half a unit in the last place (Higham, "Accuracy and
	// stability of numerical algorithms", chapter 3).
	s.rough = float64(len(q.Vector)/8+16) * 0x1p-24 * s.norm
}

// wideAbove: squares of greater norms than this, or products with lesser ones
// than its inverse, may leave what float32 can hold.
const wideAbove = 1e15

// measureWide says whether float32 does for the bucket's norms and the query's.
func (s *search) measureWide() {
	s.wide = max(s.norm, s.bucket.greatest) > wideAbove || min(s.norm, s.bucket.least) < 1/wideAbove
}

// away is the nearness of a row whose product with the query is dot.
func (s *search) away(dot, norm float64) float64 {
	switch s.metric {
	case cache.Euclid:
		return math.Sqrt(max(0, s.norm*s.norm+norm*norm-2*dot))
	case cache.InnerProduct:
		return -dot
	default:
		return -dot / (s.norm * norm)
	}
}

// worst is the nearness that a row must better, or equal with a lower id when
// the list is full.
func (s *search) worst() float64 {
	if len(s.best) < s.limit {
		return s.bound
	}
	return s.best[len(s.best)-1].away
}

// consider takes a row into the list when it belongs there. A product in
// float32 tells most that do not; what decides is computed in float64.
func (s *search) consider(row int) {
	b := s.bucket
	if b.created[row] < s.since {
		return
	}
	v := b.row(row)
	if !s.wide {
		most := float64(dot32(s.query, v)) + s.rough*b.norms[row]
		if s.away(most, b.norms[row]) > s.worst() {
			return
		}
	}
	m := match{row: row, id: b.ids[row]}
	if s.metric == cache.Euclid {
		m.away = apart(s.query, v)
	} else {
		m.away = s.away(dot64(s.query, v), b.norms[row])
	}
	if !(m.away < s.bound) {
		return
	}
	at, _ := slices.BinarySearchFunc(s.best, m, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.away, b.away), cmp.Compare(a.id, b.id))
	})
	if at >= s.limit {
		return
	}
	if len(s.best) == s.limit {
		s.best = s.best[:s.limit-1]
	}
	s.best = slices.Insert(s.best, at, m)
}

// exact compares all rows.
func (s *search) exact(ctx context.Context) error {
	s.measureWide()
	for row := range s.bucket.ids {
		if row%rowsOfChunk == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		s.consider(row)
	}
	return nil
}

// byCode compares rows in the order of their codes' distance from the query's,
// and ends where no row that is left can be near enough: near enough is what
// betters the bound, and later the last of a full list. When the bound is so
// wide that codes tell nothing, that is never, and all rows are compared.
func (s *search) byCode(ctx context.Context, c code) error {
	s.measureWide()
	most := s.reach(s.least())
	s.gather(&c, most)
	for i, row := range s.rows {
		if i%rowsOfChunk == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if int(s.far[i]) > most {
			return nil
		}
		before := s.worst()
		s.consider(int(row))
		if s.worst() < before {
			most = s.reach(s.least())
		}
	}
	return nil
}

// gather fills rows and far with the rows whose codes are within a distance,
// nearest first.
func (s *search) gather(c *code, most int) {
	s.rows, s.far = s.rows[:0], s.far[:0]
	if most < 0 {
		return
	}
	s.counts = slices.Grow(s.counts[:0], most+2)[:most+2]
	clear(s.counts)
	near := s.near[:0]
	for row := range s.bucket.codes {
		if h := distance(c, &s.bucket.codes[row]); h <= most {
			near = append(near, uint64(h)<<32|uint64(row))
			s.counts[h+1]++
		}
	}
	s.near = near
	for h := 1; h < len(s.counts); h++ {
		s.counts[h] += s.counts[h-1]
	}
	s.rows, s.far = slices.Grow(s.rows, len(near))[:len(near)], slices.Grow(s.far, len(near))[:len(near)]
	for _, x := range near {
		h := x >> 32
		at := s.counts[h]
		s.counts[h]++
		s.rows[at], s.far[at] = int32(uint32(x)), uint16(h)
	}
}

// reach is the greatest distance of codes that a cosine may have, -1 when none
// may.
func (s *search) reach(cosine float64) int {
	if cosine > 1+1e-9 {
		return -1
	}
	// The list falls: find where it falls below.
	at, _ := slices.BinarySearchFunc(s.plausible, cosine-1e-9, func(plausible, cosine float64) int {
		if plausible >= cosine {
			return -1
		}
		return 1
	})
	return at - 1
}

// least is the least cosine that a row must have to better worst, whatever its
// norm.
func (s *search) least() float64 {
	worst, low, high := s.worst(), s.bucket.least, s.bucket.greatest
	switch s.metric {
	case cache.InnerProduct:
		if worst < 0 {
			return -worst / (s.norm * high)
		}
		return -worst / (s.norm * low)
	case cache.Euclid:
		if worst <= 0 {
			if worst < 0 {
				return math.Inf(1)
			}
			return 1
		}
		// (q² + r² − worst²) / 2qr is least where r² = q² − worst², as far as
		// norms r go there.
		rest := s.norm*s.norm - worst*worst
		r := min(max(math.Sqrt(max(rest, 0)), low), high)
		return (rest + r*r) / (2 * s.norm * r)
	default:
		return -worst
	}
}

// found is the list as cache.Index gives it.
func (s *search) found() []cache.Near {
	list := make([]cache.Near, 0, len(s.best))
	for _, m := range s.best {
		score := m.away
		if s.metric != cache.Euclid {
			score = -score
		}
		list = append(list, cache.Near{
			ID: m.id, Text: s.bucket.texts[m.row], Score: score, Created: instant(s.bucket.created[m.row]),
		})
	}
	return list
}

// norm is a vector's length.
func norm(v []float32) float64 { return math.Sqrt(dot64(v, v)) }

// dot64 is the product, as exact as it can be had.
func dot64(a, b []float32) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += float64(x[0]) * float64(y[0])
		s1 += float64(x[1]) * float64(y[1])
		s2 += float64(x[2]) * float64(y[2])
		s3 += float64(x[3]) * float64(y[3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return s0 + s1 + (s2 + s3)
}

// apart is the Euclidean distance.
func apart(a, b []float32) float64 {
	sum := 0.0
	b = b[:len(a)]
	for i, x := range a {
		d := float64(x) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// dot32 is the product in eight parts that do not wait for one another.
func dot32(a, b []float32) float32 {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	b = b[:len(a)]
	i := 0
	for ; i+8 <= len(a); i += 8 {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
		s4 += x[4] * y[4]
		s5 += x[5] * y[5]
		s6 += x[6] * y[6]
		s7 += x[7] * y[7]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3) + ((s4 + s5) + (s6 + s7))
}
