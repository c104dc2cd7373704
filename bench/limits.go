package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"aigateway/config"
	"aigateway/limit"
	"aigateway/limit/redis"
)

// ample is every amount, none of which is ever reached.
func ample() object {
	return object{
		"requestsPerMinute": 1e9, "tokensPerMinute": 1e15, "tokensPerDay": 1e15, "tokensPerMonth": 1e15,
		"costPerDay": 1e9, "costPerMonth": 1e9, "concurrent": 1e9,
	}
}

// everyLimit is a limit with every amount for each thing that one can be per.
func everyLimit() (all []object) {
	for _, per := range []string{"app", "caller", "tenant", "user", "model"} {
		all = append(all, object{"id": "each-" + per, "per": []string{per}, "allow": ample()})
	}
	return all
}

// Takes of limits.
const (
	unlimited  = "no limits"
	limited    = "every limit"
	together   = "every limit, Redis"
	inProcess  = "limits alone"
	withRedis  = "limits alone, Redis"
	redisAlone = "PING of Redis"
)

// limits measures gateways without limits, with every limit there is, and with
// those counted in Redis; and what of it package limit takes, asked in this
// process as the gateway asks it for each request.
func (b *bed) limits(ctx context.Context, r *report, shared *redisServer) error {
	sides := []keeping{
		{name: unlimited, accounts: true, at: &place{}},
		{name: limited, accounts: true, limited: true, at: &place{}},
	}
	if shared != nil {
		sides = append(sides, keeping{name: together, accounts: true, limited: true, at: shared.place()})
	}
	one := &trial{group: "limits", subject: b.name, title: "small chat, 1 connection"}
	many := &trial{group: "limits", subject: b.name, title: "small chat, 16 connections"}
	for _, k := range sides {
		name := k.name
		t, err := b.keep(ctx, k)
		if err != nil {
			return err
		}
		if says, err := t.saysLimits(ctx); err != nil || says != k.limited {
			return errors.Join(fmt.Errorf("a gateway with %s: that its answers tell of limits is %t", name, says), err)
		}
		one.takes = append(one.takes, take{name, t.ask(1, b.one, 0)})
		total := b.small
		if name == together {
			total = b.hits // it takes longer
		}
		many.takes = append(many.takes, take{name, t.ask(16, total, 0)})
	}
	local, err := newLimiter(ctx, b.bench, "")
	if err != nil {
		return err
	}
	b.stops = append(b.stops, local.close)
	one.takes = append(one.takes, take{inProcess, func(ctx context.Context) (sample, error) { return timed(b.hits, local.pass(ctx)) }})
	of := pair{unlimited, limited}
	one.figures = []figure{of.added(), {
		name: "p50 of " + inProcess, unit: "µs", most: 5,
		of: func(at round) float64 { return at[inProcess].P50 },
	}}
	many.figures = []figure{of.cpu("a request", 0), of.p50(0)}
	if shared != nil {
		remote, err := newLimiter(ctx, b.bench, shared.url)
		if err != nil {
			return err
		}
		b.stops = append(b.stops, remote.close)
		one.takes = append(one.takes,
			take{withRedis, func(ctx context.Context) (sample, error) { return timed(b.one, remote.pass(ctx)) }},
			take{redisAlone, func(context.Context) (sample, error) { return timed(b.one, func(int) error { return shared.ping() }) }})
		of := pair{unlimited, together}
		one.figures = append(one.figures, of.added())
		many.figures = append(many.figures, of.cpu("a request", 0), of.p50(0))
	}
	return b.try(ctx, &r.Accounting, b.sizes.rounds, []*trial{one, many})
}

// saysLimits reports whether an answer tells what limits leave.
func (t *target) saysLimits(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.server.addr+gatewayPath, strings.NewReader(chat(question(0, 0))))
	if err != nil {
		return false, err
	}
	req.Header.Set("Api-Key", callerKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return resp.Header.Get("X-Gateway-Limit-Remaining-Tokens") != "" && resp.Header.Get("X-Gateway-Limit-Remaining-Requests") != "", nil
}

// limiter is the limits of one application in this process, wired as those of
// a gateway.
type limiter struct {
	app     *limit.App
	counter *redis.Counter // nil: they are counted here
	close   func()
}

// newLimiter makes one that counts in the Redis of that address, if any.
func newLimiter(ctx context.Context, b *bench, address string) (*limiter, error) {
	k := keeping{accounts: true, limited: true}
	text, err := k.configuration(b.backend.server.addr)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse(text)
	if err != nil {
		return nil, err
	}
	var o limit.Options
	l := &limiter{}
	if address != "" {
		// Its own accounts: it is no replica of the gateway that is measured.
		if l.counter, err = redis.Open(ctx, redis.Options{URL: address, Prefix: "bench"}); err != nil {
			return nil, err
		}
		if !l.counter.Up() {
			return nil, errors.Join(errors.New("the Redis of TEST_REDIS_URL does not answer"), l.counter.Close())
		}
		o.Shared = l.counter
	}
	counted, err := limit.New(o)
	if err != nil {
		return nil, err
	}
	l.app = counted.Compile(cfg).For("bench")
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { counted.Run(ctx) })
	if l.counter != nil {
		running.Go(func() { l.counter.Run(ctx) })
	}
	l.close = func() {
		cancel()
		running.Wait()
		if l.counter != nil {
			_ = l.counter.Close() // nothing in it is wanted any more
		}
	}
	return l, nil
}

// pass does what limits do for one request: they admit it, and it to its
// endpoint, and settle both.
func (l *limiter) pass(ctx context.Context) func(i int) error {
	const prompt, answer, price = 30, 800, 8_000_000
	return func(i int) error {
		if l.counter != nil && !l.counter.Up() {
			return errors.New("the Redis of TEST_REDIS_URL went away")
		}
		whole, refused := l.app.Admit(ctx, limit.Ask{
			Caller: "bench", Tenant: tenant(i), User: user(i), Model: pricedModel, Tokens: prompt + answer, Cost: price,
		})
		if refused != nil {
			return refused
		}
		there, refused := l.app.AdmitAt(ctx, 0, limit.Ask{Tokens: prompt + answer, Cost: price})
		if refused != nil {
			return refused
		}
		there.Settle(prompt+answer/10, price/10)
		whole.Settle(prompt+answer/10, price/10)
		return nil
	}
}
