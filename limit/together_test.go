package limit

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aigateway/config"
)

// replica is a process that shares limits, in a synctest bubble.
type replica struct {
	*fixture
	log  bytes.Buffer
	stop func()
}

func newReplica(t *testing.T, shared Shared, file string, cfg *config.Config) *replica {
	t.Helper()
	r := new(replica)
	r.fixture = newFixture(t, Options{Now: time.Now, Shared: shared, File: file, Log: slog.New(slog.NewTextHandler(&r.log, nil))}, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	r.stop = func() { cancel(); <-done }
	synctest.Wait()
	return r
}

// pass lets time pass, and all that is due then be done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// settled waits until Shared knows everything.
func (r *replica) settled() {
	r.t.Helper()
	pass(2 * time.Second)
	if got := r.Readings(); got.Up && got.Waiting != 0 {
		r.t.Fatalf("%d settlements wait", got.Waiting)
	}
}

// bubble runs a test with two replicas of one Shared.
func bubble(t *testing.T, cfg *config.Config, test func(t *testing.T, shared *fakeShared, a, b *replica)) {
	t.Helper()
	bubbleAt(t, noon, cfg, test)
}

func bubbleAt(t *testing.T, start time.Time, cfg *config.Config, test func(t *testing.T, shared *fakeShared, a, b *replica)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pass(time.Until(start))
		shared := newFakeShared(time.Now, 2)
		a, b := newReplica(t, shared, "", cfg), newReplica(t, shared, "", cfg)
		defer b.stop()
		defer a.stop()
		test(t, shared, a, b)
	})
}

func all100() *config.Config {
	return one(config.Amounts{TokensPerMinute: 100, TokensPerDay: 200, CostPerMonth: 1, Concurrent: 2}, "user")
}

func TestReplicasCountTogether(t *testing.T) {
	bubble(t, all100(), func(t *testing.T, shared *fakeShared, a, b *replica) {
		ask := Ask{User: "u", Tokens: 60, Cost: 1e8}
		g := a.admit("a", ask)
		if refused := b.refuse("a", ask); refused.Amount != "tokensPerMinute" || refused.Used != 60 || refused.Wait != time.Second {
			t.Errorf("refused: %+v", refused)
		}
		g.Settle(10, 1e7)
		a.settled()
		s := b.standing("a", ask, "l", "tokensPerMinute")
		if !s.Shared || s.Used != 10 || s.Remaining != 90 || s.Share != 100 {
			t.Errorf("standing: %+v", s)
		}
		if got := b.used("a", ask, "l", "costPerMonth"); got != 1e7 {
			t.Errorf("the cost is %d", got)
		}
		first, second := a.admit("a", Ask{User: "u"}), b.admit("a", Ask{User: "u"})
		if refused := b.refuse("a", Ask{User: "u"}); refused.Amount != "concurrent" {
			t.Errorf("refused: %+v", refused)
		}
		first.Settle(0, 0)
		a.settled()
		b.admit("a", Ask{User: "u"}).Settle(0, 0)
		second.Settle(0, 0)
		left := b.admit("a", Ask{User: "u", Tokens: 30}).Left()
		if left.Tokens != (Remaining{true, "l", 100, 60}) {
			t.Errorf("left: %+v", left)
		}
	})
}

func TestReplicasObserveTogether(t *testing.T) {
	bubble(t, one(config.Amounts{TokensPerMinute: 100, Mode: "observe"}), func(t *testing.T, _ *fakeShared, a, b *replica) {
		a.admit("a", Ask{Tokens: 90}).Settle(90, 0)
		b.admit("a", Ask{Tokens: 90}).Settle(90, 0)
		if got := b.Readings().Decisions[0]; got != (Decisions{Limit: "l", Over: 1}) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestReplicasNeverExceedALimitTogether(t *testing.T) {
	cfg := one(config.Amounts{TokensPerMinute: 100, TokensPerDay: 1000, Concurrent: 7})
	bubble(t, cfg, func(t *testing.T, shared *fakeShared, a, b *replica) {
		var used atomic.Int64
		var all sync.WaitGroup
		for i := range 64 {
			r := []*replica{a, b}[i%2]
			all.Go(func() {
				for range 10 {
					if g, _ := r.rules.For("a").Admit(t.Context(), Ask{Tokens: 10}); g != nil {
						used.Add(10)
						g.Settle(10, 0)
					}
					<-time.After(10 * time.Millisecond)
				}
			})
		}
		all.Wait()
		if got := used.Load(); got != 100 {
			t.Errorf("%d tokens were used, want 100", got)
		}
		a.settled()
		for key, leases := range shared.leases {
			if len(leases) > 0 {
				t.Errorf("%s: %d leases were not given back", key, len(leases))
			}
		}
	})
}

func TestReplicasGoOnWithTheirPartsWhileSharedIsAway(t *testing.T) {
	bubble(t, all100(), func(t *testing.T, shared *fakeShared, a, b *replica) {
		ask := Ask{User: "u", Tokens: 50}
		a.admit("a", ask).Settle(50, 0)
		b.admit("a", Ask{User: "u"}).Settle(0, 0)
		a.settled()
		pass(70 * time.Second)
		shared.away(true)

		// Half a minute's tokens each.
		a.admit("a", ask).Settle(50, 0)
		if refused := a.refuse("a", Ask{User: "u", Tokens: 1}); refused.Amount != "tokensPerMinute" || refused.Allowed != 50 || refused.Wait <= 0 {
			t.Errorf("refused: %+v", refused)
		}
		b.admit("a", ask).Settle(50, 0)
		if s := b.standing("a", ask, "l", "tokensPerMinute"); s.Shared || s.Allowed != 100 || s.Share != 50 || s.Remaining != 0 {
			t.Errorf("standing: %+v", s)
		}
		// 150 of the day were left, and 75 for each; 25 of them are left now.
		pass(70 * time.Second)
		a.admit("a", Ask{User: "u", Tokens: 25}).Settle(25, 0)
		if refused := a.refuse("a", Ask{User: "u", Tokens: 1}); refused.Amount != "tokensPerDay" {
			t.Errorf("refused: %+v", refused)
		}
		b.admit("a", Ask{User: "u", Tokens: 25}).Settle(25, 0)
		if refused := b.refuse("a", Ask{User: "u", Tokens: 1}); refused.Amount != "tokensPerDay" {
			t.Errorf("refused: %+v", refused)
		}
		// One request at a time each.
		g := b.admit("a", Ask{User: "u"})
		if refused := b.refuse("a", Ask{User: "u"}); refused.Amount != "concurrent" {
			t.Errorf("refused: %+v", refused)
		}

		shared.away(false)
		a.settled()
		g.Settle(0, 0)
		b.settled()
		for _, r := range []*replica{a, b} {
			if got := r.used("a", ask, "l", "tokensPerDay"); got != 200 {
				t.Errorf("%d tokens of the day are used, want 200", got)
			}
			if got := r.used("a", ask, "l", "tokensPerMinute"); got != 50 { // the rest is older
				t.Errorf("%d tokens of the minute are used, want 50", got)
			}
			if shared.stale > 0 {
				t.Errorf("%d settlements came too late to matter", shared.stale)
			}
			for _, want := range []string{"limits are not shared", "limits are shared again"} {
				if n := strings.Count(r.log.String(), want); n != 1 {
					t.Errorf("%q is in the log %d times:\n%s", want, n, &r.log)
				}
			}
		}
	})
}

func TestPartOfAQuotaIsOfWhatWasLeftWhenSharedWentAway(t *testing.T) {
	bubble(t, one(config.Amounts{TokensPerDay: 200}), func(t *testing.T, shared *fakeShared, a, _ *replica) {
		shared.away(true)
		a.admit("a", Ask{Tokens: 100}).Settle(40, 0)
		a.refuse("a", Ask{Tokens: 61}) // of 100
		shared.away(false)
		a.settled()
		a.admit("a", Ask{}).Settle(0, 0) // and hears that 40 are used
		shared.away(true)
		a.refuse("a", Ask{Tokens: 81}) // of half of 160
		a.admit("a", Ask{Tokens: 80}).Settle(80, 0)
		a.refuse("a", Ask{Tokens: 1})
	})
}

func TestFaultOfSharedIsNoFaultOfTheRequest(t *testing.T) {
	bubble(t, all100(), func(t *testing.T, shared *fakeShared, a, b *replica) {
		shared.down.Store(true) // and not known to be
		a.admit("a", Ask{User: "u", Tokens: 50}).Settle(50, 0)
		a.refuse("a", Ask{User: "u", Tokens: 50})
		if got := a.Readings(); !got.Shared || got.Up {
			t.Errorf("readings: %+v", got)
		}
		shared.down.Store(false)
		a.settled()
		if got := b.used("a", Ask{User: "u"}, "l", "tokensPerMinute"); got != 50 {
			t.Errorf("%d tokens are used, want 50", got)
		}
	})
}

func TestOneRequestAtATimeMayFollowTheOtherAtOnce(t *testing.T) {
	bubble(t, one(config.Amounts{Concurrent: 1}), func(t *testing.T, shared *fakeShared, a, _ *replica) {
		for range 5 {
			a.admit("a", Ask{}).Settle(0, 0)
		}
		g := a.admit("a", Ask{})
		shared.fail(errTest) // so it cannot be given back now
		g.Settle(0, 0)
		if refused := a.refuse("a", Ask{}); refused.Wait != gaugeWait {
			t.Errorf("refused: %+v", refused)
		}
		shared.fail(nil)
		a.settled()
		a.admit("a", Ask{}).Settle(0, 0)
	})
}

func TestPoolIsSharedAmongReplicas(t *testing.T) {
	bubble(t, pooled(), func(t *testing.T, shared *fakeShared, a, b *replica) {
		a.drawOrFail("a", 10).Settle(10, 0)
		b.drawOrFail("b", 40).Settle(30, 0)
		b.settled()
		if _, refused := a.draw("b", 11); refused == nil {
			t.Error("b was lent what a may want")
		}
		a.drawOrFail("b", 10).Settle(10, 0)
		shared.away(true)
		if _, refused := a.draw("b", 11); refused == nil {
			t.Error("b was lent what a may want")
		}
		if _, refused := a.draw("a", 31); refused == nil || refused.Allowed != 50 {
			t.Errorf("refused: %+v", refused) // of 60, half is here
		}
		a.drawOrFail("a", 20).Settle(20, 0)
		shared.away(false)
		a.settled()
		if _, refused := b.draw("a", 31); refused == nil {
			t.Error("more was given than there is")
		}
		b.drawOrFail("a", 30).Settle(30, 0)
	})
}

func TestSlotsFollowTheClockOfShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared(func() time.Time { return time.Now().Add(time.Hour) }, 1)
		r := newReplica(t, shared, "", all100())
		defer r.stop()
		r.admit("a", Ask{User: "u", Tokens: 50}).Settle(10, 0)
		r.settled()
		if got := r.used("a", Ask{User: "u"}, "l", "tokensPerMinute"); got != 10 {
			t.Errorf("%d tokens are used, want 10", got)
		}
		shared.away(true)
		r.admit("a", Ask{User: "u", Tokens: 20}).Settle(20, 0)
		r.refuse("a", Ask{User: "u", Tokens: 71})
		shared.away(false)
		r.settled()
		if got := r.used("a", Ask{User: "u"}, "l", "tokensPerMinute"); got != 30 {
			t.Errorf("%d tokens are used, want 30", got)
		}
	})
}

func TestRequestThatIsGoneDoesNotPartTheReplicas(t *testing.T) {
	bubble(t, all100(), func(t *testing.T, shared *fakeShared, a, _ *replica) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		shared.down.Store(true)
		g, _ := a.rules.For("a").Admit(ctx, Ask{User: "u"})
		shared.down.Store(false)
		g.Settle(0, 0)
		if !a.Readings().Up {
			t.Error("the replicas have parted")
		}
	})
}
