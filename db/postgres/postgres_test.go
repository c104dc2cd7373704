package postgres

import (
	"context"
	"testing"

	"aigateway/db/dbtest"
	"aigateway/db/spec"
)

// opened is a new database of its own, with pgvector and the schema.
func opened(t testing.TB) *DB {
	t.Helper()
	db, err := Open(context.Background(), dbtest.Postgres(t), spec.Options{})
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestPostgreSQLDoesWhatADatabaseMust(t *testing.T) {
	dbtest.Run(t, func(t *testing.T) spec.DB { return opened(t) })
}
