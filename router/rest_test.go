package router

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told returns what the fleet tells of rests from now on.
func told(f *Fleet) *[]time.Duration {
	var mu sync.Mutex
	all := []time.Duration{}
	f.OnRest(func(r Rest) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, r.Left)
	})
	return &all
}

func TestRestIsToldWhenItBeginsOrGrowsMuch(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name string
		asks []time.Duration
		want []time.Duration
	}{
		{"one", []time.Duration{5 * s}, []time.Duration{5 * s}},
		{"none named", []time.Duration{0}, []time.Duration{10 * s}},
		{"a little longer", []time.Duration{5 * s, 5*s + s/2, 6*s - 1}, []time.Duration{5 * s}},
		{"a second longer", []time.Duration{5 * s, 6 * s}, []time.Duration{5 * s, 6 * s}},
		{"shorter", []time.Duration{5 * s, s}, []time.Duration{5 * s}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fleet, _ := fleetAt()
			r := New(application("priority", 1), fleet)
			var leases []*Lease
			for range c.asks {
				leases = append(leases, r.Plan(Facts{}).Next())
			}
			got := told(fleet)
			for i, l := range leases {
				l.Done(Outcome{Kind: Throttled, RetryAfter: c.asks[i]})
			}
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRestIsToldAgainWhenTheLastOneIsOver(t *testing.T) {
	fleet, clock := fleetAt()
	r := New(application("priority", 1), fleet)
	got := told(fleet)
	first(r, Outcome{Kind: Throttled, RetryAfter: 5 * time.Second})
	clock.advance(5 * time.Second)
	first(r, Outcome{Kind: Throttled, RetryAfter: 2 * time.Second})
	if diff := cmp.Diff([]time.Duration{5 * time.Second, 2 * time.Second}, *got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyThrottlingIsTold(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("priority", 1), fleet)
	got := told(fleet)
	for range failuresToRest {
		first(r, Outcome{Kind: Failed})
	}
	if r.Status()[0].Reason != ReasonFailing {
		t.Fatal("the endpoint does not rest")
	}
	fleet.OnRest(nil)
	r.Endpoints()[0].State.begun(Rest{}) // nobody listens
	if len(*got) != 0 {
		t.Errorf("told %v", *got)
	}
}

func TestLearntRestAppliesToTheEndpointInEveryApplication(t *testing.T) {
	here, clock := fleetAt()
	there, _ := fleetAt()
	app, other, another := application("priority", 2), application("priority", 2), application("priority", 2)
	other.AppID, another.AppID = "other", "another"
	another.Endpoints[0].APIKey = "demo-2"
	var learnt Rest
	there.OnRest(func(r Rest) { learnt = r })
	first(New(app, there), Outcome{Kind: Throttled, RetryAfter: 7 * time.Second})

	routers := []*Router{New(app, here), New(other, here), New(another, here)}
	again := told(here)
	here.Rest(learnt)
	for i, want := range []time.Duration{7 * time.Second, 7 * time.Second, 0} {
		for j, s := range routers[i].Status() {
			wait := max(0, s.RestsUntil.Sub(clock.Now()))
			if j == 1 {
				want = 0
			}
			if wait != want || (s.Reason == ReasonThrottled) != (want > 0) {
				t.Errorf("router %d, endpoint %d: rests for %v as %q, want %v", i, j, wait, s.Reason, want)
			}
		}
	}
	if len(*again) != 0 {
		t.Errorf("what was learnt is told again: %v", *again)
	}
}

func TestLearntRestNeverShortens(t *testing.T) {
	fleet, clock := fleetAt()
	clock.advance(time.Second)
	r := New(application("priority", 1), fleet)
	first(r, Outcome{Kind: Throttled, RetryAfter: 7 * time.Second})
	of := r.Endpoints()[0].State.of
	for _, rest := range []Rest{
		{of, time.Second},
		{of, 0},
		{of, -time.Hour},
		{of, math.MinInt64},
		{of, math.MaxInt64}, // is over before it begins: no endpoint rests for ever
		{Digest{}, time.Hour},
	} {
		fleet.Rest(rest)
		if got := r.Plan(Facts{}).Wait(); got != 7*time.Second {
			t.Errorf("after %v: rests for %v", rest.Left, got)
		}
	}
	fleet.Rest(Rest{of, 8 * time.Second})
	if got := r.Plan(Facts{}).Wait(); got != 8*time.Second {
		t.Errorf("a longer one is %v", got)
	}
}

func TestThrottledAfterALearntRestIsNotToldAgain(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("priority", 1), fleet)
	l := r.Plan(Facts{}).Next()
	got := told(fleet)
	fleet.Rest(Rest{Of: l.endpoint.State.of, Left: 5 * time.Second})
	l.Done(Outcome{Kind: Throttled, RetryAfter: 5 * time.Second})
	if len(*got) != 0 {
		t.Errorf("told %v", *got)
	}
}
