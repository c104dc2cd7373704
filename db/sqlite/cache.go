package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"aigateway/cache"
)

// index is the database as the cache sees it.
type index DB

const entryColumns = `e.id, e.aiappname, e.key, e.requestid, e.bucket, e.scope, e.prompt, e.model,
	e.completion, e.marks, e.timestamp_, u.used, u.hits`

const entryTables = ` FROM apigtwycache e JOIN apigtwycacheuse u ON u.id = e.id `

const (
	selectByKey = `SELECT ` + entryColumns + entryTables + `WHERE e.aiappname = ? AND e.key = ?`
	selectByID  = `SELECT ` + entryColumns + entryTables + `WHERE e.id = ? AND e.aiappname = ?`
	selectPage  = `SELECT ` + entryColumns + entryTables + `WHERE e.aiappname = ? AND e.id < ? ORDER BY e.id DESC LIMIT ?`
)

// Get implements cache.Index.
func (x *index) Get(ctx context.Context, app string, key cache.Hash) (*cache.Entry, error) {
	return x.entry(ctx, selectByKey, app, key[:])
}

// Entry implements cache.Index.
func (x *index) Entry(ctx context.Context, app string, id int64) (*cache.Entry, error) {
	return x.entry(ctx, selectByID, id, app)
}

func (x *index) entry(ctx context.Context, query string, args ...any) (*cache.Entry, error) {
	list, err := x.entries(ctx, query, args)
	if err == nil && len(list) == 0 {
		return nil, cache.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading a cache entry: %w", err)
	}
	return list[0], nil
}

// List implements cache.Index.
func (x *index) List(ctx context.Context, app string, before int64, limit int) ([]*cache.Entry, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	list, err := x.entries(ctx, selectPage, []any{app, before, limit})
	if err != nil {
		return nil, fmt.Errorf("listing cache entries: %w", err)
	}
	return list, nil
}

func (x *index) entries(ctx context.Context, query string, args []any) (list []*cache.Entry, err error) {
	err = x.reader.query(ctx, query, args, func(scan func(...any) error) error {
		var e cache.Entry
		var key, bucket []byte
		var created, used int64
		if err := scan(&e.ID, &e.App, &key, &e.RequestID, &bucket, &e.Scope, &e.Text, &e.Model,
			&e.Answer, &e.Marks, &created, &used, &e.Hits); err != nil {
			return err
		}
		copy(e.Key[:], key)
		copy(e.Bucket[:], bucket)
		e.Created, e.Used = instant(created), instant(used)
		list = append(list, &e)
		return nil
	})
	return list, (*DB)(x).note(err)
}

// Nearest implements cache.Index. It reads memory only.
func (x *index) Nearest(ctx context.Context, q cache.Query) ([]cache.Near, error) {
	if err := (*DB)(x).usable(ctx); err != nil {
		return nil, fmt.Errorf("looking for near cache entries: %w", err)
	}
	found, err := x.vectors.nearest(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("looking for near cache entries: %w", err)
	}
	return found, nil
}

const (
	deleteByKey = `DELETE FROM apigtwycache WHERE aiappname = ? AND key = ? RETURNING id`
	insertEntry = `INSERT INTO apigtwycache
		(requestid, aiappname, timestamp_, key, bucket, scope, model, dims, prompt, completion, marks, embedding)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertUse = `INSERT INTO apigtwycacheuse (id, aiappname, size, hits, used) VALUES (?, ?, ?, ?, ?)`
)

// Add implements cache.Index.
func (x *index) Add(ctx context.Context, entries []*cache.Entry) error {
	for _, e := range entries {
		if len(e.Vector) > 0 && !hasDirection(e.Vector) {
			return fmt.Errorf("adding cache entries: a vector is zero or not finite")
		}
	}
	ids := make([]int64, len(entries))
	var replaced []int64
	err := x.writer.write(ctx, func(ctx context.Context) (err error) {
		for i, e := range entries {
			if replaced, err = x.deleted(ctx, replaced, deleteByKey, e.App, e.Key[:]); err != nil {
				return err
			}
			if ids[i], err = x.insert(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}, func() {
		for i, e := range entries {
			e.ID = ids[i]
			x.vectors.add(e.ID, e.App, e.Bucket, e.Text, e.Created.UnixMicro(), e.Vector)
		}
		x.vectors.remove(replaced)
	})
	if err != nil {
		return fmt.Errorf("adding cache entries: %w", (*DB)(x).note(err))
	}
	return nil
}

func (x *index) insert(ctx context.Context, e *cache.Entry) (id int64, err error) {
	r, err := x.writer.exec(ctx, insertEntry, e.RequestID, e.App, e.Created.UnixMicro(), e.Key[:], e.Bucket[:],
		e.Scope, e.Model, len(e.Vector), e.Text, string(e.Answer), e.Marks, blob(e.Vector))
	if err != nil {
		return 0, err
	}
	if id, err = r.LastInsertId(); err != nil {
		return 0, err
	}
	_, err = x.writer.exec(ctx, insertUse, id, e.App, e.Size(), e.Hits, e.Used.UnixMicro())
	return id, err
}

const updateUse = `UPDATE apigtwycacheuse SET hits = hits + ?, used = max(used, ?) WHERE id = ?`

// Touch implements cache.Index.
func (x *index) Touch(ctx context.Context, uses []cache.Use) error {
	err := x.writer.write(ctx, func(ctx context.Context) error {
		for _, u := range uses {
			if _, err := x.writer.exec(ctx, updateUse, u.Hits, u.Last.UnixMicro(), u.ID); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	if err != nil {
		return fmt.Errorf("counting cache hits: %w", (*DB)(x).note(err))
	}
	return nil
}

const deleteEntry = `DELETE FROM apigtwycache WHERE id = ? AND aiappname = ? RETURNING id`

// Delete implements cache.Index.
func (x *index) Delete(ctx context.Context, app string, id int64) (bool, error) {
	n, err := x.delete(ctx, deleteEntry, id, app)
	return n > 0, err
}

const purgeEntries = `DELETE FROM apigtwycache WHERE id IN (
	SELECT id FROM apigtwycache WHERE aiappname = ? ORDER BY id LIMIT ?) RETURNING id`

// Purge implements cache.Index.
func (x *index) Purge(ctx context.Context, app string, limit int) (int, error) {
	return x.delete(ctx, purgeEntries, app, limit)
}

const expireEntries = `DELETE FROM apigtwycache WHERE id IN (
	SELECT id FROM apigtwycache WHERE aiappname = ? AND timestamp_ < ? ORDER BY timestamp_ LIMIT ?) RETURNING id`

// Expire implements cache.Index.
func (x *index) Expire(ctx context.Context, app string, before time.Time, limit int) (int, error) {
	return x.delete(ctx, expireEntries, app, before.UnixMicro(), limit)
}

func (x *index) delete(ctx context.Context, query string, args ...any) (int, error) {
	var gone []int64
	err := x.writer.write(ctx, func(ctx context.Context) (err error) {
		gone, err = x.deleted(ctx, nil, query, args...)
		return err
	}, func() { x.vectors.remove(gone) })
	if err != nil {
		return 0, fmt.Errorf("deleting cache entries: %w", (*DB)(x).note(err))
	}
	return len(gone), nil
}

// deleted runs a deletion as part of a change, and appends the ids of what
// went.
func (x *index) deleted(ctx context.Context, gone []int64, query string, args ...any) ([]int64, error) {
	err := x.writer.query(ctx, query, args, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		gone = append(gone, id)
		return err
	})
	return gone, err
}

const (
	selectSize   = `SELECT count(*), coalesce(sum(size), 0) FROM apigtwycacheuse WHERE aiappname = ?`
	selectOldest = `SELECT id, size FROM apigtwycacheuse WHERE aiappname = ? ORDER BY used, id LIMIT ?`
	deleteListed = `DELETE FROM apigtwycache WHERE id IN (SELECT value FROM json_each(?)) RETURNING id`
)

// Trim implements cache.Index.
func (x *index) Trim(ctx context.Context, app string, most int, bytes int64, limit int) (int, error) {
	// Within bounds is the usual case: it is found beside the writer.
	if n, size, err := x.size(ctx, x.reader.scan, app); err != nil || n <= most && size <= bytes {
		return 0, err
	}
	var gone []int64
	err := x.writer.write(ctx, func(ctx context.Context) error {
		n, size, err := x.size(ctx, x.writer.scan, app)
		if err != nil {
			return err
		}
		oldest := []int64{}
		if err := x.writer.query(ctx, selectOldest, []any{app, limit}, func(scan func(...any) error) error {
			var id, bytesOf int64
			if err := scan(&id, &bytesOf); err != nil {
				return err
			}
			if n > most || size > bytes {
				oldest = append(oldest, id)
				n, size = n-1, size-bytesOf
			}
			return nil
		}); err != nil {
			return err
		}
		list, err := json.Marshal(oldest)
		if err != nil {
			return err
		}
		gone, err = x.deleted(ctx, nil, deleteListed, string(list))
		return err
	}, func() { x.vectors.remove(gone) })
	if err != nil {
		return 0, fmt.Errorf("trimming cache entries: %w", (*DB)(x).note(err))
	}
	return len(gone), nil
}

func (x *index) size(ctx context.Context, scan func(context.Context, string, []any, []any) error, app string) (n int, size int64, err error) {
	if err := scan(ctx, selectSize, []any{app}, []any{&n, &size}); err != nil {
		return 0, 0, fmt.Errorf("measuring the cache: %w", (*DB)(x).note(err))
	}
	return n, size, nil
}

const selectVectors = `SELECT id, aiappname, bucket, prompt, timestamp_, embedding FROM apigtwycache WHERE embedding IS NOT NULL ORDER BY id`

// load reads all vectors into memory.
func (d *DB) load(ctx context.Context) error {
	return d.reader.query(ctx, selectVectors, nil, func(scan func(...any) error) error {
		var id, created int64
		var app, text string
		var bucket, vector sql.RawBytes
		if err := scan(&id, &app, &bucket, &text, &created, &vector); err != nil {
			return err
		}
		v := floats(vector)
		if !hasDirection(v) || len(bucket) != len(cache.Hash{}) {
			return errors.New("a cached vector cannot be read; empty table apigtwycache")
		}
		d.vectors.add(id, app, cache.Hash(bucket), text, created, v)
		return nil
	})
}

// instant is a time from how it is stored.
func instant(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// blob is a vector as it is stored; nil stays nil.
func blob(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	b := make([]byte, 0, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

func floats(b []byte) []float32 {
	if len(b) == 0 {
		return nil
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// hasDirection reports whether a vector has a direction: its numbers are finite
// and not all zero.
func hasDirection(v []float32) bool {
	n := norm(v)
	return n > 0 && !math.IsInf(n, 0) && !math.IsNaN(n)
}
