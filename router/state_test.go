package router

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// failing returns a router of one endpoint that has just begun its first rest
// for failing, and its clock.
func failing(t *testing.T) (*Router, *manualClock) {
	t.Helper()
	fleet, clock := fleetAt()
	r := New(application("priority", 1), fleet)
	for range failuresToRest {
		if first(r, Outcome{Kind: Failed}) == "" {
			t.Fatal("the endpoint rests too early")
		}
	}
	return r, clock
}

func TestEndpointRestsAfterFailuresInARow(t *testing.T) {
	for _, c := range []struct {
		name  string
		kinds []Kind
		rests bool
	}{
		{"two", []Kind{Failed, Failed}, false},
		{"three", []Kind{Failed, Failed, Failed}, true},
		{"an answer between", []Kind{Failed, Failed, Served, Failed, Failed}, false},
		{"a refusal between", []Kind{Failed, Failed, Neutral, Failed}, true},
		{"a client that left between", []Kind{Failed, Failed, Canceled, Failed}, true},
		{"clients that left", []Kind{Canceled, Canceled, Canceled, Canceled}, false},
		{"refusals", []Kind{Neutral, Neutral, Neutral, Neutral}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fleet, _ := fleetAt()
			r := New(application("priority", 1), fleet)
			for i, kind := range c.kinds {
				if first(r, Outcome{Kind: kind}) == "" {
					t.Fatalf("rests after %v", c.kinds[:i])
				}
			}
			if got := first(r, Outcome{}) == ""; got != c.rests {
				t.Errorf("rests: %v, want %v", got, c.rests)
			}
		})
	}
}

func TestFailingRestDoublesUpToItsBound(t *testing.T) {
	r, clock := failing(t)
	for i, seconds := range []int{1, 2, 4, 8, 16, 25, 25, 25} {
		want := time.Duration(seconds) * time.Second
		if got := r.Plan(Facts{}).Wait(); got != want {
			t.Fatalf("rest %d lasts %v, want %v", i, got, want)
		}
		clock.advance(want)
		if first(r, Outcome{Kind: Failed}) == "" {
			t.Fatalf("no probe after rest %d", i)
		}
	}
}

func TestFailingRestStaysWithinItsJitterAndBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1000).Draw(t, "n")
		u := rapid.Float64Range(0, 0.999999).Draw(t, "u")
		base := min(time.Second<<min(n, 10), 25*time.Second).Seconds()
		got := failingRest(n, u)
		if s := got.Seconds(); s < 0.8*base-1e-6 || s > 1.2*base+1e-6 || got > longestRest {
			t.Fatalf("rest %d is %v", n, got)
		}
	})
}

func TestProbeDecides(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		// after the probe:
		wait    time.Duration
		proven  bool
		failing time.Duration // the rest that follows failures from here on
	}{
		{Served, 0, true, time.Second},
		{Neutral, 0, true, time.Second},
		{Failed, 2 * time.Second, false, 4 * time.Second},
		{Throttled, 7 * time.Second, false, 2 * time.Second},
		{Canceled, 0, false, 2 * time.Second},
	} {
		t.Run(c.kind.String(), func(t *testing.T) {
			r, clock := failing(t)
			clock.advance(time.Second)
			probe := r.Plan(Facts{}).Next()
			if first(r, Outcome{}) != "" {
				t.Fatal("two probes at once")
			}
			probe.Done(Outcome{Kind: c.kind, RetryAfter: 7 * time.Second})
			if got := r.Plan(Facts{}).Wait(); got != c.wait {
				t.Fatalf("wait %v, want %v", got, c.wait)
			}
			clock.advance(c.wait)

			a, b := r.Plan(Facts{}).Next(), r.Plan(Facts{}).Next()
			if a == nil || (b != nil) != c.proven {
				t.Fatalf("leases %v and %v, want proven %v", a, b, c.proven)
			}
			a.Done(Outcome{Kind: Failed})
			if c.proven {
				b.Done(Outcome{Kind: Failed})
				first(r, Outcome{Kind: Failed})
			}
			if got := r.Plan(Facts{}).Wait(); got != c.failing {
				t.Errorf("next rest %v, want %v", got, c.failing)
			}
		})
	}
}

func TestOneProbeAmongManyCallers(t *testing.T) {
	r, clock := failing(t)
	clock.advance(time.Second)
	for range 20 {
		leases := leaseAll(r, 100)
		if len(leases) != 1 {
			t.Fatalf("%d of 100 callers were let through, want 1", len(leases))
		}
		leases[0].Done(Outcome{Kind: Canceled})
	}
}

// leaseAll has n goroutines ask at once and returns what they got.
func leaseAll(r *Router, n int) []*Lease {
	got := make(chan *Lease, n)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range n {
		wg.Go(func() {
			<-start
			if l := r.Plan(Facts{}).Next(); l != nil {
				got <- l
			}
		})
	}
	close(start)
	wg.Wait()
	close(got)
	var leases []*Lease
	for l := range got {
		leases = append(leases, l)
	}
	return leases
}

func TestWaitWhileAProbeIsUnderWay(t *testing.T) {
	r, clock := failing(t)
	clock.advance(time.Second)
	probe := r.Plan(Facts{}).Next()
	if got := r.Plan(Facts{}).Wait(); got != firstRest {
		t.Errorf("wait %v, want %v", got, firstRest)
	}
	probe.Done(Outcome{Kind: Served})
	if got := r.Plan(Facts{}).Wait(); got != 0 {
		t.Errorf("wait %v, want 0", got)
	}
}

func TestFailuresTogetherAreOneStep(t *testing.T) {
	fleet, clock := fleetAt()
	r := New(application("priority", 1), fleet)
	leases := leaseAll(r, 100)
	var wg sync.WaitGroup
	for _, l := range leases[:60] {
		wg.Go(func() { l.Done(Outcome{Kind: Failed}) })
	}
	wg.Wait()
	if got := r.Plan(Facts{}).Wait(); got != time.Second {
		t.Fatalf("rest %v, want 1s", got)
	}

	clock.advance(time.Second)
	probe := r.Plan(Facts{}).Next()
	for _, l := range leases[60:80] { // late ones, while the probe is under way
		l.Done(Outcome{Kind: Failed})
	}
	if first(r, Outcome{}) != "" {
		t.Error("an old failure let a second probe through")
	}
	probe.Done(Outcome{Kind: Served})
	for _, l := range leases[80:] { // and after it
		l.Done(Outcome{Kind: Failed})
	}
	if got := r.Plan(Facts{}).Wait(); got != 0 {
		t.Errorf("wait %v, want 0: old failures must not undo the probe", got)
	}
}

func TestOldAnswerDoesNotProveAnEndpoint(t *testing.T) {
	fleet, clock := fleetAt()
	r := New(application("priority", 1), fleet)
	old := r.Plan(Facts{}).Next()
	for range failuresToRest {
		first(r, Outcome{Kind: Failed})
	}
	clock.advance(time.Second)
	old.Done(Outcome{Kind: Served})
	if got := len(leaseAll(r, 10)); got != 1 {
		t.Errorf("%d leases, want the probe's only", got)
	}
}

func TestThrottleDuringAFailingRestProlongsIt(t *testing.T) {
	fleet, clock := fleetAt()
	r := New(application("priority", 1), fleet)
	old := r.Plan(Facts{}).Next()
	for range failuresToRest {
		first(r, Outcome{Kind: Failed})
	}
	old.Done(Outcome{Kind: Throttled, RetryAfter: 5 * time.Second})
	if got := r.Plan(Facts{}).Wait(); got != 5*time.Second {
		t.Fatalf("wait %v, want 5s", got)
	}
	clock.advance(5 * time.Second)
	if got := len(leaseAll(r, 10)); got != 1 {
		t.Errorf("%d leases, want the probe's only", got)
	}
}

func TestStateReckonsWithTheLatestTime(t *testing.T) {
	fleet, _ := fleetAt()
	s := New(application("priority", 1), fleet).Endpoints()[0].State
	if _, ok := s.admit(10*time.Second, 2); !ok {
		t.Fatal("not admitted")
	}
	if _, ok := s.admit(9*time.Second, 2); !ok { // its reading was overtaken
		t.Fatal("not admitted")
	}
	if got, want := s.wait(69*time.Second, 1), time.Second; got != want {
		t.Errorf("wait %v, want %v", got, want)
	}
}

func TestProbeIsOverWhenItsAnswerBegins(t *testing.T) {
	r, clock := failing(t)
	clock.advance(r.Plan(Facts{}).Wait())
	probe := r.Plan(Facts{}).Next()
	if r.Plan(Facts{}).Next() != nil {
		t.Fatal("a second request while the probe is unanswered")
	}
	probe.Answered()
	other := r.Plan(Facts{}).Next()
	if other == nil {
		t.Fatal("the others still wait although the probe is answered")
	}
	probe.Done(Outcome{Kind: Failed}) // its stream is cut: one failure like any other
	other.Done(Outcome{Kind: Served})
	if got := r.Status()[0]; got.Reason != "" || got.InFlight != 0 {
		t.Errorf("the endpoint stands at %+v", got)
	}
}
