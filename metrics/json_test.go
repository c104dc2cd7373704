package metrics

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/openai"
	"aigateway/persist"
)

var update = flag.Bool("update", false, "write testdata/ from what the tests got")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

var header = Header{ListenPort: "8000", InstanceName: "Gateway-Instance-01", EndpointURI: "/api/v1/dev/apirouter/metrics"}

// everyType is one application of each type, with a call of each name.
func everyType(m *Metrics) {
	var specs []AppSpec
	for _, kind := range []string{"azure_oai", "openai", "azure_search", "azure_language", "azure_translator", "azure_content_safety"} {
		specs = append(specs, AppSpec{
			ID: kind + "-app", Type: kind, CacheOn: kind == "azure_oai",
			Endpoints: []EndpointSpec{{ID: "0", URI: "https://a.example.com/x?api-version=1&b=<c>", Key: "a"}},
		})
	}
	for i, a := range m.Configure(specs) {
		calls := namedCalls(specs[i].Type)
		if calls == nil {
			calls = []string{"", ""}
		}
		for _, call := range calls {
			a.Observe(&persist.Exchange{
				Operation: "chat", Stream: true, Call: call, Status: 200, Duration: 300 * time.Millisecond, FirstByte: 100 * time.Millisecond,
				Usage:    openai.Usage{Reported: true, PromptTokens: 400, CompletionTokens: 85, TotalTokens: 485, CachedTokens: 40, ReasoningTokens: 8},
				Cost:     2_500_000,
				Attempts: []persist.Attempt{{Status: 200, Duration: 250 * time.Millisecond, FirstByte: 60 * time.Millisecond}},
			})
		}
		for _, status := range []int{429, 400, 500} {
			a.Observe(&persist.Exchange{Operation: "chat", Status: status, Duration: time.Millisecond, Attempts: []persist.Attempt{{Status: status, Duration: time.Millisecond}}})
		}
		a.Observe(&persist.Exchange{Aborted: true, Operation: "images/generations", Attempts: []persist.Attempt{{Fault: "canceled"}}})
		if i == 0 {
			a.Observe(&persist.Exchange{
				Operation: "chat", Status: 200, Cached: true, CacheScore: 0.75, Duration: 3 * time.Millisecond, FirstByte: time.Millisecond,
				Saved: openai.Usage{Reported: true, PromptTokens: 400, CompletionTokens: 85, TotalTokens: 485}, SavedCost: 2_500_000,
			})
			a.Observe(&persist.Exchange{Operation: "chat", Status: 200, Cached: true, CacheScore: 1, Duration: 3 * time.Millisecond, FirstByte: time.Millisecond})
		}
	}
	m.Unrouted(&persist.Exchange{Status: 404})
}

func indent(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return append(b.Bytes(), '\n')
}

func TestJSONOfEveryTypeInTheCurrentWindow(t *testing.T) {
	m, clock := newMetrics(5)
	everyType(m)
	clock.set(30 * time.Second)
	golden(t, "current.json", indent(t, m.JSON(header)))
}

func TestJSONOfEveryTypeInHistory(t *testing.T) {
	m, clock := newMetrics(5)
	everyType(m)
	clock.set(2 * time.Minute)
	golden(t, "history.json", indent(t, m.JSON(header)))
}

func TestJSONWithoutApplications(t *testing.T) {
	c := &fakeClock{}
	m := New(Options{Interval: 30 * time.Second, Now: c.now})
	want := `{"listenPort":"8000","instanceName":"Gateway-Instance-01","collectionIntervalMins":0.5,"historyCount":0,` +
		`"applicationMetrics":[],"successApiCalls":0,"cachedApiCalls":0,"failedApiCalls":0,"totalApiCalls":0,` +
		`"endpointUri":"/api/v1/dev/apirouter/metrics","currentDate":"5/5/2024, 7:17:59 PM","status":"OK"}`
	if diff := cmp.Diff(want, string(m.JSON(header))); diff != "" {
		t.Error(diff)
	}
}

// TestHistoryIsThatOfThePredecessor counts what two windows of a live run of
// the gateway's predecessor did, and wants its numbers to the last digit.
func TestHistoryIsThatOfThePredecessor(t *testing.T) {
	for _, tt := range []struct {
		calls, tokens, milliseconds int64
		want                        string
	}{
		{239, 2318, 25991, `"throughput":{"kTokensPerWindow":2.318,"requestsPerWindow":13.908000000000001,"avgTokensPerCall":9.698744769874477,` +
			`"avgRequestsPerCall":0.05819246861924686,"tokensPerMinute":2318,"requestsPerMinute":239},"latency":{"avgResponseTimeMsec":108.7489539748954}`},
		{268, 2647, 27330, `"throughput":{"kTokensPerWindow":2.647,"requestsPerWindow":15.881999999999998,"avgTokensPerCall":9.876865671641792,` +
			`"avgRequestsPerCall":0.05926119402985075,"tokensPerMinute":2647,"requestsPerMinute":268},"latency":{"avgResponseTimeMsec":101.9776119402985}`},
		{9, 4367, 46815, `"throughput":{"kTokensPerWindow":4.367,"requestsPerWindow":26.201999999999998,"avgTokensPerCall":485.22222222222223,` +
			`"avgRequestsPerCall":2.9113333333333333,"tokensPerMinute":4367,"requestsPerMinute":9},"latency":{"avgResponseTimeMsec":5201.666666666667}`},
		{0, 0, 0, `"throughput":{"kTokensPerWindow":0,"requestsPerWindow":0,"avgTokensPerCall":0,` +
			`"avgRequestsPerCall":0,"tokensPerMinute":0,"requestsPerMinute":0},"latency":{"avgResponseTimeMsec":0}`},
	} {
		m, clock := newMetrics(5)
		a := m.Configure([]AppSpec{spec("app", "x")})[0]
		for i := range tt.calls {
			x := answer(0)
			x.Attempts[0].Duration = 0
			if i == 0 {
				x.Attempts[0].Duration = time.Duration(tt.milliseconds) * time.Millisecond
				x.Usage.TotalTokens = tt.tokens
			}
			a.Observe(x)
		}
		clock.set(time.Minute)
		if got := string(m.JSON(header)); !strings.Contains(got, tt.want) {
			t.Errorf("%d calls: got %s\nwant in it %s", tt.calls, got, tt.want)
		}
	}
}

func TestTokensOfCallsThatFailedAreInTheRates(t *testing.T) {
	m, clock := newMetrics(5)
	a := m.Configure([]AppSpec{spec("app", "x")})[0]
	a.Observe(&persist.Exchange{Status: 200, Cut: true, Usage: openai.Usage{TotalTokens: 500}, Attempts: []persist.Attempt{{Status: 200}}})
	clock.set(time.Minute)
	want := `"throughput":{"kTokensPerWindow":0.5,"requestsPerWindow":3,"avgTokensPerCall":0,"avgRequestsPerCall":0,"tokensPerMinute":500,"requestsPerMinute":0}`
	if got := string(m.JSON(header)); !strings.Contains(got, want) {
		t.Errorf("got %s\nwant in it %s", got, want)
	}
}

func TestRatesOfAnEndpointThatJoinedAreOfTheTimeItWasThere(t *testing.T) {
	m, clock := newMetrics(5)
	m.Configure([]AppSpec{spec("app", "x")})
	clock.set(30 * time.Second)
	a := m.Configure([]AppSpec{spec("app", "new")})[0]
	x := answer(0)
	x.Usage.TotalTokens = 100
	a.Observe(x)
	clock.set(2 * time.Minute)
	a.Observe(x)
	got := string(m.JSON(header))
	for _, want := range []string{
		`"0":{"collectionTime":"5/5/2024, 7:18:29 PM"`,
		`"tokensPerMinute":200,"requestsPerMinute":2`,
		`"1":{"collectionTime":"5/5/2024, 7:18:59 PM"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant in it %s", got, want)
		}
	}
}

func TestHistoryIsInTheOrderOfItsNumbers(t *testing.T) {
	m, clock := newMetrics(600)
	m.Configure([]AppSpec{spec("app", "x")})
	clock.set(11 * time.Minute)
	var last int
	got := string(m.JSON(header))
	for _, number := range strings.Fields("0 1 2 3 4 5 6 7 8 9 10") {
		at := strings.Index(got, `"`+number+`":{"collectionTime"`)
		if at <= last {
			t.Fatalf("window %s is at %d, the one before it at %d, in %s", number, at, last, got)
		}
		last = at
	}
}

func TestJSONIsValidWhateverTheNames(t *testing.T) {
	m, _ := newMetrics(0)
	name := "\"\\\n\x00\xff</script>\u2028é"
	m.Configure([]AppSpec{{ID: name, Type: "unknown", Endpoints: []EndpointSpec{{URI: name}}}})
	if got := m.JSON(Header{InstanceName: name}); !json.Valid(got) {
		t.Errorf("not JSON: %s", got)
	}
}
