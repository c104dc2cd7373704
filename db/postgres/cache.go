package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pgvector/pgvector-go"

	"aigateway/cache"
)

// cacheIndex is the database as the cache uses it.
type cacheIndex DB

func (x *cacheIndex) db() *DB { return (*DB)(x) }

const (
	getSQL = `SELECT c.id, coalesce(c.key, ''), coalesce(c.requestid, ''), coalesce(c.bucket, ''), coalesce(c.scope, ''), coalesce(c.prompt, ''),
	coalesce(c.model, ''), c.completion, c.marks, coalesce(c.timestamp_, 'epoch'), coalesce(u.used, c.timestamp_, 'epoch'), coalesce(u.hits, 0)
FROM apigtwycache c LEFT JOIN apigtwycacheuse u ON u.id = c.id WHERE c.aiappname = $1 AND c.key = $2`
	entrySQL = `SELECT c.id, coalesce(c.key, ''), coalesce(c.requestid, ''), coalesce(c.bucket, ''), coalesce(c.scope, ''), coalesce(c.prompt, ''),
	coalesce(c.model, ''), c.completion, c.marks, coalesce(c.timestamp_, 'epoch'), coalesce(u.used, c.timestamp_, 'epoch'), coalesce(u.hits, 0)
FROM apigtwycache c LEFT JOIN apigtwycacheuse u ON u.id = c.id WHERE c.aiappname = $1 AND c.id = $2`
	listSQL = `SELECT c.id, coalesce(c.key, ''), coalesce(c.requestid, ''), coalesce(c.bucket, ''), coalesce(c.scope, ''), coalesce(c.prompt, ''),
	coalesce(c.model, ''), c.completion, c.marks, coalesce(c.timestamp_, 'epoch'), coalesce(u.used, c.timestamp_, 'epoch'), coalesce(u.hits, 0)
FROM apigtwycache c LEFT JOIN apigtwycacheuse u ON u.id = c.id WHERE c.aiappname = $1 AND c.id < $2 ORDER BY c.id DESC LIMIT $3`
)

// Get returns the entry with an exact key.
func (x *cacheIndex) Get(ctx context.Context, app string, key cache.Hash) (*cache.Entry, error) {
	return x.one(ctx, "reading a cache entry", getSQL, app, key[:])
}

// Entry returns an entry by its id.
func (x *cacheIndex) Entry(ctx context.Context, app string, id int64) (*cache.Entry, error) {
	return x.one(ctx, "reading a cache entry by its id", entrySQL, app, id)
}

func (x *cacheIndex) one(ctx context.Context, what, query, app string, key any) (e *cache.Entry, err error) {
	err = x.db().do(ctx, what, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, query, text(app), key)
		if err != nil {
			return err
		}
		e, err = pgx.CollectExactlyOneRow(rows, scanEntry(app))
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err == nil && e == nil {
		err = cache.ErrNotFound
	}
	return e, err
}

// List returns entries, latest id first.
func (x *cacheIndex) List(ctx context.Context, app string, before int64, limit int) (list []*cache.Entry, err error) {
	if before == 0 {
		before = math.MaxInt64
	}
	err = x.db().do(ctx, "listing cache entries", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, listSQL, text(app), before, limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanEntry(app))
		return err
	})
	return list, err
}

// scanEntry reads the columns that getSQL, entrySQL and listSQL share.
func scanEntry(app string) pgx.RowToFunc[*cache.Entry] {
	return func(row pgx.CollectableRow) (*cache.Entry, error) {
		e := &cache.Entry{App: app}
		var key, bucket []byte
		err := row.Scan(&e.ID, &key, &e.RequestID, &bucket, &e.Scope, &e.Text, &e.Model, &e.Answer, &e.Marks, &e.Created, &e.Used, &e.Hits)
		if err != nil {
			return nil, err
		}
		copy(e.Key[:], key)
		copy(e.Bucket[:], bucket)
		e.Created, e.Used = e.Created.UTC(), e.Used.UTC()
		return e, nil
	}
}

const (
	// The replaced row's place in apigtwycacheuse moves to the new id with it.
	addSQL = `INSERT INTO apigtwycache (aiappname, key, requestid, bucket, scope, prompt, model, dims, embedding, completion, marks, timestamp_)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (aiappname, key) DO UPDATE SET id = DEFAULT, requestid = excluded.requestid, bucket = excluded.bucket, scope = excluded.scope,
	prompt = excluded.prompt, model = excluded.model, dims = excluded.dims, embedding = excluded.embedding, completion = excluded.completion,
	marks = excluded.marks, timestamp_ = excluded.timestamp_
RETURNING id`
	addUseSQL = `INSERT INTO apigtwycacheuse (id, aiappname, size, hits, used)
SELECT id, aiappname, $3, $4, $5 FROM apigtwycache WHERE aiappname = $1 AND key = $2
ON CONFLICT (id) DO UPDATE SET size = excluded.size, hits = excluded.hits, used = excluded.used`
)

// Add stores entries in one round trip and one transaction.
func (x *cacheIndex) Add(ctx context.Context, entries []*cache.Entry) error {
	for _, e := range entries {
		if e.Vector != nil && !hasDirection(e.Vector) {
			return fmt.Errorf("adding cache entries: a vector of width %d is zero or not finite", len(e.Vector))
		}
	}
	// In the order of their keys, so that two who add the same wait for, and
	// do not block, each other.
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b *cache.Entry) int {
		if c := strings.Compare(a.App, b.App); c != 0 {
			return c
		}
		return bytes.Compare(a.Key[:], b.Key[:])
	})
	ids := make([]int64, len(sorted))
	batch := &pgx.Batch{}
	for i, e := range sorted {
		var vector any // a pointer would be written as text
		var dims *int
		if e.Vector != nil {
			width := len(e.Vector)
			if vector = pgvector.NewVector(e.Vector); halves(e.Vector) {
				dims = &width
			}
		}
		batch.Queue(addSQL, text(e.App), e.Key[:], text(e.RequestID), e.Bucket[:], text(e.Scope), text(e.Text), text(e.Model),
			dims, vector, document(e.Answer), e.Marks, e.Created,
		).QueryRow(func(row pgx.Row) error { return row.Scan(&ids[i]) })
		batch.Queue(addUseSQL, text(e.App), e.Key[:], e.Size(), e.Hits, e.Used)
	}
	if batch.Len() == 0 {
		return nil
	}
	err := x.db().do(ctx, "adding cache entries", func(ctx context.Context, c *pgxpool.Conn) error {
		return c.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return err
	}
	for i, e := range sorted {
		e.ID = ids[i]
		if e.Vector != nil {
			x.sizes.added(e.App, e.Bucket)
		}
	}
	return nil
}

// Rows are locked in one order, so that replicas which touch the same do not
// block each other for good.
const touchSQL = `WITH told AS (
	SELECT id, sum(hits)::bigint AS hits, max(last) AS last FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS t(id, hits, last) GROUP BY id
), mine AS (
	SELECT u.id FROM apigtwycacheuse u JOIN told ON told.id = u.id ORDER BY u.id FOR UPDATE OF u
)
UPDATE apigtwycacheuse u SET hits = u.hits + told.hits, used = greatest(u.used, told.last)
FROM told JOIN mine ON mine.id = told.id WHERE u.id = told.id`

// Touch adds to hit counts and moves last uses forward.
func (x *cacheIndex) Touch(ctx context.Context, uses []cache.Use) error {
	if len(uses) == 0 {
		return nil
	}
	ids, hits, last := make([]int64, len(uses)), make([]int64, len(uses)), make([]time.Time, len(uses))
	for i, u := range uses {
		ids[i], hits[i], last[i] = u.ID, u.Hits, u.Last
	}
	return x.db().do(ctx, "noting the use of cache entries", func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, touchSQL, ids, hits, last)
		return err
	})
}

const deleteSQL = `DELETE FROM apigtwycache WHERE aiappname = $1 AND id = $2`

// Delete deletes one entry.
func (x *cacheIndex) Delete(ctx context.Context, app string, id int64) (bool, error) {
	n, err := x.db().remove(ctx, operationBudget, "deleting a cache entry", deleteSQL, text(app), id)
	return n > 0, err
}

const purgeSQL = `DELETE FROM apigtwycache WHERE id = ANY (ARRAY(SELECT id FROM apigtwycache WHERE aiappname = $1 ORDER BY id LIMIT $2))`

// Purge deletes entries of an application.
func (x *cacheIndex) Purge(ctx context.Context, app string, limit int) (int, error) {
	return x.db().remove(ctx, sweepBudget, "purging cache entries", purgeSQL, text(app), limit)
}

const expireSQL = `DELETE FROM apigtwycache WHERE id = ANY (ARRAY(
	SELECT id FROM apigtwycache WHERE aiappname = $1 AND (timestamp_ < $2 OR timestamp_ IS NULL) ORDER BY timestamp_ LIMIT $3))`

// Expire deletes entries that were created before a time.
func (x *cacheIndex) Expire(ctx context.Context, app string, before time.Time, limit int) (int, error) {
	return x.db().remove(ctx, sweepBudget, "expiring cache entries", expireSQL, text(app), before, limit)
}

// An entry goes as long as the application, without those before it, is still
// beyond one of its bounds.
const trimSQL = `WITH total AS (
	SELECT count(*) AS n, coalesce(sum(size), 0) AS bytes FROM apigtwycacheuse WHERE aiappname = $1
), oldest AS (
	SELECT id, size, row_number() OVER (ORDER BY used, id) AS place, sum(size) OVER (ORDER BY used, id) AS upto
	FROM (SELECT id, size, used FROM apigtwycacheuse WHERE aiappname = $1 ORDER BY used, id LIMIT $4) o
)
DELETE FROM apigtwycache WHERE id = ANY (ARRAY(
	SELECT id FROM oldest, total WHERE total.n - place + 1 > $2 OR total.bytes - upto + size > $3))`

// Trim deletes the entries whose last use is longest ago.
func (x *cacheIndex) Trim(ctx context.Context, app string, most int, bytes int64, limit int) (int, error) {
	return x.db().remove(ctx, sweepBudget, "trimming the cache", trimSQL, text(app), most, bytes, limit)
}

// remove runs a statement that deletes, and returns how many rows.
func (db *DB) remove(ctx context.Context, budget time.Duration, what, statement string, args ...any) (n int, err error) {
	err = db.within(ctx, budget, what, func(ctx context.Context, c *pgxpool.Conn) error {
		tag, err := c.Exec(ctx, statement, args...)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}
