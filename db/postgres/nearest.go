package postgres

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pgvector/pgvector-go"

	"aigateway/cache"
)

const (
	// exactRows is the size up to which comparing a bucket's every vector is
	// quicker than an index, and finds all: 2,000 of 1,536 dimensions take 3 ms.
	exactRows = 2_000
	// countedRows is how far the entries of a bucket are counted.
	countedRows = 20_000
	// candidates are how many an index is asked for at least, to be ranked again
	// by their whole vectors: half precision mistakes near ones only.
	candidates = 10
	// scannedMost is how many rows an index may have to pass over, to find
	// soughtRows of one bucket among all of their width, before comparing the
	// bucket's own is quicker and surer.
	scannedMost, soughtRows = 5_000, 32
	// searchWidth is the width of the search in the index: ef_search.
	searchWidth = 100
)

// space is a metric in the words of pgvector.
type space struct {
	name     string // in the names of indexes
	operator string // the less, the nearer
	score    string // of a distance
	within   string // of a score and the bound
	class    string // of operators, without the type
}

func spaceOf(m cache.Metric) space {
	switch m {
	case cache.Euclid:
		return space{"ls", "<->", "(%s)", "<", "l2_ops"}
	case cache.InnerProduct:
		return space{"ip", "<#>", "-(%s)", ">", "ip_ops"}
	default:
		return space{"cs", "<=>", "1 - (%s)", ">", "cosine_ops"}
	}
}

// Both forms take application, bucket, vector, since, bound, limit. %s are the
// score, and the comparison of a score with the bound. NaN, which PostgreSQL
// holds to be greater than all, is no score.
const (
	// The bucket is read first whatever the planner thinks of it.
	exactSQL = `WITH bucket AS MATERIALIZED (
	SELECT id, prompt, timestamp_, %[1]s AS score FROM apigtwycache
	WHERE aiappname = $1 AND bucket = $2 AND vector_dims(embedding) = vector_dims($3::vector) AND timestamp_ >= $4
)
SELECT id, prompt, timestamp_, score FROM bucket WHERE score %[2]s $5 AND score <> 'NaN' ORDER BY score %[3]s, id LIMIT $6`
	// Width and type are literals: only so the partial index can be used.
	graphSQL = `WITH near AS MATERIALIZED (
	SELECT id, prompt, timestamp_, embedding FROM apigtwycache
	WHERE dims = %[4]d AND aiappname = $1 AND bucket = $2 AND timestamp_ >= $4
	ORDER BY embedding::%[5]s(%[4]d) %[6]s $3::vector::%[5]s(%[4]d) LIMIT %[7]d
), ranked AS (
	SELECT id, prompt, timestamp_, %[1]s AS score FROM near
)
SELECT id, prompt, timestamp_, score FROM ranked WHERE score %[2]s $5 AND score <> 'NaN' ORDER BY score %[3]s, id LIMIT $6`
	// For the transaction only, which is the query after it: a session's
	// settings do not come through PgBouncer. Without sorts the planner takes
	// the index, whose cost it does not know well.
	searchSQL = `SELECT set_config('enable_sort', 'off', true), set_config('hnsw.ef_search', $1, true)`
	// Goes on beyond ef_search rows until enough are of the bucket.
	iterateSQL = `SELECT set_config('hnsw.iterative_scan', 'strict_order', true)`
)

// Nearest returns the nearest entries of one bucket: of a small one by
// comparing all, of a large one by the index of its width and metric when
// there is one.
func (x *cacheIndex) Nearest(ctx context.Context, q cache.Query) (found []cache.Near, err error) {
	if !hasDirection(q.Vector) {
		return nil, nil
	}
	db := x.db()
	err = db.do(ctx, "looking for the nearest cache entry", func(ctx context.Context, c *pgxpool.Conn) error {
		viaGraph, err := db.useGraph(ctx, c, q)
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		query := db.exactQuery(q)
		if viaGraph {
			query = db.graphQuery(q)
			batch.Queue(searchSQL, fmt.Sprint(searchWidth))
			if db.vector.atLeast(0, 8) {
				batch.Queue(iterateSQL)
			}
		}
		batch.Queue(query, text(q.App), q.Bucket[:], pgvector.NewVector(q.Vector), since(q.Since), q.Bound, q.Limit).Query(func(rows pgx.Rows) error {
			found, err = pgx.CollectRows(rows, scanNear)
			return err
		})
		return c.SendBatch(ctx, batch).Close()
	})
	return found, err
}

func (db *DB) exactQuery(q cache.Query) string {
	s := spaceOf(q.Metric)
	return fmt.Sprintf(exactSQL, fmt.Sprintf(s.score, "embedding "+s.operator+" $3::vector"), s.within, s.order())
}

func (db *DB) graphQuery(q cache.Query) string {
	s := spaceOf(q.Metric)
	kind, _ := db.graphType()
	return fmt.Sprintf(graphSQL, fmt.Sprintf(s.score, "embedding "+s.operator+" $3::vector"), s.within, s.order(),
		len(q.Vector), kind, s.operator, max(candidates, 2*q.Limit))
}

// order sorts scores, nearest first.
func (s space) order() string {
	if s.within == "<" {
		return "ASC"
	}
	return "DESC"
}

func scanNear(row pgx.CollectableRow) (n cache.Near, err error) {
	err = row.Scan(&n.ID, &n.Text, &n.Created, &n.Score)
	n.Created = n.Created.UTC()
	return n, err
}

// since is a time that the database takes: its first for the zero time.
func since(t time.Time) time.Time {
	if t.IsZero() {
		return time.Date(-4000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return t
}

// useGraph decides between the two forms. A bucket that deserves an index and
// has none is noted for Tend.
func (db *DB) useGraph(ctx context.Context, c *pgxpool.Conn, q cache.Query) (bool, error) {
	kind, widest := db.graphType()
	if len(q.Vector) > widest || !halves(q.Vector) {
		return false, nil
	}
	n, err := db.bucketSize(ctx, c, q)
	if err != nil || n <= exactRows {
		return false, err
	}
	rows, there, err := db.graph(ctx, c, graph{kind, spaceOf(q.Metric).name, len(q.Vector)})
	if err != nil || !there {
		return false, err
	}
	if !db.vector.atLeast(0, 8) {
		return n > countedRows || float64(n) > rows/2, nil // it sees ef_search rows of all buckets, no more
	}
	return n > countedRows || soughtRows*rows/float64(n) <= scannedMost, nil
}

const (
	// sizesKept bounds the buckets whose size is remembered.
	sizesKept = 10_000
	// sizeFor is how long a size is believed: it only chooses between two ways.
	sizeFor = time.Minute
)

// sizes remembers how many entries buckets have.
type sizes struct {
	mu    sync.Mutex
	known map[bucketID]bucketSize // guarded by mu
}

type bucketID struct {
	app    string
	bucket cache.Hash
}

type bucketSize struct {
	n     int
	until time.Time
}

func (s *sizes) of(id bucketID, now time.Time) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size, ok := s.known[id]
	return size.n, ok && now.Before(size.until)
}

func (s *sizes) note(id bucketID, n int, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[bucketID]bucketSize{}
	}
	for other := range s.known { // any will do
		if len(s.known) < sizesKept {
			break
		}
		delete(s.known, other)
	}
	s.known[id] = bucketSize{n, until}
}

func (s *sizes) added(app string, bucket cache.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := bucketID{app, bucket}
	if size, ok := s.known[id]; ok {
		s.known[id] = bucketSize{size.n + 1, size.until}
	}
}

const countSQL = `SELECT count(*) FROM (SELECT 1 FROM apigtwycache WHERE aiappname = $1 AND bucket = $2 LIMIT $3) counted`

// bucketSize counts the entries of a bucket, up to one more than countedRows.
func (db *DB) bucketSize(ctx context.Context, c *pgxpool.Conn, q cache.Query) (n int, err error) {
	id, now := bucketID{q.App, q.Bucket}, db.gate.now()
	if n, ok := db.sizes.of(id, now); ok {
		return n, nil
	}
	if err := c.QueryRow(ctx, countSQL, text(q.App), q.Bucket[:], countedRows+1).Scan(&n); err != nil {
		return 0, err
	}
	db.sizes.note(id, n, now.Add(sizeFor))
	return n, nil
}

// hasDirection reports whether a vector has a direction.
func hasDirection(v []float32) bool {
	directed := false
	for _, f := range v {
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return false
		}
		directed = directed || f != 0
	}
	return directed
}

// halves reports whether half precision holds a vector well: its type ends at
// 65,504 and loses precision below 0.00006. Others are compared one by one.
func halves(v []float32) bool {
	var most float32
	for _, f := range v {
		most = max(most, f, -f)
	}
	return most >= 1e-3 && most <= 65_000
}
