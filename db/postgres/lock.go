package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// lockSQL takes a lock that ends with the transaction, so that it works behind
// PgBouncer too. A transaction that only waits holds back no clean-up.
const lockSQL = `SELECT pg_try_advisory_xact_lock($1)`

// Lock takes the lock of a name, on a connection beside the pool's: those who
// hold one for long must not stand in the way of requests.
func (db *DB) Lock(ctx context.Context, name string) (unlock func(), ok bool, err error) {
	what := "taking the lock " + name
	if fault, up := db.gate.open(); !up {
		return nil, false, &opError{what: what, fault: ErrDown.Error() + ": " + fault, down: true, cause: ErrDown}
	}
	ctx, cancel := context.WithTimeout(ctx, operationBudget)
	defer cancel()
	conn, err := connect(ctx, db.pool.Config().ConnConfig)
	if err != nil {
		return nil, false, err
	}
	release := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		// Told apart from closing, which the server may notice later.
		_, _ = conn.Exec(ctx, "ROLLBACK")
		closeConn(ctx, conn)
	})
	if ok, err = tryLock(ctx, conn, name); err != nil {
		release()
		return nil, false, failed(what, err)
	}
	if !ok {
		release()
		return nil, false, nil
	}
	return release, true, nil
}

func tryLock(ctx context.Context, conn *pgx.Conn, name string) (ok bool, err error) {
	if _, err := conn.Exec(ctx, beginSQL); err != nil {
		return false, err
	}
	// By the simple protocol: after the other one the transaction keeps the
	// statement's snapshot, for which clean-up and index builds wait.
	err = conn.QueryRow(ctx, lockSQL, pgx.QueryExecModeSimpleProtocol, lockKey(name)).Scan(&ok)
	return ok, err
}

// beginSQL begins a transaction that may wait as long as its owner likes.
const beginSQL = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0`

// lockKey is the number of a lock, the same in every process.
func lockKey(name string) int64 {
	sum := sha256.Sum256([]byte("aigateway lock " + name))
	return int64(binary.BigEndian.Uint64(sum[:]))
}
