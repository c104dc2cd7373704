package dbtest

import (
	"errors"
	"testing"
	"time"

	"aigateway/db/spec"
	"aigateway/persist"
)

// runRetention plays on databases of its own: Expire knows no application.
func runRetention(t *testing.T, open func(t *testing.T) spec.DB) {
	// expire runs until none are left, and returns how many it deleted in each
	// step.
	expire := func(t *testing.T, store persist.Store, before time.Time, limit int) (steps []int) {
		t.Helper()
		for range 50 {
			n, done, err := store.Expire(t.Context(), before, limit)
			ok(t, "expiring", err)
			steps = append(steps, n)
			if done {
				return steps
			}
		}
		t.Fatalf("not done after %d steps: %v", len(steps), steps)
		return nil
	}
	sum := func(steps []int) (n int) {
		for _, s := range steps {
			n += s
		}
		return n
	}

	parallel(t, "the time itself stays", func(t *testing.T) {
		store := open(t).Prompts()
		app := anApp()
		at, earlier, later := record(app, base()), record(app, base().Add(-time.Microsecond)), record(app, base().Add(time.Microsecond))
		insert(t, store, at, earlier, later)
		same(t, "deleted", sum(expire(t, store, base(), 10)), 1)
		if _, err := store.Record(t.Context(), anybodys(app, earlier.RequestID)); !errors.Is(err, persist.ErrNotFound) {
			t.Errorf("the earlier: got %v, want ErrNotFound", err)
		}
		read(t, store, app, at.RequestID)
		read(t, store, app, later.RequestID)
		same(t, "deleted again", sum(expire(t, store, base(), 10)), 0)
	})

	parallel(t, "portions are no larger than the limit", func(t *testing.T) {
		store := open(t).Prompts()
		app := anApp()
		var batch []*persist.Record
		for i := range 25 { // all in the week of base
			batch = append(batch, record(app, after(-i-1)))
		}
		insert(t, store, batch...)
		steps := expire(t, store, base(), 10)
		for _, n := range steps {
			if n > 10 {
				t.Errorf("%d deleted at once, want at most 10", n)
			}
		}
		same(t, "deleted", sum(steps), 25)
	})

	parallel(t, "all that is older goes, however old", func(t *testing.T) {
		store := open(t).Prompts()
		app := anApp()
		var batch []*persist.Record
		for week := range 10 {
			for i := range 7 {
				batch = append(batch, record(app, base().Add(-time.Duration(week*7*24+i+1)*time.Hour)))
			}
		}
		kept := record(app, base())
		insert(t, store, append(batch, kept)...)
		same(t, "deleted", sum(expire(t, store, base(), 10)), len(batch))
		for _, r := range batch {
			if _, err := store.Record(t.Context(), anybodys(app, r.RequestID)); !errors.Is(err, persist.ErrNotFound) {
				t.Errorf("a record of %v is still there: %v", r.Start, err)
			}
		}
		same(t, "kept", read(t, store, app, kept.RequestID), kept)
		insert(t, store, batch[len(batch)-1])
		read(t, store, app, batch[len(batch)-1].RequestID)
	})

	parallel(t, "votes go with their records", func(t *testing.T) {
		store := open(t).Prompts()
		app := anApp()
		old, recent := record(app, after(-1)), record(app, after(1))
		longAgo := record(app, base().AddDate(0, -3, 0))
		insert(t, store, old, recent, longAgo)
		for _, r := range []*persist.Record{old, recent, longAgo} {
			ok(t, "voting", store.Vote(t.Context(), persist.Vote{Ref: anybodys(app, r.RequestID), Up: true, At: r.Start.Add(time.Millisecond)}))
		}
		expire(t, store, base(), 10)
		same(t, "votes that stay", read(t, store, app, recent.RequestID).Up, 1)
		for _, gone := range []*persist.Record{old, longAgo} {
			again := record(app, after(5))
			again.RequestID = gone.RequestID
			insert(t, store, again)
			same(t, "votes of a later record", read(t, store, app, again.RequestID).Up, 0)
		}
	})

	parallel(t, "rows of the ledger go, totals and history stay", func(t *testing.T) {
		db := open(t)
		store, ledger, app := db.Prompts(), db.Ledger(), anApp()
		var batch []*persist.Record
		for week := range 4 {
			for i := range 7 {
				batch = append(batch, booked(app, base().Add(-time.Duration(week*7*24+i*5)*time.Hour-time.Microsecond)))
			}
		}
		kept := record(app, base().AddDate(0, 0, -20))
		insert(t, store, append(batch, kept, booked(app, base()), booked(app, after(1)))...)
		total, byHour := persist.UsageQuery{From: base().AddDate(0, -2, 0), To: base().AddDate(0, 2, 0)}, []string{persist.ByApp, persist.ByHour}
		read := func(by ...string) []persist.UsageRow {
			q := total
			q.By = by
			rows, err := ledger.Usage(t.Context(), q, 1000)
			ok(t, "reading usage", err)
			return rows
		}
		before := read(byHour...)
		deleted := 0
		for step := 0; ; step++ {
			n, done, err := ledger.ExpireLedger(t.Context(), base(), 3)
			ok(t, "expiring", err)
			if deleted += n; done {
				break
			}
			if step > 20 {
				t.Fatalf("not done after %d rows", deleted)
			}
		}
		same(t, "deleted", deleted, len(batch))
		same(t, "totals", read(byHour...), before)
		same(t, "rows that are left", read(persist.ByUser)[0].Requests, int64(2))
		minutes, err := ledger.Minutes(t.Context(), "", total.From, total.To)
		ok(t, "reading minutes", err)
		same(t, "minutes that are left", len(minutes), 1)
		if _, err := store.Record(t.Context(), anybodys(app, kept.RequestID)); err != nil {
			t.Errorf("the history: %v", err)
		}
		_, _, err = store.Expire(t.Context(), base(), 100)
		ok(t, "expiring the history", err)
		same(t, "rows that are left", read(persist.ByUser)[0].Requests, int64(2))
	})
}
