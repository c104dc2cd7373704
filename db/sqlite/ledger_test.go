package sqlite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"aigateway/openai"
	"aigateway/persist"
)

// used is an exchange that is for the ledger only.
func used(tenant string, start time.Time) *persist.Record {
	return &persist.Record{ID: uuid.NewString(), Ledger: true, NoHistory: true, Exchange: persist.Exchange{
		App: "app", Tenant: tenant, Start: start, Attempts: []persist.Attempt{{ID: "endpoint"}},
		Usage: openai.Usage{Reported: true, PromptTokens: 10, CompletionTokens: 5},
	}}
}

func book(t testing.TB, d *DB, records ...*persist.Record) {
	t.Helper()
	if rejected, err := d.Prompts().Insert(t.Context(), records); err != nil || len(rejected) > 0 {
		t.Fatalf("inserting: %v, %v", rejected, err)
	}
}

func TestABatchChangesEachTotalOnce(t *testing.T) {
	d := openNew(t)
	for _, statement := range []string{
		`CREATE TABLE changes (op TEXT)`,
		`CREATE TRIGGER inserted AFTER INSERT ON apigtwyusage BEGIN INSERT INTO changes VALUES ('INSERT'); END`,
		`CREATE TRIGGER updated AFTER UPDATE ON apigtwyusage BEGIN INSERT INTO changes VALUES ('UPDATE'); END`,
	} {
		if _, err := d.writer.conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Date(2040, 3, 5, 12, 0, 0, 0, time.UTC)
	batch := func() (batch []*persist.Record) {
		for i := range 200 {
			batch = append(batch, used(fmt.Sprint("tenant-", i%3), start.Add(time.Duration(i)*time.Second)))
		}
		return batch
	}
	first := batch()
	book(t, d, first...)
	book(t, d, append(batch(), first...)...)
	book(t, d, first...)
	var inserts, updates, requests int
	const counts = `SELECT count(*) FILTER (WHERE op = 'INSERT'), count(*) FILTER (WHERE op = 'UPDATE'), (SELECT sum(requests) FROM apigtwyusage) FROM changes`
	if err := d.writer.conn.QueryRowContext(t.Context(), counts).Scan(&inserts, &updates, &requests); err != nil {
		t.Fatal(err)
	}
	if inserts != 3 || updates != 3 || requests != 400 {
		t.Errorf("%d inserts and %d updates of totals of %d requests, want 3, 3 and 400", inserts, updates, requests)
	}
}

func TestABatchThatFailsBooksNothing(t *testing.T) {
	d := openNew(t)
	if _, err := d.writer.conn.ExecContext(t.Context(), `CREATE TRIGGER held BEFORE INSERT ON apigtwyusage BEGIN SELECT RAISE(ABORT, 'held'); END`); err != nil {
		t.Fatal(err)
	}
	batch := []*persist.Record{used("a", time.Now()), used("b", time.Now())}
	if _, err := d.Prompts().Insert(t.Context(), batch); err == nil {
		t.Fatal("no error")
	}
	if _, err := d.writer.conn.ExecContext(t.Context(), `DROP TRIGGER held`); err != nil {
		t.Fatal(err)
	}
	book(t, d, batch...)
	rows, err := d.Ledger().Usage(t.Context(), persist.UsageQuery{From: batch[0].Start, To: batch[1].Start.Add(1)}, 1)
	if err != nil || len(rows) != 1 || rows[0].Requests != 2 {
		t.Errorf("got %+v, %v, want both, once", rows, err)
	}
}

func TestMinutesAreReadFromAnIndexOnly(t *testing.T) {
	d := openNew(t)
	var plan []string
	err := d.reader.query(t.Context(), "EXPLAIN QUERY PLAN "+selectMinutes, []any{0, 1 << 40, "app"}, func(scan func(...any) error) error {
		var id, parent, unused int
		var step string
		err := scan(&id, &parent, &unused, &step)
		plan = append(plan, step)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan) != 1 || !strings.Contains(plan[0], "USING COVERING INDEX apigtwyledger_minute") {
		t.Errorf("minutes are read otherwise:\n%s", strings.Join(plan, "\n"))
	}
}
