// Package db opens the database that a URL names.
package db

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"aigateway/db/postgres"
	"aigateway/db/spec"
	"aigateway/db/sqlite"
	"aigateway/persist"
)

// Open opens the database of a URL: postgres://… (also postgresql://…), as
// libpq knows them, or sqlite:path. It brings the schema up to date, unless
// told not to, and returns an error that says what to do when it cannot be
// used. Errors never show the URL.
func Open(ctx context.Context, url string, o spec.Options) (spec.DB, error) {
	if path, ok := sqlitePath(url); ok {
		return sqlite.Open(ctx, path, o)
	}
	if isPostgres(url) {
		return postgres.Open(ctx, url, o)
	}
	return nil, errUnknown
}

// OpenLedger opens the ledger of a URL's database, to be read only: also of a
// SQLite file that a gateway has open. done gives it back.
func OpenLedger(ctx context.Context, url string, log *slog.Logger) (ledger persist.Ledger, done func() error, err error) {
	if path, ok := sqlitePath(url); ok {
		return sqlite.Beside(ctx, path, log)
	}
	store, err := Open(ctx, url, spec.Options{NoMigrate: true, Log: log})
	if err != nil {
		return nil, nil, err
	}
	return store.Ledger(), store.Close, nil
}

// Migrate brings the schema of a URL's database up to date, or with dryRun
// only looks, and returns the names of the migrations that it applied, or
// would.
func Migrate(ctx context.Context, url string, dryRun bool, log *slog.Logger) ([]string, error) {
	if path, ok := sqlitePath(url); ok {
		return sqlite.Migrate(ctx, path, dryRun, log)
	}
	if isPostgres(url) {
		return postgres.Migrate(ctx, url, dryRun, log)
	}
	return nil, errUnknown
}

var errUnknown = errors.New("the database's address must begin with postgres:// or sqlite:")

// sqlitePath returns the path of sqlite:path, sqlite:/path and sqlite:///path.
func sqlitePath(url string) (string, bool) {
	path, ok := strings.CutPrefix(url, "sqlite:")
	return strings.TrimPrefix(path, "//"), ok
}

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}
