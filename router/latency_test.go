package router

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// measured returns a router of two endpoints, of which 0 answers in 100 ms and
// 1 in a second, and its clock.
func measured() (*Router, *manualClock) {
	fleet, clock := fleetAt()
	r := New(application("latency", 2), fleet)
	r.Plan(Facts{Only: "0"}).Next().Done(Outcome{Kind: Served, Latency: 100 * time.Millisecond})
	r.Plan(Facts{Only: "1"}).Next().Done(Outcome{Kind: Served, Latency: time.Second})
	return r, clock
}

func TestLatencyPrefersTheFaster(t *testing.T) {
	r, _ := measured()
	for range 10 {
		if diff := cmp.Diff([]string{"0", "1"}, order(r.Plan(Facts{}))); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestLatencyCountsRequestsUnderWay(t *testing.T) {
	r, _ := measured()
	for range 11 { // 100 ms shared by ten costs a second
		r.Plan(Facts{}).Next()
	}
	if s := r.Status(); s[0].InFlight < 9 || s[1].InFlight < 1 {
		t.Errorf("in flight %d and %d, want the slower used once the faster is full", s[0].InFlight, s[1].InFlight)
	}
}

func TestLatencyTriesEveryNewEndpointOnce(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("latency", 3), fleet)
	got := map[string]int{}
	for range 3 {
		got[r.Plan(Facts{}).Next().Endpoint().ID]++
	}
	if diff := cmp.Diff(map[string]int{"0": 1, "1": 1, "2": 1}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLatencyTriesAnIdleEndpointAgainWithOneRequest(t *testing.T) {
	r, clock := measured()
	got := map[string]int{}
	for range 60 {
		clock.advance(time.Second)
		for range 5 {
			l := r.Plan(Facts{}).Next()
			got[l.Endpoint().ID]++
			l.Done(Outcome{Kind: Served, Latency: []time.Duration{100 * time.Millisecond, time.Second}[l.Endpoint().Index]})
		}
	}
	if got["1"] < 1 || got["1"] > 3 {
		t.Errorf("the slower endpoint had %d of 300 requests in a minute, want 1 to 3", got["1"])
	}
}

func TestLatencyDoesNotSendABurstToAnIdleEndpoint(t *testing.T) {
	r, clock := measured()
	for range 30 {
		clock.advance(time.Second)
		r.Plan(Facts{Only: "0"}).Next().Done(Outcome{Kind: Served, Latency: 100 * time.Millisecond})
	}
	got := map[string]int{}
	for range 5 { // at once: none has ended when the next begins
		got[r.Plan(Facts{}).Next().Endpoint().ID]++
	}
	if diff := cmp.Diff(map[string]int{"0": 4, "1": 1}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLatencyIsNotFooledByFastRefusals(t *testing.T) {
	fleet, clock := fleetAt()
	r := New(application("latency", 2), fleet)
	got := map[string]int{}
	for range 100 {
		clock.advance(100 * time.Millisecond)
		l := r.Plan(Facts{}).Next()
		got[l.Endpoint().ID]++
		l.Done([]Outcome{{Kind: Neutral, Latency: time.Millisecond}, {Kind: Served, Latency: time.Second}}[l.Endpoint().Index])
	}
	if got["0"] > 3 {
		t.Errorf("the endpoint that refuses had %d of 100 requests", got["0"])
	}
}
