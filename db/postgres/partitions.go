package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The history and the ledger are partitioned by weeks, which begin on Monday
// in UTC as those of ISO 8601 do. Times beyond these are a broken clock's, or
// an attempt to make tables without end.
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

// The tables that are partitioned by week, by the column timestamp_.
const (
	promptsTable = "apigtwyprompts"
	ledgerTable  = "apigtwyledger"
)

func partitionOf(table string, week time.Time) string {
	year, number := week.ISOWeek()
	return fmt.Sprintf("%s_%04dw%02d", table, year, number)
}

const (
	partitionLockSQL = `SELECT pg_advisory_xact_lock($1)`
	// The bounds of a table's partitions: the first one may have no lower.
	boundsSQL = `SELECT c.oid::regclass::text AS name,
		(regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz AS low,
		(regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS high
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass`
	// Whether some partition takes a time: the first one takes many weeks.
	coveredSQL = `SELECT EXISTS (SELECT 1 FROM (` + boundsSQL + `) bounds WHERE ($2 >= low OR low IS NULL) AND $2 < high)`
	// Made apart and then attached: that takes a lock which inserts and reads do
	// not wait for, as CREATE TABLE … PARTITION OF does.
	makePartitionSQL   = `CREATE TABLE %[1]s (LIKE %[2]s INCLUDING DEFAULTS INCLUDING INDEXES)`
	attachPartitionSQL = `ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM ('%[3]s') TO ('%[4]s')`
	// bound is the form of a bound in SQL.
	bound = "2006-01-02 15:04:05+00"
)

// makePartitions makes the partitions that rows need and that are not there.
func (db *DB) makePartitions(ctx context.Context, c *pgxpool.Conn, rows []*row) error {
	needed := map[string][]time.Time{}
	for _, r := range rows {
		if r != nil && r.history != nil {
			needed[promptsTable] = append(needed[promptsTable], weekOf(r.start))
		}
		if r != nil && r.entry != nil {
			needed[ledgerTable] = append(needed[ledgerTable], weekOf(r.start))
		}
	}
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, partitionLockSQL, lockKey("partitions")); err != nil {
			return err
		}
		for table, weeks := range needed {
			slices.SortFunc(weeks, time.Time.Compare)
			for _, week := range slices.CompactFunc(weeks, time.Time.Equal) {
				if err := makePartition(ctx, tx, table, week); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func makePartition(ctx context.Context, tx pgx.Tx, table string, week time.Time) error {
	var covered bool
	if err := tx.QueryRow(ctx, coveredSQL, table, week).Scan(&covered); err != nil || covered {
		return err
	}
	name := partitionOf(table, week)
	if _, err := tx.Exec(ctx, fmt.Sprintf(makePartitionSQL, name, table)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, fmt.Sprintf(attachPartitionSQL, name, table, week.Format(bound), week.AddDate(0, 0, 7).Format(bound)))
	return err
}

const (
	// Those that may hold rows from before a time, and whether they hold others.
	olderPartitionsSQL = `SELECT name, high <= $2 FROM (` + boundsSQL + `) bounds WHERE low < $2 OR low IS NULL ORDER BY high`
	// A drop has to wait until nobody reads the whole table, and all who come
	// later wait behind it: not for long.
	dropWaitSQL  = `SET LOCAL lock_timeout = '200ms'`
	countRowsSQL = `SELECT count(*) FROM %s`
	dropSQL      = `DROP TABLE %s`
)

// lockNotAvailable is the SQLSTATE of a lock that was not had in time.
const lockNotAvailable = "55P03"

// ageing is how rows of a table that is partitioned by week leave it.
type ageing struct {
	table string
	// withPartition deletes what goes with the rows of a partition, whose name
	// is its %s, when they began before $1; empty when nothing does.
	withPartition string
	// rows deletes at most $2 rows from before $1 out of a partition, %[1]s, and
	// returns their number.
	rows string
}

// expire deletes rows that began before a time: partitions that end before it
// are dropped whole, of the one where it lies at most limit rows are deleted.
func (db *DB) expire(ctx context.Context, what string, a ageing, before time.Time, limit int) (deleted int, done bool, err error) {
	err = db.within(ctx, sweepBudget, what, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, err := c.Query(ctx, olderPartitionsSQL, a.table, before)
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
				n, err = a.dropPartition(ctx, c, p.Name, before)
			} else {
				err = c.QueryRow(ctx, fmt.Sprintf(a.rows, p.Name), before, limit).Scan(&n)
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

func (a ageing) dropPartition(ctx context.Context, c *pgxpool.Conn, name string, before time.Time) (n int, err error) {
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, fmt.Sprintf(countRowsSQL, name)).Scan(&n); err != nil {
			return err
		}
		if a.withPartition != "" {
			if _, err := tx.Exec(ctx, fmt.Sprintf(a.withPartition, name), before); err != nil {
				return err
			}
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
