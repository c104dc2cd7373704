package sqlite

import (
	"context"
	"math"
	"sync"

	"aigateway/cache"
)

const (
	// rowsOfChunk: vectors lie in pieces of this many, so that a bucket that
	// grows is never copied whole.
	rowsOfChunk = 256
	// exactRows is how many rows are compared one by one: up to here the codes
	// cost more memory and time than they save.
	exactRows = 256
)

// vectors are those of all entries, in memory, by bucket. Changes come one at
// a time, from the writer; look-ups at any time.
type vectors struct {
	mu      sync.RWMutex
	buckets map[place]*bucket // guarded by mu

	where     map[int64]spot    // by entry; only changes use it
	coder     map[int]*rotation // by width; guarded by mu
	plausible []float64         // see plausibleCosines
	scratch   sync.Pool         // of *search
}

// place is what makes a bucket: keys of two applications stay apart even if
// their buckets were equal.
type place struct {
	app    string
	bucket cache.Hash
	width  int
}

// spot is where an entry's vector lies.
type spot struct {
	place place
	row   int
}

// bucket holds the vectors that are compared with one another. Rows have no
// order: the last takes the place of one that goes.
type bucket struct {
	mu    sync.RWMutex // guards all; a change is the only one to write, so it reads without
	width int

	ids     []int64
	created []int64 // microseconds
	texts   []string
	norms   []float64
	chunks  [][]float32 // of rowsOfChunk rows each, the last of fewer
	codes   []code      // of all rows, or nil: see exactRows
	// Every norm was between these. What goes does not narrow them.
	least, greatest float64
}

func newVectors() *vectors {
	return &vectors{
		buckets: map[place]*bucket{}, where: map[int64]spot{}, coder: map[int]*rotation{},
		plausible: plausibleCosines(),
	}
}

// add puts an entry's vector into its bucket; an entry without one is passed
// over. Only for changes.
func (v *vectors) add(id int64, app string, of cache.Hash, text string, created int64, vector []float32) {
	if len(vector) == 0 {
		return
	}
	p := place{app, of, len(vector)}
	b := v.bucket(p)
	if b == nil {
		b = &bucket{width: len(vector), least: math.Inf(1)}
		v.mu.Lock()
		v.buckets[p] = b
		v.mu.Unlock()
	}
	n := norm(vector)
	// What takes time is done before look-ups are held up.
	codes := b.codes
	if rows := len(b.ids); rows >= exactRows || len(codes) > 0 {
		r := v.rotation(len(vector))
		for row := len(codes); row < rows; row++ {
			codes = append(codes, r.code(b.row(row), b.norms[row]))
		}
		codes = append(codes, r.code(vector, n))
	}
	v.where[id] = spot{p, len(b.ids)}

	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids, b.created, b.texts = append(b.ids, id), append(b.created, created), append(b.texts, text)
	b.norms, b.codes = append(b.norms, n), codes
	b.least, b.greatest = min(b.least, n), max(b.greatest, n)
	last := len(b.chunks) - 1
	switch {
	case last < 0:
		b.chunks = append(b.chunks, append([]float32(nil), vector...)) // most buckets stay small
	case len(b.chunks[last]) == rowsOfChunk*b.width:
		b.chunks = append(b.chunks, append(make([]float32, 0, rowsOfChunk*b.width), vector...))
	default:
		b.chunks[last] = append(b.chunks[last], vector...)
	}
}

// remove takes entries out; those without a vector are passed over. Only for
// changes.
func (v *vectors) remove(ids []int64) {
	for _, id := range ids {
		at, ok := v.where[id]
		if !ok {
			continue
		}
		delete(v.where, id)
		b := v.bucket(at.place)
		last := len(b.ids) - 1
		if moved := b.ids[last]; moved != id {
			v.where[moved] = at
		}
		b.removeRow(at.row)
		if last == 0 {
			v.mu.Lock()
			delete(v.buckets, at.place)
			v.mu.Unlock()
		}
	}
}

func (b *bucket) removeRow(row int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := len(b.ids) - 1
	copy(b.row(row), b.row(last))
	b.ids[row], b.created[row], b.texts[row], b.norms[row] = b.ids[last], b.created[last], b.texts[last], b.norms[last]
	b.texts[last] = ""
	b.ids, b.created, b.texts, b.norms = b.ids[:last], b.created[:last], b.texts[:last], b.norms[:last]
	if b.codes != nil {
		b.codes[row] = b.codes[last]
		b.codes = b.codes[:last]
	}
	end := len(b.chunks) - 1
	b.chunks[end] = b.chunks[end][:len(b.chunks[end])-b.width]
	if len(b.chunks[end]) == 0 {
		b.chunks[end] = nil
		b.chunks = b.chunks[:end]
	}
}

// row is a row's vector, in place.
func (b *bucket) row(i int) []float32 {
	at := i % rowsOfChunk * b.width
	return b.chunks[i/rowsOfChunk][at : at+b.width : at+b.width]
}

// bucket returns nil when there is none.
func (v *vectors) bucket(p place) *bucket {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.buckets[p]
}

// rotation is that of a width.
func (v *vectors) rotation(width int) *rotation {
	v.mu.RLock()
	r := v.coder[width]
	v.mu.RUnlock()
	if r != nil {
		return r
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.coder[width] == nil {
		v.coder[width] = newRotation(width)
	}
	return v.coder[width]
}

// nearest is cache.Index's. Vectors of another width than the query's are of
// another bucket.
func (v *vectors) nearest(ctx context.Context, q cache.Query) ([]cache.Near, error) {
	b := v.bucket(place{q.App, q.Bucket, len(q.Vector)})
	if b == nil || q.Limit < 1 || !hasDirection(q.Vector) {
		return nil, nil
	}
	s, _ := v.scratch.Get().(*search)
	if s == nil {
		s = &search{}
	}
	defer v.scratch.Put(s)
	s.begin(q, v.plausible)
	b.mu.RLock()
	defer b.mu.RUnlock()
	s.bucket = b
	defer func() { s.bucket, s.query = nil, nil }()
	var err error
	if len(b.codes) == 0 {
		err = s.exact(ctx)
	} else {
		err = s.byCode(ctx, v.rotation(b.width).code(q.Vector, s.norm))
	}
	if err != nil {
		return nil, err
	}
	return s.found(), nil
}
