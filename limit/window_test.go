package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"aigateway/config"
)

// TestWindowsAgreeWithALogOfAllRequests plays requests against a log of what
// was admitted when, and of what it used.
func TestWindowsAgreeWithALogOfAllRequests(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const limit = 100
		f := newFixture(t, Options{}, one(config.Amounts{TokensPerMinute: limit}))
		app := f.rules.For("a")
		type admitted struct {
			at     time.Time
			tokens int64
			grant  *Grant
		}
		var log []*admitted
		slot := func(at time.Time) int64 { return at.UnixNano() / int64(SlotLength) }
		held := func(now time.Time) (n int64) {
			for _, e := range log {
				if slot(e.at) >= slot(now)-Slots {
					n += e.tokens
				}
			}
			return n
		}
		rt.Repeat(map[string]func(*rapid.T){
			"time passes": func(rt *rapid.T) {
				f.clock.forward(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(rt, "for")))
			},
			"a request comes": func(rt *rapid.T) {
				tokens := rapid.Int64Range(0, limit).Draw(rt, "tokens")
				now := f.clock.now()
				fits := held(now)+tokens <= limit
				g, refused := app.Admit(t.Context(), Ask{Tokens: tokens})
				if (g != nil) != fits {
					rt.Fatalf("%d tokens with %d held: %v", tokens, held(now), refused)
				}
				if g != nil {
					log = append(log, &admitted{now, tokens, g})
					return
				}
				if refused.Wait <= 0 || refused.Wait > 65*time.Second {
					rt.Fatalf("the wait is %v", refused.Wait)
				}
				if got := held(now.Add(refused.Wait)) + tokens; got > limit {
					rt.Errorf("after the wait of %v %d tokens would be used", refused.Wait, got)
				}
				if got := held(now.Add(refused.Wait-time.Nanosecond)) + tokens; got <= limit {
					rt.Errorf("the wait of %v is too long", refused.Wait)
				}
			},
			"a request ends": func(rt *rapid.T) {
				for _, e := range log {
					if e.grant != nil && rapid.Bool().Draw(rt, "this one") {
						used := rapid.Int64Range(0, e.tokens).Draw(rt, "used")
						e.grant.Settle(used, 0)
						if slot(e.at) >= slot(f.clock.now())-Slots {
							e.tokens = used
						}
						e.grant = nil
						return
					}
				}
			},
			"": func(rt *rapid.T) {
				if got, want := f.used("a", Ask{}, "l", "tokensPerMinute"), held(f.clock.now()); got != want {
					rt.Errorf("%d tokens are used, want %d", got, want)
				}
				for i, last := range log {
					var n int64
					for _, e := range log[:i+1] {
						if last.at.Sub(e.at) < time.Minute {
							n += e.tokens
						}
					}
					if n > limit {
						rt.Errorf("the minute before %v holds %d tokens", last.at, n)
					}
				}
			},
		})
	})
}

func TestWindowIsOpenToMoreThanWasReserved(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{TokensPerMinute: 100}))
	f.admit("a", Ask{Tokens: 10}).Settle(250, 0)
	if got := f.used("a", Ask{}, "l", "tokensPerMinute"); got != 250 {
		t.Errorf("%d tokens are used, want 250", got)
	}
	refused := f.refuse("a", Ask{Tokens: 1})
	f.clock.forward(refused.Wait)
	f.admit("a", Ask{Tokens: 100})
}

func TestWindowSettlesInTheSlotThatItWasChargedIn(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{TokensPerMinute: 100}))
	late := f.admit("a", Ask{Tokens: 60})
	f.clock.forward(40 * time.Second)
	f.admit("a", Ask{Tokens: 40}).Settle(40, 0)
	f.clock.forward(26 * time.Second) // the first 60 have left
	f.admit("a", Ask{Tokens: 60}).Settle(60, 0)
	late.Settle(10, 0)
	if got := f.used("a", Ask{}, "l", "tokensPerMinute"); got != 100 {
		t.Errorf("%d tokens are used, want 100", got)
	}
}

func TestClockThatIsPutBackNeitherForgivesNorRefusesForEver(t *testing.T) {
	for name, jump := range map[string]time.Duration{
		"a second":    -time.Second,
		"ten seconds": -10 * time.Second,
		"two minutes": -2 * time.Minute,
		"a month":     -31 * 24 * time.Hour,
		"ten years":   -87_600 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, Options{}, one(config.Amounts{TokensPerMinute: 100, TokensPerDay: 1000, Concurrent: 5}))
			g := f.admit("a", Ask{Tokens: 60})
			f.clock.forward(jump)
			refused := f.refuse("a", Ask{Tokens: 41})
			if refused.Wait <= 0 || refused.Wait > 75*time.Second {
				t.Errorf("the wait is %v", refused.Wait)
			}
			g.Settle(10, 0)
			f.clock.forward(76 * time.Second)
			f.admit("a", Ask{Tokens: 100}).Settle(0, 0)
		})
	}
}

func TestWindowThatIsPutBackKeepsTheAgesOfWhatItHolds(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{TokensPerMinute: 100}))
	f.admit("a", Ask{Tokens: 60}).Settle(60, 0)
	f.clock.forward(30 * time.Second)
	f.admit("a", Ask{Tokens: 40}).Settle(40, 0)
	f.clock.forward(-time.Hour)
	if got := f.refuse("a", Ask{Tokens: 60}).Wait; got > 40*time.Second {
		t.Errorf("the wait is %v", got)
	}
	f.clock.forward(40 * time.Second)
	f.admit("a", Ask{Tokens: 60}).Settle(60, 0)
	f.refuse("a", Ask{Tokens: 1})
}

func TestWindowNeverHoldsLessThanNothing(t *testing.T) {
	var w window
	w.roll(5)
	w.add(5, 10)
	if got := w.add(5, -11); got != -10 || w.sum != 0 {
		t.Errorf("%d was added and %d are held", got, w.sum)
	}
}

func TestClockThatJumpsForwardAndBackForgivesNoQuota(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{TokensPerDay: 100, TokensPerMonth: 100}))
	early := f.admit("a", Ask{Tokens: 90})
	f.clock.forward(31 * 24 * time.Hour)
	f.admit("a", Ask{Tokens: 50}).Settle(50, 0)
	f.clock.forward(-31 * 24 * time.Hour)
	f.refuse("a", Ask{Tokens: 11})
	early.Settle(80, 0)
	if got := f.used("a", Ask{}, "l", "tokensPerMonth"); got != 80 {
		t.Errorf("%d tokens of the month are used, want 80", got)
	}
	f.clock.forward(31 * 24 * time.Hour)
	if got := f.used("a", Ask{}, "l", "tokensPerMonth"); got != 50 {
		t.Errorf("%d tokens of the next month are used, want 50", got)
	}
}
