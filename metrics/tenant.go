package metrics

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"aigateway/persist"
)

const (
	defaultMaxTenants = 1000
	maxLabelRunes     = 128 // of a tenant's and an endpoint's name

	tenantNone  = "none"  // of requests without a tenant
	tenantOther = "other" // of tenants beyond MaxTenants
)

// TenantOptions configure the token metrics by tenant.
type TenantOptions struct {
	Enabled bool
	// MaxTenants is how many tenants are shown by name, the first that are
	// seen; further ones are "other". 1000 when not positive.
	MaxTenants int
	// The buckets of the histograms.
	PromptTokens, CompletionTokens, TotalTokens Buckets
}

// Buckets are equally wide buckets of a histogram of tokens: their bounds are
// Start, Start+Width and so on, Count of them. Ten of 100 when Count is not
// positive.
type Buckets struct {
	Start, Width float64
	Count        int
}

func (b Buckets) bounds() []float64 {
	if b.Count <= 0 {
		b = Buckets{Start: 100, Width: 100, Count: 10}
	}
	bounds := make([]float64, b.Count)
	for i := range bounds {
		bounds[i] = b.Start + float64(i)*b.Width
	}
	return bounds
}

// ConfigureTenants puts the token metrics by tenant in force, or ends them.
// Those that differ from the ones in force start afresh.
func (m *Metrics) ConfigureTenants(o TenantOptions) {
	m.configuring.Lock()
	defer m.configuring.Unlock()
	if !o.Enabled {
		m.tenants.Store(nil)
		return
	}
	if now := m.tenants.Load(); now == nil || now.options != o {
		m.tenants.Store(newTenants(o))
	}
}

// quantity is what of an exchange's tokens is counted, a closed set.
type quantity int

const (
	promptTokens quantity = iota
	completionTokens
	allTokens
	quantities // their number
)

func (q quantity) String() string { return [quantities]string{"prompt", "completion", "total"}[q] }

// tenants count tokens by endpoint's name, tenant and method. A nil one counts
// nothing.
type tenants struct {
	options TenantOptions
	max     int
	bounds  [quantities][]float64

	series sync.Map // seriesKey → *series
	named  sync.Map // string → struct{}: the tenants shown by name

	adding sync.Mutex   // held to add to series and named
	count  atomic.Int64 // of the tenants in named; changed while adding is held
}

// seriesKey is the labels of a series.
type seriesKey struct{ endpoint, tenant, method string }

// series counts the tokens of one endpoint's name, tenant and method.
type series [quantities]struct {
	last, sum atomic.Int64
	buckets   []atomic.Uint64 // one for each bound, and one for what is above all
}

func newTenants(o TenantOptions) *tenants {
	t := &tenants{options: o, max: o.MaxTenants}
	if t.max <= 0 {
		t.max = defaultMaxTenants
	}
	t.bounds = [quantities][]float64{o.PromptTokens.bounds(), o.CompletionTokens.bounds(), o.TotalTokens.bounds()}
	return t
}

// observe counts the tokens of an exchange that the endpoint answered; nothing
// when they are not known.
func (t *tenants) observe(endpoint string, x *persist.Exchange) {
	if t == nil || usageKindOf(&x.Usage) == usageNone {
		return
	}
	s := t.of(endpoint, x.Tenant, methodOf(x))
	for q, n := range [quantities]int64{x.Usage.PromptTokens, x.Usage.CompletionTokens, totalTokens(&x.Usage)} {
		n = max(n, 0) // as in addTokens
		s[q].last.Store(n)
		s[q].sum.Add(n)
		at, _ := slices.BinarySearch(t.bounds[q], float64(n))
		s[q].buckets[at].Add(1)
	}
}

// methodOf returns what was asked for, one of a closed set.
func methodOf(x *persist.Exchange) string {
	op := operationOf(x.Operation)
	if op == opChat && x.Stream {
		return "stream"
	}
	return op.String()
}

// of returns the series of an endpoint's name, a tenant and a method.
func (t *tenants) of(endpoint, tenant, method string) *series {
	key := seriesKey{endpoint, tenantNone, method}
	if tenant != "" {
		key.tenant = label(tenant)
	}
	if s, ok := t.series.Load(key); ok {
		return s.(*series)
	}
	if !t.shown(key.tenant) {
		key.tenant = tenantOther
		if s, ok := t.series.Load(key); ok {
			return s.(*series)
		}
	}
	return t.add(key)
}

// shown reports whether a tenant is one of those shown by name, as are the
// first.
func (t *tenants) shown(tenant string) bool {
	if _, ok := t.named.Load(tenant); ok || tenant == tenantNone || tenant == tenantOther {
		return true
	}
	if t.count.Load() >= int64(t.max) {
		return false
	}
	t.adding.Lock()
	defer t.adding.Unlock()
	if t.count.Load() >= int64(t.max) {
		_, ok := t.named.Load(tenant) // another may have added it
		return ok
	}
	if _, ok := t.named.LoadOrStore(strings.Clone(tenant), struct{}{}); !ok {
		t.count.Add(1)
	}
	return true
}

func (t *tenants) add(key seriesKey) *series {
	key.tenant = strings.Clone(key.tenant) // it may be part of a header
	s := &series{}
	for q := range s {
		s[q].buckets = make([]atomic.Uint64, len(t.bounds[q])+1)
	}
	kept, _ := t.series.LoadOrStore(key, s)
	return kept.(*series)
}

// keep forgets what endpoints without an application in force have counted.
func (t *tenants) keep(apps []*App) {
	if t == nil {
		return
	}
	names := endpointNames(apps)
	t.series.Range(func(key, _ any) bool {
		if !names[key.(seriesKey).endpoint] {
			t.series.Delete(key)
		}
		return true
	})
}

func endpointNames(apps []*App) map[string]bool {
	names := make(map[string]bool)
	for _, a := range apps {
		for _, e := range a.spec.Endpoints {
			names[e.Name] = true
		}
	}
	return names
}

// label returns s as the value of a label: of UTF-8, in lower case as dashboards
// know these, and at most maxLabelRunes long.
func label(s string) string {
	if len(s) > maxLabelRunes {
		runes := 0
		for i := range s {
			if runes++; runes > maxLabelRunes {
				s = s[:i]
				break
			}
		}
	}
	return strings.ToLower(strings.ToValidUTF8(s, "\ufffd"))
}

// tenantCollector shows the token metrics by tenant to a registry. Their names
// and labels are those of multitenant dashboards for Azure OpenAI.
type tenantCollector struct {
	m                     *Metrics
	last, sum, histograms [quantities]*prometheus.Desc
}

func newTenantCollector(m *Metrics) *tenantCollector {
	c := &tenantCollector{m: m}
	for q := range quantities {
		desc := func(suffix, help string) *prometheus.Desc {
			return prometheus.NewDesc("openai_"+q.String()+"_tokens"+suffix, help, []string{"openai_name", "tenant_name", "method_name"}, nil)
		}
		c.last[q] = desc("_processed", "Number of "+q.String()+" tokens of the last answer.")
		c.sum[q] = desc("_total", "Number of "+q.String()+" tokens of all answers.")
		c.histograms[q] = desc("", "The distribution of "+q.String()+" tokens over answers.")
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *tenantCollector) Describe(ch chan<- *prometheus.Desc) {
	for q := range quantities {
		ch <- c.last[q]
		ch <- c.sum[q]
		ch <- c.histograms[q]
	}
}

// Collect implements [prometheus.Collector].
func (c *tenantCollector) Collect(ch chan<- prometheus.Metric) {
	t := c.m.tenants.Load()
	if t == nil {
		return
	}
	s, names := sink(ch), endpointNames(*c.m.apps.Load())
	t.series.Range(func(key, value any) bool {
		// A request that outlived its configuration may have added another.
		if k := key.(seriesKey); names[k.endpoint] {
			c.collect(s, t, value.(*series), k.endpoint, k.tenant, k.method)
		}
		return true
	})
}

func (c *tenantCollector) collect(s sink, t *tenants, one *series, labels ...string) {
	for q := range quantities {
		n := &one[q]
		s.gauge(c.last[q], float64(n.last.Load()), labels...)
		s.counter(c.sum[q], &n.sum, labels...)
		var count uint64
		upTo := make(map[float64]uint64, len(t.bounds[q]))
		for i, bound := range t.bounds[q] {
			count += n.buckets[i].Load()
			upTo[bound] = count
		}
		count += n.buckets[len(t.bounds[q])].Load()
		s.send(prometheus.NewConstHistogram(c.histograms[q], count, float64(n.sum.Load()), upTo, labels...))
	}
}
