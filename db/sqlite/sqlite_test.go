package sqlite

import (
	"testing"

	"aigateway/db/dbtest"
	"aigateway/db/spec"
)

func openNew(t testing.TB) *DB {
	t.Helper()
	d, err := Open(t.Context(), ":memory:", spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestDatabaseKeepsTheSpecification(t *testing.T) {
	dbtest.Run(t, func(t *testing.T) spec.DB { return openNew(t) })
}
