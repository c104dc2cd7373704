package metrics

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"aigateway/openai"
	"aigateway/persist"
)

// tens are three buckets up to 10, 20 and 30 tokens.
var tens = Buckets{Start: 10, Width: 10, Count: 3}

// tenanted returns metrics by tenant, which max bounds, of two applications
// that share the endpoint x by its name.
func tenanted(max int) (*Metrics, []*App) {
	m, _ := newMetrics(0)
	m.ConfigureTenants(TenantOptions{Enabled: true, MaxTenants: max, PromptTokens: tens, CompletionTokens: tens, TotalTokens: tens})
	return m, m.Configure([]AppSpec{spec("app", "x", "Y.Example.com"), spec("other", "x")})
}

// used returns an exchange of a tenant that the endpoint answered.
func used(tenant string, endpoint int, prompt, completion int64) *persist.Exchange {
	x := answer(endpoint)
	x.Tenant = tenant
	x.Usage = openai.Usage{Reported: true, PromptTokens: prompt, CompletionTokens: completion, TotalTokens: prompt + completion}
	return x
}

// lines returns the lines of a scrape that begin with prefix, as they are.
func lines(m *Metrics, prefix string) []string {
	var got []string
	for line := range strings.Lines(scrape(m, "text/plain").Body.String()) {
		if strings.HasPrefix(line, prefix) {
			got = append(got, strings.TrimSuffix(line, "\n"))
		}
	}
	return got
}

// totals returns the openai_total_tokens_total of each tenant.
func tenantTotals(t *testing.T, m *Metrics) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for _, line := range lines(m, "openai_total_tokens_total{") {
		_, rest, _ := strings.Cut(line, `tenant_name="`)
		name, rest, _ := strings.Cut(rest, `"} `)
		n, err := strconv.Atoi(rest)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		got[name] += n
	}
	return got
}

func TestTenantMetrics(t *testing.T) {
	m, apps := tenanted(0)
	apps[0].Observe(used("Contoso", 0, 10, 5))
	apps[0].Observe(used("contoso", 0, 11, 20))
	apps[1].Observe(used("contoso", 0, 1000, 1)) // at the same endpoint for another application
	stream := used("fabrikam", 1, 3, 4)
	stream.Stream = true
	apps[0].Observe(stream)
	embedding := used("", 1, 7, 0)
	embedding.Operation = "embeddings"
	apps[0].Observe(embedding)
	golden(t, "tenants.txt", []byte(strings.Join(slices.Concat(
		lines(m, "# HELP openai_"), lines(m, "# TYPE openai_"), lines(m, "openai_")), "\n")+"\n"))
}

func TestTenantMetricsAreOfKnownTokensOnly(t *testing.T) {
	for _, tt := range []struct {
		name string
		x    func(*persist.Exchange)
		want map[string]int
	}{
		{"reported", func(*persist.Exchange) {}, map[string]int{"contoso": 7}},
		{"estimated", func(x *persist.Exchange) { x.Usage.Reported, x.Usage.Estimated = false, true }, map[string]int{"contoso": 7}},
		{"unknown", func(x *persist.Exchange) { x.Usage = openai.Usage{} }, map[string]int{}},
		{"from the cache", func(x *persist.Exchange) { x.Cached, x.Attempts = true, nil }, map[string]int{}},
		{"the gateway's own", func(x *persist.Exchange) { x.Own = true }, map[string]int{"contoso": 7}},
		{"endpoint of another configuration", func(x *persist.Exchange) { x.Attempts[0].Endpoint = 9 }, map[string]int{}},
		{"below 0", func(x *persist.Exchange) { x.Usage.PromptTokens, x.Usage.TotalTokens = -1, -1 }, map[string]int{"contoso": 0}},
		{"failed over", func(x *persist.Exchange) {
			x.Attempts = append([]persist.Attempt{{Endpoint: 1, Status: 429}}, x.Attempts...)
		}, map[string]int{"contoso": 7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, apps := tenanted(0)
			x := used("contoso", 0, 3, 4)
			tt.x(x)
			apps[0].Observe(x)
			if diff := cmp.Diff(tt.want, tenantTotals(t, m)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMethodsAreAClosedSet(t *testing.T) {
	for _, tt := range []struct {
		operation string
		stream    bool
		want      string
	}{
		{"chat", false, "chat"},
		{"chat", true, "stream"},
		{"completions", true, "completions"},
		{"embeddings", false, "embeddings"},
		{"images/generations", false, "other"},
	} {
		if got := methodOf(&persist.Exchange{Operation: tt.operation, Stream: tt.stream}); got != tt.want {
			t.Errorf("%s, streamed %v: got %s, want %s", tt.operation, tt.stream, got, tt.want)
		}
	}
}

func TestTenantsBeyondTheBoundAreOther(t *testing.T) {
	m, apps := tenanted(2)
	for _, tenant := range []string{"a", "", "b", "c", "d", "a", "other"} {
		apps[0].Observe(used(tenant, 0, 1, 0))
	}
	apps[0].Observe(used("b", 1, 1, 0)) // one that is shown, at another endpoint
	want := map[string]int{"a": 2, "b": 2, "none": 1, "other": 3}
	if diff := cmp.Diff(want, tenantTotals(t, m)); diff != "" {
		t.Error(diff)
	}
}

func TestManyNewTenantsAtOnceKeepTheBound(t *testing.T) {
	const callers, each, max = 8, 500, 50
	m, apps := tenanted(max)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				apps[0].Observe(used("tenant-"+strconv.Itoa((i*(caller+1))%each), 0, 1, 0))
				if i%100 == 0 {
					m.Configure([]AppSpec{spec("app", "x", "y"), spec("other", "x")})
					tenantTotals(t, m)
				}
			}
		})
	}
	wg.Wait()
	got, sum := tenantTotals(t, m), 0
	for _, n := range got {
		sum += n
	}
	if len(got) != max+1 || sum != callers*each {
		t.Errorf("%d tenants with %d requests are shown, want %d with %d", len(got), sum, max+1, callers*each)
	}
}

func TestTenantMetricsSurviveAReload(t *testing.T) {
	m, apps := tenanted(0)
	apps[0].Observe(used("contoso", 0, 1, 0))
	apps[0].Observe(used("contoso", 1, 10, 0))
	before := apps[0]
	m.Configure([]AppSpec{spec("app", "x", "new")})
	m.ConfigureTenants(TenantOptions{Enabled: true, PromptTokens: tens, CompletionTokens: tens, TotalTokens: tens})
	if diff := cmp.Diff(map[string]int{"contoso": 1}, tenantTotals(t, m)); diff != "" {
		t.Errorf("after the second endpoint has gone: %s", diff)
	}
	before.Observe(used("contoso", 0, 1, 0))
	before.Observe(used("contoso", 1, 100, 0))
	if diff := cmp.Diff(map[string]int{"contoso": 2}, tenantTotals(t, m)); diff != "" {
		t.Errorf("after requests that outlived their configuration: %s", diff)
	}
	m.Configure([]AppSpec{spec("app", "x", "Y.Example.com")})
	if diff := cmp.Diff(map[string]int{"contoso": 102}, tenantTotals(t, m)); diff != "" {
		t.Errorf("after the endpoint has come back: %s", diff)
	}
}

func TestTenantMetricsThatChangeStartAfresh(t *testing.T) {
	same := TenantOptions{Enabled: true, PromptTokens: tens, CompletionTokens: tens, TotalTokens: tens}
	for _, tt := range []struct {
		name   string
		change func(*TenantOptions)
		want   map[string]int
	}{
		{"nothing", func(*TenantOptions) {}, map[string]int{"contoso": 1}},
		{"buckets", func(o *TenantOptions) { o.PromptTokens.Count = 4 }, map[string]int{}},
		{"bound", func(o *TenantOptions) { o.MaxTenants = 1 }, map[string]int{}},
		{"off", func(o *TenantOptions) { o.Enabled = false }, map[string]int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, apps := tenanted(0)
			apps[0].Observe(used("contoso", 0, 1, 0))
			o := same
			tt.change(&o)
			m.ConfigureTenants(o)
			if diff := cmp.Diff(tt.want, tenantTotals(t, m)); diff != "" {
				t.Error(diff)
			}
			apps[0].Observe(used("contoso", 0, 1, 0)) // of an App from before
			if got := tenantTotals(t, m)["contoso"] > 0; got != o.Enabled {
				t.Errorf("counted: %v, want %v", got, o.Enabled)
			}
		})
	}
}

func TestTenantMetricsAreOffByDefault(t *testing.T) {
	m := full()
	(*m.apps.Load())[0].Observe(used("contoso", 0, 1, 0))
	if got := lines(m, "openai_"); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestBucketsHaveDefaults(t *testing.T) {
	want := []float64{100, 200, 300, 400, 500, 600, 700, 800, 900, 1000}
	if diff := cmp.Diff(want, Buckets{}.bounds()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{0, 0.5}, Buckets{Width: 0.5, Count: 2}.bounds()); diff != "" {
		t.Error(diff)
	}
}

func TestLabelsAreBoundedTextInLowerCase(t *testing.T) {
	for give, want := range map[string]string{
		"Contoso":                         "contoso",
		"ÄÖ Ltd\n":                        "äö ltd\n",
		"a\xff\xfeb":                      "a\ufffdb",
		strings.Repeat("É", 128):          strings.Repeat("é", 128),
		strings.Repeat("É", 129):          strings.Repeat("é", 128),
		strings.Repeat("x", 10_000):       strings.Repeat("x", 128),
		strings.Repeat("\xff", 200) + "x": "\ufffd",
	} {
		if got := label(give); got != want {
			t.Errorf("label of %.20q: got %q, want %q", give, got, want)
		}
	}
}

// TestScrapersReadTenantMetrics has the parser of Prometheus's client read what
// is served, whatever a scraper asks for and whatever tenants are called.
func TestScrapersReadTenantMetrics(t *testing.T) {
	for _, accept := range []string{
		"", "text/plain",
		"application/openmetrics-text;version=1.0.0",
		"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
	} {
		t.Run(accept, func(t *testing.T) {
			m, apps := tenanted(0)
			for _, tenant := range []string{"", "contoso", "a\"b", "new\nline", `back\slash`, "# HELP x", "\xff", "\x00", strings.Repeat("long", 2500)} {
				apps[0].Observe(used(tenant, 0, 1, 1))
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Set("Accept", accept)
				m.ServePrometheus(w, r)
				if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
					t.Errorf("served as %s", got)
				}
			}))
			defer server.Close()
			want := "# HELP openai_total_tokens_total Number of total tokens of all answers.\n# TYPE openai_total_tokens_total counter\n"
			for _, tenant := range []string{`\ufffd`, `\u0000`, `# help x`, `a\"b`, `back\\slash`, "contoso", strings.Repeat("long", 32), `new\nline`, "none"} {
				tenant = strings.NewReplacer(`\ufffd`, "\ufffd", `\u0000`, "\x00").Replace(tenant)
				want += `openai_total_tokens_total{method_name="chat",openai_name="x",tenant_name="` + tenant + "\"} 2\n"
			}
			if err := testutil.ScrapeAndCompare(server.URL, strings.NewReader(want), "openai_total_tokens_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTenantMetricsAreNamedAsPrometheusAdvises(t *testing.T) {
	m, apps := tenanted(0)
	apps[0].Observe(used("contoso", 0, 1, 1))
	problems, err := testutil.GatherAndLint(newRegistry(m))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestOpenMetricsFamiliesAreDistinct wants each of our families named once in
// OpenMetrics, which drops a counter's _total from the name.
func TestOpenMetricsFamiliesAreDistinct(t *testing.T) {
	seen := make(map[string]bool)
	for line := range strings.Lines(scrape(full(), "application/openmetrics-text;version=1.0.0").Body.String()) {
		family, ok := strings.CutPrefix(line, "# TYPE gateway_")
		if !ok {
			continue
		}
		family, _, _ = strings.Cut(family, " ")
		if seen[family] {
			t.Errorf("%s is there twice", family)
		}
		seen[family] = true
	}
	if !seen["cost"] || !seen["requests"] {
		t.Errorf("found only %v", seen)
	}
}

// TestTenantCountsAgreeWithAPlainModel compares what is shown with a map.
func TestTenantCountsAgreeWithAPlainModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		max := rapid.IntRange(1, 4).Draw(rt, "max")
		m, apps := tenanted(max)
		want, named := map[string]int{}, map[string]bool{}
		for _, tenant := range rapid.SliceOf(rapid.SampledFrom([]string{"", "a", "B", "b", "c", "d", "e", "none", "other"})).Draw(rt, "tenants") {
			tokens := rapid.IntRange(0, 50).Draw(rt, "tokens")
			apps[0].Observe(used(tenant, 0, int64(tokens), 0))
			shown := strings.ToLower(tenant)
			if shown == "" {
				shown = "none"
			}
			if shown != "none" && shown != "other" && !named[shown] {
				if len(named) < max {
					named[shown] = true
				} else {
					shown = "other"
				}
			}
			want[shown] += tokens
		}
		if diff := cmp.Diff(want, tenantTotals(t, m)); diff != "" {
			rt.Fatal(diff)
		}
	})
}
