package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pgvector/pgvector-go"

	"aigateway/cache"
)

const (
	testWidth = 256
	testRows  = 20_000
)

// fill adds entries of one bucket for each application, quicker than by Add.
func fill(t testing.TB, db *DB, random *rand.Rand, apps map[string]int) map[string][][]float32 {
	t.Helper()
	ctx := context.Background()
	centres := make([][]float32, 200)
	for i := range centres {
		centres[i] = direction(random)
	}
	vectors := map[string][][]float32{}
	var rows [][]any
	for app, n := range apps {
		for i := range n {
			v := beside(random, centres[random.IntN(len(centres))], 0.7)
			vectors[app] = append(vectors[app], v)
			key := make([]byte, 32)
			binary.BigEndian.PutUint64(key, uint64(i))
			bucket := bucketOf(app)
			rows = append(rows, []any{app, key, bucket[:], fmt.Sprint(i), testWidth, pgvector.NewVector(v), []byte("{}"), time.Unix(1, 0)})
		}
	}
	err := db.do(ctx, "filling", func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.CopyFrom(ctx, pgx.Identifier{"apigtwycache"},
			[]string{"aiappname", "key", "bucket", "prompt", "dims", "embedding", "completion", "timestamp_"}, pgx.CopyFromRows(rows))
		if err == nil {
			_, err = c.Exec(ctx, "ANALYZE apigtwycache")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return vectors
}

func bucketOf(app string) (b cache.Hash) {
	copy(b[:], app)
	return b
}

// direction is a vector of length 1.
func direction(random *rand.Rand) []float32 {
	v := make([]float32, testWidth)
	for i := range v {
		v[i] = float32(random.NormFloat64())
	}
	return unit(v)
}

func unit(v []float32) []float32 {
	var sum float64
	for _, f := range v {
		sum += float64(f) * float64(f)
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}

// beside is a vector of length 1 near another.
func beside(random *rand.Rand, v []float32, by float32) []float32 {
	noise, w := direction(random), make([]float32, len(v))
	for i := range v {
		w[i] = v[i] + by*noise[i]
	}
	return unit(w)
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func nearestBy(app string, v []float32, bound float64) cache.Query {
	return cache.Query{App: app, Bucket: bucketOf(app), Vector: v, Metric: cache.Cosine, Bound: bound, Limit: 1}
}

// plan returns how the database answers a query.
func plan(t *testing.T, db *DB, q cache.Query) string {
	t.Helper()
	var lines []string
	err := db.do(t.Context(), "explaining", func(ctx context.Context, c *pgxpool.Conn) error {
		viaGraph, err := db.useGraph(ctx, c, q)
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		query := db.exactQuery(q)
		if viaGraph {
			query = db.graphQuery(q)
			batch.Queue(searchSQL, fmt.Sprint(searchWidth))
		}
		batch.Queue("EXPLAIN "+query, q.App, q.Bucket[:], pgvector.NewVector(q.Vector), since(q.Since), q.Bound, q.Limit).Query(func(rows pgx.Rows) error {
			lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		return c.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// recall is how often the nearest of all is found first.
func recall(t *testing.T, db *DB, random *rand.Rand, app string, vectors [][]float32, times int) float64 {
	t.Helper()
	found := 0
	for range times {
		q := nearestBy(app, beside(random, vectors[random.IntN(len(vectors))], 0.3), -1)
		best := math.Inf(-1)
		for _, v := range vectors {
			best = max(best, dot(q.Vector, v))
		}
		got, err := db.Cache().Nearest(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 1 && math.Abs(got[0].Score-best) < 1e-5 {
			found++
		}
	}
	return float64(found) / float64(times)
}

func TestALargeBucketIsSearchedByItsIndexAndASmallOneExactly(t *testing.T) {
	db := opened(t)
	ctx, random := t.Context(), rand.New(rand.NewPCG(1, 2))
	vectors := fill(t, db, random, map[string]int{"large": testRows, "small": 10})
	const index = "apigtwycache_near_halfvec_cs_256"
	large := nearestBy("large", beside(random, vectors["large"][0], 0.1), -1)
	small := nearestBy("small", beside(random, vectors["small"][0], 0.1), -1)

	if p := plan(t, db, large); strings.Contains(p, index) {
		t.Fatalf("the index is there already:\n%s", p)
	}
	if err := db.Tend(ctx); err != nil {
		t.Fatal(err)
	}
	if p := plan(t, db, large); !strings.Contains(p, "Index Scan using "+index) {
		t.Errorf("the large bucket is not searched by the index:\n%s", p)
	}
	if p := plan(t, db, small); strings.Contains(p, "near_halfvec") || !strings.Contains(p, "apigtwycache_bucket") {
		t.Errorf("the small bucket is not read by its own index:\n%s", p)
	}
	for app, times := range map[string]int{"large": 200, "small": 200} {
		if r := recall(t, db, random, app, vectors[app], times); r < 0.99 {
			t.Errorf("recall@1 of the %s bucket is %v, want 0.99", app, r)
		}
	}

	t.Run("bound, time and limit hold", func(t *testing.T) {
		all := large
		all.Limit = 5
		got, err := db.Cache().Nearest(ctx, all)
		if err != nil || len(got) != 5 {
			t.Fatalf("found %v, %v", got, err)
		}
		all.Bound = got[2].Score
		if within, err := db.Cache().Nearest(ctx, all); err != nil || len(within) != 2 || within[0] != got[0] {
			t.Errorf("within the third's score: %v, %v, want the first two", within, err)
		}
		all.Bound, all.Since = -1, time.Unix(2, 0)
		if late, err := db.Cache().Nearest(ctx, all); err != nil || len(late) != 0 {
			t.Errorf("created later: %v, %v, want none", late, err)
		}
	})
	t.Run("what is added later is found", func(t *testing.T) {
		v := direction(random)
		e := &cache.Entry{App: "large", Key: cache.Hash{1}, Bucket: bucketOf("large"), Vector: v, Answer: []byte("{}"), Created: time.Now(), Used: time.Now()}
		if err := db.Cache().Add(ctx, []*cache.Entry{e}); err != nil {
			t.Fatal(err)
		}
		got, err := db.Cache().Nearest(ctx, nearestBy("large", v, 0.999))
		if err != nil || len(got) != 1 || got[0].ID != e.ID {
			t.Errorf("got %v, %v, want the new one", got, err)
		}
	})
	t.Run("vectors that half precision cannot hold are stored beside the index", func(t *testing.T) {
		for i, scale := range []float32{1e6, 1e-7} {
			v := direction(random)
			for j := range v {
				v[j] *= scale
			}
			e := &cache.Entry{App: "large", Key: cache.Hash{2, byte(i)}, Bucket: bucketOf("large"), Vector: v, Answer: []byte("{}"), Created: time.Now(), Used: time.Now()}
			if err := db.Cache().Add(ctx, []*cache.Entry{e}); err != nil {
				t.Fatal(err)
			}
			got, err := db.Cache().Nearest(ctx, nearestBy("large", v, 0.999))
			if err != nil || len(got) != 1 || got[0].ID != e.ID {
				t.Errorf("scale %v: got %v, %v, want the new one", scale, got, err)
			}
		}
	})
	t.Run("using an entry does not touch the index", func(t *testing.T) {
		conn := plain(t, db.pool.Config().ConnString())
		const where = `SELECT string_agg(ctid::text, ' ' ORDER BY id) FROM apigtwycache WHERE aiappname = 'large' AND key >= '\x01'`
		before := scalar[string](t, conn, where)
		id := scalar[int64](t, conn, `SELECT max(id) FROM apigtwycache`)
		if err := db.Cache().Touch(ctx, []cache.Use{{ID: id, Hits: 1, Last: time.Now()}}); err != nil {
			t.Fatal(err)
		}
		if after := scalar[string](t, conn, where); after != before {
			t.Error("rows of entries were written anew")
		}
	})
	t.Run("tending again builds nothing", func(t *testing.T) {
		conn := plain(t, db.pool.Config().ConnString())
		oid := scalar[uint32](t, conn, `SELECT 'apigtwycache_near_halfvec_cs_256'::regclass::oid`)
		db.graphs.wanted = map[graph]bool{{"halfvec", "cs", testWidth}: true}
		if err := db.Tend(ctx); err != nil {
			t.Fatal(err)
		}
		if again := scalar[uint32](t, conn, `SELECT 'apigtwycache_near_halfvec_cs_256'::regclass::oid`); again != oid {
			t.Error("the index was built again")
		}
	})
}

func TestABucketAmongManyOthersIsComparedWhole(t *testing.T) {
	db := opened(t)
	db.sizes.note(bucketID{"app", bucketOf("app")}, 3_000, time.Now().Add(time.Hour))
	db.graphs.until = time.Now().Add(time.Hour)
	use := func(rows float64, v version) (use bool) {
		t.Helper()
		db.vector = v
		db.graphs.rows = map[string]float64{graph{"halfvec", "cs", testWidth}.index(): rows}
		err := db.do(t.Context(), "choosing", func(ctx context.Context, c *pgxpool.Conn) (err error) {
			use, err = db.useGraph(ctx, c, nearestBy("app", direction(rand.New(rand.NewPCG(1, 1))), 0))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return use
	}
	for _, c := range []struct {
		rows    float64
		version version
		want    bool
	}{
		{3_000, version{0, 8}, true},
		{300_000, version{0, 8}, true},
		{1_000_000, version{0, 8}, false},
		{3_000, version{0, 7}, true},
		{10_000, version{0, 7}, false},
	} {
		if got := use(c.rows, c.version); got != c.want {
			t.Errorf("3,000 among %v with pgvector %v: by the index is %v, want %v", c.rows, c.version, got, c.want)
		}
	}
}

func TestABrokenIndexIsBuiltAnew(t *testing.T) {
	db := opened(t)
	random := rand.New(rand.NewPCG(3, 4))
	vectors := fill(t, db, random, map[string]int{"large": exactRows + 500})
	conn := plain(t, db.pool.Config().ConnString())
	exec(t, conn, `CREATE INDEX apigtwycache_near_halfvec_cs_256 ON apigtwycache USING hnsw ((embedding::halfvec(256)) halfvec_cosine_ops) WHERE dims = 256 AND id < 0`)
	exec(t, conn, `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'apigtwycache_near_halfvec_cs_256'::regclass`)

	q := nearestBy("large", vectors["large"][7], 0.9999)
	for range 2 { // before by comparing all, after by the index
		got, err := db.Cache().Nearest(t.Context(), q)
		if err != nil || len(got) != 1 || got[0].Text != "7" {
			t.Fatalf("got %v, %v, want 7", got, err)
		}
		if err := db.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !scalar[bool](t, conn, `SELECT indisvalid FROM pg_index WHERE indexrelid = 'apigtwycache_near_halfvec_cs_256'::regclass`) {
		t.Error("the index is still invalid")
	}
	if p := plan(t, db, q); !strings.Contains(p, "apigtwycache_near_halfvec_cs_256") {
		t.Errorf("it is not used:\n%s", p)
	}
}

func TestOnlyOneProcessBuilds(t *testing.T) {
	db := opened(t)
	unlock, ok, err := db.Lock(t.Context(), "cache index")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	defer unlock()
	db.graphs.wanted = map[graph]bool{{"halfvec", "ls", 4}: true}
	if err := db.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if scalar[bool](t, plain(t, db.pool.Config().ConnString()), `SELECT to_regclass('apigtwycache_near_halfvec_ls_4') IS NOT NULL`) {
		t.Error("it was built while another process had the lock")
	}
}

func TestEveryMetricHasAnIndexThatItsSearchUses(t *testing.T) {
	db := opened(t)
	random := rand.New(rand.NewPCG(5, 6))
	vectors := fill(t, db, random, map[string]int{"large": exactRows + 500})["large"]
	for _, c := range []struct {
		metric  cache.Metric
		version version // of pgvector: older ones have no halfvec
	}{{cache.Cosine, version{0, 8}}, {cache.Euclid, version{0, 8}}, {cache.InnerProduct, version{0, 8}}, {cache.Cosine, version{0, 6}}} {
		m := c.metric
		db.vector = c.version
		kind, _ := db.graphType()
		q := nearestBy("large", vectors[3], -1)
		q.Metric = m
		if m == cache.Euclid {
			q.Bound = 10
		}
		exact, err := db.Cache().Nearest(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := plan(t, db, q); !strings.Contains(p, graph{kind, spaceOf(m).name, testWidth}.index()) {
			t.Errorf("%s: not by its index:\n%s", m, p)
		}
		byIndex, err := db.Cache().Nearest(t.Context(), q)
		if err != nil || len(byIndex) != 1 || byIndex[0] != exact[0] {
			t.Errorf("%s: by the index %v, %v, exactly %v", m, byIndex, err, exact)
		}
	}
}

func TestRememberedSizesAreBounded(t *testing.T) {
	var s sizes
	now := time.Unix(0, 0)
	for i := range 3 * sizesKept {
		s.note(bucketID{app: fmt.Sprint(i)}, i, now.Add(sizeFor))
	}
	if len(s.known) > sizesKept {
		t.Errorf("%d sizes are kept, want at most %d", len(s.known), sizesKept)
	}
	id := bucketID{app: fmt.Sprint(3*sizesKept - 1)}
	s.added(id.app, id.bucket)
	s.added("unknown", id.bucket)
	if n, ok := s.of(id, now); !ok || n != 3*sizesKept {
		t.Errorf("size %d, %v, want one more than noted", n, ok)
	}
	if _, ok := s.of(id, now.Add(sizeFor)); ok {
		t.Error("an old size is believed")
	}
}

func TestHalvesSaysWhatHalfPrecisionHolds(t *testing.T) {
	for _, c := range []struct {
		v    []float32
		want bool
	}{{[]float32{0.1, -0.2}, true}, {[]float32{65_000}, true}, {[]float32{-65_001, 1}, false}, {[]float32{1e-4}, false}, {nil, false}} {
		if got := halves(c.v); got != c.want {
			t.Errorf("%v: %v, want %v", c.v, got, c.want)
		}
	}
}
