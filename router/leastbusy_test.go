package router

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLeastBusyFillsInProportionToWeight(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("leastBusy", 3)
	for i, w := range []float64{1, 2, 5} {
		app.Endpoints[i].Weight = w
	}
	r := New(app, fleet)
	for range 80 {
		r.Plan(Facts{}).Next() // none of them ends
	}
	for i, want := range []int{10, 20, 50} {
		if got := r.Status()[i].InFlight; got < want-1 || got > want+1 {
			t.Errorf("endpoint %d has %d in flight, want about %d", i, got, want)
		}
	}
}

func TestTiesAreSharedEvenlyAroundARestingEndpoint(t *testing.T) {
	for _, strategy := range []string{"leastBusy", "latency"} {
		fleet, _ := fleetAt()
		r := New(application(strategy, 3), fleet)
		r.Plan(Facts{Only: "1"}).Next().Done(Outcome{Kind: Throttled, RetryAfter: time.Hour})
		for _, id := range []string{"0", "2"} {
			r.Plan(Facts{Only: id}).Next().Done(Outcome{Kind: Served, Latency: time.Second})
		}
		got := map[string]int{}
		for range 100 {
			got[first(r, Outcome{Kind: Neutral})]++
		}
		if diff := cmp.Diff(map[string]int{"0": 50, "2": 50}, got); diff != "" {
			t.Errorf("%s: %s", strategy, diff)
		}
	}
}

func TestLeastBusyLetsIdleEndpointsTakeTurns(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("leastBusy", 3), fleet)
	got := map[string]int{}
	for range 30 {
		got[first(r, Outcome{Kind: Served})]++
	}
	if diff := cmp.Diff(map[string]int{"0": 10, "1": 10, "2": 10}, got); diff != "" {
		t.Error(diff)
	}
}
