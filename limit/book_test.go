package limit

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aigateway/config"
)

func TestPursesAreBounded(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, one(config.Amounts{RequestsPerMinute: 1}, "tenant"))
	for i := range mostPurses {
		f.admit("a", Ask{Tenant: fmt.Sprint(i)}).Settle(0, 0)
	}
	if log.Len() > 0 {
		t.Errorf("logged with room for all: %s", &log)
	}
	f.admit("a", Ask{Tenant: "first without room"}).Settle(0, 0)
	for i := range 1000 {
		refused := f.refuse("a", Ask{Tenant: fmt.Sprint("further ", i)}) // they share what there is
		if i == 0 && refused.Per != "tenant=further 0, which shares an account with others" {
			t.Errorf("refused for %s", refused.Per)
		}
	}
	if s := f.standing("a", Ask{Tenant: "further 0"}, "l", "requestsPerMinute"); s.Used != 1 || s.Per != "tenant=further 0, which shares an account with others" {
		t.Errorf("standing: %+v", s)
	}
	if got := f.Readings().Decisions[0]; got != (Decisions{Limit: "l", Admitted: mostPurses + 1, Refused: 1000, Crowded: 1001}) {
		t.Errorf("got %+v", got)
	}
	if n := strings.Count(log.String(), "no room"); n != 1 {
		t.Errorf("%d lines say that there is no room, want 1", n)
	}
	f.refuse("a", Ask{Tenant: "0"})
	if got := f.Readings().Accounts; got != mostPurses+1 {
		t.Errorf("%d accounts, want %d", got, mostPurses+1)
	}

	f.clock.forward(66 * time.Second) // all are idle now
	for i := range 1000 {
		f.admit("a", Ask{Tenant: fmt.Sprint("further ", i)})
	}
	f.prune()
	if got := f.Readings().Accounts; got != 1001 {
		t.Errorf("%d accounts are kept, want those of the last minute and the one for the rest", got)
	}
	if got := f.rules.For("a").requests[0].book.tally.purses.Load(); got != 1001 {
		t.Errorf("%d accounts are reckoned with, want 1001", got)
	}
}

func TestLogIsToldOfALimitWithoutRoomOnceAnHour(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, apps([]string{"a", "b"},
		config.Limit{ID: "l", Per: []string{"app", "user"}, Allow: config.Amounts{TokensPerMonth: 1000}},
		config.Limit{ID: "m", Per: []string{"app", "user"}, Allow: config.Amounts{TokensPerMonth: 1000}}))
	for _, id := range []string{"l", "m"} {
		f.tallies[id].purses.Store(mostPurses)
	}
	fill := func(want int) {
		t.Helper()
		for _, app := range []string{"a", "b"} {
			for i := range leastPurses + 1 {
				f.admit(app, Ask{User: fmt.Sprint(i), Tokens: 1}).Settle(1, 0)
			}
		}
		for _, id := range []string{"l", "m"} {
			if n := strings.Count(log.String(), "limit="+id); n != want {
				t.Errorf("%d lines tell of limit %s, want %d", n, id, want)
			}
		}
	}
	fill(1)
	f.clock.forward(remind - time.Nanosecond)
	fill(1)
	f.clock.forward(time.Nanosecond)
	fill(2)
}

func TestApplicationHasRoomThoughOthersFillALimit(t *testing.T) {
	f := newFixture(t, Options{}, apps([]string{"a", "b"}, config.Limit{ID: "l", Per: []string{"app", "user"}, Allow: config.Amounts{TokensPerDay: 10}}))
	for i := range mostPurses {
		f.admit("a", Ask{User: fmt.Sprint(i), Tokens: 1}).Settle(1, 0)
	}
	for i := range leastPurses {
		f.admit("b", Ask{User: fmt.Sprint(i), Tokens: 10})
	}
	f.admit("b", Ask{User: "one more", Tokens: 10}).Settle(10, 0)
	f.refuse("b", Ask{User: "and one more", Tokens: 10})
}

func TestPrunedIsOnlyWhatForgivesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		allow config.Amounts
		after time.Duration // when it may go
	}{
		"window": {config.Amounts{TokensPerMinute: 10}, 65 * time.Second},
		"day":    {config.Amounts{TokensPerDay: 10}, 12 * time.Hour},
		"month":  {config.Amounts{TokensPerMonth: 10}, (17*24 + 12) * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, Options{}, one(c.allow, "user"))
			f.admit("a", Ask{User: "u", Tokens: 10}).Settle(10, 0)
			f.clock.forward(c.after - 5*time.Second)
			f.prune()
			if f.Readings().Accounts != 1 {
				t.Fatal("it went too early")
			}
			f.clock.forward(5 * time.Second)
			f.prune()
			if f.Readings().Accounts != 0 {
				t.Error("it did not go")
			}
		})
	}
	f := newFixture(t, Options{}, one(config.Amounts{TokensPerDay: 10}, "user"))
	g := f.admit("a", Ask{User: "u"}) // long under way, with nothing reserved
	f.clock.forward(time.Hour)
	f.prune()
	g.Settle(10, 0)
	f.refuse("a", Ask{User: "u", Tokens: 1})
}

func TestRequestFindsAnotherPurseWhenItsOwnHasJustGone(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{RequestsPerMinute: 1}, "user"))
	book := f.rules.For("a").requests[0].book
	p := book.find(appendValue(nil, "u"))
	p.mu.Lock()
	p.gone = true // and the book knows it, but the request has found it before
	p.mu.Unlock()
	admitted := make(chan *Grant)
	go func() {
		g, _ := f.rules.For("a").Admit(t.Context(), Ask{User: "u"})
		admitted <- g
	}()
	for range 1000 {
		runtime.Gosched()
	}
	book.mu.Lock()
	delete(book.purses, "1:u")
	book.mu.Unlock()
	if g := <-admitted; g.entries[0].purse == p {
		t.Error("it drew on the purse that is gone")
	}
}

func TestPruningAndAdmittingAtOnceLosesNothing(t *testing.T) {
	f := newFixture(t, Options{}, one(config.Amounts{RequestsPerMinute: 1}, "user"))
	for i := range 500 {
		var admitted atomic.Int64
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if g, _ := f.rules.For("a").Admit(t.Context(), Ask{User: fmt.Sprint(i)}); g != nil {
					g.Settle(0, 0)
					admitted.Add(1)
				}
			})
			all.Go(f.prune)
		}
		all.Wait()
		if got := admitted.Load(); got != 1 {
			t.Fatalf("%d requests were admitted, want 1", got)
		}
		f.clock.forward(66 * time.Second)
	}
}

func TestDroppedBookLeavesItsLimitsTally(t *testing.T) {
	f := newFixture(t, Options{}, apps([]string{"a", "b"}, config.Limit{ID: "l", Per: []string{"app", "user"}, Allow: config.Amounts{RequestsPerMinute: 5}}))
	old := f.rules
	f.admit("a", Ask{User: "u"})
	f.admit("b", Ask{User: "u"})
	f.reload(apps([]string{"b"}, config.Limit{ID: "l", Per: []string{"app", "user"}, Allow: config.Amounts{RequestsPerMinute: 5}}))
	if _, refused := old.For("a").Admit(t.Context(), Ask{User: "v"}); refused != nil { // by a request that began before
		t.Fatal(refused)
	}
	if got := f.rules.For("b").requests[0].book.tally.purses.Load(); got != 1 {
		t.Errorf("the limit is said to have %d accounts, want 1", got)
	}
}
