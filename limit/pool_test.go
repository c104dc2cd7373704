package limit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"aigateway/config"
)

// pooled returns apps a, b and c, whose first endpoints draw on a pool of 100
// tokens with weights 3, 1 and 1. Their second ones do not.
func pooled() *config.Config {
	cfg := apps([]string{"a", "b", "c", "stranger"})
	for i := range 3 {
		cfg.Applications[i].Endpoints = []config.Endpoint{{ID: "0", URI: "https://ptu", Pool: "ptu"}, {ID: "1", URI: "https://paygo"}}
	}
	cfg.Pools = []config.Pool{{ID: "ptu", TokensPerMinute: 100, Shares: []config.Share{{App: "a", Weight: 3}, {App: "stranger", Weight: 9}}}}
	return cfg
}

// draw asks the pool for tokens.
func (f *fixture) draw(app string, tokens int64) (*Grant, *Exceeded) {
	return f.rules.For(app).AdmitAt(f.t.Context(), 0, Ask{Tokens: tokens, Cost: 0})
}

func (f *fixture) drawOrFail(app string, tokens int64) *Grant {
	f.t.Helper()
	g, refused := f.draw(app, tokens)
	if refused != nil {
		f.t.Fatalf("%s draws %d: %v", app, tokens, refused)
	}
	return g
}

func TestPoolIsSharedByWeightAmongItsApplications(t *testing.T) {
	f := newFixture(t, Options{}, pooled())
	want := &PoolPart{App: 1, Shares: []int64{60, 20, 20}, Names: []string{"a", "b", "c"}}
	if diff := cmp.Diff(want, f.rules.For("b").endpoints[0][0].pool); diff != "" {
		t.Errorf("the part of b (-want +got):\n%s", diff)
	}
	if f.rules.For("stranger") != nil || f.rules.For("a").LimitsAt(1) {
		t.Error("somebody is limited who does not draw on the pool")
	}
}

func TestPoolLendsWhatOthersLeaveUnused(t *testing.T) {
	f := newFixture(t, Options{}, pooled())
	f.drawOrFail("b", 100) // nobody else is active
	if _, refused := f.draw("b", 1); refused == nil || refused.Limit != "pool ptu" || refused.Per != "app=b" {
		t.Errorf("refused: %+v", refused)
	}
}

func TestPoolKeepsTheSharesOfActiveApplications(t *testing.T) {
	f := newFixture(t, Options{}, pooled())
	f.drawOrFail("a", 1)
	f.drawOrFail("b", 40) // its own 20, and the 20 of c
	if _, refused := f.draw("b", 1); refused == nil {
		t.Error("b was lent what a may want")
	}
	f.drawOrFail("c", 1) // and c, which has come now, must wait for the rest
	f.drawOrFail("a", 58)
	if _, refused := f.draw("a", 1); refused == nil {
		t.Error("more was given than there is")
	}
}

func TestPoolGivesAnApplicationItsShareAMinuteAfterItFirstAsks(t *testing.T) {
	f := newFixture(t, Options{}, pooled())
	f.drawOrFail("b", 100)
	_, refused := f.draw("a", 60)
	if refused == nil {
		t.Fatal("more was given than there is")
	}
	f.clock.forward(refused.Wait)
	if _, refused := f.draw("b", 41); refused == nil {
		t.Error("b was lent again what a waits for")
	}
	f.drawOrFail("b", 40)
	f.drawOrFail("a", 60)
	f.clock.forward(71 * time.Second) // a is not active any more
	f.drawOrFail("b", 100)
}

func TestPoolTakesBackWhatWasNotUsed(t *testing.T) {
	f := newFixture(t, Options{}, pooled())
	f.drawOrFail("b", 100).Settle(30, 0)
	if got := f.standing("b", Ask{}, "pool ptu", "tokensPerMinute"); got.Remaining != 70 || got.Used != 30 || got.Allowed != 100 {
		t.Errorf("got %+v", got)
	}
	f.drawOrFail("a", 70)
}

func TestPoolRefusesForEverWhatIsMoreThanItself(t *testing.T) {
	f := newFixture(t, Options{}, pooled())
	if _, refused := f.draw("a", 101); refused == nil || !refused.Never {
		t.Errorf("refused: %+v", refused)
	}
}

// TestPoolHoldsNoMoreThanItsCapacity plays at random, and lets nobody be
// without its share when nobody has come for a minute.
func TestPoolHoldsNoMoreThanItsCapacity(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t, Options{}, pooled())
		names := []string{"a", "b", "c"}
		shares := map[string]int64{"a": 60, "b": 20, "c": 20}
		held := func(app string) int64 {
			w := f.rules.For("a").endpoints[0][0].fixed.parts[app]
			w.roll(f.Limits.clock.moment().slot)
			return w.sum
		}
		since := map[string]time.Time{} // it has asked at least every minute
		last := map[string]time.Time{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			f.clock.forward(time.Duration(rapid.Int64Range(0, int64(25*time.Second)).Draw(rt, "pause")))
			app := rapid.SampledFrom(names).Draw(rt, "app")
			now := f.clock.now()
			if now.Sub(last[app]) > time.Minute {
				since[app] = now
			}
			last[app] = now
			tokens := rapid.Int64Range(0, 100).Draw(rt, "tokens")
			own := held(app)+tokens <= shares[app]
			for _, came := range since {
				own = own && now.Sub(came) > 65*time.Second
			}
			g, refused := f.draw(app, tokens)
			if own && refused != nil {
				rt.Fatalf("%s is refused %d tokens of its share, it holds %d: %v", app, tokens, held(app), refused)
			}
			if refused != nil && (refused.Wait <= 0 || refused.Wait > 65*time.Second) {
				rt.Fatalf("the wait is %v", refused.Wait)
			}
			if got := held("a") + held("b") + held("c"); got > 100 {
				rt.Fatalf("together they hold %d", got)
			}
			if g != nil && rapid.Bool().Draw(rt, "settle") {
				g.Settle(rapid.Int64Range(0, tokens).Draw(rt, "used"), 0)
			}
		}
	})
}

func TestPoolIsNeverExceededTogether(t *testing.T) {
	f := newFixture(t, Options{}, pooled())
	var given atomic.Int64
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for range 20 {
				if g, _ := f.draw([]string{"a", "b", "c"}[i%3], 3); g != nil {
					given.Add(3)
					g.Settle(3, 0)
				}
			}
		})
	}
	all.Wait()
	if got := given.Load(); got > 100 || got < 96 {
		t.Errorf("%d tokens were given, want 96 to 100", got)
	}
}
