package router

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"aigateway/config"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manualClock stands still until it is moved.
type manualClock struct{ ns atomic.Int64 }

func (c *manualClock) Now() time.Time          { return time.Unix(1_700_000_000, c.ns.Load()) }
func (c *manualClock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// fleetAt returns a fleet whose rests have no jitter, and its clock.
func fleetAt() (*Fleet, *manualClock) {
	c := &manualClock{}
	f := NewFleet(c.Now)
	f.jitter = func() float64 { return 0.5 }
	return f, c
}

// application returns one with n alike endpoints, "0" first.
func application(strategy string, n int) *config.Application {
	app := &config.Application{AppID: "app", Strategy: strategy}
	for i := range n {
		app.Endpoints = append(app.Endpoints, config.Endpoint{
			ID:     strconv.Itoa(i),
			URI:    fmt.Sprintf("http://127.0.0.1:1/%d", i),
			APIKey: "demo",
			Weight: 1,
		})
	}
	return app
}

// order returns the ids that a plan offers, ending every lease as canceled.
func order(p *Plan) []string {
	ids := []string{}
	for l := p.Next(); l != nil; l = p.Next() {
		ids = append(ids, l.Endpoint().ID)
		l.Done(Outcome{})
	}
	return ids
}

// first leases from a new plan and ends the lease with o; "" when there is none.
func first(r *Router, o Outcome) string {
	l := r.Plan(Facts{}).Next()
	if l == nil {
		return ""
	}
	l.Done(o)
	return l.Endpoint().ID
}

func TestPlanGoesThroughGroupsInOrderOfPriority(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("priority", 5)
	for i, priority := range []int{2, 1, 2, -1, 1} {
		app.Endpoints[i].Priority = priority
	}
	got := order(New(app, fleet).Plan(Facts{}))
	if diff := cmp.Diff([]string{"3", "1", "4", "0", "2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestStrategyDoesNotCrossPriorities(t *testing.T) {
	for _, strategy := range []string{"weighted", "roundRobin", "random", "leastBusy", "latency"} {
		t.Run(strategy, func(t *testing.T) {
			fleet, _ := fleetAt()
			app := application(strategy, 4)
			app.Endpoints[0].Priority, app.Endpoints[1].Priority = 1, 1
			r := New(app, fleet)
			firsts := map[string]bool{}
			for range 64 {
				got := order(r.Plan(Facts{}))
				if len(got) != 4 || got[0] < "2" || got[1] < "2" {
					t.Fatalf("order %v, want 2 and 3 before 0 and 1", got)
				}
				firsts[got[0]] = true
			}
			if len(firsts) != 2 {
				t.Errorf("first was always %v, want 2 and 3 in turns", firsts)
			}
		})
	}
}

func TestEndpointsKeepTheConfigurationsOrder(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("priority", 3)
	app.Endpoints[0].Priority = 9
	app.Endpoints[1].RPM = 7
	app.Endpoints[2].Weight = 0.5
	for i, e := range New(app, fleet).Endpoints() {
		want := app.Endpoints[i]
		if e.Index != i || e.ID != want.ID || e.Priority != want.Priority || e.RPM != want.RPM || e.Weight != want.Weight {
			t.Errorf("endpoint %d is %+v, want %+v", i, e, want)
		}
	}
}

func TestUnknownStrategyIsABug(t *testing.T) {
	fleet, _ := fleetAt()
	defer func() {
		if got, want := recover(), "BUG: strategy best passed validation"; got != want {
			t.Errorf("panic %v, want %v", got, want)
		}
	}()
	New(application("best", 2), fleet)
}
