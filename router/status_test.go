package router

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestStatusShowsHowEndpointsStand(t *testing.T) {
	fleet, clock := fleetAt()
	start := clock.Now()
	app := application("priority", 4)
	app.Endpoints[0].RPM = 10
	r := New(app, fleet)
	lease := func(id string) *Lease { return r.Plan(Facts{Only: id}).Next() }

	lease("0").Done(Outcome{Kind: Served, Latency: 3 * time.Second})
	lease("0")
	lease("1").Done(Outcome{Kind: Throttled, RetryAfter: 5 * time.Second})
	for range failuresToRest {
		lease("2").Done(Outcome{Kind: Failed})
	}
	check := func(want ...Status) {
		t.Helper()
		got := r.Status()
		for i := range got {
			if got[i].Endpoint != r.Endpoints()[i] {
				t.Errorf("status %d is of endpoint %s", i, got[i].Endpoint.ID)
			}
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Status{}, "Endpoint")); diff != "" {
			t.Error(diff)
		}
	}
	used := Status{Admitted: 2, InFlight: 1, Latency: 3 * time.Second}
	throttled := Status{Reason: ReasonThrottled, RestsUntil: start.Add(5 * time.Second)}
	check(used, throttled, Status{Reason: ReasonFailing, RestsUntil: start.Add(time.Second)}, Status{})

	clock.advance(time.Second)
	check(used, throttled, Status{Reason: ReasonProbing}, Status{})
	probe := lease("2")
	check(used, throttled, Status{Reason: ReasonProbing, InFlight: 1}, Status{})
	probe.Done(Outcome{Kind: Neutral})
	check(used, throttled, Status{}, Status{})

	clock.advance(time.Minute)
	used.Admitted = 0
	check(used, Status{}, Status{}, Status{})
}
