package limit

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/config"
)

// limited are the amounts with a limit of one request, 10 tokens or 0.001 of
// the currency, and what a request has to ask for to take all of it.
var limited = []struct {
	name  string
	allow config.Amounts
	quota bool
	most  time.Duration // until it fits again, by itself
}{
	{"requestsPerMinute", config.Amounts{RequestsPerMinute: 1}, false, time.Minute + SlotLength},
	{"tokensPerMinute", config.Amounts{TokensPerMinute: 10}, false, time.Minute + SlotLength},
	{"tokensPerDay", config.Amounts{TokensPerDay: 10}, true, 12 * time.Hour},
	{"tokensPerMonth", config.Amounts{TokensPerMonth: 10}, true, 18 * 24 * time.Hour},
	{"costPerDay", config.Amounts{CostPerDay: 0.001}, true, 12 * time.Hour},
	{"costPerMonth", config.Amounts{CostPerMonth: 0.001}, true, 18 * 24 * time.Hour},
	{"concurrent", config.Amounts{Concurrent: 1}, false, 0},
}

func TestEachAmountIsLimitedForEachThing(t *testing.T) {
	asks := map[string]Ask{ // another of the thing than in the first request
		"":       {},
		"caller": {Caller: "d"}, "tenant": {Tenant: "d"}, "user": {User: "d"}, "model": {Model: "d"},
	}
	for _, amount := range limited {
		for _, per := range []string{"", "app", "caller", "tenant", "user", "model"} {
			t.Run(amount.name+"/"+per, func(t *testing.T) {
				l := config.Limit{ID: "l", Allow: amount.allow}
				if per != "" {
					l.Per = []string{per}
				}
				f := newFixture(t, Options{}, apps([]string{"a", "b"}, l))
				first := Ask{Caller: "c", Tenant: "c", User: "c", Model: "c", Tokens: 10, Cost: 1_000_000}
				g := f.admit("a", first)
				refused := f.refuse("a", first)
				if refused.Limit != "l" || refused.Amount != amount.name || refused.Quota != amount.quota || refused.Never {
					t.Errorf("got %+v", refused)
				}
				if refused.Wait <= 0 || refused.Wait > max(amount.most, time.Second) {
					t.Errorf("the wait is %v", refused.Wait)
				}

				other, app := first, "a"
				switch o := asks[per]; {
				case per == "app":
					app = "b"
				case per == "":
					f.refuse("b", first) // one account for all
				default:
					other = Ask{Caller: o.Caller + "c", Tenant: o.Tenant + "c", User: o.User + "c", Model: o.Model + "c", Tokens: 10, Cost: 1_000_000}
				}
				if per != "" {
					f.admit(app, other).Settle(10, 1_000_000)
				}

				if amount.name == "concurrent" {
					g.Settle(10, 1_000_000)
				} else {
					f.refuse("a", first)
					f.clock.forward(refused.Wait)
				}
				f.admit("a", first).Settle(10, 1_000_000)
			})
		}
	}
}

func TestWhatWasNotUsedIsGivenBack(t *testing.T) {
	allow := config.Amounts{TokensPerMinute: 100, TokensPerDay: 100, TokensPerMonth: 100, CostPerDay: 1, CostPerMonth: 1, Concurrent: 1}
	f := newFixture(t, Options{}, one(allow))
	for range 5 { // cached answers, say
		f.admit("a", Ask{Tokens: 100, Cost: billion}).Settle(0, 0)
	}
	f.admit("a", Ask{Tokens: 100, Cost: billion}).Settle(30, 3e8)
	for amount, want := range map[string]int64{
		"tokensPerMinute": 30, "tokensPerDay": 30, "tokensPerMonth": 30, "costPerDay": 3e8, "costPerMonth": 3e8, "concurrent": 0,
	} {
		if got := f.used("a", Ask{}, "l", amount); got != want {
			t.Errorf("%s: %d are used, want %d", amount, got, want)
		}
	}
}

func TestRequestTakesFromAllLimitsOrNone(t *testing.T) {
	f := newFixture(t, Options{}, apps([]string{"a"},
		config.Limit{ID: "wide", Allow: config.Amounts{TokensPerMinute: 1000, TokensPerDay: 1000, RequestsPerMinute: 10, Concurrent: 10}},
		config.Limit{ID: "narrow", Allow: config.Amounts{TokensPerMinute: 10}},
	))
	f.admit("a", Ask{Tokens: 10}).Settle(10, 0)
	if refused := f.refuse("a", Ask{Tokens: 1}); refused.Limit != "narrow" {
		t.Errorf("refused by %s", refused.Limit)
	}
	for amount, want := range map[string]int64{"tokensPerMinute": 10, "tokensPerDay": 10, "requestsPerMinute": 1, "concurrent": 0} {
		if got := f.used("a", Ask{}, "wide", amount); got != want {
			t.Errorf("%s: %d are used, want %d", amount, got, want)
		}
	}
}

func TestRefusalNamesTheMostLastingLimit(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{RequestsPerMinute: 1, TokensPerMinute: 10, TokensPerDay: 10, TokensPerMonth: 10}))
	f.admit("a", Ask{Tokens: 10})
	if refused := f.refuse("a", Ask{Tokens: 10}); refused.Amount != "tokensPerMonth" {
		t.Errorf("refused by %s", refused.Amount)
	}
}

func TestRequestThatExceedsAWholeLimitNeverFits(t *testing.T) {
	for _, amount := range limited {
		if amount.name == "concurrent" || amount.name == "requestsPerMinute" {
			continue
		}
		f := newFixture(t, Options{}, one(amount.allow))
		refused := f.refuse("a", Ask{Tokens: 11, Cost: 1_000_001})
		if !refused.Never || refused.Wait != 0 {
			t.Errorf("%s: got %+v", amount.name, refused)
		}
		f.admit("a", Ask{Tokens: 10, Cost: 1_000_000})
	}
}

func TestObserveCountsWithoutRefusing(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{TokensPerMinute: 100, Concurrent: 1, Mode: "observe"}))
	f.admit("a", Ask{Tokens: 60})
	g := f.admit("a", Ask{Tokens: 500})
	want := Left{Tokens: Remaining{OK: true, Limit: "l", Allowed: 100}}
	if diff := cmp.Diff(want, g.Left()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	s := f.standing("a", Ask{}, "l", "tokensPerMinute")
	if s.Used != 560 || s.Remaining != 0 || s.Mode != "observe" {
		t.Errorf("got %+v", s)
	}
	got := f.Readings().Decisions
	if diff := cmp.Diff([]Decisions{{Limit: "l", Admitted: 1, Over: 1}}, got); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}

func TestLeftIsOfTheLimitWithLeastLeft(t *testing.T) {
	f := newFixture(t, Options{}, apps([]string{"a"},
		config.Limit{ID: "minute", Allow: config.Amounts{TokensPerMinute: 100, RequestsPerMinute: 3}},
		config.Limit{ID: "day", Allow: config.Amounts{TokensPerDay: 50, RequestsPerMinute: 9}},
	))
	got := f.admit("a", Ask{Tokens: 20}).Left()
	want := Left{Tokens: Remaining{true, "day", 50, 30}, Requests: Remaining{true, "minute", 3, 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	less := Left{Tokens: Remaining{true, "pool p", 10, 1}}
	want.Tokens = less.Tokens
	if diff := cmp.Diff(want, got.Least(less)); diff != "" {
		t.Errorf("the lesser of each (-want +got):\n%s", diff)
	}
}

func TestLimitsAreOnlyForTheirRequests(t *testing.T) {
	f := newFixture(t, Options{}, apps([]string{"a", "b"}, config.Limit{
		ID: "l", Apps: []string{"a"}, Callers: []string{"c"}, Tenants: []string{"t"}, Users: []string{"u", "v"}, Models: []string{"m"},
		Allow: config.Amounts{RequestsPerMinute: 1},
	}))
	f.admit("a", Ask{Caller: "c", Tenant: "t", User: "u", Model: "m"})
	f.refuse("a", Ask{Caller: "c", Tenant: "t", User: "v", Model: "m"})
	for _, ask := range []Ask{
		{Caller: "x", Tenant: "t", User: "u", Model: "m"},
		{Caller: "c", Tenant: "", User: "u", Model: "m"},
		{Caller: "c", Tenant: "t", User: "x", Model: "m"},
		{Caller: "c", Tenant: "t", User: "u", Model: "x"},
	} {
		if g := f.admit("a", ask); g != nil {
			t.Errorf("%+v is limited", ask)
		}
	}
	if f.rules.For("b") != nil {
		t.Error("app b is limited")
	}
}

func TestNothingIsLimitedWithoutLimits(t *testing.T) {
	var app *App
	g, refused := app.Admit(t.Context(), Ask{})
	if g != nil || refused != nil {
		t.Error("a nil app limits")
	}
	if g, refused := app.AdmitAt(t.Context(), 3, Ask{Tokens: 1, Cost: 1}); g != nil || refused != nil || app.LimitsAt(3) {
		t.Error("a nil app limits an endpoint")
	}
	g.Settle(1, 1)
	if g.Left() != (Left{}) || app.Standings(t.Context(), Ask{}) != nil || app.CountsTokens() || app.CountsCost() {
		t.Error("a nil app or grant tells of limits")
	}
}

func TestGrantIsSettledOnce(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{Concurrent: 1}))
	g := f.admit("a", Ask{})
	g.Settle(0, 0)
	defer func() {
		if r := recover(); !strings.HasPrefix(fmt.Sprint(r), "BUG") {
			t.Errorf("recovered %v", r)
		}
	}()
	g.Settle(0, 0)
}

func TestAbsurdAmountsStayInRange(t *testing.T) {
	for _, mode := range []string{"enforce", "observe"} {
		allow := config.Amounts{TokensPerMinute: 100, TokensPerDay: 100, CostPerDay: 1, RequestsPerMinute: 2000, Mode: mode}
		f := newFixture(t, Options{}, one(allow))
		for range 1500 { // more than fit into 63 bits
			g, _ := f.rules.For("a").Admit(t.Context(), Ask{Tokens: 1<<63 - 1, Cost: 1<<63 - 1})
			g.Settle(1<<63-1, -1)
			g, _ = f.rules.For("a").Admit(t.Context(), Ask{Tokens: -1 << 63, Cost: -1 << 63})
			g.Settle(-1<<63, 1<<63-1)
		}
		for _, s := range f.rules.For("a").Standings(t.Context(), Ask{}) {
			if s.Used < 0 || s.Remaining < 0 {
				t.Errorf("%s: got %+v", mode, s)
			}
		}
	}
}

func TestLimitsAreNeverExceededTogether(t *testing.T) {
	const allowed = 50
	f := newFixture(t, Options{}, apps([]string{"a", "b"},
		config.Limit{ID: "all", Allow: config.Amounts{RequestsPerMinute: allowed, TokensPerMinute: 10 * allowed, TokensPerDay: 10 * allowed}},
		config.Limit{ID: "user", Per: []string{"user", "app"}, Allow: config.Amounts{RequestsPerMinute: allowed, Concurrent: 3}},
		config.Limit{ID: "tenant", Per: []string{"tenant"}, Allow: config.Amounts{Concurrent: 7}},
	))
	var admitted, running, most atomic.Int64
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			app := f.rules.For([]string{"a", "b"}[i%2])
			for j := range 50 {
				g, _ := app.Admit(t.Context(), Ask{User: fmt.Sprint(i % 5), Tenant: "t", Tokens: 10})
				if g == nil {
					continue
				}
				admitted.Add(1)
				now := running.Add(1)
				for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
				}
				f.rules.For("a").Standings(t.Context(), Ask{User: fmt.Sprint(j)})
				running.Add(-1)
				g.Settle(10, 0)
			}
		})
	}
	all.Wait()
	if admitted.Load() != allowed || most.Load() > 7 {
		t.Errorf("%d requests were admitted, want %d; %d at a time, want at most 7", admitted.Load(), allowed, most.Load())
	}
	if got := f.used("a", Ask{Tenant: "t"}, "tenant", "concurrent"); got != 0 {
		t.Errorf("%d requests are under way after the last", got)
	}
}

func TestEndpointHasItsOwnLimits(t *testing.T) {
	cfg := apps([]string{"a", "b"})
	for i := range cfg.Applications {
		cfg.Applications[i].Endpoints = []config.Endpoint{
			{ID: "east", URI: "https://east", Limits: config.Amounts{TokensPerMinute: 10, RequestsPerMinute: 1}},
			{ID: "west", URI: "https://west"},
		}
	}
	f := newFixture(t, Options{}, cfg)
	a := f.rules.For("a")
	if !a.LimitsAt(0) || a.LimitsAt(1) || !a.CountsTokens() || a.CountsCost() {
		t.Error("the app tells wrongly what is limited")
	}
	g, refused := a.AdmitAt(t.Context(), 0, Ask{Tokens: 10, Cost: 0})
	if refused != nil {
		t.Fatal(refused)
	}
	_, refused = a.AdmitAt(t.Context(), 0, Ask{Tokens: 10, Cost: 0})
	if refused == nil || refused.Limit != "endpoint a/east" || refused.Per != "app=a endpoint=east" {
		t.Errorf("refused: %+v", refused)
	}
	g.Settle(10, 0)
	if g, refused := a.AdmitAt(t.Context(), 1, Ask{Tokens: 10, Cost: 0}); g != nil || refused != nil {
		t.Error("the other endpoint is limited")
	}
	if _, refused := f.rules.For("b").AdmitAt(t.Context(), 0, Ask{Tokens: 10, Cost: 0}); refused != nil {
		t.Errorf("the other app's endpoint is limited: %v", refused)
	}
	if got := f.used("a", Ask{}, "endpoint a/east", "tokensPerMinute"); got != 10 {
		t.Errorf("%d tokens are used, want 10", got)
	}
}

func TestAGuessIsNoReasonToRefuseForGood(t *testing.T) {
	f := newFixture(t, Options{}, apps([]string{"a"},
		config.Limit{ID: "minute", Allow: config.Amounts{TokensPerMinute: 100, CostPerDay: 0.001}},
		config.Limit{ID: "watched", Allow: config.Amounts{TokensPerDay: 10, Mode: "observe"}}))
	const billionths = 1_000_000 // 0.001 of the currency
	g := f.admit("a", Ask{Tokens: 5000, GuessedTokens: 4990, Cost: 9 * billionths, GuessedCost: 8*billionths + 999})
	if used := f.used("a", Ask{}, "minute", "tokensPerMinute"); used != 100 {
		t.Errorf("%d tokens are reserved, want the whole limit", used)
	}
	if used := f.used("a", Ask{}, "minute", "costPerDay"); used != billionths {
		t.Errorf("%d are reserved, want the whole limit", used)
	}
	g.Settle(20, 0)
	if refused := f.refuse("a", Ask{Tokens: 5000, GuessedTokens: 4899}); !refused.Never || refused.Asked != 101 {
		t.Errorf("what is no guess and does not fit: %+v", refused)
	}
	f.clock.forward(2 * time.Minute)
	f.admit("a", Ask{Tokens: 5000, GuessedTokens: 4900})
}
