package router

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLeaseEndedTwiceIsABug(t *testing.T) {
	fleet, _ := fleetAt()
	r := New(application("priority", 1), fleet)
	l := r.Plan(Facts{}).Next()
	var bugs atomic.Int32
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			defer func() {
				if v := recover(); v == "BUG: the lease of endpoint 0 was ended twice" {
					bugs.Add(1)
				}
			}()
			l.Done(Outcome{Kind: Served})
		})
	}
	wg.Wait()
	if bugs.Load() != 9 {
		t.Errorf("%d of 10 calls panicked, want 9", bugs.Load())
	}
	if got := r.Status()[0].InFlight; got != 0 {
		t.Errorf("%d in flight, want 0", got)
	}
}

func TestThrottledEndpointRestsExactlyAsLongAsAsked(t *testing.T) {
	for _, c := range []struct {
		name string
		asks []time.Duration
		want time.Duration
	}{
		{"as asked", []time.Duration{1500 * time.Millisecond}, 1500 * time.Millisecond},
		{"ten seconds when not said", []time.Duration{0}, 10 * time.Second},
		{"a longer rest after a shorter", []time.Duration{time.Second, 3 * time.Second}, 3 * time.Second},
		{"a shorter rest after a longer", []time.Duration{3 * time.Second, time.Second}, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			fleet, clock := fleetAt()
			r := New(application("priority", 1), fleet)
			leases := make([]*Lease, len(c.asks))
			for i := range c.asks {
				leases[i] = r.Plan(Facts{}).Next()
			}
			for i, ask := range c.asks {
				leases[i].Done(Outcome{Kind: Throttled, RetryAfter: ask})
			}
			clock.advance(c.want - 1)
			if got := first(r, Outcome{}); got != "" {
				t.Error("offered a nanosecond early")
			}
			clock.advance(1)
			if got := first(r, Outcome{}); got != "0" {
				t.Error("not offered when the rest was over")
			}
		})
	}
}

func TestKindNamesItself(t *testing.T) {
	for kind, want := range map[Kind]string{
		Canceled: "canceled", Served: "served", Throttled: "throttled", Failed: "failed", Neutral: "neutral", 9: "Kind(9)",
	} {
		if got := kind.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
