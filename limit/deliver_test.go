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

func TestSettlementsWhoseAnswerIsLostCountOnce(t *testing.T) {
	ask := Ask{User: "u", Tokens: 50}
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared(time.Now, 1) // which keeps the last id of one
		r := newReplica(t, shared, "", one(config.Amounts{TokensPerMinute: 400, TokensPerDay: 1000, Concurrent: 5}, "user"))
		defer r.stop()
		want := func(minute, day int64) {
			t.Helper()
			if got := r.used("a", ask, "l", "tokensPerMinute"); got != minute {
				t.Errorf("%d tokens of the minute are used, want %d", got, minute)
			}
			if got := r.used("a", ask, "l", "tokensPerDay"); got != day {
				t.Errorf("%d tokens of the day are used, want %d", got, day)
			}
		}
		r.admit("a", ask)
		first, second := r.admit("a", ask), r.admit("a", ask)
		shared.loseAnswers(true)
		first.Settle(30, 0)
		pass(time.Second) // some attempts
		second.Settle(30, 0)
		r.admit("a", ask).Settle(30, 0) // alone
		pass(time.Second)
		if got := r.Readings(); got.Up || got.Waiting == 0 {
			t.Errorf("readings: %+v", got)
		}
		shared.loseAnswers(false)
		r.settled()
		want(140, 140)

		// What it lost since counts once too.
		third := r.admit("a", ask)
		shared.loseAnswers(true)
		third.Settle(60, 0)
		pass(time.Second)
		shared.flush()
		shared.loseAnswers(false)
		r.settled()
		if got := r.used("a", ask, "l", "tokensPerDay"); got != 200 {
			t.Errorf("%d tokens of the day are used, want 200", got)
		}
	})
}

func TestLostAnswerOfManySettlementsCountsThemOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared(time.Now, 1)
		r := newReplica(t, shared, "", one(config.Amounts{TokensPerDay: 100}, "user"))
		defer r.stop()
		const users = 2*MostSettled + 1
		var open []*Grant
		for i := range users {
			open = append(open, r.admit("a", Ask{User: fmt.Sprint(i), Tokens: 50}))
		}
		shared.loseAnswers(true)
		for _, g := range open {
			g.Settle(30, 0)
		}
		pass(time.Second)
		shared.loseAnswers(false)
		r.settled()
		for i := range users {
			if got := r.used("a", Ask{User: fmt.Sprint(i)}, "l", "tokensPerDay"); got != 30 {
				t.Errorf("%d tokens are used by user %d, want 30", got, i)
			}
		}
	})
}

func TestWhatTheFileSaysIsOwedHasWhatIsOnItsWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quotas.json")
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared(time.Now, 1)
		r := newReplica(t, shared, file, all100())
		g := r.admit("a", Ask{User: "u", Tokens: 10})
		shared.fail(errTest)
		g.Settle(60, 0)
		pass(housekeeping)
		r.stop()
		shared.fail(nil)
		r = newReplica(t, shared, file, all100())
		defer r.stop()
		r.admit("a", Ask{User: "u"}).Settle(0, 0)
		r.settled()
		if got := r.used("a", Ask{User: "u"}, "l", "tokensPerDay"); got != 60 {
			t.Errorf("%d tokens are used, want 60", got)
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
		const users = 3*MostSettled + 1
		for i := range users {
			a.admit("a", Ask{User: fmt.Sprint(i), Tokens: 1}).Settle(1, 0)
		}
		shared.away(false)
		a.settled()
		if got := len(shared.periods); got != users+1 { // and the mark
			t.Errorf("%d accounts are shared, want %d", got, users+1)
		}
		if shared.largest != MostSettled {
			t.Errorf("%d settlements came at once, want %d", shared.largest, MostSettled)
		}
	})
}
