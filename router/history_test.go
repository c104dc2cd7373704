package router

import (
	"testing"
	"time"

	"aigateway/config"

	"pgregory.net/rapid"
)

// history is a random run of requests, with what an observer outside knows.
type history struct {
	router   *Router
	app      *config.Application
	fleet    *Fleet
	clock    *manualClock
	plans    []*openPlan
	leases   []*Lease
	admitted map[*State][]time.Time
	asked    map[*State]time.Time // until when a 429 asked for a rest
}

type openPlan struct {
	*Plan
	offered map[*State]bool
}

// TestPlanKeepsItsPromises drives a few endpoints through random histories,
// reloads included, and checks at every step what no history may break.
func TestPlanKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{admitted: map[*State][]time.Time{}, asked: map[*State]time.Time{}}
		h.fleet, h.clock = fleetAt()
		u := rapid.Float64Range(0, 0.999).Draw(t, "jitter")
		h.fleet.jitter = func() float64 { return u }
		strategy := rapid.SampledFrom([]string{"priority", "weighted", "roundRobin", "random", "leastBusy", "latency"}).Draw(t, "strategy")
		h.app = application(strategy, rapid.IntRange(1, 10).Draw(t, "endpoints"))
		h.app.Retry.MaxAttempts = rapid.IntRange(0, 3).Draw(t, "attempts")
		for i := range h.app.Endpoints {
			h.app.Endpoints[i].Priority = rapid.IntRange(0, 2).Draw(t, "priority")
			h.app.Endpoints[i].RPM = rapid.SampledFrom([]int{0, 1, 2, 20}).Draw(t, "rpm")
		}
		h.router = New(h.app, h.fleet)
		t.Repeat(map[string]func(*rapid.T){
			"plan":   h.plan,
			"next":   h.next,
			"done":   h.done,
			"later":  func(t *rapid.T) { h.clock.advance(time.Duration(rapid.Int64Range(0, 20e9).Draw(t, "ns"))) },
			"wait":   h.wait,
			"reload": h.reload,
		})
	})
}

func (h *history) plan(*rapid.T) {
	h.plans = append(h.plans, &openPlan{h.router.Plan(Facts{}), map[*State]bool{}})
}

func (h *history) next(t *rapid.T) {
	if len(h.plans) == 0 {
		t.Skip("no plan")
	}
	h.nextOf(t, h.plans[rapid.IntRange(0, len(h.plans)-1).Draw(t, "plan")])
}

func (h *history) nextOf(t *rapid.T, p *openPlan) {
	resting := map[*State]bool{}
	for _, s := range p.router.Status() {
		resting[s.Endpoint.State] = !s.RestsUntil.IsZero()
	}
	l := p.Next()
	if l == nil {
		return
	}
	h.leases = append(h.leases, l)
	e, now := l.Endpoint(), h.clock.Now()
	if p.offered[e.State] {
		t.Fatalf("endpoint %s offered twice", e.ID)
	}
	p.offered[e.State] = true
	if most := h.app.Retry.MaxAttempts; most > 0 && len(p.offered) > most {
		t.Fatalf("%d attempts, allowed are %d", len(p.offered), most)
	}
	if resting[e.State] || h.asked[e.State].After(now) {
		t.Fatalf("endpoint %s offered while it rests", e.ID)
	}
	h.admitted[e.State] = append(h.admitted[e.State], now)
	recent := 0
	for _, at := range h.admitted[e.State] {
		if now.Sub(at) < time.Minute {
			recent++
		}
	}
	if e.RPM > 0 && recent > e.RPM {
		t.Fatalf("endpoint %s: %d requests in 60 s, allowed are %d", e.ID, recent, e.RPM)
	}
}

func (h *history) done(t *rapid.T) {
	if len(h.leases) == 0 {
		t.Skip("no lease")
	}
	i := rapid.IntRange(0, len(h.leases)-1).Draw(t, "lease")
	l := h.leases[i]
	h.leases = append(h.leases[:i], h.leases[i+1:]...)
	o := Outcome{
		Kind:       rapid.SampledFrom([]Kind{Canceled, Served, Throttled, Failed, Failed, Neutral}).Draw(t, "kind"),
		RetryAfter: time.Duration(rapid.Int64Range(1, 100e9).Draw(t, "retry after")),
		Latency:    time.Duration(rapid.Int64Range(0, 10e9).Draw(t, "latency")),
	}
	l.Done(o)
	s := l.Endpoint().State
	if until := h.clock.Now().Add(o.RetryAfter); o.Kind == Throttled && until.After(h.asked[s]) {
		h.asked[s] = until
	}
}

// wait checks that Wait is the smallest: not a microsecond before it ends can
// an endpoint be leased, and one can when it ends.
func (h *history) wait(t *rapid.T) {
	for _, e := range h.router.Endpoints() {
		if e.State.probing {
			t.Skip("the wait for a probe is not known")
		}
	}
	if wait := h.router.Plan(Facts{}).Wait(); wait > time.Microsecond {
		h.clock.advance(wait - time.Microsecond)
		if l := h.router.Plan(Facts{}).Next(); l != nil {
			t.Fatalf("endpoint %s offered before the wait of %v is over", l.Endpoint().ID, wait)
		}
		h.clock.advance(time.Microsecond)
	} else {
		h.clock.advance(wait)
	}
	h.plans = append(h.plans, &openPlan{h.router.Plan(Facts{}), map[*State]bool{}})
	before := len(h.leases)
	h.nextOf(t, h.plans[len(h.plans)-1])
	if len(h.leases) == before {
		t.Fatal("no endpoint offered when the wait is over")
	}
}

// reload puts a configuration with other limits in force, while plans of the
// last one are still in use.
func (h *history) reload(t *rapid.T) {
	app := *h.app
	app.Endpoints = append([]config.Endpoint(nil), h.app.Endpoints...)
	for i := range app.Endpoints {
		if app.Endpoints[i].RPM > 0 {
			app.Endpoints[i].RPM = rapid.SampledFrom([]int{1, 2, 20}).Draw(t, "rpm")
		}
	}
	h.app, h.router = &app, New(&app, h.fleet)
	h.fleet.Keep(h.router)
}
