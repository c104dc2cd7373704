// Package postgres keeps what the gateway remembers in PostgreSQL with
// pgvector, which several gateways can share: cached answers, conversations,
// the history of exchanges and the ledger. In a request it answers the cache's look-ups
// and reads and extends the conversation; all else comes from background jobs.
//
// It works behind PgBouncer in transaction mode: no operation needs a session
// of its own. That takes PgBouncer 1.21, which knows prepared statements.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxvector "github.com/pgvector/pgvector-go/pgx"

	"aigateway/cache"
	"aigateway/db/spec"
	"aigateway/memory"
	"aigateway/persist"
)

// DB is an open PostgreSQL database. It implements [spec.DB].
type DB struct {
	pool   *pgxpool.Pool
	log    *slog.Logger
	gate   gate
	watch  watch
	kind   string
	schema int64
	vector version // of the extension

	sizes  sizes
	graphs graphs
	close  sync.Once
}

var _ spec.DB = (*DB)(nil)

// connectTimeout is how long one try to connect may take, unless the URL has a
// connect_timeout.
const connectTimeout = 5 * time.Second

// Open opens the database of a libpq URL (postgres://user@host/name?sslmode=…)
// and, unless told not to, brings its schema up to date. Faults of the URL,
// the connection, the extension and the schema are errors, which hold neither
// the URL nor the password; trying again is the caller's.
func Open(ctx context.Context, dsn string, o spec.Options) (*DB, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	db := &DB{log: log, gate: gate{now: time.Now, up: true, since: time.Now()}}
	if err := db.prepare(ctx, config.ConnConfig, !o.NoMigrate); err != nil {
		return nil, err
	}
	if db.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, &opError{what: "opening the database", fault: connectFault(err), cause: err}
	}
	if err := db.Check(ctx); err != nil {
		db.pool.Close()
		return nil, err
	}
	return db, nil
}

// parse reads a URL.
func parse(dsn string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("reading the database URL: %s", urlFault(dsn, err))
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		config.MaxConns = int32(max(8, 4*runtime.NumCPU()))
	}
	if !strings.Contains(dsn, "connect_timeout") {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "aigateway"
	}
	config.AfterConnect = settle
	return config, nil
}

// urlFault says what is wrong with a URL without quoting any of it.
func urlFault(dsn string, err error) string {
	if _, bad := url.Parse(dsn); bad != nil && strings.Contains(dsn, "://") {
		return "it is not a URL; it should look like postgres://user:password@host:5432/name?sslmode=require, special characters written as %XX"
	}
	fault := connectFault(err)
	for _, part := range strings.FieldsFunc(dsn, func(r rune) bool { return strings.ContainsRune(":/@?&= ", r) }) {
		if len(part) > 2 && strings.Contains(fault, part) {
			return "a setting in it is not valid"
		}
	}
	return fault
}

// settleSQL bounds what a statement can hold up. Compiling queries (jit) costs
// more than any of ours takes, and so does planning them anew at each use: none
// wants another plan for other values.
const settleSQL = `SET plan_cache_mode = force_generic_plan; SET statement_timeout = '30s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '60s'; SET jit = off`

// settle makes a new connection ready.
func settle(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.PgConn().Exec(ctx, settleSQL).ReadAll(); err != nil {
		return err
	}
	return pgxvector.RegisterTypes(ctx, conn)
}

// prepare brings the schema up to date, or looks whether it is, on a
// connection of its own.
func (db *DB) prepare(ctx context.Context, config *pgx.ConnConfig, migrate bool) error {
	conn, err := connect(ctx, config)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	if db.schema, err = upToDate(ctx, conn, migrate, db.log); err != nil {
		return err
	}
	var server, extension string
	if err := conn.QueryRow(ctx, versionsSQL).Scan(&server, &extension); err != nil {
		return failed("reading the versions of PostgreSQL and pgvector", err)
	}
	server, _, _ = strings.Cut(server, " ")
	db.kind = "postgresql " + server + ", pgvector " + extension
	db.vector = versionOf(extension)
	return nil
}

const versionsSQL = `SELECT current_setting('server_version'), coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'), '')`

// connect opens one connection.
func connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		where := fmt.Sprintf("connecting to database %q at %s:%d", config.Database, config.Host, config.Port)
		return nil, failed(where, err)
	}
	return conn, nil
}

// closeConn ends a connection of connect, also after ctx is over.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // there is nobody to tell
}

// failed wraps the error of a statement outside the gate.
func failed(what string, err error) error {
	fault, down := reason(err)
	if errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) {
		fault, down = "no answer in time", true
	}
	return &opError{what: what, fault: fault, down: down, cause: err}
}

// Cache returns the index of cached answers.
func (db *DB) Cache() cache.Index { return (*cacheIndex)(db) }

// Memory returns the store of conversations.
func (db *DB) Memory() memory.Store { return (*memoryStore)(db) }

// Prompts returns the store of exchanges.
func (db *DB) Prompts() persist.Store { return (*promptStore)(db) }

// Ledger returns what tells how much was used.
func (db *DB) Ledger() persist.Ledger { return (*ledger)(db) }

// State tells what is known of the database now.
func (db *DB) State() spec.State {
	pool := db.pool.Stat()
	db.gate.mu.Lock()
	defer db.gate.mu.Unlock()
	return spec.State{
		Kind: db.kind, Schema: db.schema, Up: db.gate.up, Since: db.gate.since, Fault: db.gate.fault,
		InUse: int(pool.AcquiredConns()), Idle: int(pool.IdleConns()), Waiting: pool.EmptyAcquireCount(),
	}
}

// Close ends all connections, after the operations that are under way.
func (db *DB) Close() error {
	db.close.Do(func() {
		db.gate.shut(db.gate.now(), "it is closed")
		db.watch.close()
		db.pool.Close()
	})
	return nil
}

// version is the first two numbers of a version, such as 0.8.
type version struct{ major, minor int }

func versionOf(s string) (v version) {
	_, _ = fmt.Sscanf(s, "%d.%d", &v.major, &v.minor)
	return v
}

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}
