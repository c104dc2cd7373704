package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"aigateway/config"
	"aigateway/limit"
)

// TestLimitsOfSeveralReplicasHoldTogether is package limit upon this one.
func TestLimitsOfSeveralReplicasHoldTogether(t *testing.T) {
	const most = 100
	cfg := &config.Config{
		Applications: []config.Application{{AppID: "app"}},
		Limits: []config.Limit{{ID: "all", Allow: config.Amounts{
			RequestsPerMinute: most, TokensPerDay: 1 << 40, Concurrent: 1 << 40, Mode: "enforce",
		}}},
	}
	var apps []*limit.App
	for _, o := range replicas(t, 4) {
		l, err := limit.New(limit.Options{Shared: o})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { l.Run(ctx) })
		t.Cleanup(func() {
			cancel()
			wg.Wait()
		})
		apps = append(apps, l.Compile(cfg).For("app"))
		until(t, "the replicas are together", func() bool { return l.Readings().Up })
	}

	var granted atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for range 4 {
				if g, refused := apps[i%len(apps)].Admit(t.Context(), limit.Ask{Tokens: 10}); refused == nil {
					granted.Add(1)
					g.Settle(7, 0)
				}
			}
		})
	}
	wg.Wait()
	if got := granted.Load(); got != most {
		t.Errorf("%d of %d requests were let in", got, most)
	}
	until(t, "what was used is settled", func() bool {
		for _, s := range apps[0].Standings(t.Context(), limit.Ask{}) {
			if s.Amount == "tokensPerDay" && s.Used == 7*most {
				return true
			}
		}
		return false
	})
}
