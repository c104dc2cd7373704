package metrics

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/persist"
)

// start is when window 0 of every test begins: the sample's, a minute earlier.
var start = time.Date(2024, 5, 5, 19, 17, 59, 0, time.UTC)

// fakeClock tells the time that a test has set, to any goroutine.
type fakeClock struct{ sinceStart atomic.Int64 }

func (c *fakeClock) now() time.Time            { return start.Add(time.Duration(c.sinceStart.Load())) }
func (c *fakeClock) set(elapsed time.Duration) { c.sinceStart.Store(int64(elapsed)) }

// newMetrics returns metrics with windows of one minute.
func newMetrics(history int) (*Metrics, *fakeClock) {
	c := &fakeClock{}
	return New(Options{Interval: time.Minute, History: history, Now: c.now, Version: "1.2.3"}), c
}

// spec returns an azure_oai application whose endpoints have keys for ids.
func spec(id string, keys ...string) AppSpec {
	s := AppSpec{ID: id, Type: "azure_oai"}
	for _, k := range keys {
		s.Endpoints = append(s.Endpoints, EndpointSpec{ID: k, URI: "https://" + k, Key: k})
	}
	return s
}

// answer returns an exchange answered by an endpoint.
func answer(endpoint int) *persist.Exchange {
	return &persist.Exchange{
		Operation: "chat", Status: 200, Duration: 30 * time.Millisecond, FirstByte: 15 * time.Millisecond,
		Attempts: []persist.Attempt{{Endpoint: endpoint, Status: 200, Duration: 25 * time.Millisecond}},
	}
}

// succeeded returns the current window's successful calls by endpoint ID.
func succeeded(a *App) map[string]int64 {
	calls := make(map[string]int64)
	for i, e := range a.spec.Endpoints {
		calls[e.ID] = a.endpoints[i].windows.at(a.clock).succeeded.Load()
	}
	return calls
}

func TestConfigureReturnsApplicationsInOrder(t *testing.T) {
	m, _ := newMetrics(0)
	var got []string
	for _, a := range m.Configure([]AppSpec{spec("b"), spec("a"), spec("c")}) {
		got = append(got, a.spec.ID)
	}
	if diff := cmp.Diff([]string{"b", "a", "c"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigureKeepsCountersOfEndpointsThatStay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after []AppSpec
		want  map[string]int64
	}{
		{"unchanged", []AppSpec{spec("app", "x", "y")}, map[string]int64{"x": 1, "y": 2}},
		{"reordered", []AppSpec{spec("app", "y", "x")}, map[string]int64{"x": 1, "y": 2}},
		{"one added in front", []AppSpec{spec("app", "new", "x", "y")}, map[string]int64{"new": 0, "x": 1, "y": 2}},
		{"one removed", []AppSpec{spec("app", "y")}, map[string]int64{"y": 2}},
		{"applications reordered", []AppSpec{spec("app", "x", "y"), spec("other", "x")}, map[string]int64{"x": 1, "y": 2}},
		{"another type", []AppSpec{{ID: "app", Type: "openai", Endpoints: spec("", "x").Endpoints}}, map[string]int64{"x": 0}},
		{"renamed", []AppSpec{{ID: "app", Type: "azure_oai", Endpoints: []EndpointSpec{{ID: "new name", Key: "x"}}}}, map[string]int64{"new name": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newMetrics(0)
			before := m.Configure([]AppSpec{spec("other", "x"), spec("app", "x", "y")})[1]
			before.Observe(answer(0))
			before.Observe(answer(1))
			before.Observe(answer(1))
			if diff := cmp.Diff(tt.want, succeeded(m.Configure(tt.after)[0])); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConfigureForgetsEndpointsThatWereGone(t *testing.T) {
	m, _ := newMetrics(0)
	m.Configure([]AppSpec{spec("app", "x")})[0].Observe(answer(0))
	m.Configure([]AppSpec{spec("app", "y")})
	again := m.Configure([]AppSpec{spec("app", "x")})[0]
	if got := succeeded(again)["x"]; got != 0 {
		t.Errorf("an endpoint that was gone came back with %d calls", got)
	}
}

func TestRequestThatOutlivesItsConfigurationIsCountedAtItsOwnEndpoint(t *testing.T) {
	m, _ := newMetrics(0)
	before := m.Configure([]AppSpec{spec("app", "x", "y")})[0]
	after := m.Configure([]AppSpec{spec("app", "y", "x")})[0]
	before.Observe(answer(0))
	if diff := cmp.Diff(map[string]int64{"x": 1, "y": 0}, succeeded(after)); diff != "" {
		t.Error(diff)
	}
}

func TestConfigureKeepsNothingOfTheCallersSlices(t *testing.T) {
	m, _ := newMetrics(0)
	specs := []AppSpec{spec("app", "x")}
	apps := m.Configure(specs)
	specs[0].Endpoints[0].ID, specs[0].ID = "changed", "changed"
	apps[0] = nil
	got := (*m.apps.Load())[0]
	if got == nil || got.spec.ID != "app" || got.spec.Endpoints[0].ID != "x" {
		t.Errorf("what the caller did to its slices shows: %+v", got)
	}
}

func TestOptionsHaveDefaultsAndLimits(t *testing.T) {
	for _, tt := range []struct {
		name     string
		give     Options
		interval time.Duration
		history  int64
	}{
		{"zero", Options{}, time.Hour, 0},
		{"negative", Options{Interval: -1, History: -1}, time.Hour, 0},
		{"fraction of a minute", Options{Interval: 15 * time.Second, History: 168}, 15 * time.Second, 168},
		{"history above its limit", Options{History: 601}, time.Hour, 600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := New(tt.give)
			if m.clock.interval != tt.interval || m.clock.history != tt.history {
				t.Errorf("got interval %v, history %d, want %v, %d", m.clock.interval, m.clock.history, tt.interval, tt.history)
			}
			if m.clock.start.IsZero() || m.clock.now().Before(m.clock.start) {
				t.Errorf("window 0 begins at %v", m.clock.start)
			}
		})
	}
}
