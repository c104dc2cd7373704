package limit

import (
	"fmt"
	"testing"

	"aigateway/config"
)

func BenchmarkAdmitAndSettle(b *testing.B) {
	all := config.Amounts{
		RequestsPerMinute: 1e12, TokensPerMinute: 1e12, TokensPerDay: 1e15, TokensPerMonth: 1e15, CostPerDay: 1e6, CostPerMonth: 1e6, Concurrent: 1e6,
	}
	cfg := &config.Config{
		Applications: []config.Application{{AppID: "app"}},
		Limits: []config.Limit{
			{ID: "app", Per: []string{"app"}, Allow: all},
			{ID: "caller", Per: []string{"app", "caller"}, Allow: all},
			{ID: "tenant", Per: []string{"tenant"}, Allow: all},
			{ID: "user", Per: []string{"app", "tenant", "user"}, Allow: all},
		},
	}
	for _, limits := range []int{1, 4} {
		c := *cfg
		c.Limits = cfg.Limits[:limits]
		l, err := New(Options{})
		if err != nil {
			b.Fatal(err)
		}
		app := l.Compile(&c).For("app")
		ask := Ask{Caller: "web-shop", Tenant: "contoso", User: "user-1", Model: "gpt-4o", Tokens: 1000, Cost: 2_000_000}
		b.Run(fmt.Sprintf("limits=%d", limits), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g, refused := app.Admit(b.Context(), ask)
				if refused != nil {
					b.Fatal(refused)
				}
				g.Settle(700, 1_000_000)
			}
		})
	}
}
