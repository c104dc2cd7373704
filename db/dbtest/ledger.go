package dbtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"aigateway/db/spec"
	"aigateway/openai"
	"aigateway/persist"
)

// booked is a record that is for the ledger only.
func booked(app string, at time.Time) *persist.Record {
	return &persist.Record{
		ID: uuid.NewString(), Ledger: true, NoHistory: true,
		Exchange: persist.Exchange{
			RequestID: "r", App: app, Tenant: "tenant", Caller: "caller", User: "user", Operation: "chat", Start: at, Duration: time.Second,
			Status: 200, Answered: "gpt-4o", Priced: "gpt-4o", Cost: 70, Attempts: []persist.Attempt{{ID: "busy"}, {ID: "endpoint"}},
			Usage: openai.Usage{Reported: true, PromptTokens: 10, CompletionTokens: 20, TotalTokens: 30, CachedTokens: 3, ReasoningTokens: 4},
		},
	}
}

// hit is one that was answered from the cache.
func hit(app string, at time.Time) *persist.Record {
	r := booked(app, at)
	r.Usage, r.Saved, r.Attempts = openai.Usage{}, r.Usage, nil
	r.Cost, r.SavedCost, r.Cached = 0, r.Cost, true
	return r
}

// usage reads the usage of an application in the days around base.
func usage(t testing.TB, l persist.Ledger, app string, by ...string) []persist.UsageRow {
	t.Helper()
	list, err := l.Usage(t.Context(), persist.UsageQuery{From: base().AddDate(0, 0, -10), To: base().AddDate(0, 0, 10), By: by, App: &app}, 1000)
	ok(t, "reading usage", err)
	return list
}

func runLedger(t *testing.T, open func(t *testing.T) spec.DB) {
	db := open(t)
	store, ledger := db.Prompts(), db.Ledger()
	// both reads the totals, and by rows what has to be the same.
	both := func(t *testing.T, app string, want ...persist.UsageRow) {
		t.Helper()
		same(t, "totals", usage(t, ledger, app), want)
		rows := usage(t, ledger, app, persist.ByUser)
		for i := range rows {
			rows[i].User = ""
		}
		same(t, "rows", rows, want)
	}

	parallel(t, "what was used is added up", func(t *testing.T) {
		app := anApp()
		unpriced, failed := booked(app, after(1)), booked(app, after(2))
		unpriced.Priced, unpriced.Cost = "", 0
		failed.Status, failed.Usage, failed.Cost = 502, openai.Usage{}, 0
		insert(t, store, booked(app, base()), unpriced, failed, hit(app, after(3)))
		both(t, app, persist.UsageRow{
			Requests: 4, Answered: 3, Hits: 1, Prompt: 20, Completion: 40, Cached: 6, Reasoning: 8,
			SavedTokens: 30, Cost: 70, SavedCost: 70, UnpricedUsed: 30,
		})
		if rows := usage(t, ledger, anApp()); len(rows) > 0 {
			t.Errorf("nothing was used, and told %v", rows)
		}
	})

	parallel(t, "only what is for the ledger is in it, and only what is for the history there", func(t *testing.T) {
		app := anApp()
		history, only, neither, all := record(app, base()), booked(app, base()), booked(app, base()), record(app, base())
		only.RequestID, neither.RequestID = "only", "neither"
		neither.Ledger, all.Ledger = false, true
		insert(t, store, history, only, neither, all)
		same(t, "requests", usage(t, ledger, app)[0].Requests, int64(2))
		for _, r := range []*persist.Record{only, neither} {
			if _, err := store.Record(t.Context(), anybodys(app, r.RequestID)); !errors.Is(err, persist.ErrNotFound) {
				t.Errorf("%s: got %v, want ErrNotFound", r.RequestID, err)
			}
		}
		all.Ledger = false // is not stored
		same(t, "record", read(t, store, app, all.RequestID), all)
	})

	parallel(t, "a batch that is tried again counts once", func(t *testing.T) {
		app := anApp()
		var batch []*persist.Record
		for i := range 30 {
			batch = append(batch, booked(app, base().Add(time.Duration(i)*time.Minute)))
			batch[i].NoHistory = i%3 == 0
		}
		one := persist.UsageRow{Requests: 1, Answered: 1, Prompt: 10, Completion: 20, Cached: 3, Reasoning: 4, Cost: 70}
		for _, upto := range []int{5, 5, 12, 30, 30, 7} { // in part, and in all
			insert(t, store, batch[max(0, upto-9):upto]...)
			insert(t, store, batch[:upto]...)
			insert(t, store, append(batch[:upto:upto], batch[:upto]...)...)
		}
		want := persist.UsageRow{}
		for range batch {
			want.Add(&one)
		}
		both(t, app, want)
	})

	parallel(t, "an id at another time is another exchange", func(t *testing.T) {
		first := booked(anApp(), base())
		again := *first
		again.Start = base().Add(time.Microsecond)
		insert(t, store, first, &again)
		same(t, "requests", usage(t, ledger, first.App)[0].Requests, int64(2))
	})

	// atOnce has writers insert batches of some records for as many groups, and
	// checks the totals.
	atOnce := func(t *testing.T, batches func(writer int, of func(n int) []*persist.Record) [][]*persist.Record) {
		app := anApp()
		const groups = 30
		of := func(n int) (records []*persist.Record) {
			for i := range n {
				r := booked(app, base().Add(time.Duration(i%3)*time.Hour))
				r.Tenant = fmt.Sprint("tenant-", i*7%groups)
				records = append(records, r)
			}
			return records
		}
		work, all := [8][][]*persist.Record{}, map[string]bool{}
		for writer := range work {
			work[writer] = batches(writer, of)
			for _, batch := range work[writer] {
				for _, r := range batch {
					all[r.ID] = true
				}
			}
		}
		var wg sync.WaitGroup
		for _, batches := range work {
			wg.Go(func() {
				for _, batch := range batches {
					if rejected, err := store.Insert(t.Context(), batch); err != nil || len(rejected) > 0 {
						t.Errorf("inserting: %v, %v", rejected, err)
					}
				}
			})
		}
		wg.Wait()
		same(t, "requests", usage(t, ledger, app)[0].Requests, int64(len(all)))
		rows := usage(t, ledger, app, persist.ByTenant)
		same(t, "tenants", len(rows), groups)
		for _, row := range rows {
			same(t, "requests of "+row.Tenant, row.Requests, int64(len(all)/groups))
		}
	}

	parallel(t, "many add to the same groups at once", func(t *testing.T) {
		atOnce(t, func(writer int, of func(int) []*persist.Record) (batches [][]*persist.Record) {
			for range 20 {
				batch := of(60)
				if writer%2 == 1 {
					slices.Reverse(batch)
				}
				batches = append(batches, batch)
			}
			return batches
		})
	})

	parallel(t, "many try batches that overlap at once", func(t *testing.T) {
		var records []*persist.Record
		atOnce(t, func(writer int, of func(int) []*persist.Record) (batches [][]*persist.Record) {
			if records == nil {
				records = of(240)
			}
			for at := writer / 2 * 5; at < len(records); at += 20 { // each by two
				batches = append(batches, records[at:min(at+40, len(records))])
			}
			return append(batches, records)
		})
	})

	parallel(t, "dimensions are told apart", func(t *testing.T) {
		app := anApp()
		pairs := [][2]string{{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}, {`a","b`, "c"}, {"a", `b","c`}, {"a\x01b", "c"}, {"a", "b\x01c"}}
		for _, of := range pairs {
			r := booked(app, base())
			r.Tenant, r.Caller = of[0], of[1]
			insert(t, store, r)
		}
		rows := usage(t, ledger, app, persist.ByTenant, persist.ByCaller)
		same(t, "rows", len(rows), len(pairs))
	})

	parallel(t, "an ended context books nothing", func(t *testing.T) {
		app := anApp()
		if _, err := store.Insert(ended(), []*persist.Record{booked(app, base())}); err == nil {
			t.Error("no error")
		}
		for name, err := range map[string]error{
			"Usage":        second(ledger.Usage(ended(), persist.UsageQuery{From: base(), To: after(1)}, 1)),
			"Minutes":      second(ledger.Minutes(ended(), "", base(), after(1))),
			"ExpireLedger": third(ledger.ExpireLedger(ended(), base(), 1)),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if rows := usage(t, ledger, app); len(rows) > 0 {
			t.Errorf("booked %v", rows)
		}
	})

	parallel(t, "what the history rejects is booked", func(t *testing.T) {
		app := anApp()
		batch := []*persist.Record{record(app, base()), record(app, base()), booked(app, base())}
		for _, r := range batch {
			r.Ledger = true
		}
		batch[1].Prompt = json.RawMessage(`{"cut off`)
		for range 2 {
			rejected, err := store.Insert(t.Context(), batch)
			ok(t, "inserting", err)
			if len(rejected) > 1 || len(rejected) == 1 && rejected[0] != 1 {
				t.Errorf("rejected %v, want [1] or none", rejected)
			}
			same(t, "requests", usage(t, ledger, app)[0].Requests, int64(3))
		}
	})

	parallel(t, "odd texts are kept, as far as the ledger keeps texts", func(t *testing.T) {
		for _, text := range oddTexts() {
			app := anApp()
			r := booked(app, base())
			r.Tenant, r.Caller, r.User, r.Answered, r.Attempts[1].ID = text, text, text, text, text
			r.RequestID, r.Priced, r.Operation = text, text, text
			insert(t, store, r)
			want := legible(string([]rune(text)[:min(200, len([]rune(text)))]))
			rows := usage(t, ledger, app, persist.ByTenant, persist.ByCaller, persist.ByUser, persist.ByModel, persist.ByEndpoint)
			if len(rows) != 1 {
				t.Fatalf("%.40q: %d rows", text, len(rows))
			}
			for name, got := range map[string]string{
				"tenant": rows[0].Tenant, "caller": rows[0].Caller, "user": rows[0].User, "model": rows[0].Model, "endpoint": rows[0].Endpoint,
			} {
				same(t, name, legible(got), want)
			}
			q := persist.UsageQuery{From: base(), To: after(1), By: []string{persist.ByTenant}, App: &app, Tenant: &text, Caller: &text}
			found, err := ledger.Usage(t.Context(), q, 10)
			ok(t, "asking by the text", err)
			same(t, "found by the text", len(found), 1)
		}
	})

	parallel(t, "numbers that cannot be do not spoil the sums", func(t *testing.T) {
		app := anApp()
		negative, large := booked(app, base()), booked(app, base())
		negative.Usage = openai.Usage{Reported: true, PromptTokens: -5, CompletionTokens: math.MinInt64, CachedTokens: -1, ReasoningTokens: -1}
		negative.Cost, negative.SavedCost = -7, math.MinInt64
		insert(t, store, negative)
		both(t, app, persist.UsageRow{Requests: 1, Answered: 1})
		large.Priced = ""
		large.Usage.PromptTokens, large.Usage.CompletionTokens, large.Saved.PromptTokens = math.MaxInt64, math.MaxInt64, math.MaxInt64
		large.Cost = math.MaxInt64
		var batch []*persist.Record
		for i := range 2200 { // each hour more than an integer: what is unpriced in one batch, the rest in two
			r := *large
			r.ID, r.Start = uuid.NewString(), base().Add(time.Duration(i%2)*time.Hour)
			batch = append(batch, &r)
		}
		insert(t, store, batch[:1100]...)
		insert(t, store, batch[1100:]...)
		const most = math.MaxInt64
		both(t, app, persist.UsageRow{
			Requests: 2201, Answered: 2201, Prompt: most, Completion: most, Cached: 6600, Reasoning: 8800,
			SavedTokens: most, Cost: most, UnpricedUsed: most,
		})
		for _, row := range usage(t, ledger, app, persist.ByHour) {
			for name, got := range map[string]int64{
				"prompt": row.Prompt, "completion": row.Completion, "saved": row.SavedTokens, "cost": row.Cost, "unpriced": row.UnpricedUsed,
			} {
				same(t, name+" of an hour", got, int64(most))
			}
		}
		minutes, err := ledger.Minutes(t.Context(), app, base().Add(-time.Hour), base().Add(2*time.Hour))
		ok(t, "reading minutes", err)
		var sum int64
		for _, m := range minutes {
			sum += m.Requests
		}
		same(t, "requests of the minutes", sum, int64(2201))
	})

	parallel(t, "a million models make no rows when nobody answers", func(t *testing.T) {
		app := anApp()
		var batch []*persist.Record
		for i := range 50 {
			r := booked(app, base())
			r.Status, r.Usage, r.Answered, r.Model = 404, openai.Usage{}, "", fmt.Sprint("made-up-", i)
			batch = append(batch, r)
		}
		used := booked(app, base())
		used.Answered, used.Model = "", "asked-for"
		insert(t, store, append(batch, used)...)
		var models []string
		for _, row := range usage(t, ledger, app, persist.ByModel) {
			models = append(models, fmt.Sprint(row.Model, " ", row.Requests))
		}
		same(t, "models", strings.Join(models, ", "), " 50, asked-for 1")
	})
}
