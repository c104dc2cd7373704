package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// accountGroups are the scenarios of what accounting costs.
var accountGroups = []string{"limits", "telemetry", "ledger"}

const (
	tenantHeader = "X-Tenant"
	// pricedModel is what requests and the simulated model call it; the answers'
	// version stands behind.
	pricedModel = "gpt-4o"
	// Who asks, in turn: each has accounts of its own.
	users, tenants = 100, 10
)

// accounting measures what limits, telemetry and the ledger cost, each beside
// the same gateway without.
func (b *bench) accounting(ctx context.Context, r *report, pg *server, stdout io.Writer) error {
	if b.wants("limits") {
		if err := b.limits(ctx, r, stdout); err != nil {
			return err
		}
	}
	if b.wants("telemetry") {
		on := b.bedOf("telemetry", nil)
		if err := on.run(ctx, stdout, func() error { return on.telemetry(ctx, r) }); err != nil {
			return fmt.Errorf("telemetry: %w", err)
		}
	}
	if !b.wants("ledger") {
		return nil
	}
	for _, store := range b.stores {
		on := b.bedOf(store, pg)
		if err := on.run(ctx, stdout, func() error { return on.ledger(ctx, r) }); err != nil {
			return fmt.Errorf("ledger, %s: %w", store, err)
		}
	}
	return nil
}

// limits measures with the Redis of TEST_REDIS_URL too, where there is one.
func (b *bench) limits(ctx context.Context, r *report, stdout io.Writer) error {
	shared, err := connectRedis(ctx, os.Getenv("TEST_REDIS_URL"))
	if err != nil {
		return err
	}
	if shared == nil {
		r.Servers = append(r.Servers, "no Redis: TEST_REDIS_URL is not set")
	} else {
		defer shared.close()
		r.Servers = append(r.Servers, known("Redis "+shared.version, shared.pid))
	}
	on := b.bedOf("limits", nil)
	if err := on.run(ctx, stdout, func() error { return on.limits(ctx, r, shared) }); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	return nil
}

// asking is n small chats, of all users and tenants in turn.
func (t *target) asking(n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		body := fmt.Sprintf(`{"model":%q,"user":%q,"temperature":0.2,"max_tokens":800,"messages":[`+
			`{"role":"system","content":"You are a helpful assistant."},`+
			`{"role":"user","content":"What is the capital of France, and how many people live there?"}]}`, pricedModel, user(i))
		list[i] = post(t.server.addr, gatewayPath, body, tenantHeader+": "+tenant(i))
	}
	return list
}

func user(i int) string   { return fmt.Sprintf("user-%d", i%users) }
func tenant(i int) string { return fmt.Sprintf("tenant-%d", i%tenants) }

// ask is a take of small chats on so many connections.
func (t *target) ask(conns, total int, pause time.Duration) func(context.Context) (sample, error) {
	l := load{lists: spreadOver(conns, t.asking(total)), pause: pause}
	return func(ctx context.Context) (sample, error) { return t.send(ctx, l) }
}

// pair are two gateways that differ in one thing.
type pair struct{ without, with string }

// cpu is the CPU time of a request or event with the thing, as a ratio to that
// without.
func (p pair) cpu(unit string, most float64) figure {
	return figure{name: "CPU of " + unit + ", " + p.with + ", to " + p.without, most: most, of: func(at round) float64 {
		return at[p.with].CPU / at[p.without].CPU
	}}
}

// added is what it adds to the median answer.
func (p pair) added() figure {
	return figure{name: "added p50, " + p.with, unit: "µs", of: func(at round) float64 { return at[p.with].P50 - at[p.without].P50 }}
}

// p50 is the median answer with it, as a ratio to that without.
func (p pair) p50(most float64) figure {
	return figure{name: "p50, " + p.with + ", to " + p.without, most: most, of: func(at round) float64 {
		return at[p.with].P50 / at[p.without].P50
	}}
}
