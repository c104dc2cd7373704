package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"aigateway/persist"
)

func exchange(requestID string, start time.Time) *persist.Record {
	return &persist.Record{ID: uuid.NewString(), Exchange: persist.Exchange{App: "app", RequestID: requestID, Start: start}}
}

// latest means a request of the application "app", whoever's it is.
func latest(requestID string) persist.Ref {
	return persist.Ref{App: "app", RequestID: requestID, Any: true}
}

func store(t *testing.T, db *DB, records ...*persist.Record) {
	t.Helper()
	rejected, err := db.Prompts().Insert(t.Context(), records)
	if err != nil || len(rejected) > 0 {
		t.Fatalf("inserting: %v, %v", rejected, err)
	}
}

func TestWeeksBeginOnMondaysAndFollowEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(firstWeek.Unix(), lastWeek.Unix()-1).Draw(t, "second"), 0).
			In(time.FixedZone("", rapid.IntRange(-12, 14).Draw(t, "zone")*3600))
		week := weekOf(at)
		if week.Weekday() != time.Monday || week.After(at) || !at.Before(week.AddDate(0, 0, 7)) || !week.Equal(week.Truncate(24*time.Hour)) {
			t.Errorf("the week of %v begins %v", at, week)
		}
		if a, b := partitionOf(ledgerTable, week), partitionOf(ledgerTable, week.AddDate(0, 0, 7)); a == b || a > b {
			t.Errorf("after %s comes %s", a, b)
		}
	})
	for day, want := range map[string]string{"2026-12-31": "apigtwyprompts_2026w53", "2027-01-03": "apigtwyprompts_2026w53", "2027-01-04": "apigtwyprompts_2027w01"} {
		at, _ := time.Parse(time.DateOnly, day)
		if got := partitionOf(promptsTable, weekOf(at)); got != want {
			t.Errorf("%s is in %s, want %s", day, got, want)
		}
	}
}

func TestEachWeekHasAPartitionThatRetentionDrops(t *testing.T) {
	db := opened(t)
	conn := plain(t, db.pool.Config().ConnString())
	const partitions = `SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY 1) FROM pg_inherits WHERE inhparent = 'apigtwyprompts'::regclass AND inhrelid::regclass::text LIKE '%\_2%'`
	monday := time.Date(2040, 3, 5, 0, 0, 0, 0, time.UTC)
	store(t, db, exchange("last of", monday.Add(-time.Microsecond)), exchange("first of", monday), exchange("later", monday.AddDate(0, 0, 7)))
	if got, want := scalar[string](t, conn, partitions), "apigtwyprompts_2040w09 apigtwyprompts_2040w10 apigtwyprompts_2040w11"; got != want {
		t.Errorf("partitions %q, want %q", got, want)
	}
	deleted, done, err := db.Prompts().Expire(t.Context(), monday.AddDate(0, 0, 7), 1)
	if err != nil || !done || deleted != 2 {
		t.Errorf("deleted %d, done %v, %v, want 2", deleted, done, err)
	}
	if got, want := scalar[string](t, conn, partitions), "apigtwyprompts_2040w11"; got != want {
		t.Errorf("partitions %q, want %q", got, want)
	}
	store(t, db, exchange("again", monday)) // what comes late makes its own
	if _, err := db.Prompts().Record(t.Context(), latest("again")); err != nil {
		t.Error(err)
	}
}

func TestRetentionDoesNotWaitForAReaderNorHoldUpAWriter(t *testing.T) {
	db := opened(t)
	start := time.Date(2040, 3, 5, 0, 0, 0, 0, time.UTC)
	store(t, db, exchange("old", start), exchange("new", start.AddDate(0, 0, 14)))
	reader := plain(t, db.pool.Config().ConnString())
	exec(t, reader, `BEGIN`)
	if n := scalar[int](t, reader, `SELECT count(*) FROM apigtwyprompts`); n != 2 {
		t.Fatalf("%d rows", n)
	}
	deleted, done, err := db.Prompts().Expire(t.Context(), start.AddDate(0, 0, 10), 100)
	if err != nil || done || deleted != 0 {
		t.Errorf("under a reader: deleted %d, done %v, %v, want none and not done", deleted, done, err)
	}
	// A week that is new is attached under the reader.
	store(t, db, exchange("next", start.AddDate(0, 0, 21)))
	exec(t, reader, `COMMIT`)
	deleted, done, err = db.Prompts().Expire(t.Context(), start.AddDate(0, 0, 10), 100)
	if err != nil || !done || deleted != 1 {
		t.Errorf("after the reader: deleted %d, done %v, %v, want 1", deleted, done, err)
	}
}

func TestRecordsThatNoDatabaseTakesAreNamed(t *testing.T) {
	db := opened(t)
	now := time.Now()
	good, late := exchange("good", now), exchange("late", now.AddDate(0, 0, 7))
	noID, tooEarly, tooLate, bad := exchange("no id", now), exchange("early", time.Time{}), exchange("late", lastWeek), exchange("bad", now.AddDate(0, 0, 14))
	noID.ID = "x"
	bad.Prompt = []byte(`{"a":`)
	deep := exchange("deep", now)
	deep.Completion = []byte(strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000))
	rejected, err := db.Prompts().Insert(t.Context(), []*persist.Record{good, noID, tooEarly, late, tooLate, bad, deep})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 2, 4, 5, 6}, rejected); diff != "" {
		t.Errorf("rejected (-want +got):\n%s", diff)
	}
	for _, id := range []string{"good", "late"} {
		if _, err := db.Prompts().Record(t.Context(), latest(id)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestLongRequestIDsAreKept(t *testing.T) {
	db := opened(t)
	random := rand.New(rand.NewPCG(1, 2))
	var long strings.Builder
	for range 5_000 { // an index takes a third of a page, compressed
		fmt.Fprintf(&long, "%x", random.Uint64())
	}
	a, b := exchange(long.String()+"a", time.Now()), exchange(long.String()+"b", time.Now())
	store(t, db, a, b)
	got, err := db.Prompts().Record(t.Context(), latest(b.RequestID))
	if err != nil || got.ID != b.ID {
		t.Errorf("got %v, %v, want the second", got, err)
	}
}

func TestReadingByRequestIDDoesNotReadTheRest(t *testing.T) {
	db := opened(t)
	store(t, db, exchange("x", time.Now()), exchange("y", time.Now().AddDate(0, 0, 7)))
	conn := plain(t, db.pool.Config().ConnString())
	exec(t, conn, `INSERT INTO apigtwyprompts (aiappname, requestid, timestamp_) SELECT 'app', i::text, now() + i % 2 * interval '7 days' FROM generate_series(1, 20000) i`)
	exec(t, conn, `ANALYZE apigtwyprompts`)
	rows, err := conn.Query(t.Context(), "EXPLAIN "+recordSQL, refArgs(persist.Ref{App: "app", RequestID: "x", Caller: "c"})...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(lines, "\n"); strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "requestid") {
		t.Errorf("it is not read by its index:\n%s", plan)
	}
}

func TestAnInsertThatBreaksOffStoresNothing(t *testing.T) {
	db, p := behindProxy(t)
	batch := make([]*persist.Record, 50)
	for i := range batch {
		batch[i] = exchange(fmt.Sprint(i), time.Now().AddDate(0, 0, 7*(i%3)))
		batch[i].Ledger = true
	}
	other := plain(t, strings.Replace(db.pool.Config().ConnString(), p.listener.Addr().String(), p.server, 1))
	exec(t, other, `BEGIN; LOCK TABLE apigtwyprompts IN ACCESS EXCLUSIVE MODE`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := db.Prompts().Insert(ctx, batch); err == nil {
		t.Fatal("it was stored under the lock")
	}
	exec(t, other, `COMMIT`)
	if err := db.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // trying again, and once more
		store(t, db, batch...)
	}
	if n := scalar[int](t, other, `SELECT count(*) FROM apigtwyprompts`); n != len(batch) {
		t.Errorf("%d rows, want %d", n, len(batch))
	}
	if n := scalar[int](t, other, `SELECT sum(requests) FROM apigtwyusage`); n != len(batch) {
		t.Errorf("%d requests in the totals, want %d", n, len(batch))
	}
}
