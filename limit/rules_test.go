package limit

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"aigateway/config"
)

func TestReloadForgivesNothing(t *testing.T) {
	cfg := func(minute, day int64) *config.Config {
		c := apps([]string{"a"}, config.Limit{ID: "l", Per: []string{"user"}, Allow: config.Amounts{TokensPerMinute: minute, TokensPerDay: day, Concurrent: 2}})
		c.Applications[0].Endpoints = []config.Endpoint{{ID: "e", URI: "https://e", Pool: "p", Limits: config.Amounts{TokensPerMinute: minute}}}
		c.Pools = []config.Pool{{ID: "p", TokensPerMinute: minute}}
		return c
	}
	f := newFixture(t, Options{}, cfg(100, 100))
	g := f.admit("a", Ask{User: "u", Tokens: 60})
	at, _ := f.rules.For("a").AdmitAt(t.Context(), 0, Ask{Tokens: 60, Cost: 0})
	f.reload(cfg(80, 70))
	f.refuse("a", Ask{User: "u", Tokens: 21})
	for _, limit := range []string{"endpoint a/e", "pool p"} {
		if got := f.used("a", Ask{}, limit, "tokensPerMinute"); got != 60 {
			t.Errorf("%s: %d tokens are used, want 60", limit, got)
		}
	}
	g.Settle(50, 0)
	at.Settle(50, 0)
	f.admit("a", Ask{User: "u", Tokens: 20}).Settle(20, 0)
	f.refuse("a", Ask{User: "u", Tokens: 1})

	f.reload(apps([]string{"a"})) // forgets what is gone
	if got := f.Readings().Accounts; got != 0 {
		t.Errorf("%d accounts are kept of limits that are gone", got)
	}
	f.reload(cfg(80, 70))
	f.admit("a", Ask{User: "u", Tokens: 70})
}

func TestGrantOutlivesItsLimit(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{TokensPerDay: 100, Concurrent: 1}))
	g := f.admit("a", Ask{Tokens: 60})
	f.reload(apps([]string{"a"}))
	g.Settle(50, 0)
}

func TestAccountsAreToldApart(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	asks := []Ask{
		{},
		{User: "u"},
		{Tenant: "u"},
		{Tenant: "1:u", User: ""},
		{Tenant: "a", User: "bc"},
		{Tenant: "ab", User: "c"},
		{Tenant: "a b", User: "c"},
		{User: long},
		{User: long + "y"},
		{Tenant: long},
		{Tenant: long, User: long},
		{Tenant: strings.Repeat("t", 100), User: strings.Repeat("u", 100)},
		{Tenant: strings.Repeat("t", 100), User: strings.Repeat("u", 99)},
		{User: "a\nb\x00"},
		{User: string(hashed(nil, []byte(long)))},
	}
	f := newFixture(t, Options{}, one(config.Amounts{RequestsPerMinute: 1, TokensPerMonth: 1000}, "tenant", "user"))
	for _, ask := range asks {
		f.admit("a", ask)
	}
	for _, ask := range asks {
		f.refuse("a", ask)
	}
}

func TestKeysAreShort(t *testing.T) {
	long := strings.Repeat("é", 128) // the longest ids, in characters
	cfg := apps([]string{long}, config.Limit{
		ID: strings.Repeat("l", 128), Per: []string{"app", "caller", "tenant", "user", "model"},
		Allow: config.Amounts{TokensPerMinute: 1000, TokensPerMonth: 1000, RequestsPerMinute: 10, Concurrent: 10},
	})
	cfg.Pools = []config.Pool{{ID: strings.Repeat("p", 128), TokensPerMinute: 100}}
	cfg.Applications[0].Endpoints = []config.Endpoint{{
		ID: strings.Repeat("e", 128), URI: "https://" + long, Pool: cfg.Pools[0].ID, Limits: config.Amounts{RequestsPerMinute: 1, CostPerMonth: 1},
	}}
	f := newFixture(t, Options{}, cfg)
	ask := Ask{Caller: long, Tenant: long, User: strings.Repeat("u", 120), Model: long}
	f.admit(long, ask)
	f.admit(long, Ask{Caller: "c"})
	m := f.Limits.clock.moment()
	n := 0
	for _, r := range f.rules.For(long).all() {
		for a, most := range r.most {
			if most > 0 {
				n++
				if key := r.charge(r.purse(&ask), amount(a), &m).Key; len(key) > 300 {
					t.Errorf("a key of %d bytes: %s", len(key), key)
				}
			}
		}
	}
	if n != 7 {
		t.Errorf("%d amounts are limited, want 7", n)
	}
}

func TestAppsThatAreCountedForThemselvesShareNoLock(t *testing.T) {
	f := newFixture(t, Options{}, apps([]string{"a", "b"}, config.Limit{ID: "l", Per: []string{"user", "app"}, Allow: config.Amounts{RequestsPerMinute: 1}}))
	a, b := f.rules.For("a").requests[0], f.rules.For("b").requests[0]
	if a.book == b.book || a.book.limit != b.book.limit || a.book.tally != b.book.tally {
		t.Error("two apps have one book, or are not of one limit")
	}
}

func TestTokensAndCostAreCountedOnlyWhereTheyAreLimited(t *testing.T) {
	for _, c := range []struct {
		allow        config.Amounts
		tokens, cost bool
	}{
		{config.Amounts{RequestsPerMinute: 1, Concurrent: 1}, false, false},
		{config.Amounts{TokensPerMinute: 1}, true, false},
		{config.Amounts{TokensPerMonth: 1}, true, false},
		{config.Amounts{CostPerDay: 1}, true, true},
	} {
		app := newFixture(t, Options{}, one(c.allow)).rules.For("a")
		if app.CountsTokens() != c.tokens || app.CountsCost() != c.cost {
			t.Errorf("%+v: counts tokens %v, cost %v", c.allow, app.CountsTokens(), app.CountsCost())
		}
	}
}

func TestRefusalSaysWhoseAccountItIs(t *testing.T) {
	f := newFixture(t, Options{}, apps([]string{"a"}, config.Limit{ID: "l", Per: []string{"app", "tenant", "user"}, Allow: config.Amounts{RequestsPerMinute: 1}}))
	for want, ask := range map[string]Ask{
		"app=a tenant= user=u": {User: "u"},
		"app=a tenant=t user=" + strings.Repeat("é", 64) + "…":    {Tenant: "t", User: strings.Repeat("é", 5000)},
		"app=a tenant=t\uFFFDx=1 user=" + strings.Repeat("v", 64): {Tenant: "t\nx=1", User: strings.Repeat("v", 64)},
	} {
		f.admit("a", ask)
		if got := f.refuse("a", ask).Per; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	broken := Ask{User: strings.Repeat("\xff", 1000)}
	f.admit("a", broken)
	if got := f.refuse("a", broken).Per; !utf8.ValidString(got) || len(got) > 400 {
		t.Errorf("got %q", got)
	}
}

func TestPerIsPartOfWhatAnAccountIs(t *testing.T) {
	allow := config.Amounts{RequestsPerMinute: 1}
	f := newFixture(t, Options{}, one(allow, "user"))
	f.admit("a", Ask{User: "x", Tenant: "x"})
	f.reload(one(allow, "tenant"))
	f.admit("a", Ask{User: "x", Tenant: "x"})
	if !slices.Equal(f.rules.For("a").requests[0].per, []string{"tenant"}) {
		t.Error("the reload had no effect")
	}
}
