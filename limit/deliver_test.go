package limit

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aigateway/config"
)

func TestSettlementsAreTriedAgain(t *testing.T) {
	bubble(t, all100(), func(t *testing.T, shared *fakeShared, a, b *replica) {
		g := a.admit("a", Ask{User: "u", Tokens: 50})
		shared.fail(errTest)
		g.Settle(10, 0)
		pass(time.Second)
		if got := a.Readings(); got.Waiting == 0 || got.Up {
			t.Errorf("readings: %+v", got)
		}
		shared.fail(nil)
		a.settled()
		if got := b.used("a", Ask{User: "u"}, "l", "tokensPerDay"); got != 10 {
			t.Errorf("%d tokens are used, want 10", got)
		}
	})
}

func TestQuotasAreNotForgivenWhenSharedIsEmptied(t *testing.T) {
	bubble(t, all100(), func(t *testing.T, shared *fakeShared, a, b *replica) {
		a.admit("a", Ask{User: "u", Tokens: 40}).Settle(40, 1e8)
		running := b.admit("a", Ask{User: "u", Tokens: 30})
		a.settled()
		for range 2 { // once while it is up, once while it is away
			shared.flush()
			a.settled()
			for _, r := range []*replica{a, b} {
				if got := r.used("a", Ask{User: "u"}, "l", "tokensPerDay"); got != 70 {
					t.Errorf("%d tokens of the day are used, want 70", got)
				}
				if got := r.used("a", Ask{User: "u"}, "l", "costPerMonth"); got != 1e8 {
					t.Errorf("the cost is %d", got)
				}
			}
			shared.away(true)
			pass(time.Second)
			shared.flush()
			shared.away(false)
		}
		a.settled()
		running.Settle(20, 0)
		b.settled()
		if got := a.used("a", Ask{User: "u"}, "l", "tokensPerDay"); got != 60 {
			t.Errorf("%d tokens of the day are used, want 60", got)
		}
	})
}

func TestWhatWasOnItsWayWhenSharedWasEmptiedCountsOnce(t *testing.T) {
	bubble(t, all100(), func(t *testing.T, shared *fakeShared, a, b *replica) {
		g := a.admit("a", Ask{User: "u", Tokens: 10})
		shared.fail(errTest)
		g.Settle(50, 0)
		pass(time.Second)
		shared.flush()
		shared.fail(nil)
		a.settled()
		if got := b.used("a", Ask{User: "u"}, "l", "tokensPerDay"); got != 50 {
			t.Errorf("%d tokens are used, want 50", got)
		}
	})
}

func TestReplicaThatEndsTellsSharedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared(time.Now, 2)
		a, b := newReplica(t, shared, "", all100()), newReplica(t, shared, "", all100())
		a.admit("a", Ask{User: "u", Tokens: 60}).Settle(10, 0)
		a.stop()
		if got := b.used("a", Ask{User: "u"}, "l", "tokensPerMinute"); got != 10 {
			t.Errorf("%d tokens are used, want 10", got)
		}
		b.stop()
	})
}

func TestMonthEndsWithoutCountingTwice(t *testing.T) {
	start := time.Date(2025, 3, 31, 23, 59, 50, 5e8, time.UTC)
	bubbleAt(t, start, all100(), func(t *testing.T, shared *fakeShared, a, b *replica) {
		g := a.admit("a", Ask{User: "u", Tokens: 50, Cost: 5e8})
		pass(9600 * time.Millisecond) // before the month's first check
		g.Settle(40, 4e8)
		b.admit("a", Ask{User: "u", Tokens: 30, Cost: 3e8}).Settle(20, 2e8)
		b.settled()
		a.settled()
		if got := a.used("a", Ask{User: "u"}, "l", "costPerMonth"); got != 2e8 {
			t.Errorf("the cost of April is %d", got)
		}
		var march int64
		for key, used := range shared.periods {
			if strings.HasSuffix(key, "costPerMonth 2025-03") {
				march = used
			}
		}
		if march != 4e8 {
			t.Errorf("the cost of March is %d", march)
		}
	})
}

func TestRestartWithSharedAndAFileCountsNothingTwice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quotas.json")
	ask := Ask{User: "u"}
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared(time.Now, 1)
		want := func(r *replica, tokens int64) {
			t.Helper()
			r.settled()
			if got := r.used("a", ask, "l", "tokensPerDay"); got != tokens {
				t.Errorf("%d tokens are used, want %d", got, tokens)
			}
		}
		r := newReplica(t, shared, file, all100())
		r.admit("a", Ask{User: "u", Tokens: 40}).Settle(40, 0)
		want(r, 40)
		r.stop()

		r = newReplica(t, shared, file, all100()) // what Shared was told
		want(r, 40)
		shared.fail(errTest)
		r.admit("a", Ask{User: "u", Tokens: 1}).Settle(5, 0)
		pass(time.Second)
		r.stop()

		shared.fail(nil)
		r = newReplica(t, shared, file, all100()) // what was on its way
		r.admit("a", Ask{User: "u"}).Settle(0, 0)
		want(r, 45)
		shared.away(true)
		r.admit("a", Ask{User: "u", Tokens: 10}).Settle(10, 0)
		r.stop()

		shared.away(false)
		r = newReplica(t, shared, file, all100()) // what it was not
		r.admit("a", Ask{User: "u", Tokens: 1}).Settle(1, 0)
		want(r, 56)
		r.stop()

		shared.flush()
		r = newReplica(t, shared, file, all100()) // what it has lost
		r.admit("a", Ask{User: "u", Tokens: 1}).Settle(1, 0)
		want(r, 57)
		r.stop()

		alone := newReplica(t, nil, file, all100())
		alone.admit("a", Ask{User: "u", Tokens: 8}).Settle(8, 0)
		want(alone, 65)
		alone.stop()
		r = newReplica(t, shared, file, all100())
		r.admit("a", Ask{User: "u"}).Settle(0, 0)
		want(r, 65)
		r.stop()
	})
}

func TestDebtsStayBoundedWhileSharedIsAway(t *testing.T) {
	bubble(t, one(config.Amounts{TokensPerMinute: 100}, "user"), func(t *testing.T, shared *fakeShared, a, _ *replica) {
		shared.away(true)
		for i := range 200 {
			a.admit("a", Ask{User: fmt.Sprint(i % 3), Tokens: 1}).Settle(1, 0)
			pass(5 * time.Second)
		}
		if got := a.Readings().Waiting; got != 3 {
			t.Errorf("%d wait, want the 3 accounts", got)
		}
		for _, p := range a.rules.For("a").requests[0].book.all {
			if got := len(p.minutes[tokensPerMinute-quotas].owed); got > Slots+1 {
				t.Errorf("%d slots are owed", got)
			}
		}
		pass(2 * time.Minute)
		if got := a.Readings().Accounts; got != 3 { // else there is no bound on those that wait
			t.Errorf("%d accounts, want the 3 that owe something", got)
		}
		shared.away(false)
		pass(2 * time.Minute)
		if got := a.Readings(); got.Accounts != 0 || got.Waiting != 0 {
			t.Errorf("readings: %+v", got)
		}
	})
}

func TestBacklogIsDeliveredInBundles(t *testing.T) {
	bubble(t, one(config.Amounts{TokensPerDay: 100}, "user"), func(t *testing.T, shared *fakeShared, a, _ *replica) {
		shared.away(true)
		const users = 3*bundle + 1
		for i := range users {
			a.admit("a", Ask{User: fmt.Sprint(i), Tokens: 1}).Settle(1, 0)
		}
		shared.away(false)
		a.settled()
		if got := len(shared.periods); got != users+1 { // and the mark
			t.Errorf("%d accounts are shared, want %d", got, users+1)
		}
		if shared.largest != bundle {
			t.Errorf("%d settlements came at once, want %d", shared.largest, bundle)
		}
	})
}
