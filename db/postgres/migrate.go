package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is where the applied migrations are noted.
const versionTable = "apigtwyversion"

// oldestVector is the oldest pgvector that has HNSW indexes, and its types in
// the form used here.
var oldestVector = version{0, 5}

// Migrate brings the schema of a database up to date, and returns the names of
// the migrations that it applied; with dryRun of those that it would. It is
// safe to run in several processes at once. The extension vector is made when
// it is missing.
func Migrate(ctx context.Context, dsn string, dryRun bool, log *slog.Logger) ([]string, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, config.ConnConfig)
	if err != nil {
		return nil, err
	}
	defer closeConn(ctx, conn)
	current, err := schemaVersion(ctx, conn)
	if err != nil {
		return nil, err
	}
	names, newest, err := known(current)
	if err != nil {
		return nil, err
	}
	if current > newest {
		return nil, tooNew(current, newest)
	}
	if dryRun || len(names) == 0 {
		return names, nil
	}
	return apply(ctx, conn, log)
}

// upToDate returns the number of the schema when it is the one that this
// version needs; before, it migrates an older one or finds fault with it.
func upToDate(ctx context.Context, conn *pgx.Conn, migrate bool, log *slog.Logger) (int64, error) {
	current, err := schemaVersion(ctx, conn)
	if err != nil {
		return 0, err
	}
	_, newest, err := known(current)
	switch {
	case err != nil:
		return 0, err
	case current > newest:
		return 0, tooNew(current, newest)
	case current == newest:
		return newest, checkExtension(ctx, conn)
	case !migrate:
		return 0, fmt.Errorf("the database has schema %d and this version needs %d: run `gateway migrate`", current, newest)
	}
	_, err = apply(ctx, conn, log)
	return newest, err
}

func tooNew(current, newest int64) error {
	return fmt.Errorf("the database has schema %d, which is newer than this version's %d: run the version that made it, or a later one", current, newest)
}

const (
	hasVersionsSQL = `SELECT to_regclass('` + versionTable + `') IS NOT NULL`
	versionSQL     = `SELECT coalesce(max(version_id), 0) FROM ` + versionTable + ` WHERE is_applied`
)

// schemaVersion reads the number of the last migration; 0 when there was none.
func schemaVersion(ctx context.Context, conn *pgx.Conn) (v int64, err error) {
	var there bool
	if err = conn.QueryRow(ctx, hasVersionsSQL).Scan(&there); err == nil && there {
		err = conn.QueryRow(ctx, versionSQL).Scan(&v)
	}
	if err != nil {
		return 0, failed("reading the schema's version", err)
	}
	return v, nil
}

// known returns the names of the migrations after a version, and the number of
// the last one.
func known(after int64) (names []string, newest int64, err error) {
	p, closed, err := provider(nil, nil)
	if err != nil {
		return nil, 0, err
	}
	defer closed()
	for _, source := range p.ListSources() {
		newest = max(newest, source.Version)
		if source.Version > after {
			names = append(names, nameOf(source))
		}
	}
	return names, newest, nil
}

func nameOf(s *goose.Source) string {
	if s.Path == "" {
		return splitName
	}
	return path.Base(s.Path)
}

// provider returns goose over a database; config may be nil when none is to be
// asked.
func provider(config *pgx.ConnConfig, log *slog.Logger) (*goose.Provider, func(), error) {
	if config == nil {
		config = &pgx.ConnConfig{}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, nil, err
	}
	options := []goose.ProviderOption{
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable),
		goose.WithGoMigrations(goose.NewGoMigration(splitVersion, &goose.GoFunc{RunTx: splitOldThreads}, nil)),
	}
	if log != nil {
		options = append(options, goose.WithSlog(log))
	}
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		// As long as it takes, but not behind somebody else's transaction.
		_, err := conn.PgConn().Exec(ctx, `SET statement_timeout = 0; SET lock_timeout = '30s'`).ReadAll()
		return err
	}))
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, options...)
	if err != nil {
		_ = db.Close()
		return nil, nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return p, func() { _ = db.Close() }, nil
}

const waitForLockSQL = `SELECT pg_advisory_xact_lock($1)`

// apply runs the migrations that are missing, one process at a time: the lock
// is held by the transaction on conn, the work is done beside it.
func apply(ctx context.Context, conn *pgx.Conn, log *slog.Logger) ([]string, error) {
	if _, err := conn.Exec(ctx, beginSQL); err != nil {
		return nil, failed("locking the schema", err)
	}
	defer conn.Exec(context.WithoutCancel(ctx), "ROLLBACK") //nolint:errcheck // the connection is closed next
	if _, err := conn.Exec(ctx, waitForLockSQL, pgx.QueryExecModeSimpleProtocol, lockKey("migrate")); err != nil {
		return nil, failed("locking the schema", err)
	}

	p, closed, err := provider(conn.Config(), log)
	if err != nil {
		return nil, err
	}
	defer closed()
	if err := makeExtension(ctx, conn.Config()); err != nil {
		return nil, err
	}
	results, err := p.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		return nil, failed("migrating the database: "+nameOf(partial.Failed.Source), partial.Err)
	}
	if err != nil {
		return nil, failed("migrating the database", err)
	}
	names := make([]string, 0, len(results))
	for _, r := range results {
		names = append(names, nameOf(r.Source))
	}
	return names, nil
}

const extensionSQL = `SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'), '')`

// checkExtension finds fault with a missing or too old pgvector.
func checkExtension(ctx context.Context, conn *pgx.Conn) error {
	var found string
	if err := conn.QueryRow(ctx, extensionSQL).Scan(&found); err != nil {
		return failed("looking for pgvector", err)
	}
	if found == "" {
		return errors.New("the database has no extension vector (pgvector): install pgvector on its server and run CREATE EXTENSION vector in this database")
	}
	if v := versionOf(found); !v.atLeast(oldestVector.major, oldestVector.minor) {
		return fmt.Errorf("pgvector %s is too old: %d.%d is needed, 0.8 recommended (ALTER EXTENSION vector UPDATE)", found, oldestVector.major, oldestVector.minor)
	}
	return nil
}

// makeExtension makes the extension when it is missing, outside the lock's
// transaction so that the migrations see it.
func makeExtension(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := connect(ctx, config)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	var found string
	if err := conn.QueryRow(ctx, extensionSQL).Scan(&found); err != nil {
		return failed("looking for pgvector", err)
	}
	if found == "" {
		if _, err := conn.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS vector`); err != nil {
			return fmt.Errorf("the extension vector (pgvector) is missing: CREATE EXTENSION vector needs pgvector installed on the server and a user who may create extensions in this database: %w",
				failed("creating it", err))
		}
	}
	return checkExtension(ctx, conn)
}

// sqlState returns the SQLSTATE of an error of the database, else "".
func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
