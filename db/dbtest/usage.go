package dbtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"aigateway/db/spec"
	"aigateway/openai"
	"aigateway/persist"
)

func runUsage(t *testing.T, open func(t *testing.T) spec.DB) {
	db := open(t)
	store, ledger := db.Prompts(), db.Ledger()

	parallel(t, "hours and days are those of UTC", func(t *testing.T) {
		app := anApp()
		zone := time.FixedZone("", 5*3600+45*60)
		midnight := time.Date(2025, 5, 15, 0, 0, 0, 0, time.UTC)
		for _, at := range []time.Duration{-time.Microsecond, 0, time.Hour - time.Microsecond, time.Hour, 24*time.Hour - time.Microsecond, 24 * time.Hour} {
			insert(t, store, booked(app, midnight.Add(at).In(zone)))
		}
		for by, want := range map[string]string{
			persist.ByHour: "14T23:1 15T00:2 15T01:1 15T23:1 16T00:1",
			persist.ByDay:  "14T00:1 15T00:4 16T00:1",
		} {
			for _, by := range [][]string{{by}, {by, persist.ByUser}} { // the totals and the rows
				var got []string
				for _, row := range usage(t, ledger, app, by...) {
					got = append(got, fmt.Sprint(row.Start.Format("02T15:"), row.Requests))
				}
				same(t, fmt.Sprint(by), strings.Join(got, " "), want)
			}
		}
	})

	parallel(t, "a query's time is widened to whole hours", func(t *testing.T) {
		app := anApp()
		noon := time.Date(2025, 5, 15, 12, 0, 0, 0, time.UTC)
		for _, minutes := range []int{-1, 0, 30, 59, 60, 119, 120} {
			insert(t, store, booked(app, noon.Add(time.Duration(minutes)*time.Minute)))
		}
		for _, c := range []struct {
			from, to int // minutes
			want     int64
		}{{0, 60, 3}, {1, 59, 3}, {59, 61, 5}, {0, 120, 5}, {0, 121, 6}, {-1, 1, 4}, {60, 60, 0}, {60, 0, 0}, {30, 30, 3}} {
			for _, by := range [][]string{nil, {persist.ByUser}} {
				q := persist.UsageQuery{App: &app, By: by, From: noon.Add(time.Duration(c.from) * time.Minute), To: noon.Add(time.Duration(c.to) * time.Minute)}
				rows, err := ledger.Usage(t.Context(), q, 10)
				ok(t, "reading usage", err)
				got := int64(0)
				for _, row := range rows {
					got += row.Requests
				}
				same(t, fmt.Sprintf("from %d to %d by %v", c.from, c.to, by), got, c.want)
			}
		}
	})

	parallel(t, "no filter is anybody, an empty one nobody", func(t *testing.T) {
		app := anApp()
		for _, of := range [][2]string{{"", ""}, {"", "c"}, {"t", ""}, {"t", "c"}, {"t", "c"}} {
			r := booked(app, base())
			r.Tenant, r.Caller = of[0], of[1]
			insert(t, store, r)
		}
		nobody, tenant, caller, stranger := "", "t", "c", "x"
		for _, c := range []struct {
			tenant, caller *string
			want           int64
		}{
			{nil, nil, 5},
			{&nobody, nil, 2},
			{nil, &nobody, 2},
			{&nobody, &nobody, 1},
			{&tenant, nil, 3},
			{&tenant, &caller, 2},
			{nil, &caller, 3},
			{&stranger, nil, 0},
		} {
			for _, by := range [][]string{{persist.ByApp}, {persist.ByUser}} {
				rows, err := ledger.Usage(t.Context(), persist.UsageQuery{From: base(), To: after(1), By: by, App: &app, Tenant: c.tenant, Caller: c.caller}, 10)
				ok(t, "reading usage", err)
				got := int64(0)
				for _, row := range rows {
					got += row.Requests
				}
				same(t, fmt.Sprintf("requests by %v of %+v", by, c), got, c.want)
			}
		}
	})

	parallel(t, "one row more than wanted tells that there are more", func(t *testing.T) {
		app := anApp()
		for i := range 5 {
			r := booked(app, base())
			r.Tenant = fmt.Sprint(i)
			insert(t, store, r)
		}
		for most, want := range map[int]int{0: 1, 3: 4, 4: 5, 5: 5, 100: 5} {
			rows, err := ledger.Usage(t.Context(), persist.UsageQuery{From: base(), To: after(1), By: []string{persist.ByTenant}, App: &app}, most)
			ok(t, "reading usage", err)
			same(t, fmt.Sprintf("rows of at most %d", most), len(rows), want)
		}
	})

	parallel(t, "dimensions that there are not are refused", func(t *testing.T) {
		for _, by := range [][]string{{"price"}, {""}, {"aiappname"}, {"app; DROP TABLE apigtwyusage"}, {"app", "app"}, {"hour", "app", "day"}, {"App"}} {
			if _, err := ledger.Usage(t.Context(), persist.UsageQuery{From: base(), To: after(1), By: by}, 1); err == nil {
				t.Errorf("by %q: no error", by)
			}
		}
	})

	parallel(t, "whatever is booked, each question is answered as from a list", func(t *testing.T) {
		var windows atomic.Int64 // each run has a time of its own
		rapid.Check(t, func(rt *rapid.T) {
			from := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(windows.Add(1)) * window)
			list := bookAny(rt, store, from)
			for range 3 {
				checkUsage(rt, ledger, list, anyQuery(rt, from))
			}
			app := rapid.SampledFrom([]string{"", "a", "b", "nobody's"}).Draw(rt, "app")
			checkMinutes(rt, ledger, list, app, from.Add(anOffset().Draw(rt, "from")), from.Add(anOffset().Draw(rt, "to")))
		})
	})

	parallel(t, "every combination of dimensions is answered as from a list", func(t *testing.T) {
		from := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
		list := rapid.Custom(func(rt *rapid.T) []*persist.Record { return bookAny(rt, store, from) }).Example(1)
		texts := []string{persist.ByApp, persist.ByTenant, persist.ByCaller, persist.ByUser, persist.ByEndpoint, persist.ByModel, persist.ByKind}
		for some := range 1 << len(texts) {
			for _, when := range []string{"", persist.ByHour, persist.ByDay} {
				q := persist.UsageQuery{From: from, To: from.Add(window)}
				if when != "" {
					q.By = append(q.By, when)
				}
				for i, by := range texts {
					if some&(1<<i) != 0 {
						q.By = append(q.By, by)
					}
				}
				checkUsage(t, ledger, list, q)
			}
		}
	})
}

// window is the time that the exchanges of bookAny lie in.
const window = 72 * time.Hour

func anOffset() *rapid.Generator[time.Duration] {
	return rapid.Custom(func(t *rapid.T) time.Duration {
		at := time.Duration(rapid.IntRange(0, int(window/time.Minute)-1).Draw(t, "minute")) * time.Minute
		return at + rapid.SampledFrom([]time.Duration{0, 0, time.Microsecond, time.Minute - time.Microsecond}).Draw(t, "within")
	})
}

// bookAny inserts exchanges in batches that overlap, and returns those that
// are to be in the ledger.
func bookAny(t *rapid.T, store persist.Store, from time.Time) []*persist.Record {
	texts := func(name string, more ...string) string {
		return rapid.SampledFrom(append([]string{"", "a", "b", "B", "ä\n'", strings.Repeat("x", 199) + "ü漢"}, more...)).Draw(t, name)
	}
	count := func(name string) int64 {
		return rapid.SampledFrom([]int64{0, 0, 1, 7, 1 << 31, 1 << 40, -9}).Draw(t, name)
	}
	var list []*persist.Record
	for range rapid.IntRange(1, 12).Draw(t, "exchanges") {
		r := &persist.Record{ID: uuid.NewString(), NoHistory: rapid.Bool().Draw(t, "no history"), Ledger: rapid.IntRange(0, 5).Draw(t, "ledger") > 0}
		r.App, r.Tenant, r.Caller, r.User = texts("app"), texts("tenant"), texts("caller"), texts("user")
		r.Model, r.Answered = texts("model"), texts("answered")
		r.Start = from.Add(anOffset().Draw(t, "start")).In(time.FixedZone("", rapid.IntRange(-12, 12).Draw(t, "zone")*3600))
		r.Status, r.Cached = rapid.SampledFrom([]int{0, 199, 200, 299, 300, 502}).Draw(t, "status"), rapid.Bool().Draw(t, "cached")
		for range rapid.IntRange(0, 2).Draw(t, "attempts") {
			r.Attempts = append(r.Attempts, persist.Attempt{ID: texts("endpoint")})
		}
		for _, u := range []*openai.Usage{&r.Usage, &r.Saved} {
			u.PromptTokens, u.CompletionTokens, u.CachedTokens, u.ReasoningTokens = count("prompt"), count("completion"), count("cached"), count("reasoning")
		}
		r.Usage.Reported = rapid.Bool().Draw(t, "reported")
		r.Usage.Estimated = !r.Usage.Reported && rapid.Bool().Draw(t, "estimated")
		r.Priced, r.Cost, r.SavedCost = texts("priced"), count("cost"), count("saved cost")
		list = append(list, r)
	}
	n := len(list)
	for at := 0; at < n; at += rapid.IntRange(1, n).Draw(t, "step") {
		batch := list[at:min(n, at+rapid.IntRange(1, n).Draw(t, "batch"))]
		for range rapid.IntRange(1, 2).Draw(t, "tries") {
			mustInsert(t, store, batch)
		}
	}
	mustInsert(t, store, list)
	return slices.DeleteFunc(list, func(r *persist.Record) bool { return !r.Ledger })
}

func mustInsert(t *rapid.T, store persist.Store, batch []*persist.Record) {
	if rejected, err := store.Insert(t.Context(), batch); err != nil || len(rejected) > 0 {
		t.Fatalf("inserting: %v, %v", rejected, err)
	}
}

func anyQuery(t *rapid.T, from time.Time) persist.UsageQuery {
	q := persist.UsageQuery{From: from, To: from.Add(window)}
	if rapid.Bool().Draw(t, "part") {
		q.From, q.To = from.Add(anOffset().Draw(t, "from")), from.Add(anOffset().Draw(t, "to"))
	}
	by := rapid.Permutation([]string{
		persist.ByApp, persist.ByTenant, persist.ByCaller, persist.ByUser, persist.ByEndpoint, persist.ByModel, persist.ByKind,
		rapid.SampledFrom([]string{persist.ByHour, persist.ByDay}).Draw(t, "when"),
	}).Draw(t, "by")
	q.By = by[:rapid.IntRange(0, len(by)).Draw(t, "dimensions")]
	for name, into := range map[string]**string{"app": &q.App, "tenant": &q.Tenant, "caller": &q.Caller} {
		if rapid.IntRange(0, 3).Draw(t, "filter "+name) == 0 {
			is := rapid.SampledFrom([]string{"", "a", strings.Repeat("x", 199) + "ü and more"}).Draw(t, name)
			*into = &is
		}
	}
	return q
}

// listed is what an exchange counts as: the dimensions, and the sums in their
// order in persist.UsageRow.
func listed(r *persist.Record) (dimensions map[string]string, sums [11]int64) {
	cut := func(s string) string { return string([]rune(s)[:min(200, len([]rune(s)))]) }
	no := func(n int64) int64 { return max(0, n) }
	one := func(is bool) int64 { return map[bool]int64{true: 1}[is] }
	endpoint, model, kind := "", r.Answered, "none"
	if !r.Cached && len(r.Attempts) > 0 {
		endpoint = r.Attempts[len(r.Attempts)-1].ID
	}
	if model == "" && (r.Usage.PromptTokens != 0 || r.Usage.CompletionTokens != 0 || r.Saved.PromptTokens != 0 || r.Saved.CompletionTokens != 0) {
		model = r.Model
	}
	if r.Usage.Reported {
		kind = "reported"
	} else if r.Usage.Estimated {
		kind = "estimated"
	}
	u := r.Usage
	dimensions = map[string]string{
		"app": cut(r.App), "tenant": cut(r.Tenant), "caller": cut(r.Caller), "user": cut(r.User),
		"endpoint": cut(endpoint), "model": cut(model), "kind": kind,
		"hour": r.Start.UTC().Format("2006-01-02T15"), "day": r.Start.UTC().Format("2006-01-02"),
	}
	return dimensions, [11]int64{
		1, one(r.Status/100 == 2), one(r.Cached), no(u.PromptTokens), no(u.CompletionTokens), no(u.CachedTokens), no(u.ReasoningTokens),
		no(r.Saved.PromptTokens) + no(r.Saved.CompletionTokens), no(r.Cost), no(r.SavedCost),
		one(r.Priced == "") * (no(u.PromptTokens) + no(u.CompletionTokens)),
	}
}

// tester is a *testing.T or *rapid.T.
type tester interface {
	Context() context.Context
	Fatalf(format string, args ...any)
}

// checkUsage compares an answer with that of a list.
func checkUsage(t tester, ledger persist.Ledger, list []*persist.Record, q persist.UsageQuery) {
	from, to := q.From.Truncate(time.Hour), q.To.Add(time.Hour-1).Truncate(time.Hour)
	groups := map[string]*persist.UsageRow{}
	for _, r := range list {
		dimensions, sums := listed(r)
		if r.Start.Before(from) || !r.Start.Before(to) || !matches(q.App, dimensions["app"]) ||
			!matches(q.Tenant, dimensions["tenant"]) || !matches(q.Caller, dimensions["caller"]) {
			continue
		}
		var row persist.UsageRow
		key := ""
		for _, by := range q.By {
			is := dimensions[by]
			key += is + "\x00" // sorts as the texts do
			switch by {
			case "app":
				row.App = is
			case "tenant":
				row.Tenant = is
			case "caller":
				row.Caller = is
			case "user":
				row.User = is
			case "endpoint":
				row.Endpoint = is
			case "model":
				row.Model = is
			case "kind":
				row.Kind = is
			case "hour":
				row.Start, _ = time.Parse("2006-01-02T15", is)
			case "day":
				row.Start, _ = time.Parse("2006-01-02", is)
			}
		}
		if groups[key] == nil {
			groups[key] = &row
		}
		g := groups[key]
		for i, to := range []*int64{
			&g.Requests, &g.Answered, &g.Hits, &g.Prompt, &g.Completion, &g.Cached, &g.Reasoning, &g.SavedTokens, &g.Cost, &g.SavedCost, &g.UnpricedUsed,
		} {
			*to += sums[i]
		}
	}
	want := []persist.UsageRow{}
	for _, key := range sortedKeys(groups) {
		want = append(want, *groups[key])
	}
	got, err := ledger.Usage(t.Context(), q, 1000)
	if err != nil {
		t.Fatalf("reading usage by %v: %v", q.By, err)
	}
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("usage by %v from %v to %v (-want +got):\n%s", q.By, q.From, q.To, diff)
	}
}

func matches(filter *string, is string) bool {
	return filter == nil || string([]rune(*filter)[:min(200, len([]rune(*filter)))]) == is
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	var keys []K
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// checkMinutes compares the minutes with those of a list.
func checkMinutes(t tester, ledger persist.Ledger, list []*persist.Record, app string, from, to time.Time) {
	first, end := from.Truncate(time.Minute), to.Add(time.Minute-1).Truncate(time.Minute)
	found := map[int64]*persist.Minute{}
	for _, r := range list {
		dimensions, sums := listed(r)
		if dimensions["endpoint"] == "" || app != "" && r.App != app || r.Start.Before(first) || !r.Start.Before(end) {
			continue
		}
		at := r.Start.Unix() / 60
		if found[at] == nil {
			found[at] = &persist.Minute{Start: time.Unix(at*60, 0).UTC()}
		}
		m := found[at]
		m.Requests, m.Prompt, m.Completion, m.Cached = m.Requests+1, m.Prompt+sums[3], m.Completion+sums[4], m.Cached+sums[5]
	}
	want := []persist.Minute{}
	for _, at := range sortedKeys(found) {
		want = append(want, *found[at])
	}
	got, err := ledger.Minutes(t.Context(), app, from, to)
	if err != nil {
		t.Fatalf("reading minutes: %v", err)
	}
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("minutes of %q from %v to %v (-want +got):\n%s", app, from, to, diff)
	}
}
