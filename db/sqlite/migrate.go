package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema of a database file to what this version needs, and
// returns the names of the migrations that it applied. With dryRun it changes
// nothing, and returns those that it would apply. No gateway may have the file
// open.
func Migrate(ctx context.Context, path string, dryRun bool, log *slog.Logger) ([]string, error) {
	if dryRun {
		return pending(ctx, path)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f, err := hold(path)
	if err != nil {
		return nil, err
	}
	db, err := f.connect(1)
	if err != nil {
		return nil, errors.Join(err, f.release())
	}
	done, _, err := migrate(ctx, f, db, false, log)
	return done, errors.Join(err, db.Close(), f.release())
}

// pending are the migrations that a file lacks. It may be open elsewhere.
func pending(ctx context.Context, path string) ([]string, error) {
	there, err := exists(path)
	if err != nil {
		return nil, fmt.Errorf("looking for database %s: %w", path, err)
	}
	f := &file{path: path}
	if !there {
		f.path = ":memory:"
	}
	db, err := f.connect(1)
	if err != nil {
		return nil, err
	}
	list, _, err := migrate(ctx, f, db, true, nil)
	return list, errors.Join(err, db.Close())
}

// migrate returns what it applied, or with dryRun would, and the number of the
// schema afterwards. A schema that is newer than this version is an error
// always.
func migrate(ctx context.Context, f *file, db *sql.DB, dryRun bool, log *slog.Logger) (done []string, schema int64, err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, 0, err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return nil, 0, fmt.Errorf("reading the migrations: %w", err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	schema, err = schemaOf(ctx, db)
	if err != nil {
		return nil, 0, fmt.Errorf("opening database %s: %w", f.path, explain(err))
	}
	if schema > newest {
		return nil, schema, fmt.Errorf("database %s has schema %d, newer than %d, the last that this version of the gateway knows: use the version that wrote it, or a later one", f.path, schema, newest)
	}
	for _, s := range sources {
		if s.Version > schema {
			done = append(done, path.Base(s.Path))
		}
	}
	if dryRun || len(done) == 0 {
		return done, schema, nil
	}
	if err := f.prepare(ctx, db); err != nil {
		return nil, schema, err
	}
	if _, err := p.Up(ctx); err != nil {
		return nil, schema, fmt.Errorf("migrating database %s: %w", f.path, explain(err))
	}
	log.Info("database migrated", "from", schema, "to", newest)
	return done, newest, nil
}

const (
	selectHasSchema = `SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'`
	selectSchema    = `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`
)

// schemaOf returns the number of the last migration, 0 for a new file. It is
// the first to read the file, so it finds out when that is no database.
func schemaOf(ctx context.Context, db *sql.DB) (schema int64, err error) {
	var tables int
	if err := db.QueryRowContext(ctx, selectHasSchema).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	err = db.QueryRowContext(ctx, selectSchema).Scan(&schema)
	return schema, err
}
