package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"

	"aigateway/gateway"
	"aigateway/limit"
	"aigateway/simulator"
)

// reload puts another configuration in force.
func (s *setup) reload(configJSON string) {
	s.t.Helper()
	s.source.set(configJSON)
	if _, err := s.server.Reload(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// newLimits starts a gateway whose limits the test can look into.
func newLimits(t *testing.T, configJSON string) (*setup, *limit.Limits) {
	t.Helper()
	var limits *limit.Limits
	s := newSetupKeeping(t, simulator.Options{}, func(s *setup, o *gateway.Options) func() {
		var err error
		if limits, err = limit.New(limit.Options{Now: s.now, Model: gateway.ModelFamily}); err != nil {
			t.Fatal(err)
		}
		o.Limits = limits
		return func() {}
	}, configJSON)
	return s, limits
}

func TestALimitChangesWhileItsRequestsAreUnderWay(t *testing.T) {
	const under = 3 // requests, of 1,008 tokens each
	with := func(allow string) string { return `{"id":"all","allow":{` + allow + `}}` }
	first := with(`"concurrent":3,"tokensPerMinute":10000`)
	for _, tt := range []struct {
		name    string
		reloads []string // limits, one after the other
		held    int64    // tokens in the last one's account before the answers
		running int64
		used    int64 // and after them
		admits  int   // the status of another request before the answers
	}{
		{"more", []string{with(`"concurrent":9,"tokensPerMinute":90000`)}, 3024, 3, 3 * heldUsed, 0},
		{"less", []string{with(`"concurrent":1,"tokensPerMinute":1100`)}, 3024, 3, 3 * heldUsed, 429},
		{"another amount beside it", []string{with(`"concurrent":9,"tokensPerMinute":90000,"tokensPerDay":100000`)}, 3024, 3, 3 * heldUsed, 0},
		{"removed and added again", []string{"", with(`"concurrent":9,"tokensPerMinute":90000`)}, 0, 0, 0, 0},
		{"one amount removed and added again", []string{with(`"concurrent":9`), with(`"concurrent":9,"tokensPerMinute":90000`)}, 3024, 3, 3 * heldUsed, 0},
		{"counted for others", []string{`{"id":"all","per":["user"],"allow":{"concurrent":9,"tokensPerMinute":90000}}`}, 0, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHeld(t)
			defer h.letGo()
			app := h.app("bot", "", "gpt-4o")
			s, limits := newLimits(t, limited(first, app))
			h.asks(s, under, "/lb/bot")
			for _, l := range tt.reloads {
				s.reload(limited(l, app))
			}
			want := func(when string, tokens, running int64) {
				t.Helper()
				if got := s.standing("bot", "all", "tokensPerMinute").Get("used").Int(); got != tokens {
					t.Errorf("%s: %d tokens used, want %d", when, got, tokens)
				}
				if got := s.standing("bot", "all", "concurrent").Get("used").Int(); got != running {
					t.Errorf("%s: %d requests under way, want %d", when, got, running)
				}
			}
			want("before the answers", tt.held, tt.running)
			if tt.admits != 0 {
				if status, _, body := s.post("/lb/bot", pooledChat); status != tt.admits {
					t.Errorf("another request got %d, want %d: %s", status, tt.admits, body)
				}
			}
			h.letGo()
			s.quiet()
			want("after the answers", tt.used, 0)
			s.post("/lb/bot", pooledChat)
			s.quiet()
			want("after one more", tt.used+heldUsed, 0)
			s.reload(applications(app))
			if n := limits.Readings().Accounts; n != 0 {
				t.Errorf("without limits there are %d accounts", n)
			}
		})
	}
}

func TestLimitsComeAndGoUnderLoad(t *testing.T) {
	const reloads, workers, users = 120, 8, 5
	app := func(endpoint string) string {
		return `{"appId":"bot","appType":"azure_oai","endpoints":[{"id":"gpt-4o",` + endpoint + `"apikey":"key-of-gpt-4o","uri":"` + chatURI("gpt-4o") + `"}]}`
	}
	const wide = `{"id":"all","per":["user"],"allow":{"concurrent":100,"tokensPerMinute":1000000000,"tokensPerDay":1000000000}}`
	variants := []string{
		limited(wide, app("")),
		limited(`{"id":"all","per":["user"],"allow":{"concurrent":1,"tokensPerMinute":300}}`, app("")),
		applications(app("")),
		limited(`{"id":"all","per":["app"],"allow":{"concurrent":3,"tokensPerMinute":1000000000}}`, app("")),
		limited(wide, app(`"limits":{"concurrent":2,"tokensPerMinute":1000000000},`)),
		limited(wide, app(`"pool":"east",`)),
	}
	variants[5] = strings.TrimSuffix(variants[5], "}") + `,"pools":[{"id":"east","tokensPerMinute":1000000000}]}`
	s, limits := newLimits(t, variants[0])
	var over atomic.Bool
	var answered, refused, used atomic.Int64
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			for i := 0; !over.Load(); i++ {
				members := fmt.Sprintf(`"max_tokens":50,"user":"u%d",`, (w+i)%users)
				if i%2 == 0 {
					members += `"stream":true,` + askUsage
				}
				status, _, body := s.post("/lb/bot", ask(members, "hi"))
				switch status {
				case http.StatusOK:
					answered.Add(1)
					used.Add(usedIn(body))
				case http.StatusTooManyRequests:
					refused.Add(1)
				default:
					t.Errorf("got %d: %s", status, body)
				}
			}
		})
	}
	for i := range reloads {
		s.reload(variants[i%len(variants)])
		least := answered.Load() + refused.Load() + workers
		within(t, "requests go on", func() bool { return answered.Load()+refused.Load() >= least })
		_, _, page := s.get(fmt.Sprintf("/limits/bot?user=u%d", i%users))
		for _, st := range gjson.Get(page, "limits").Array() {
			if st.Get("used").Int() < 0 || st.Get("remaining").Int() < 0 || st.Get("used").Int() > 1_000_000 {
				t.Errorf("the page says %s", st)
			}
		}
		if n := limits.Readings().Accounts; n > users+3 {
			t.Errorf("%d accounts for %d users", n, users)
		}
	}
	s.reload(variants[0])
	over.Store(true)
	work.Wait()
	s.quiet()
	if answered.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d answered, %d refused: the test does not show what it should", answered.Load(), refused.Load())
	}
	var left int64
	for u := range users {
		_, _, page := s.get(fmt.Sprintf("/limits/bot?user=u%d", u))
		if running := gjson.Get(page, `limits.#(amount=="concurrent").used`); running.Int() != 0 || !running.Exists() {
			t.Errorf("u%d: still under way: %s", u, page)
		}
		left += gjson.Get(page, `limits.#(amount=="tokensPerDay").used`).Int()
	}
	if left < 0 || left > used.Load() {
		t.Errorf("%d tokens are counted of %d used", left, used.Load())
	}
	s.reload(variants[2])
	if n := limits.Readings().Accounts; n != 0 {
		t.Errorf("without limits there are %d accounts", n)
	}
}

// usedIn are the tokens that an answer says it used, streamed or not.
func usedIn(answer string) (n int64) {
	if n = gjson.Get(answer, "usage.total_tokens").Int(); n != 0 {
		return n
	}
	for event := range strings.SplitSeq(answer, "\n\n") {
		n = max(n, gjson.Get(strings.TrimPrefix(event, "data: "), "usage.total_tokens").Int())
	}
	return n
}
