package persist

import (
	"bytes"
	"context"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"aigateway/openai"
)

func TestExchangesAreCountedUnderWhatAnswered(t *testing.T) {
	some := openai.Usage{CompletionTokens: 1}
	for _, c := range []struct {
		name        string
		x           Exchange
		model, kind string
	}{
		{"answered", Exchange{Model: "asked", Answered: "said", Usage: openai.Usage{Reported: true}}, "said", KindReported},
		{"answered without a name", Exchange{Model: "asked", Usage: openai.Usage{Estimated: true, PromptTokens: 1}}, "asked", KindEstimated},
		{"from the cache, without a name", Exchange{Model: "asked", Cached: true, Saved: some}, "asked", KindNone},
		{"from the cache", Exchange{Model: "asked", Answered: "said", Cached: true, Saved: some}, "said", KindNone},
		{"answered by nobody", Exchange{Model: "asked", Status: 404}, "", KindNone},
	} {
		if got := ModelOf(&c.x); got != c.model {
			t.Errorf("%s: model %q, want %q", c.name, got, c.model)
		}
		if got := KindOf(&c.x); got != c.kind {
			t.Errorf("%s: kind %q, want %q", c.name, got, c.kind)
		}
	}
}

func TestUsageOfOneExchange(t *testing.T) {
	x := Exchange{
		App: "app", Tenant: "tenant\x00", Caller: "caller", User: "user", Answered: "model",
		Start: time.Date(2025, 5, 15, 3, 29, 59, 9, time.FixedZone("", 19800)), Status: 204, Priced: "model",
		Attempts: []Attempt{{ID: "first"}, {ID: "last"}}, Cost: 7, SavedCost: -1,
		Usage: openai.Usage{Reported: true, PromptTokens: 3, CompletionTokens: math.MaxInt64, CachedTokens: -1, ReasoningTokens: 2},
	}
	want := UsageRow{
		Start: time.Date(2025, 5, 14, 21, 0, 0, 0, time.UTC),
		App:   "app", Tenant: "tenant\ufffd", Caller: "caller", User: "user", Endpoint: "last", Model: "model", Kind: KindReported,
		Requests: 1, Answered: 1, Prompt: 3, Completion: 1 << 53, Reasoning: 2, Cost: 7,
	}
	if d := cmp.Diff(want, UsageOf(&x)); d != "" {
		t.Errorf("priced: %s", d)
	}
	x.Cached, x.Saved, x.Priced, x.Status = true, openai.Usage{PromptTokens: 4, CompletionTokens: 5}, "", 500
	want.Endpoint, want.Hits, want.SavedTokens, want.Answered, want.UnpricedUsed = "", 1, 9, 0, 3+1<<53
	if d := cmp.Diff(want, UsageOf(&x)); d != "" {
		t.Errorf("from the cache, unpriced: %s", d)
	}
}

// Add and Group know all members of a row.
func TestRowsAreAddedWhole(t *testing.T) {
	var one UsageRow
	v := reflect.ValueOf(&one).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i).Addr().Interface().(type) {
		case *string:
			*f = v.Type().Field(i).Name
		case *int64:
			*f = int64(i)
		case *time.Time:
			*f = epoch
		}
	}
	group := one.Group()
	for i := range v.NumField() {
		grouped := reflect.ValueOf(group).Field(i)
		if _, sum := v.Field(i).Interface().(int64); sum != grouped.IsZero() {
			t.Errorf("%s of the group is %v", v.Type().Field(i).Name, grouped)
		}
	}
	group.Add(&one)
	if d := cmp.Diff(one, group); d != "" {
		t.Errorf("nothing and one: %s", d)
	}
	one.Cost, group.Cost = math.MaxInt64-1, 1
	group.Add(&one)
	if group.Cost != math.MaxInt64 || group.Requests != 2*one.Requests {
		t.Errorf("cost %d of %d requests", group.Cost, group.Requests)
	}
	group.Add(&one)
	if group.Cost != math.MaxInt64 {
		t.Errorf("cost %d", group.Cost)
	}
}

func TestDimensionsAreShortTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.StringN(190, 300, -1), rapid.Just(strings.Repeat("\xff漢", 150))).Draw(t, "text")
		got := Dimension(s)
		if !utf8.ValidString(got) || strings.Contains(got, "\x00") || utf8.RuneCountInString(got) > 200 || Dimension(got) != got {
			t.Fatalf("%q became %q", s, got)
		}
		if utf8.ValidString(s) && !strings.Contains(s, "\x00") {
			if all := []rune(s); got != string(all[:min(200, len(all))]) {
				t.Fatalf("%q became %q", s, got)
			}
		}
	})
}

func TestQueriesWithFaultsAreRefused(t *testing.T) {
	for _, by := range [][]string{{"apps"}, {""}, {ByApp, ByApp}, {ByHour, ByDay}, {ByDay, ByApp, ByHour}} {
		if err := (&UsageQuery{By: by}).Check(); err == nil {
			t.Errorf("by %q: no error", by)
		}
	}
	for _, by := range [][]string{nil, {ByDay}, {ByHour, ByApp, ByTenant, ByCaller, ByUser, ByEndpoint, ByModel, ByKind}} {
		if err := (&UsageQuery{By: by}).Check(); err != nil {
			t.Errorf("by %q: %v", by, err)
		}
	}
}

func TestTimesAreWidenedToWholeUnits(t *testing.T) {
	noon := time.Date(2025, 5, 15, 12, 0, 0, 0, time.UTC)
	zone := time.FixedZone("", 5*3600+45*60)
	for _, c := range []struct{ from, to, first, end time.Duration }{
		{0, time.Hour, 0, time.Hour},
		{1, time.Hour + 1, 0, 2 * time.Hour},
		{-1, 0, -time.Hour, 0},
		{time.Hour - 1, time.Hour - 1, 0, time.Hour},
	} {
		first, end := Widen(noon.Add(c.from).In(zone), noon.Add(c.to).In(zone), time.Hour)
		if !first.Equal(noon.Add(c.first)) || !end.Equal(noon.Add(c.end)) || first.Location() != time.UTC {
			t.Errorf("from %v to %v became %v to %v", c.from, c.to, first, end)
		}
	}
}

func TestWhatIsForTheLedgerOnlyIsKeptWithoutWhatWasSaid(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := &fakeStore{fault: errRefused}
		var seen []*Record
		store.see = func(_ context.Context, records []*Record) { seen = append(seen, records...) }
		w := start(t, Options{Store: store, Dir: dir})
		r := row(0)
		r.Ledger, r.NoHistory, r.Trace = true, true, &Trace{Prompt: bytes.Repeat([]byte("x"), 1<<20)}
		w.Write(r)
		later(50 * time.Millisecond)
		for _, path := range files(t, dir, "*/*") {
			if kept, err := os.ReadFile(path); err != nil || bytes.Contains(kept, []byte("said-in-confidence")) {
				t.Errorf("the spool holds %q, %v", kept, err)
			}
		}
		w.stop()
		seen = nil
		store.set(nil)
		next := start(t, Options{Store: store, Dir: dir}) // from the disk
		later(10 * time.Second)
		want := row(0)
		want.Ledger, want.NoHistory, want.Prompt, want.Completion = true, true, nil, nil
		if d := cmp.Diff([]*Record{want}, seen); d != "" {
			t.Error(d)
		}
		if s := next.Stats(); s.Written != 1 || s.QueuedBytes != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTracesAreNotHeldInTheQueue(t *testing.T) {
	w, err := NewWriter(Options{Store: &fakeStore{}})
	if err != nil {
		t.Fatal(err)
	}
	r := row(0)
	r.Trace = &Trace{}
	w.Write(r)
	if w.queue[0].Trace != nil {
		t.Error("the trace is held")
	}
}

func TestRejectedRowsTellWhatTheyWereFor(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		w := start(t, Options{Store: &fakeStore{reject: func(*Record) bool { return true }}, Dir: dir})
		r := row(0)
		r.Ledger = true
		w.Write(r)
		later(time.Second)
		kept, err := os.ReadFile(files(t, dir, "*/rejected.jsonl")[0])
		if err != nil || !bytes.Contains(kept, []byte(`"Ledger":true`)) {
			t.Errorf("%s, %v", kept, err)
		}
	})
}
