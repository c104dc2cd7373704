// Package metrics counts what the gateway does and shows it in two forms: the
// JSON of its predecessor, in windows of time, and Prometheus text. A request
// meets it once, when it is over: the handler gives its exchange to
// [App.Observe], which adds to atomics and takes no lock.
//
// Every label comes from the configuration or from a closed set in this
// package; the one value that a caller may choose is the tenant's name, of
// which [TenantOptions] bounds how many are shown.
package metrics

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"aigateway/persist"
)

const (
	// defaultInterval and maxHistory are those of the gateway's predecessor
	// (API_GATEWAY_METRICS_CINTERVAL and API_GATEWAY_METRICS_CHISTORY).
	defaultInterval = 60 * time.Minute
	maxHistory      = 600
)

// Options configure Metrics; the zero value works.
type Options struct {
	Interval time.Duration // length of a window; 60 minutes when not positive
	History  int           // finished windows shown, 0 to 600; none by default
	// Now tells the time, time.Now by default. The dates in the JSON form are
	// in its location.
	Now func() time.Time
	// Start is when window 0 begins; Now() by default.
	Start   time.Time
	Version string // of the gateway, for gateway_build_info
}

// AppSpec is what metrics must know of a configured application. IDs are
// unique in a configuration.
type AppSpec struct {
	ID        string
	Type      string // appType as configured, such as azure_oai
	CacheOn   bool   // whether the cache is shown
	Endpoints []EndpointSpec
}

// EndpointSpec is one endpoint of an application. IDs and keys are unique in
// their application.
type EndpointSpec struct {
	ID  string // its label
	URI string // as shown in the JSON form
	// Name is its label in the metrics by tenant, where endpoints of one name
	// are one; ID when empty.
	Name string
	// Key tells endpoints apart from one configuration to the next: one with
	// the same application and key keeps its counters. It is never shown.
	Key string
}

// Metrics holds every counter of one gateway. Its methods may be called by
// many goroutines at once.
type Metrics struct {
	clock    clock
	version  string
	totals   totals
	inFlight atomic.Int64

	generation       atomic.Uint64
	reloaded, failed atomic.Int64 // reloads by result
	states           atomic.Pointer[func() []EndpointState]
	sources          atomic.Pointer[[]func() []Reading]
	tenants          atomic.Pointer[tenants] // nil when they are off

	configuring sync.Mutex             // held by Configure
	configured  bool                   // once Configure has returned; guarded by configuring
	apps        atomic.Pointer[[]*App] // those in force; never changed once stored
	scrape      http.Handler           // the Prometheus form, as text or OpenMetrics
	scrapeText  http.Handler           // the Prometheus form, never as OpenMetrics
}

// totals count requests since the start, whatever became of their
// applications.
type totals struct{ success, cached, failed atomic.Int64 }

// App is one application as one configuration has it: the endpoint positions
// of an exchange observed by it are positions in that configuration. The
// counters behind it are shared with its successors, so that a request that
// outlives its configuration is still counted.
type App struct {
	spec      AppSpec
	named     []string // as namedCalls
	counts    *appCounts
	endpoints []*endpointCounts // as spec.Endpoints
	totals    *totals
	tenants   *atomic.Pointer[tenants]
	clock     *clock
}

// New returns metrics without applications; see [Metrics.Configure].
func New(o Options) *Metrics {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Start.IsZero() {
		o.Start = o.Now()
	}
	m := &Metrics{
		clock: clock{
			now:      o.Now,
			start:    o.Start,
			interval: cmp.Or(max(o.Interval, 0), defaultInterval),
			history:  int64(min(max(o.History, 0), maxHistory)),
		},
		version: o.Version,
	}
	m.apps.Store(&[]*App{})
	m.scrape, m.scrapeText = newScrapes(m)
	return m
}

// Configure puts the applications of a configuration in force and returns
// them in the same order. Applications that stay (by ID and Type) and
// endpoints that stay (by Key) keep their counters wherever they have moved
// to; those that are gone are forgotten.
func (m *Metrics) Configure(specs []AppSpec) []*App {
	m.configuring.Lock()
	defer m.configuring.Unlock()

	type identity struct{ id, kind string }
	before := make(map[identity]*App)
	for _, a := range *m.apps.Load() {
		before[identity{a.spec.ID, a.spec.Type}] = a
	}
	apps := make([]*App, 0, len(specs))
	for _, spec := range specs {
		apps = append(apps, m.newApp(spec, before[identity{spec.ID, spec.Type}]))
	}
	m.configured = true
	m.apps.Store(&apps)
	m.tenants.Load().keep(apps)
	return slices.Clone(apps)
}

// newApp returns the application of spec, with the counters of its
// predecessor, which may be nil.
func (m *Metrics) newApp(spec AppSpec, before *App) *App {
	spec.Endpoints = slices.Clone(spec.Endpoints)
	a := &App{spec: spec, named: namedCalls(spec.Type), counts: newAppCounts(), totals: &m.totals, tenants: &m.tenants, clock: &m.clock}
	kept := make(map[string]*endpointCounts)
	if before != nil {
		a.counts = before.counts
		for i, e := range before.spec.Endpoints {
			kept[e.Key] = before.endpoints[i]
		}
	}
	for i, e := range spec.Endpoints {
		spec.Endpoints[i].Name = label(cmp.Or(e.Name, e.ID))
		counts := kept[e.Key]
		if counts == nil {
			counts = &endpointCounts{}
			counts.windows.open(&m.clock, m.configured)
		}
		a.endpoints = append(a.endpoints, counts)
	}
	return a
}

// Begin counts a request in; each is followed by one End.
func (m *Metrics) Begin() { m.inFlight.Add(1) }

// End counts a request out.
func (m *Metrics) End() { m.inFlight.Add(-1) }

// Reloaded counts an attempt to put a configuration in force, and remembers
// its generation when it was.
func (m *Metrics) Reloaded(ok bool, generation uint64) {
	if !ok {
		m.failed.Add(1)
		return
	}
	m.reloaded.Add(1)
	m.generation.Store(generation)
}

// Unrouted counts a request to /lb that named no application, or none that is
// configured. It is in the totals only.
func (m *Metrics) Unrouted(x *persist.Exchange) { m.totals.add(x) }
