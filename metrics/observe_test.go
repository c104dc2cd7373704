package metrics

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/openai"
	"aigateway/persist"
)

func TestRequestsAreCountedInTheTotalsAndByOutcome(t *testing.T) {
	type totals struct{ Success, Cached, Failed int64 }
	for _, tt := range []struct {
		name    string
		x       persist.Exchange
		totals  totals
		outcome string
	}{
		{"answered", persist.Exchange{Status: 200}, totals{Success: 1}, "ok"},
		{"created", persist.Exchange{Status: 201}, totals{Success: 1}, "ok"},
		{"from the cache", persist.Exchange{Status: 200, Cached: true}, totals{Cached: 1}, "cached"},
		{"content filter", persist.Exchange{Status: 400}, totals{Failed: 1}, "client_error"},
		{"not allowed", persist.Exchange{Status: 401}, totals{Failed: 1}, "client_error"},
		{"all busy", persist.Exchange{Status: 429}, totals{Failed: 1}, "throttled"},
		{"endpoint failed", persist.Exchange{Status: 502, Code: "backendFailure"}, totals{Failed: 1}, "backend_error"},
		{"endpoint too slow", persist.Exchange{Status: 504, Code: "backendFailure"}, totals{Failed: 1}, "backend_error"},
		{"broken off", persist.Exchange{Status: 200, Cut: true}, totals{Failed: 1}, "backend_error"},
		{"our fault", persist.Exchange{Status: 500}, totals{Failed: 1}, "internal_error"},
		{"store down", persist.Exchange{Status: 503}, totals{Failed: 1}, "internal_error"},
		{"no status", persist.Exchange{}, totals{Failed: 1}, "internal_error"},
		{"client left before the answer", persist.Exchange{Aborted: true}, totals{Failed: 1}, "aborted"},
		{"client left within the answer", persist.Exchange{Status: 200, Aborted: true}, totals{Success: 1}, "aborted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newMetrics(0)
			m.Configure([]AppSpec{spec("app", "x")})[0].Observe(&tt.x)
			got := totals{m.totals.success.Load(), m.totals.cached.Load(), m.totals.failed.Load()}
			if diff := cmp.Diff(tt.totals, got); diff != "" {
				t.Error(diff)
			}
			if got := outcomeOf(&tt.x).String(); got != tt.outcome {
				t.Errorf("got outcome %s, want %s", got, tt.outcome)
			}
		})
	}
}

func TestAttemptsAreCountedAtTheirEndpoint(t *testing.T) {
	type counts struct{ Succeeded, Failed, Throttled, Filtered, Latency int64 }
	for _, tt := range []struct {
		name    string
		attempt persist.Attempt
		cut     bool
		want    counts
		outcome string
	}{
		{"answered", persist.Attempt{Status: 200}, false, counts{Succeeded: 1, Latency: 7}, "ok"},
		{"throttled", persist.Attempt{Status: 429}, false, counts{Failed: 1, Throttled: 1}, "throttled"},
		{"filtered", persist.Attempt{Status: 400}, false, counts{Failed: 1, Filtered: 1}, "client_error"},
		{"cannot be processed", persist.Attempt{Status: 422}, false, counts{Failed: 1}, "client_error"},
		{"key refused", persist.Attempt{Status: 401}, false, counts{Failed: 1}, "backend_error"},
		{"deployment gone", persist.Attempt{Status: 404}, false, counts{Failed: 1}, "backend_error"},
		{"fault of its own", persist.Attempt{Status: 500}, false, counts{Failed: 1}, "backend_error"},
		{"redirect", persist.Attempt{Status: 302}, false, counts{Failed: 1}, "backend_error"},
		{"refused", persist.Attempt{Fault: "dial"}, false, counts{Failed: 1}, "backend_error"},
		{"timed out", persist.Attempt{Fault: "timeout"}, false, counts{Failed: 1}, "timeout"},
		{"broken off", persist.Attempt{Status: 200}, true, counts{Failed: 1}, "backend_error"},
		{"broken off with its fault", persist.Attempt{Status: 200, Fault: "reset"}, true, counts{Failed: 1}, "backend_error"},
		{"client left", persist.Attempt{Fault: "canceled"}, false, counts{}, "canceled"},
		{"client left within the answer", persist.Attempt{Status: 200, Fault: "canceled"}, false, counts{}, "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newMetrics(0)
			a := m.Configure([]AppSpec{spec("app", "x", "y")})[0]
			tt.attempt.Endpoint, tt.attempt.Duration = 1, 7
			a.Observe(&persist.Exchange{Status: 200, Cut: tt.cut, Attempts: []persist.Attempt{tt.attempt}})

			w := a.endpoints[1].windows.at(a.clock)
			got := counts{w.succeeded.Load(), w.failed.Load(), w.throttled.Load(), w.filtered.Load(), w.latency.Load()}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			for o := range attemptOutcomes {
				want := int64(0)
				if o.String() == tt.outcome {
					want = 1
				}
				if got := a.endpoints[1].attempts[o].Load(); got != want {
					t.Errorf("attempts with outcome %s: got %d, want %d", o, got, want)
				}
			}
			if got := succeeded(a)["x"]; got != 0 {
				t.Errorf("another endpoint counted %d calls", got)
			}
		})
	}
}

func TestOnlyTheLastAttemptIsCutAndCreditedTokens(t *testing.T) {
	m, _ := newMetrics(0)
	a := m.Configure([]AppSpec{spec("app", "x", "y")})[0]
	a.Observe(&persist.Exchange{
		Status: 200, Cut: true, Usage: openai.Usage{TotalTokens: 12},
		Attempts: []persist.Attempt{{Endpoint: 0, Status: 429}, {Endpoint: 1, Status: 200}},
	})
	x, y := a.endpoints[0].windows.at(a.clock), a.endpoints[1].windows.at(a.clock)
	if x.throttled.Load() != 1 || x.tokens.Load() != 0 {
		t.Errorf("first endpoint: %d throttled, %d tokens, want 1, 0", x.throttled.Load(), x.tokens.Load())
	}
	if y.failed.Load() != 1 || y.tokens.Load() != 12 {
		t.Errorf("last endpoint: %d failed, %d tokens, want 1, 12", y.failed.Load(), y.tokens.Load())
	}
}

func TestTokensAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		usage  openai.Usage
		window int64
		types  [tokenTypes]int64 // input, output, cached input, reasoning
	}{
		{"nothing reported", openai.Usage{}, 0, [tokenTypes]int64{}},
		{"total", openai.Usage{PromptTokens: 7, CompletionTokens: 5, TotalTokens: 13}, 13, [tokenTypes]int64{7, 5}},
		{"no total", openai.Usage{PromptTokens: 7, CompletionTokens: 5}, 12, [tokenTypes]int64{7, 5}},
		{"details", openai.Usage{PromptTokens: 7, CompletionTokens: 5, TotalTokens: 12, CachedTokens: 4, ReasoningTokens: 3}, 12, [tokenTypes]int64{7, 5, 4, 3}},
		{"below 0", openai.Usage{PromptTokens: -7, CompletionTokens: 5}, 5, [tokenTypes]int64{0, 5}},
		{"total below 0", openai.Usage{TotalTokens: -1}, 0, [tokenTypes]int64{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newMetrics(0)
			a := m.Configure([]AppSpec{spec("app", "x")})[0]
			x := answer(0)
			x.Usage = tt.usage
			a.Observe(x)
			if got := a.endpoints[0].windows.at(a.clock).tokens.Load(); got != tt.window {
				t.Errorf("got %d in the window, want %d", got, tt.window)
			}
			var got [tokenTypes]int64
			for i := range got {
				got[i] = a.endpoints[0].tokens[i].Load()
			}
			if diff := cmp.Diff(tt.types, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnknownCallIsCountedWithoutAName(t *testing.T) {
	m, _ := newMetrics(0)
	s := spec("app", "x")
	s.Type = "azure_content_safety"
	a := m.Configure([]AppSpec{s})[0]
	for _, call := range []string{"imageApiCalls", "keywordApiCalls", ""} {
		x := answer(0)
		x.Call = call
		a.Observe(x)
	}
	failed := answer(0)
	failed.Call, failed.Attempts[0].Status = "imageApiCalls", 500
	a.Observe(failed)

	w := a.endpoints[0].windows.at(a.clock)
	if w.succeeded.Load() != 3 || w.named[0].Load() != 0 || w.named[1].Load() != 1 {
		t.Errorf("got %d calls, %d text, %d image, want 3, 0, 1", w.succeeded.Load(), w.named[0].Load(), w.named[1].Load())
	}
}

func TestNamedCallsFitTheirWindow(t *testing.T) {
	for _, kind := range []string{"azure_oai", "openai", "azure_search", "azure_language", "azure_translator", "azure_content_safety"} {
		if n := len(namedCalls(kind)); n > maxNamed {
			t.Errorf("%s has %d names, a window holds %d", kind, n, maxNamed)
		}
	}
}

func TestEndpointOfAnotherConfigurationIsLeftOut(t *testing.T) {
	m, _ := newMetrics(0)
	a := m.Configure([]AppSpec{spec("app", "x")})[0]
	a.Observe(answer(1))
	a.Observe(answer(-1))
	if got := succeeded(a)["x"]; got != 0 {
		t.Errorf("the endpoint counted %d calls", got)
	}
	if got := m.totals.success.Load(); got != 2 {
		t.Errorf("the totals count %d requests, want 2", got)
	}
}

func TestNilAppCountsNothing(t *testing.T) {
	var a *App
	a.Observe(answer(0))
}

func TestScoresThatAreNoNumbersDoNotSpoilTheAverage(t *testing.T) {
	m, _ := newMetrics(0)
	a := m.Configure([]AppSpec{spec("app", "x")})[0]
	for _, score := range []float64{0.5, math.NaN(), math.Inf(1), 0.25} {
		a.Observe(&persist.Exchange{Status: 200, Cached: true, CacheScore: score})
	}
	if got := a.counts.score.value(); got != 0.75 {
		t.Errorf("got %v, want 0.75", got)
	}
}

func TestUsageIsCountedByKind(t *testing.T) {
	attempts := []persist.Attempt{{Status: 200}}
	for _, tt := range []struct {
		name string
		x    persist.Exchange
		want [usageKinds]int64 // reported, estimated, none
	}{
		{"reported", persist.Exchange{Status: 200, Usage: openai.Usage{Reported: true}, Attempts: attempts}, [usageKinds]int64{1, 0, 0}},
		{"estimated", persist.Exchange{Status: 200, Usage: openai.Usage{Estimated: true}, Attempts: attempts}, [usageKinds]int64{0, 1, 0}},
		{"unknown", persist.Exchange{Status: 500, Attempts: attempts}, [usageKinds]int64{0, 0, 1}},
		{"from the cache", persist.Exchange{Status: 200, Cached: true}, [usageKinds]int64{}},
		{"refused", persist.Exchange{Status: 429, Limit: "free-tier"}, [usageKinds]int64{}},
		{"the gateway's own", persist.Exchange{Own: true, Status: 200, Usage: openai.Usage{Reported: true}, Attempts: attempts}, [usageKinds]int64{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newMetrics(0)
			a := m.Configure([]AppSpec{spec("app", "x")})[0]
			a.Observe(&tt.x)
			var got [usageKinds]int64
			for k := range got {
				got[k] = a.counts.usage[k].Load()
			}
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCostIsThatOfTheGatewaysOwnCallsToo(t *testing.T) {
	m, _ := newMetrics(0)
	a := m.Configure([]AppSpec{spec("app", "x")})[0]
	a.Observe(&persist.Exchange{Status: 200, Cost: 5, SavedCost: 100})
	a.Observe(&persist.Exchange{Status: 200, Own: true, Cost: 2})
	a.Observe(&persist.Exchange{Status: 200, Cached: true, SavedCost: 7, Saved: openai.Usage{PromptTokens: 30, CompletionTokens: 4}})
	a.Observe(&persist.Exchange{Status: 200, Cost: -9})
	if cost, saved, tokens := a.counts.cost.Load(), a.counts.savedCost.Load(), a.counts.saved.Load(); cost != 7 || saved != 7 || tokens != 34 {
		t.Errorf("got cost %d, saved cost %d, saved tokens %d, want 7, 7, 34", cost, saved, tokens)
	}
}

func TestRequestsThatALimitRefusedAreCountedByStatus(t *testing.T) {
	m, _ := newMetrics(0)
	a := m.Configure([]AppSpec{spec("app", "x")})[0]
	for _, x := range []persist.Exchange{
		{Status: 429, Limit: "minute"},
		{Status: 403, Limit: "month"},
		{Status: 403, Limit: "day"},
		{Status: 400, Limit: "minute"},
		{Status: 429},
		{Status: 403}, // not by a limit
	} {
		a.Observe(&x)
	}
	got := map[string]int64{}
	for r := range refusals {
		got[r.String()] = a.counts.limited[r].Load()
	}
	if diff := cmp.Diff(map[string]int64{"429": 1, "403": 2, "400": 1}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTimePerTokenIsOfWholeStreamedAnswers(t *testing.T) {
	streamed := func(change func(*persist.Exchange)) persist.Exchange {
		x := persist.Exchange{Stream: true, Status: 200, Duration: 1100, FirstByte: 100, Usage: openai.Usage{CompletionTokens: 11}}
		change(&x)
		return x
	}
	for _, tt := range []struct {
		name string
		x    persist.Exchange
		want time.Duration // 0: not counted
	}{
		{"eleven tokens", streamed(func(*persist.Exchange) {}), 100},
		{"two tokens", streamed(func(x *persist.Exchange) { x.Usage.CompletionTokens = 2 }), 1000},
		{"one token", streamed(func(x *persist.Exchange) { x.Usage.CompletionTokens = 1 }), 0},
		{"unknown tokens", streamed(func(x *persist.Exchange) { x.Usage.CompletionTokens = 0 }), 0},
		{"not streamed", streamed(func(x *persist.Exchange) { x.Stream = false }), 0},
		{"from the cache", streamed(func(x *persist.Exchange) { x.Cached = true }), 0},
		{"cut", streamed(func(x *persist.Exchange) { x.Cut = true }), 0},
		{"aborted", streamed(func(x *persist.Exchange) { x.Aborted = true }), 0},
		{"failed", streamed(func(x *persist.Exchange) { x.Status = 502 }), 0},
		{"nothing written", streamed(func(x *persist.Exchange) { x.FirstByte = 0 }), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := timePerToken(&tt.x)
			if got != tt.want || ok != (tt.want > 0) {
				t.Errorf("got %d, %v, want %d", got, ok, tt.want)
			}
			m, _ := newMetrics(0)
			a := m.Configure([]AppSpec{spec("app", "x")})[0]
			a.Observe(&tt.x)
			if n, _, _ := a.counts.perToken.read(); (n == 1) != ok {
				t.Errorf("%d counted", n)
			}
		})
	}
}

func TestFirstByteOfAnEndpointIsOfItsAnswers(t *testing.T) {
	m, _ := newMetrics(0)
	a := m.Configure([]AppSpec{spec("app", "x", "y")})[0]
	a.Observe(&persist.Exchange{Status: 200, Attempts: []persist.Attempt{
		{Endpoint: 0, Status: 429, FirstByte: time.Second},
		{Endpoint: 1, Fault: "dial"},
		{Endpoint: 1, Status: 200, FirstByte: time.Second, Fault: "canceled"},
	}})
	throttled, _, _ := a.endpoints[0].firstByte.read()
	answered, sum, _ := a.endpoints[1].firstByte.read()
	if throttled != 0 || answered != 1 || sum != 1 {
		t.Errorf("got %d of the endpoint that throttled, %d of the one that answered, %v s, want 0, 1, 1", throttled, answered, sum)
	}
}

// busy returns an exchange that touches every counter.
func busy() *persist.Exchange {
	x := answer(0)
	x.Tenant, x.Stream, x.Cost = "contoso", true, 1000
	x.Attempts[0].FirstByte = 10 * time.Millisecond
	x.Usage = openai.Usage{Reported: true, PromptTokens: 900, CompletionTokens: 100, TotalTokens: 1000, CachedTokens: 10, ReasoningTokens: 10}
	return x
}

func TestObserveDoesNotAllocate(t *testing.T) {
	m := New(Options{Interval: time.Hour, History: 5})
	m.ConfigureTenants(TenantOptions{Enabled: true})
	search := spec("search", "x")
	search.Type = "azure_search"
	for _, a := range m.Configure([]AppSpec{spec("app", "x"), search}) {
		x := busy()
		x.Call = "vectorApiCalls"
		if n := testing.AllocsPerRun(1000, func() { a.Observe(x) }); n != 0 {
			t.Errorf("%s: %v allocations", a.spec.ID, n)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	m := New(Options{Interval: time.Hour, History: 5})
	a, x := m.Configure([]AppSpec{spec("app", "x")})[0], busy()
	b.ReportAllocs()
	for b.Loop() {
		a.Observe(x)
	}
}

func BenchmarkObserveWithTenants(b *testing.B) {
	m := New(Options{Interval: time.Hour, History: 5})
	m.ConfigureTenants(TenantOptions{Enabled: true})
	a, x := m.Configure([]AppSpec{spec("app", "x")})[0], busy()
	b.ReportAllocs()
	for b.Loop() {
		a.Observe(x)
	}
}

func BenchmarkObserveParallel(b *testing.B) {
	m := New(Options{Interval: time.Hour, History: 5})
	a, x := m.Configure([]AppSpec{spec("app", "x")})[0], busy()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			a.Observe(x)
		}
	})
}
