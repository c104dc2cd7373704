package router

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlanHonoursFacts(t *testing.T) {
	for _, c := range []struct {
		name    string
		facts   Facts
		resting string
		want    []string
		wait    time.Duration
		unknown bool
	}{
		{name: "none", want: []string{"0", "1", "2"}},
		{name: "only", facts: Facts{Only: "1"}, want: []string{"1"}},
		{name: "only, resting", facts: Facts{Only: "1"}, resting: "1", want: []string{}, wait: 5 * time.Second},
		{name: "only, another resting", facts: Facts{Only: "1"}, resting: "0", want: []string{"1"}},
		{name: "only, unknown", facts: Facts{Only: "x"}, want: []string{}, unknown: true},
		{name: "prefer", facts: Facts{Prefer: "2"}, want: []string{"2", "0", "1"}},
		{name: "prefer the first", facts: Facts{Prefer: "0"}, want: []string{"0", "1", "2"}},
		{name: "prefer, resting", facts: Facts{Prefer: "2"}, resting: "2", want: []string{"0", "1"}},
		{name: "prefer, unknown", facts: Facts{Prefer: "x"}, want: []string{"0", "1", "2"}},
		{name: "only wins over prefer", facts: Facts{Only: "1", Prefer: "2"}, want: []string{"1"}},
		{name: "among", facts: Facts{Among: []string{"2", "0", "x"}}, want: []string{"0", "2"}},
		{name: "among none", facts: Facts{Among: []string{}}, want: []string{}},
		{name: "among unknown ones", facts: Facts{Among: []string{"x"}}, want: []string{}},
		{name: "among, only", facts: Facts{Among: []string{"1", "2"}, Only: "2"}, want: []string{"2"}},
		{name: "among others, only", facts: Facts{Among: []string{"1", "2"}, Only: "0"}, want: []string{}, unknown: true},
		{name: "among, prefer", facts: Facts{Among: []string{"1", "2"}, Prefer: "2"}, want: []string{"2", "1"}},
		{name: "among others, prefer", facts: Facts{Among: []string{"1", "2"}, Prefer: "0"}, want: []string{"1", "2"}},
		{name: "among, resting", facts: Facts{Among: []string{"1"}}, resting: "1", want: []string{}, wait: 5 * time.Second},
		{name: "among, another resting", facts: Facts{Among: []string{"1"}}, resting: "0", want: []string{"1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fleet, _ := fleetAt()
			r := New(application("priority", 3), fleet)
			if c.resting != "" {
				r.Plan(Facts{Only: c.resting}).Next().Done(Outcome{Kind: Throttled, RetryAfter: 5 * time.Second})
			}
			p := r.Plan(c.facts)
			if got := p.Wait(); got != c.wait {
				t.Errorf("wait %v, want %v", got, c.wait)
			}
			if diff := cmp.Diff(c.want, order(p)); diff != "" {
				t.Error(diff)
			}
			if p.Unknown() != c.unknown {
				t.Errorf("unknown %v, want %v", p.Unknown(), c.unknown)
			}
		})
	}
}

func TestPlanStopsWhenTheAttemptsAreSpent(t *testing.T) {
	for _, c := range []struct{ maxAttempts, endpoints, want int }{
		{0, 3, 3}, {1, 3, 1}, {2, 3, 2}, {3, 3, 3}, {9, 3, 3}, {0, 20, 20}, {0, 0, 0},
	} {
		fleet, _ := fleetAt()
		app := application("priority", c.endpoints)
		app.Retry.MaxAttempts = c.maxAttempts
		p := New(app, fleet).Plan(Facts{})
		if got := len(order(p)); got != c.want || p.Attempts() != c.want {
			t.Errorf("%+v: %d leases, %d attempts", c, got, p.Attempts())
		}
	}
}

func TestPassedOverEndpointsAreNoAttempts(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("priority", 3)
	app.Retry.MaxAttempts = 2
	r := New(app, fleet)
	first(r, Outcome{Kind: Throttled})
	if diff := cmp.Diff([]string{"1", "2"}, order(r.Plan(Facts{}))); diff != "" {
		t.Error(diff)
	}
}

func TestPlanOffersAnEndpointWhoseRestEndsMeanwhile(t *testing.T) {
	fleet, clock := fleetAt()
	r := New(application("priority", 3), fleet)
	first(r, Outcome{Kind: Throttled, RetryAfter: time.Second})
	p := r.Plan(Facts{})
	l := p.Next()
	clock.advance(time.Second)
	l.Done(Outcome{Kind: Failed})
	if got := append([]string{l.Endpoint().ID}, order(p)...); !cmp.Equal(got, []string{"1", "0", "2"}) {
		t.Errorf("order %v, want 1, then 0 whose rest is over, then 2", got)
	}
}

func TestPlanOfNoEndpointsIsEmpty(t *testing.T) {
	fleet, _ := fleetAt()
	p := New(application("random", 0), fleet).Plan(Facts{})
	if p.Next() != nil || p.Wait() != 0 || p.Unknown() {
		t.Error("an application without endpoints offers one")
	}
}

func TestWaitIsTheSmallestOfRestsAndLimits(t *testing.T) {
	rest := func(r *Router, id string, d time.Duration) {
		r.Plan(Facts{Only: id}).Next().Done(Outcome{Kind: Throttled, RetryAfter: d})
	}
	for _, c := range []struct {
		name  string
		rpm   [2]int
		rests [2]time.Duration
		want  time.Duration
	}{
		{"both rest", [2]int{}, [2]time.Duration{9 * time.Second, 5 * time.Second}, 5 * time.Second},
		{"a rest and a limit", [2]int{0, 1}, [2]time.Duration{70 * time.Second, time.Second}, time.Minute},
		{"a rest longer than the limit", [2]int{1, 1}, [2]time.Duration{70 * time.Second, 80 * time.Second}, 70 * time.Second},
		{"one free", [2]int{0, 2}, [2]time.Duration{time.Hour, 0}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			fleet, _ := fleetAt()
			app := application("priority", 2)
			for i := range app.Endpoints {
				app.Endpoints[i].RPM = c.rpm[i]
			}
			r := New(app, fleet)
			for i, e := range r.Endpoints() {
				if c.rests[i] > 0 {
					rest(r, e.ID, c.rests[i])
				}
			}
			if got := r.Plan(Facts{}).Wait(); got != c.want {
				t.Errorf("wait %v, want %v", got, c.want)
			}
		})
	}
}

// refuses returns an Admit that refuses these, and what it was asked.
func refuses(ids ...string) (admit func(*Endpoint) bool, asked *[]string) {
	asked = new([]string)
	return func(e *Endpoint) bool {
		*asked = append(*asked, e.ID)
		return !slices.Contains(ids, e.ID)
	}, asked
}

func TestRefusedEndpointIsPassedOverAndNotOfferedAgain(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("priority", 4)
	app.Retry.MaxAttempts = 2
	r := New(app, fleet)
	r.Plan(Facts{Only: "0"}).Next().Done(Outcome{Kind: Throttled, RetryAfter: 5 * time.Second})
	admit, asked := refuses("1")
	p := r.Plan(Facts{Admit: admit})
	if diff := cmp.Diff([]string{"2", "3"}, order(p)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, *asked); diff != "" || p.Attempts() != 2 {
		t.Errorf("%d attempts, asked of: %s", p.Attempts(), diff)
	}
}

func TestRefusalLeavesNoTrace(t *testing.T) {
	for _, strategy := range []string{"priority", "roundRobin", "leastBusy", "latency"} {
		fleet, clock := fleetAt()
		app := application(strategy, 1)
		app.Endpoints[0].RPM = 3
		r := New(app, fleet)
		first(r, Outcome{Kind: Served, Latency: time.Second})
		clock.advance(time.Second)
		s := r.Endpoints()[0].State
		before, average := r.Status(), s.latency
		admit, _ := refuses("0")
		for range 5 {
			if ids := order(r.Plan(Facts{Admit: admit})); len(ids) > 0 {
				t.Fatalf("leased %v although refused", ids)
			}
		}
		if diff := cmp.Diff(before, r.Status(), cmp.Comparer(func(a, b *Endpoint) bool { return a == b })); diff != "" || s.latency != average {
			t.Errorf("%s: %s%+v was %+v", strategy, diff, s.latency, average)
		}
		left := 0
		for first(r, Outcome{}) != "" {
			left++
		}
		if left != 2 {
			t.Errorf("%s: %d more of 3, want 2", strategy, left)
		}
	}
}

func TestRefusedProbeIsLeftToTheNext(t *testing.T) {
	r, clock := failing(t)
	clock.advance(r.Plan(Facts{}).Wait())
	admit, _ := refuses("0")
	r.Plan(Facts{Admit: admit}).Next()
	if first(r, Outcome{Kind: Served}) == "" {
		t.Error("a refused probe keeps the endpoint")
	}
	if got := r.Status()[0].Reason; got != "" {
		t.Errorf("the probe did not decide: %q", got)
	}
}

func TestWaitDoesNotCountTheRefused(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("priority", 2), fleet)
	admit, _ := refuses("1")
	p := r.Plan(Facts{Admit: admit})
	p.Next().Done(Outcome{Kind: Throttled, RetryAfter: 5 * time.Second})
	if p.Next() != nil || p.Wait() != 5*time.Second {
		t.Errorf("wait %v, want the resting one's", p.Wait())
	}
	admit, _ = refuses("0", "1")
	p = r.Plan(Facts{Admit: admit, Only: "1"})
	if p.Next() != nil || p.Wait() != 0 || p.Unknown() {
		t.Errorf("wait %v although nothing is left to wait for", p.Wait())
	}
}

func TestAdmitMayEndALeaseAndAskTheRouter(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("priority", 2), fleet)
	p := r.Plan(Facts{Admit: func(e *Endpoint) bool {
		if got := r.Status()[e.Index].InFlight; got != 1 {
			t.Errorf("%d in flight while it is asked", got)
		}
		return e.ID == "1"
	}})
	if got := p.Next().Endpoint().ID; got != "1" {
		t.Errorf("leased %s", got)
	}
}

func BenchmarkPlanNextDone(b *testing.B) {
	for _, strategy := range []string{"priority", "weighted", "roundRobin", "random", "leastBusy", "latency"} {
		b.Run(strategy, func(b *testing.B) {
			r := New(application(strategy, 3), NewFleet(time.Now))
			b.ReportAllocs()
			for b.Loop() {
				r.Plan(Facts{}).Next().Done(Outcome{Kind: Served, Latency: time.Millisecond})
			}
		})
	}
}

func TestEndpointListedTwiceIsTriedOnce(t *testing.T) {
	fleet, _ := fleetAt()
	app := application("random", 3)
	app.Endpoints[1] = app.Endpoints[0]
	app.Endpoints[1].ID = "again"
	p := New(app, fleet).Plan(Facts{})
	got := order(p)
	if len(got) != 2 || !slices.Contains(got, "2") {
		t.Errorf("tried %v, want 2 and one of the others", got)
	}
}
