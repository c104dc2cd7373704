package metrics

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"aigateway/openai"
	"aigateway/persist"
)

// appCounts are what is counted of one application since it was configured.
type appCounts struct {
	requests  [operations][outcomes]atomic.Int64
	durations [operations]histogram
	firstByte histogram // of answers with a 2xx status
	perToken  histogram // time between two tokens of streamed answers
	hits      atomic.Int64
	score     atomicFloat // sum over hits
	misses    atomic.Int64
	bypasses  atomic.Int64
	limited   [refusals]atomic.Int64
	usage     [usageKinds]atomic.Int64 // of requests that reached an endpoint

	saved           atomic.Int64 // tokens
	cost, savedCost atomic.Int64 // billionths of the currency
}

func newAppCounts() *appCounts {
	return &appCounts{perToken: histogram{first: firstTokenBound}}
}

// endpointCounts are what is counted of one endpoint since it was configured.
type endpointCounts struct {
	windows   windows
	attempts  [attemptOutcomes]atomic.Int64
	durations histogram // of all attempts but canceled ones
	firstByte histogram // of answers with a 2xx status
	tokens    [tokenTypes]atomic.Int64
}

// Observe counts an exchange of the application when it is over; of one of the
// gateway's own only its attempts, tokens and cost. It takes no lock but when a
// window ends and when a tenant is first seen at an endpoint, and allocates
// only then, or to write a tenant in lower case. A nil App counts nothing: what
// has no application is given to [Metrics.Unrouted].
func (a *App) Observe(x *persist.Exchange) {
	if a == nil {
		return
	}
	if !x.Own {
		a.observeRequest(x)
	}
	addPositive(&a.counts.cost, x.Cost)
	for i := range x.Attempts {
		t := &x.Attempts[i]
		if t.Endpoint < 0 || t.Endpoint >= len(a.endpoints) {
			continue // not of this configuration
		}
		a.observeAttempt(x, t, i == len(x.Attempts)-1)
	}
}

// observeRequest counts what a client got.
func (a *App) observeRequest(x *persist.Exchange) {
	a.totals.add(x)
	op := operationOf(x.Operation)
	a.counts.requests[op][outcomeOf(x)].Add(1)
	a.counts.durations[op].observe(x.Duration)
	if x.FirstByte > 0 && answered(x.Status) {
		a.counts.firstByte.observe(x.FirstByte)
	}
	if x.Cached {
		a.counts.hits.Add(1)
		a.counts.score.add(x.CacheScore)
	}
	switch x.Cache {
	case "miss":
		a.counts.misses.Add(1)
	case "bypass":
		a.counts.bypasses.Add(1)
	}
	if x.Limit != "" {
		a.counts.limited[refusalOf(x.Status)].Add(1)
	}
	if len(x.Attempts) > 0 {
		a.counts.usage[usageKindOf(&x.Usage)].Add(1)
	}
	if x.Cached {
		addPositive(&a.counts.saved, totalTokens(&x.Saved))
		addPositive(&a.counts.savedCost, x.SavedCost)
	}
	if d, ok := timePerToken(x); ok {
		a.counts.perToken.observe(d)
	}
}

// timePerToken returns how long the endpoint took for each token of a streamed
// answer after the first, as OpenTelemetry's gen_ai.server.time_per_output_token
// has it; false when there is no whole answer of two tokens or more.
func timePerToken(x *persist.Exchange) (time.Duration, bool) {
	if !x.Stream || x.Cached || x.Cut || x.Aborted || !answered(x.Status) || x.FirstByte <= 0 || x.Usage.CompletionTokens < 2 {
		return 0, false
	}
	return (x.Duration - x.FirstByte) / time.Duration(x.Usage.CompletionTokens-1), true
}

// observeAttempt counts one attempt of x. The last attempt is the one that the
// answer, or its beginning, and the tokens came from.
func (a *App) observeAttempt(x *persist.Exchange, t *persist.Attempt, last bool) {
	e := a.endpoints[t.Endpoint]
	outcome := attemptOutcomeOf(t, last && x.Cut)
	e.attempts[outcome].Add(1)
	w := e.windows.at(a.clock)
	if last {
		e.addTokens(w, x)
		a.tenants.Load().observe(a.spec.Endpoints[t.Endpoint].Name, x)
	}
	if t.FirstByte > 0 && answered(t.Status) {
		e.firstByte.observe(t.FirstByte)
	}
	if outcome == attemptCanceled {
		return // says nothing about the endpoint
	}
	e.durations.observe(t.Duration)
	if outcome == attemptOK {
		w.succeeded.Add(1)
		w.latency.Add(int64(t.Duration))
		if i := slices.Index(a.named, x.Call); i >= 0 {
			w.named[i].Add(1)
		}
		return
	}
	w.failed.Add(1)
	switch t.Status {
	case 429:
		w.throttled.Add(1)
	case 400:
		w.filtered.Add(1)
	}
}

// addTokens credits the exchange's tokens to the endpoint. Counts that an
// endpoint reports below 0 are taken for 0: a counter never falls.
func (e *endpointCounts) addTokens(w *window, x *persist.Exchange) {
	u := &x.Usage
	addPositive(&w.tokens, totalTokens(u))
	addPositive(&e.tokens[tokensInput], u.PromptTokens)
	addPositive(&e.tokens[tokensOutput], u.CompletionTokens)
	addPositive(&e.tokens[tokensCachedInput], u.CachedTokens)
	addPositive(&e.tokens[tokensReasoning], u.ReasoningTokens)
}

// totalTokens returns the total of u, which may not have been told.
func totalTokens(u *openai.Usage) int64 {
	if u.TotalTokens != 0 {
		return u.TotalTokens
	}
	return max(u.PromptTokens, 0) + max(u.CompletionTokens, 0)
}

func addPositive(counter *atomic.Int64, n int64) {
	if n > 0 {
		counter.Add(n)
	}
}

// add counts an exchange as answered by the cache, answered by an endpoint, or
// failed. An answer that the client did not wait for was still answered; one
// that the endpoint broke off was not.
func (t *totals) add(x *persist.Exchange) {
	switch {
	case x.Cached:
		t.cached.Add(1)
	case answered(x.Status) && !x.Cut:
		t.success.Add(1)
	default:
		t.failed.Add(1)
	}
}

// atomicFloat is a sum of floats.
type atomicFloat struct{ bits atomic.Uint64 }

// add adds f; what is not a finite number is left out, for it would spoil the
// sum for good.
func (s *atomicFloat) add(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return
	}
	for {
		old := s.bits.Load()
		if s.bits.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+f)) {
			return
		}
	}
}

func (s *atomicFloat) value() float64 { return math.Float64frombits(s.bits.Load()) }
