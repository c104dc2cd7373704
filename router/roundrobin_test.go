package router

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRoundRobinGivesEachItsTurn(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("roundRobin", 3)
	r := New(app, fleet)
	for i, want := range [][]string{{"0", "1", "2"}, {"1", "2", "0"}, {"2", "0", "1"}, {"0", "1", "2"}} {
		if i == 2 {
			r = New(app, fleet) // a reload goes on where it was
			fleet.Keep(r)
		}
		if diff := cmp.Diff(want, order(r.Plan(Facts{}))); diff != "" {
			t.Errorf("request %d: %s", i, diff)
		}
	}
}

func TestRoundRobinSharesARestingEndpointsTurnsEvenly(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("roundRobin", 3), fleet)
	r.Plan(Facts{Only: "1"}).Next().Done(Outcome{Kind: Throttled, RetryAfter: time.Hour})
	got := map[string]int{}
	for range 100 {
		got[first(r, Outcome{Kind: Served})]++
	}
	if diff := cmp.Diff(map[string]int{"0": 50, "2": 50}, got); diff != "" {
		t.Error(diff)
	}
}

func TestRoundRobinTurnsEachPriorityByItself(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("roundRobin", 4)
	app.Endpoints[2].Priority, app.Endpoints[3].Priority = 1, 1
	r := New(app, fleet)
	for _, want := range [][]string{{"0", "1", "2", "3"}, {"1", "0", "3", "2"}, {"0", "1", "2", "3"}} {
		if diff := cmp.Diff(want, order(r.Plan(Facts{}))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRoundRobinOfRestingEndpointsIsEmpty(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("roundRobin", 2), fleet)
	for range 2 {
		first(r, Outcome{Kind: Throttled, RetryAfter: 5 * time.Second})
	}
	p := r.Plan(Facts{})
	if p.Next() != nil || p.Wait() != 5*time.Second {
		t.Error("a resting endpoint was offered")
	}
}
