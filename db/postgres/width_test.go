package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pgvector/pgvector-go"

	"aigateway/cache"
)

// widely is a vector of length 1 and some width.
func widely(random *rand.Rand, width int) []float32 {
	v := make([]float32, width)
	for i := range v {
		v[i] = float32(random.NormFloat64())
	}
	return unit(v)
}

// nudged is a vector of length 1 a little beside another.
func nudged(random *rand.Rand, v []float32) []float32 {
	noise, w := widely(random, len(v)), make([]float32, len(v))
	for i := range v {
		w[i] = v[i] + 0.2*noise[i]
	}
	return unit(w)
}

// wideEntry is an entry of an application that is named for its width.
func wideEntry(v []float32, n byte) *cache.Entry {
	app := fmt.Sprint(len(v))
	return &cache.Entry{
		App: app, Key: cache.Hash{n, 1}, Bucket: bucketOf(app), Text: fmt.Sprint(n), Vector: v,
		Answer: []byte("{}"), Created: time.Now(), Used: time.Now(),
	}
}

// wantNearest wants an entry to be the nearest of a vector, and told with its
// score to the last digit that whole vectors have.
func wantNearest(t *testing.T, db *DB, v []float32, text string, score float64) {
	t.Helper()
	got, err := db.Cache().Nearest(t.Context(), nearestBy(fmt.Sprint(len(v)), v, 0.5))
	if err != nil || len(got) != 1 || got[0].Text != text || got[0].Score < score-1e-5 || got[0].Score > score+1e-5 {
		t.Errorf("width %d: nearest %+v, %v, want %s with %v", len(v), got, err, text, score)
	}
}

// graphIndexes are the indexes of vectors that there are.
func graphIndexes(t *testing.T, db *DB) string {
	t.Helper()
	return scalar[string](t, plain(t, db.pool.Config().ConnString()),
		`SELECT coalesce(string_agg(indexname, ' ' ORDER BY indexname), '') FROM pg_indexes WHERE indexname LIKE 'apigtwycache\_near\_%'`)
}

func TestWidestEmbeddingsInUseAreSearchedByAnIndex(t *testing.T) {
	const width, rows = 3_072, 2_100 // more than are compared one by one
	const index = "apigtwycache_near_halfvec_cs_3072"
	db := opened(t)
	random := rand.New(rand.NewPCG(7, 8))
	vectors := make([][]float32, rows)
	bucket := bucketOf(fmt.Sprint(width))
	err := db.do(t.Context(), "filling", func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.CopyFrom(ctx, pgx.Identifier{"apigtwycache"},
			[]string{"aiappname", "key", "bucket", "prompt", "dims", "embedding", "completion", "timestamp_"},
			pgx.CopyFromSlice(rows, func(i int) ([]any, error) {
				vectors[i] = widely(random, width)
				key := binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i))
				return []any{fmt.Sprint(width), key, bucket[:], fmt.Sprint(i), width, pgvector.NewVector(vectors[i]), []byte("{}"), time.Unix(1, 0)}, nil
			}))
		if err == nil {
			_, err = c.Exec(ctx, "ANALYZE apigtwycache")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	questions := make([][]float32, 10)
	for i := range questions {
		questions[i] = nudged(random, vectors[i*100])
	}
	nearest := func() {
		t.Helper()
		for i, q := range questions {
			wantNearest(t, db, q, fmt.Sprint(i*100), dot(q, vectors[i*100]))
		}
	}

	nearest()
	if p := plan(t, db, nearestBy(fmt.Sprint(width), questions[0], 0.5)); strings.Contains(p, index) {
		t.Fatalf("the index is there already:\n%s", p)
	}
	if err := db.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := plan(t, db, nearestBy(fmt.Sprint(width), questions[0], 0.5)); !strings.Contains(p, "Index Scan using "+index) {
		t.Errorf("it is not searched by the index:\n%s", p)
	}
	nearest()
	v := widely(random, width)
	if err := db.Cache().Add(t.Context(), []*cache.Entry{wideEntry(v, 200)}); err != nil {
		t.Fatal(err)
	}
	wantNearest(t, db, v, "200", 1)
}

func TestTheWidestIndexIsOf4000(t *testing.T) {
	for _, c := range []struct {
		width   int
		version version // of pgvector: older ones have no halfvec
		index   string  // "" when all are compared
	}{
		{4_000, version{0, 8}, "apigtwycache_near_halfvec_cs_4000"},
		{4_001, version{0, 8}, ""},
		{16_000, version{0, 8}, ""}, // the widest that is stored
		{2_000, version{0, 6}, "apigtwycache_near_vector_cs_2000"},
		{2_001, version{0, 6}, ""},
	} {
		t.Run(fmt.Sprintf("%d with pgvector %v", c.width, c.version), func(t *testing.T) {
			db := opened(t)
			db.vector = c.version
			random := rand.New(rand.NewPCG(9, 10))
			app := fmt.Sprint(c.width)
			var vectors [][]float32
			add := func(n int) {
				t.Helper()
				var entries []*cache.Entry
				for range n {
					vectors = append(vectors, widely(random, c.width))
					entries = append(entries, wideEntry(vectors[len(vectors)-1], byte(len(vectors))))
				}
				if err := db.Cache().Add(t.Context(), entries); err != nil {
					t.Fatal(err)
				}
			}
			look := func() {
				t.Helper()
				for i, v := range vectors {
					q := nudged(random, v)
					wantNearest(t, db, q, fmt.Sprint(i+1), dot(q, v))
				}
			}
			add(5)
			look()

			// The bucket is held for a large one from here on.
			db.sizes.note(bucketID{app, bucketOf(app)}, countedRows+1, time.Now().Add(time.Hour))
			look()
			if err := db.Tend(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := graphIndexes(t, db); got != c.index {
				t.Errorf("there are the indexes %q, want %q", got, c.index)
			}
			p := plan(t, db, nearestBy(app, vectors[0], 0.5))
			if strings.Contains(p, "apigtwycache_near_") != (c.index != "") || !strings.Contains(p, c.index) {
				t.Errorf("it is searched by\n%s", p)
			}
			look()
			add(2)
			look()
		})
	}
}
