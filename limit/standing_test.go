package limit

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/config"
)

func TestStandingsTellOfEveryLimitThatIsForARequest(t *testing.T) {
	cfg := apps([]string{"a"},
		config.Limit{ID: "user", Per: []string{"user"}, Allow: config.Amounts{TokensPerMinute: 100, TokensPerDay: 500, Mode: "observe"}},
		config.Limit{ID: "others", Users: []string{"v"}, Allow: config.Amounts{TokensPerMinute: 100}},
		config.Limit{ID: "all", Allow: config.Amounts{CostPerMonth: 2, Concurrent: 3}},
	)
	cfg.Applications[0].Endpoints = []config.Endpoint{
		{ID: "0", URI: "https://0", Pool: "p"},
		{ID: "1", URI: "https://1", Pool: "p", Limits: config.Amounts{RequestsPerMinute: 7}},
	}
	cfg.Pools = []config.Pool{{ID: "p", TokensPerMinute: 50}}
	f := newFixture(t, Options{}, cfg)
	g := f.admit("a", Ask{User: "u", Tokens: 30, Cost: billion})
	defer g.Settle(0, 0)
	at, refused := f.rules.For("a").AdmitAt(t.Context(), 1, Ask{Tokens: 30, Cost: billion})
	if refused != nil {
		t.Fatal(refused)
	}
	at.Settle(20, billion)

	minute := time.Date(2025, 3, 14, 12, 1, 5, 0, time.UTC)
	day, month := time.Date(2025, 3, 15, 0, 0, 0, 0, time.UTC), time.Date(2025, 4, 1, 0, 0, 0, 0, time.UTC)
	want := []Standing{
		{"user", "tokensPerDay", "user=u", "observe", 500, 30, 470, 500, day, false},
		{"user", "tokensPerMinute", "user=u", "observe", 100, 30, 70, 100, minute, false},
		{"all", "costPerMonth", "", "enforce", 2 * billion, billion, billion, 2 * billion, month, false},
		{"all", "concurrent", "", "enforce", 3, 1, 2, 3, time.Time{}, false},
		{"pool p", "tokensPerMinute", "app=a", "enforce", 50, 20, 30, 50, minute, false},
		{"endpoint a/1", "requestsPerMinute", "app=a endpoint=1", "enforce", 7, 1, 6, 7, minute, false},
	}
	if diff := cmp.Diff(want, f.rules.For("a").Standings(t.Context(), Ask{User: "u"})); diff != "" {
		t.Errorf("standings (-want +got):\n%s", diff)
	}
}

func TestStandingsOpenNoAccount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quotas.json")
	f := newFixture(t, Options{File: file}, quota())
	f.admit("a", Ask{User: "u", Tokens: 70}).Settle(70, 0)
	f.save()
	f.start(Options{File: file}, quota())
	for range 2 { // looking forgets nothing either
		for i := range 10 {
			if got := f.used("a", Ask{User: fmt.Sprint(i)}, "l", "tokensPerDay"); got != 0 {
				t.Errorf("%d tokens are used by nobody", got)
			}
		}
		for _, amount := range []string{"tokensPerDay", "tokensPerMonth"} {
			if got := f.used("a", Ask{User: "u"}, "l", amount); got != 70 {
				t.Errorf("%s: %d are used, want 70", amount, got)
			}
		}
		if got := f.used("a", Ask{User: "u"}, "l", "tokensPerMinute"); got != 0 {
			t.Errorf("%d tokens of the minute are used", got)
		}
	}
	if got := f.Readings().Accounts; got != 0 {
		t.Errorf("%d accounts", got)
	}
	f.refuse("a", Ask{User: "u", Tokens: 31})
	f.admit("a", Ask{User: "u", Tokens: 30})
	if got := f.standing("a", Ask{User: "u"}, "l", "tokensPerDay"); got.Used != 100 || got.Remaining != 0 {
		t.Errorf("standing: %+v", got)
	}
}

func TestStandingsOfWhomOnlySharedKnowsOpenNoAccount(t *testing.T) {
	bubble(t, all100(), func(t *testing.T, _ *fakeShared, a, b *replica) {
		a.admit("a", Ask{User: "u", Tokens: 70}).Settle(70, 0)
		a.settled()
		if got := b.used("a", Ask{User: "u"}, "l", "tokensPerDay"); got != 70 {
			t.Errorf("%d tokens are used, want 70", got)
		}
		if got := b.Readings().Accounts; got != 0 {
			t.Errorf("%d accounts", got)
		}
	})
}

func TestStandingsLookAgainWhenAPurseHasJustGone(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{RequestsPerMinute: 1}, "user"))
	f.admit("a", Ask{User: "u"}).Settle(0, 0)
	book := f.rules.For("a").requests[0].book
	p := book.find(appendValue(nil, "u"))
	p.mu.Lock()
	p.gone = true // and the book knows it, but the caller has found it before
	p.mu.Unlock()
	seen := make(chan []Standing)
	go func() { seen <- f.rules.For("a").Standings(t.Context(), Ask{User: "u"}) }()
	book.mu.Lock()
	delete(book.purses, "1:u")
	book.mu.Unlock()
	if s := <-seen; s[0].Used != 0 {
		t.Errorf("%+v", s)
	}
}
