package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// graph names an HNSW index: there is one for each width and metric in use,
// of all entries that have the width. Its type is part of the name, because a
// newer pgvector may index another.
type graph struct {
	kind  string // of graphType
	space string
	width int
}

func (g graph) index() string {
	return fmt.Sprintf("apigtwycache_near_%s_%s_%d", g.kind, g.space, g.width)
}

// graphs remembers which indexes there are, and which are missing.
type graphs struct {
	mu     sync.Mutex
	until  time.Time          // when rows has to be read again
	rows   map[string]float64 // of valid indexes by name
	wanted map[graph]bool     // met in a look-up, and not there
}

// graphType is the type that is indexed, and its widest width.
func (db *DB) graphType() (kind string, widest int) {
	if db.vector.atLeast(0, 7) {
		return "halfvec", 4_000
	}
	return "vector", 2_000
}

const graphsSQL = `SELECT c.relname::text, i.indisvalid, c.reltuples::float8 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = 'apigtwycache'::regclass AND starts_with(c.relname::text, 'apigtwycache_near_')`

// readGraphs returns the rows of the valid indexes, and the names of the
// invalid: left by a build that was broken off, or still being built.
func readGraphs(ctx context.Context, c *pgx.Conn) (rows map[string]float64, invalid []string, err error) {
	found, err := c.Query(ctx, graphsSQL)
	if err != nil {
		return nil, nil, err
	}
	defer found.Close()
	rows = map[string]float64{}
	for found.Next() {
		var name string
		var valid bool
		var n float64
		if err := found.Scan(&name, &valid, &n); err != nil {
			return nil, nil, err
		}
		if valid {
			rows[name] = n
		} else {
			invalid = append(invalid, name)
		}
	}
	return rows, invalid, found.Err()
}

// graph reports whether an index is there, and about how many rows it has.
func (db *DB) graph(ctx context.Context, c *pgxpool.Conn, g graph) (rows float64, there bool, err error) {
	now := db.gate.now()
	db.graphs.mu.Lock()
	stale := now.After(db.graphs.until)
	if stale {
		db.graphs.until = now.Add(sizeFor) // one asks, the others go by what was known
	}
	db.graphs.mu.Unlock()
	if stale {
		if err := db.lookForGraphs(ctx, c.Conn()); err != nil {
			return 0, false, err
		}
	}
	db.graphs.mu.Lock()
	defer db.graphs.mu.Unlock()
	rows, there = db.graphs.rows[g.index()]
	if !there {
		if db.graphs.wanted == nil {
			db.graphs.wanted = map[graph]bool{}
		}
		db.graphs.wanted[g] = true
	}
	return rows, there, nil
}

func (db *DB) lookForGraphs(ctx context.Context, c *pgx.Conn) error {
	rows, _, err := readGraphs(ctx, c)
	if err != nil {
		return err
	}
	db.graphs.mu.Lock()
	defer db.graphs.mu.Unlock()
	db.graphs.rows, db.graphs.until = rows, db.gate.now().Add(sizeFor)
	return nil
}

// %s are index, type, width and class of operators. Concurrently: entries are
// added meanwhile.
const buildSQL = `CREATE INDEX CONCURRENTLY %[1]s ON apigtwycache USING hnsw ((embedding::%[2]s(%[3]d)) %[2]s_%[4]s) WHERE dims = %[3]d`

// A build needs its graph in memory to be quick, and no other process, whose
// shared memory containers are short of.
const buildSettingsSQL = `SET statement_timeout = 0; SET lock_timeout = 0; SET maintenance_work_mem = '256MB'; SET max_parallel_maintenance_workers = 0`

const buildingSQL = `SELECT count(*) FROM pg_stat_progress_create_index WHERE relid = 'apigtwycache'::regclass`

// Tend builds the indexes that look-ups in large buckets were found to lack,
// one process at a time. It is to be called every minute or so, and takes as
// long as a build does; until then all vectors of a bucket are compared.
func (db *DB) Tend(ctx context.Context) error {
	db.graphs.mu.Lock()
	wanted := slices.Collect(maps.Keys(db.graphs.wanted))
	db.graphs.wanted = nil
	db.graphs.mu.Unlock()
	if len(wanted) == 0 {
		return nil
	}
	unlock, free, err := db.Lock(ctx, "cache index")
	if err != nil || !free {
		return err
	}
	defer unlock()
	conn, err := connect(ctx, db.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	if err := db.build(ctx, conn, wanted); err != nil {
		return failed("building an index of the cache", err)
	}
	return nil
}

func (db *DB) build(ctx context.Context, conn *pgx.Conn, wanted []graph) error {
	if _, err := conn.PgConn().Exec(ctx, buildSettingsSQL).ReadAll(); err != nil {
		return err
	}
	var building int
	if err := conn.QueryRow(ctx, buildingSQL).Scan(&building); err != nil || building > 0 {
		return err // of somebody who lost the lock: it is not to be disturbed
	}
	rows, invalid, err := readGraphs(ctx, conn)
	if err != nil {
		return err
	}
	for _, g := range wanted {
		if _, there := rows[g.index()]; there {
			continue
		}
		if slices.Contains(invalid, g.index()) {
			if _, err := conn.Exec(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+g.index()); err != nil {
				return err
			}
		}
		began := db.gate.now()
		if _, err := conn.Exec(ctx, fmt.Sprintf(buildSQL, g.index(), g.kind, g.width, classOf(g.space))); err != nil {
			return err
		}
		db.log.Info("built an index of the cache", "index", g.index(), "duration", db.gate.now().Sub(began))
	}
	return db.lookForGraphs(ctx, conn)
}

// classOf returns the class of operators of a space by its name.
func classOf(name string) string {
	switch name {
	case "ls":
		return "l2_ops"
	case "ip":
		return "ip_ops"
	default:
		return "cosine_ops"
	}
}
