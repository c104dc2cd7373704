package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The history is partitioned by weeks, which begin on Monday in UTC as those
// of ISO 8601 do. Times beyond these are a broken clock's, or an attempt to
// make tables without end.
var (
	firstWeek = time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC)
	lastWeek  = time.Date(2200, 1, 6, 0, 0, 0, 0, time.UTC)
)

// weekOf returns the begin of the week of a time.
func weekOf(t time.Time) time.Time {
	t = t.UTC()
	sinceMonday := (int(t.Weekday()) + 6) % 7
	return time.Date(t.Year(), t.Month(), t.Day()-sinceMonday, 0, 0, 0, 0, time.UTC)
}

func partitionOf(week time.Time) string {
	year, number := week.ISOWeek()
	return fmt.Sprintf("apigtwyprompts_%04dw%02d", year, number)
}

const (
	partitionLockSQL = `SELECT pg_advisory_xact_lock($1)`
	// Whether some partition takes a time: the first one takes many weeks.
	coveredSQL = `SELECT EXISTS (
	SELECT 1 FROM (
		SELECT (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz AS low,
			(regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS high
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'apigtwyprompts'::regclass
	) bounds WHERE ($1 >= low OR low IS NULL) AND $1 < high)`
	// Made apart and then attached: that takes a lock which inserts and reads do
	// not wait for, as CREATE TABLE … PARTITION OF does.
	makePartitionSQL   = `CREATE TABLE %s (LIKE apigtwyprompts INCLUDING DEFAULTS INCLUDING INDEXES)`
	attachPartitionSQL = `ALTER TABLE apigtwyprompts ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`
	// bound is the form of a bound in SQL.
	bound = "2006-01-02 15:04:05+00"
)

// makePartitions makes the partitions that rows need and that are not there.
func (db *DB) makePartitions(ctx context.Context, c *pgxpool.Conn, rows []row) error {
	var weeks []time.Time
	for _, r := range rows {
		if r != nil {
			weeks = append(weeks, weekOf(r.start()))
		}
	}
	slices.SortFunc(weeks, time.Time.Compare)
	weeks = slices.CompactFunc(weeks, time.Time.Equal)
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, partitionLockSQL, lockKey("partitions")); err != nil {
			return err
		}
		for _, week := range weeks {
			var covered bool
			if err := tx.QueryRow(ctx, coveredSQL, week).Scan(&covered); err != nil {
				return err
			}
			if covered {
				continue
			}
			name := partitionOf(week)
			if _, err := tx.Exec(ctx, fmt.Sprintf(makePartitionSQL, name)); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, fmt.Sprintf(attachPartitionSQL, name, week.Format(bound), week.AddDate(0, 0, 7).Format(bound))); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	// Those that may hold rows from before a time, and whether they hold others.
	olderPartitionsSQL = `SELECT name, high <= $1 FROM (
	SELECT c.oid::regclass::text AS name,
		(regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz AS low,
		(regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS high
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'apigtwyprompts'::regclass
) bounds WHERE low < $1 OR low IS NULL ORDER BY high`
	// A drop has to wait until nobody reads the whole table, and all who come
	// later wait behind it: not for long.
	dropWaitSQL  = `SET LOCAL lock_timeout = '200ms'`
	countRowsSQL = `SELECT count(*) FROM %s`
	// Votes on a request id that is there again, later, stay.
	dropVotesSQL = `DELETE FROM apigtwyvotes v USING %s gone WHERE v.aiappname = gone.aiappname AND v.requestid = gone.requestid
AND NOT EXISTS (SELECT 1 FROM apigtwyprompts p WHERE p.aiappname = v.aiappname AND left(p.requestid, 200) = left(v.requestid, 200)
	AND p.requestid = v.requestid AND p.timestamp_ >= $1)`
	dropSQL = `DROP TABLE %s`

	expireRowsSQL = `WITH gone AS (
	DELETE FROM %[1]s WHERE timestamp_ < $1 AND ctid = ANY (ARRAY(
		SELECT ctid FROM %[1]s WHERE timestamp_ < $1 ORDER BY timestamp_ LIMIT $2))
	RETURNING aiappname, requestid
), votes AS (
	DELETE FROM apigtwyvotes v USING gone WHERE v.aiappname = gone.aiappname AND v.requestid = gone.requestid
	AND NOT EXISTS (SELECT 1 FROM apigtwyprompts p WHERE p.aiappname = v.aiappname AND left(p.requestid, 200) = left(v.requestid, 200)
		AND p.requestid = v.requestid AND p.timestamp_ >= $1)
)
SELECT count(*) FROM gone`
)

// lockNotAvailable is the SQLSTATE of a lock that was not had in time.
const lockNotAvailable = "55P03"

// Expire deletes records that began before a time: partitions that end before
// it are dropped whole, of the one where it lies at most limit rows are
// deleted.
func (s *promptStore) Expire(ctx context.Context, before time.Time, limit int) (deleted int, done bool, err error) {
	err = s.db().within(ctx, sweepBudget, "expiring exchanges", func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, olderPartitionsSQL, before)
		if err != nil {
			return err
		}
		partitions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[partition])
		if err != nil {
			return err
		}
		done = true
		for _, p := range partitions {
			var n int
			if p.Ended {
				n, err = dropPartition(ctx, c, p.Name, before)
			} else {
				err = c.QueryRow(ctx, fmt.Sprintf(expireRowsSQL, p.Name), before, limit).Scan(&n)
				done = done && n < limit
			}
			if sqlState(err) == lockNotAvailable {
				done = false // next time
				continue
			}
			if err != nil {
				return err
			}
			deleted += n
		}
		return nil
	})
	if err != nil {
		return deleted, false, err
	}
	return deleted, done, nil
}

type partition struct {
	Name  string
	Ended bool // before the time in question
}

func dropPartition(ctx context.Context, c *pgxpool.Conn, name string, before time.Time) (n int, err error) {
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, fmt.Sprintf(countRowsSQL, name)).Scan(&n); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf(dropVotesSQL, name), before); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, dropWaitSQL); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(dropSQL, name))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
