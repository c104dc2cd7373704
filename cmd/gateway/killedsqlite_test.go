package main

import (
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"

	"aigateway/db/sqlite" // and with it what database/sql calls so
)

// TestKillUnderLoadLosesNothingFromTheEmbeddedStore is killUnderLoad on the
// file that a gateway has when no database is named. Turns are stored while
// prompts are held back on disk.
func TestKillUnderLoadLosesNothingFromTheEmbeddedStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gateway.db")
	if _, err := sqlite.Migrate(t.Context(), path, false, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	release := refusePrompts(t, path)
	killUnderLoad(t, keepingEnv("API_GATEWAY_DATA_DIR="+dir),
		func() func() { return release },
		func() eachRow {
			db := openSQLite(t, path)
			each := func(query string, f func(row []string)) { eachSQLiteRow(t, db, query, f) }
			wantSound(t, each)
			return each
		})
}

// openSQLite opens a file that a gateway has open too.
func openSQLite(t *testing.T, path string) *sql.DB {
	t.Helper()
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: "_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// refusePrompts keeps prompts from being stored beyond holdAfter, until it is
// released. A busy gateway lets nobody in who wants to change the file
// then, so it is to be told beforehand.
func refusePrompts(t *testing.T, path string) (release func()) {
	t.Helper()
	db := openSQLite(t, path)
	run := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	run(fmt.Sprintf(`CREATE TRIGGER held BEFORE INSERT ON apigtwyprompts
		WHEN (SELECT count(*) FROM apigtwyprompts) >= %d BEGIN SELECT RAISE(ABORT, 'held back by the test'); END`, holdAfter))
	return func() {
		t.Helper()
		eachSQLiteRow(t, db, `SELECT count(*) FROM apigtwyprompts`, func(row []string) {
			if n, err := strconv.Atoi(row[0]); err != nil || n > holdAfter {
				t.Errorf("%s prompts were stored when it was killed, want at most %d", row[0], holdAfter)
			}
		})
		run(`DROP TRIGGER held`)
	}
}

// wantSound wants a file in which SQLite finds no damage.
func wantSound(t *testing.T, each eachRow) {
	t.Helper()
	each(`PRAGMA integrity_check`, func(row []string) {
		if row[0] != "ok" {
			t.Errorf("the file is damaged: %s", row[0])
		}
	})
	each(`SELECT "table" FROM pragma_foreign_key_check`, func(row []string) {
		t.Errorf("%s has a row without the one that it belongs to", row[0])
	})
}

// eachSQLiteRow is eachRow on the embedded store.
func eachSQLiteRow(t *testing.T, db *sql.DB, query string, f func(row []string)) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	row := make([]string, len(columns))
	into := make([]any, len(row))
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		f(row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
