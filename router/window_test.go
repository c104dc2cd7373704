package router

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestWindowAgreesWithAList compares the ring with the plainest way to say what
// it promises, while the limit changes.
func TestWindowAgreesWithAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		var all []time.Duration
		var at time.Duration
		most := 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			at += time.Duration(rapid.Int64Range(0, 6e9).Draw(t, "later"))
			rpm := rapid.SampledFrom([]int{1, 3, 17, 40}).Draw(t, "rpm")
			most = max(most, rpm)
			recent := all[:0:0]
			for _, a := range all {
				if at-a < time.Minute {
					recent = append(recent, a)
				}
			}
			want := time.Duration(0)
			if len(recent) >= rpm {
				want = recent[len(recent)-rpm] + time.Minute - at
			}
			if got := w.wait(at, rpm); got != want {
				t.Fatalf("at %v: wait %v, want %v", at, got, want)
			}
			if got := w.used(at); got != len(recent) {
				t.Fatalf("at %v: used %d, want %d", at, got, len(recent))
			}
			if want == 0 {
				w.add(at, rpm)
				all = append(all, at)
			}
			if len(w.times) > most {
				t.Fatalf("room for %d, the largest limit is %d", len(w.times), most)
			}
		}
	})
}

func TestWindowTakesMemoryOnlyAsItIsUsed(t *testing.T) {
	var w window
	for i := range 10_000 {
		w.add(time.Duration(i)*10*time.Second, 1_000_000)
	}
	if len(w.times) > 16 {
		t.Errorf("room for %d, never more than 6 were in use", len(w.times))
	}
}

func TestWindowWithoutALimitRemembersNothing(t *testing.T) {
	var w window
	w.add(0, 0)
	if w.wait(0, 0) != 0 || w.times != nil {
		t.Errorf("window %+v", w)
	}
}

func TestLimitIsNeverExceededInAnyMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rpm = 100
		app := application("priority", 1)
		app.Endpoints[0].RPM = rpm
		r := New(app, NewFleet(time.Now))

		var mu sync.Mutex
		var admitted []time.Time // in order: time stands still while any goroutine runs
		var wg sync.WaitGroup
		end := time.Now().Add(5 * time.Minute)
		for seed := range 50 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(seed)))
				for time.Now().Before(end) {
					if l := r.Plan(Facts{}).Next(); l != nil {
						mu.Lock()
						admitted = append(admitted, time.Now())
						mu.Unlock()
						l.Done(Outcome{Kind: Kind(random.IntN(2))})
					}
					<-time.After(time.Duration(random.IntN(100)) * 10 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		for i := range len(admitted) - rpm {
			if d := admitted[i+rpm].Sub(admitted[i]); d < time.Minute {
				t.Fatalf("%d requests within %v", rpm+1, d)
			}
		}
		if len(admitted) != 5*rpm {
			t.Errorf("%d requests in 5 minutes of more demand, want %d", len(admitted), 5*rpm)
		}
	})
}

func TestLimitHoldsAmongManyCallersAtOnce(t *testing.T) {
	fleet, clock := fleetAt()
	app := application("priority", 2)
	app.Endpoints[0].RPM, app.Endpoints[1].RPM = 30, 50
	r := New(app, fleet)
	for range 3 {
		byID := map[string]int{}
		for _, l := range leaseAll(r, 200) {
			byID[l.Endpoint().ID]++
			l.Done(Outcome{Kind: Canceled}) // sent is sent: a client that leaves gives nothing back
		}
		if byID["0"] != 30 || byID["1"] != 50 {
			t.Fatalf("admitted %v, want 30 and 50", byID)
		}
		clock.advance(time.Minute)
	}
}

func TestWindowForgetsWhatIsRemoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rpm := rapid.IntRange(1, 20).Draw(t, "rpm")
		var w window
		var kept []time.Duration
		var at time.Duration
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			at += time.Duration(rapid.IntRange(0, 5).Draw(t, "seconds")) * time.Second
			kept = slices.DeleteFunc(kept, func(k time.Duration) bool { return k+rpmWindow <= at })
			if len(kept) > 0 && rapid.Bool().Draw(t, "remove") {
				i := rapid.IntRange(0, len(kept)-1).Draw(t, "i")
				w.remove(kept[i])
				kept = slices.Delete(kept, i, i+1)
			} else if w.wait(at, rpm) == 0 {
				w.add(at, rpm)
				kept = append(kept, at)
			}
			w.remove(at + 1) // never admitted
			if got := w.used(at); got != len(kept) || (w.wait(at, rpm) == 0) != (len(kept) < rpm) {
				t.Fatalf("%d used, want %d of %d; wait %v", got, len(kept), rpm, w.wait(at, rpm))
			}
		}
	})
}
