package postgres

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"aigateway/db/dbtest"
	"aigateway/db/spec"
	"aigateway/openai"
	"aigateway/persist"
)

// used is an exchange that is for the ledger only.
func used(tenant string, start time.Time) *persist.Record {
	r := exchange("r", start)
	r.Ledger, r.NoHistory, r.Tenant = true, true, tenant
	r.Attempts = []persist.Attempt{{ID: "endpoint"}}
	r.Usage = openai.Usage{Reported: true, PromptTokens: 10, CompletionTokens: 5}
	return r
}

func TestABatchChangesEachTotalOnce(t *testing.T) {
	db := opened(t)
	conn := plain(t, db.pool.Config().ConnString())
	exec(t, conn, `CREATE TABLE changes (op text)`)
	exec(t, conn, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO changes VALUES (TG_OP); RETURN NULL; END'`)
	exec(t, conn, `CREATE TRIGGER note AFTER INSERT OR UPDATE ON apigtwyusage FOR EACH ROW EXECUTE FUNCTION note()`)
	start := time.Date(2040, 3, 5, 12, 0, 0, 0, time.UTC)
	batch := func() (batch []*persist.Record) {
		for i := range 200 {
			batch = append(batch, used(fmt.Sprint("tenant-", i%3), start.Add(time.Duration(i)*time.Second)))
		}
		return batch
	}
	first := batch()
	store(t, db, first...)
	store(t, db, append(batch(), first...)...)
	store(t, db, first...)
	const counts = `SELECT string_agg(op || ' ' || n, ', ' ORDER BY op) FROM (SELECT op, count(*) AS n FROM changes GROUP BY op) ops`
	if got, want := scalar[string](t, conn, counts), "INSERT 3, UPDATE 3"; got != want {
		t.Errorf("changes of totals: %s, want %s", got, want)
	}
	if n := scalar[int](t, conn, `SELECT sum(requests) FROM apigtwyusage`); n != 400 {
		t.Errorf("%d requests in the totals, want 400", n)
	}
}

func TestEachWeekOfTheLedgerHasAPartitionThatExpiryDrops(t *testing.T) {
	db := opened(t)
	conn := plain(t, db.pool.Config().ConnString())
	const partitions = `SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY 1) FROM pg_inherits WHERE inhparent = 'apigtwyledger'::regclass`
	monday := time.Date(2040, 3, 5, 0, 0, 0, 0, time.UTC)
	store(t, db, used("", monday.Add(-time.Microsecond)), used("", monday), used("", monday.AddDate(0, 0, 7)))
	if got, want := scalar[string](t, conn, partitions), "apigtwyledger_2040w09 apigtwyledger_2040w10 apigtwyledger_2040w11"; got != want {
		t.Errorf("partitions %q, want %q", got, want)
	}
	deleted, done, err := db.Ledger().ExpireLedger(t.Context(), monday.AddDate(0, 0, 7), 1)
	if err != nil || !done || deleted != 2 {
		t.Errorf("deleted %d, done %v, %v, want 2", deleted, done, err)
	}
	if got, want := scalar[string](t, conn, partitions), "apigtwyledger_2040w11"; got != want {
		t.Errorf("partitions %q, want %q", got, want)
	}
}

// Texts of every dimension at their longest, in characters that no index
// makes smaller.
func TestTheLongestDimensionsAreBooked(t *testing.T) {
	db := opened(t)
	long := func(from rune) string {
		var s strings.Builder
		for i := range rune(200) {
			s.WriteRune(from + (i*7919)%0x4000)
		}
		return s.String()
	}
	r := used(long(0x20000), time.Now())
	r.App, r.Caller, r.User, r.Answered = long(0x21000), long(0x22000), long(0x23000), long(0x24000)
	r.Attempts[0].ID = long(0x25000)
	other := *r
	other.ID, other.Answered = exchange("", time.Now()).ID, long(0x26000)
	store(t, db, r, &other)
	store(t, db, r, &other)
	rows, err := db.Ledger().Usage(t.Context(), persist.UsageQuery{From: r.Start, To: r.Start, By: []string{persist.ByModel}, App: &r.App, Tenant: &r.Tenant}, 10)
	if err != nil || len(rows) != 2 || rows[0].Model != r.Answered || rows[0].Requests != 1 {
		t.Errorf("got %v, %v, want two models", rows, err)
	}
}

func TestMinutesAreReadFromAnIndexOnly(t *testing.T) {
	db := opened(t)
	start := time.Date(2040, 3, 5, 0, 0, 0, 0, time.UTC)
	var batch []*persist.Record
	for i := range 2000 {
		batch = append(batch, used("", start.Add(time.Duration(i)*time.Minute)))
	}
	store(t, db, batch...)
	conn := plain(t, db.pool.Config().ConnString())
	exec(t, conn, `VACUUM ANALYZE apigtwyledger`)
	for _, statement := range []string{
		`SET plan_cache_mode = force_generic_plan`, // as on the gateway's connections
		`SET enable_bitmapscan = off`,              // as it is for more than these
		`PREPARE minutes (timestamptz, timestamptz, text) AS ` + minutesSQL,
	} {
		exec(t, conn, statement)
	}
	rows, err := conn.Query(t.Context(), `EXPLAIN EXECUTE minutes ('2040-03-05', '2040-03-06', 'app')`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(lines, "\n"); !strings.Contains(plan, "Index Only Scan") {
		t.Errorf("minutes are read otherwise:\n%s", plan)
	}
}

// migratedTo brings a new database to an earlier schema.
func migratedTo(t *testing.T, version int64) (dsn string, conn *pgx.Conn) {
	t.Helper()
	dsn = dbtest.Postgres(t)
	conn = plain(t, dsn)
	exec(t, conn, "CREATE EXTENSION vector")
	p, closed, err := provider(conn.Config(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closed()
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return dsn, conn
}

func TestExchangesFromBeforeTheLedgerStay(t *testing.T) {
	dsn, conn := migratedTo(t, 5)
	exec(t, conn, `CREATE TABLE apigtwyprompts_2040w10 PARTITION OF apigtwyprompts FOR VALUES FROM ('2040-03-05 00:00:00+00') TO ('2040-03-12 00:00:00+00')`)
	exec(t, conn, `INSERT INTO apigtwyprompts (exchange, timestamp_, requestid, aiappname, uname, prompt, attempts, status, usagereported, prompttokens)
		VALUES ('0193cf5e-0000-7000-8000-000000000001', '2040-03-06 12:00:00+00', 'r', 'app', 'u', '{"a": 1.0}',
			'[{"endpoint":1,"id":"e","status":200,"start":"2040-03-06T12:00:00Z","ms":2.5}]', 200, true, 7)`)
	db, err := Open(t.Context(), dsn, spec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := time.Date(2040, 3, 6, 12, 0, 0, 0, time.UTC)
	want := &persist.Record{ID: "0193cf5e-0000-7000-8000-000000000001", Prompt: json.RawMessage(`{"a": 1.0}`), Exchange: persist.Exchange{
		RequestID: "r", App: "app", User: "u", Start: at, Status: 200, Usage: openai.Usage{Reported: true, PromptTokens: 7},
		Attempts: []persist.Attempt{{Endpoint: 1, ID: "e", Status: 200, Start: at, Duration: 2500 * time.Microsecond}},
	}}
	got, err := db.Prompts().Record(t.Context(), latest("r"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	next := exchange("next", at.Add(time.Minute)) // in the same partition
	next.Ledger, next.Answered = true, "gpt-4o"
	store(t, db, next)
	if got, err := db.Prompts().Record(t.Context(), latest("next")); err != nil || got.Answered != "gpt-4o" {
		t.Errorf("got %+v, %v, want the new column in the old partition", got, err)
	}
}
