package gateway_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"aigateway/gateway"
	"aigateway/limit"
	"aigateway/limit/redis"
	"aigateway/simulator"
)

// testRedis is the URL of the Redis that tests may use.
func testRedis(t *testing.T) string {
	t.Helper()
	url := os.Getenv("TEST_REDIS_URL")
	if url == "" {
		t.Fatal("TEST_REDIS_URL is not set: run `make test`, or `scripts/test-redis go test ./…`")
	}
	return url
}

// newCounting starts n replicas that count together in Redis, or each for
// itself when prefix is empty.
func newCounting(t *testing.T, n int, prefix, configJSON string) []*setup {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	var jobs sync.WaitGroup
	var counts []*limit.Limits
	var counters []*redis.Counter
	for range n {
		o := limit.Options{Log: log}
		if prefix != "" {
			shared, err := redis.Open(ctx, redis.Options{URL: testRedis(t), Prefix: prefix, Log: log})
			if err != nil {
				t.Fatal(err)
			}
			counters = append(counters, shared)
			jobs.Go(func() { shared.Run(ctx) })
			o.Shared = shared
		}
		limits, err := limit.New(o)
		if err != nil {
			t.Fatal(err)
		}
		limits.Meet(ctx)
		jobs.Go(func() { limits.Run(ctx) })
		counts = append(counts, limits)
	}
	stop := sync.OnceFunc(func() {
		cancel()
		jobs.Wait()
		for _, shared := range counters {
			if err := shared.Close(); err != nil {
				t.Errorf("closing redis: %v", err)
			}
		}
	})
	var all []*setup
	for _, limits := range counts {
		o := simulator.Options{Latency: 20 * time.Millisecond, Deployments: map[string]simulator.Deployment{"gpt-4o": {Fault: "words=2000"}}}
		all = append(all, newSetupKeeping(t, o, func(_ *setup, o *gateway.Options) func() {
			o.Limits = limits
			return stop
		}, configJSON))
		configJSON = strings.ReplaceAll(configJSON, "{{sim}}", all[0].simURL) // all have the same endpoints
	}
	t.Cleanup(func() { // each looks for goroutines at its end
		for _, s := range all {
			s.client.CloseIdleConnections()
			s.server.CloseIdle(0)
		}
	})
	return all
}

// TestReplicasOvershootOnlyWithoutRedis sends far more than two limits allow
// through 1, 2 and 4 replicas at once, and prints what got through.
func TestReplicasOvershootOnlyWithoutRedis(t *testing.T) {
	const tokensAllowed, requestsAllowed, clients, each = 20_000, 30, 40, 3
	// The models write as much as they may: what is reserved is used.
	long := `{"max_tokens":900,"messages":[{"role":"user","content":"hi"}]}`
	short := `{"max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`
	config := limited(`{"id":"tpm","apps":["long"],"allow":{"tokensPerMinute":20000}},{"id":"rpm","apps":["short"],"allow":{"requestsPerMinute":30}}`,
		chatApp("long", "", "gpt-4o"), chatApp("short", "", "gpt-4o"))
	// What an endpoint takes is known to the router of each replica, too.
	config = strings.Replace(config, `{"id":"rpm",`, `{"id":"unused","apps":["paced"],"allow":{"requestsPerMinute":100000}},{"id":"rpm",`, 1)
	config = strings.Replace(config, `"applications":[`, `"applications":[{"appId":"paced","appType":"azure_oai","endpoints":[{"id":"paced","apikey":"key-of-paced","rpm":25,"uri":"`+chatURI("paced")+`"}]},`, 1)
	const pacedAllowed = 25
	t.Log("replicas | redis | clients | tokens used of 20000 | over | requests answered of 30 | over | endpoint's rpm of 25 | over")
	for _, replicas := range []int{1, 2, 4} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d replicas, redis %v", replicas, together), func(t *testing.T) {
				prefix := ""
				if together {
					prefix = fmt.Sprintf("overshoot-%d-%d", replicas, time.Now().UnixNano())
				}
				all := newCounting(t, replicas, prefix, config)
				var tokens, requests, paced, refused atomic.Int64
				var work sync.WaitGroup
				for _, s := range all {
					for range clients {
						work.Go(func() {
							for range each {
								status, _, answer := s.post("/lb/long", long)
								tokens.Add(gjson.Get(answer, "usage.total_tokens").Int())
								again, _, _ := s.post("/lb/short", short)
								if again == 200 {
									requests.Add(1)
								}
								if at, _, _ := s.post("/lb/paced", short); at == 200 {
									paced.Add(1)
								}
								if status == 429 && again == 429 {
									refused.Add(1)
								}
							}
						})
					}
				}
				work.Wait()
				times := int64(1) // what is stated: one limit together, else one for each
				if !together {
					times = int64(replicas)
				}
				t.Logf("%8d | %5v | %7d | %20d | %3d%% | %24d | %3d%% | %20d | %3d%%", replicas, together, replicas*clients,
					tokens.Load(), max(0, 100*tokens.Load()/tokensAllowed-100), requests.Load(), max(0, 100*requests.Load()/requestsAllowed-100),
					paced.Load(), max(0, 100*paced.Load()/pacedAllowed-100))
				if tokens.Load() > times*tokensAllowed || requests.Load() > times*requestsAllowed || paced.Load() > times*pacedAllowed || paced.Load() < pacedAllowed {
					t.Errorf("%d replicas, together %v: more got through than is stated", replicas, together)
				}
				if tokens.Load() < tokensAllowed/2 || requests.Load() < requestsAllowed || refused.Load() == 0 {
					t.Errorf("%d replicas, together %v: %d tokens, %d requests, %d refusals show nothing", replicas, together, tokens.Load(), requests.Load(), refused.Load())
				}
			})
		}
	}
}
