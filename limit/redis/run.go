package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// beatUp and beatDown are how often it is looked whether Redis is there.
	beatUp   = time.Second
	beatDown = 200 * time.Millisecond

	// beatSlow is the least often, when it comes and goes: a Redis that answers
	// beats and fails requests would else do so five times a second. After steady
	// it has stayed.
	beatSlow = 5 * time.Second
	steady   = 10 * time.Second

	// replicaFor is how long a replica counts without a beat.
	replicaFor = 10 * time.Second

	// renewEvery lets two renewals fail before a lease is over.
	renewEvery = 20 * time.Second // limit.LeaseFor / 3
)

// pulse is what the beats remember; only Run, and Open before it, touch it.
type pulse struct {
	err     error
	upSince time.Time
	pause   time.Duration // between beats while Redis is away
	renewed time.Time     // when all leases were last renewed
	fewer   time.Time     // since when fewer replicas are seen than are counted
}

// Run looks whether Redis is there, tells that this replica is, renews the
// leases of requests under way, and exchanges rests, until ctx is over.
func (c *Counter) Run(ctx context.Context) {
	heard := c.client.Subscribe(ctx, c.key("rests", "all"))
	defer heard.Close() //nolint:errcheck // nothing more is wanted of it
	messages := heard.Channel(redis.WithChannelHealthCheckInterval(beatUp),
		redis.WithChannelPingTimeout(backgroundTimeout), redis.WithChannelReconnectTimeout(backgroundTimeout))
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		rests := c.rests
		if !c.Up() {
			rests = nil // they wait
		}
		select {
		case <-ctx.Done():
			c.leave(context.WithoutCancel(ctx))
			return
		case <-next.C:
			// A beat that is cut off could be counted after this replica has left.
			next.Reset(c.beat(context.WithoutCancel(ctx), c.patience))
		case <-c.fell:
			next.Reset(c.fall())
		case r := <-rests:
			c.tell(context.WithoutCancel(ctx), r)
		case m := <-messages:
			if m != nil {
				c.hear(m.Payload)
			}
		}
	}
}

// beat tells Redis that this replica lives and learns what the others told. It
// returns the time to the next one.
func (c *Counter) beat(ctx context.Context, within time.Duration) time.Duration {
	known, err := c.exchange(ctx, within)
	now := c.now()
	// A Redis that does not know this replica has lost its data, or this replica
	// was away for long: either way the leases may be gone.
	if err == nil && (!known || now.Sub(c.pulse.renewed) >= renewEvery) {
		if err = c.renewAll(ctx); err == nil {
			c.pulse.renewed = now
		}
	}
	if c.pulse.err = err; err != nil {
		c.down(err)
		return max(c.pulse.pause, beatDown)
	}
	if c.up.CompareAndSwap(false, true) {
		c.pulse.upSince = now
		c.log.Info("redis is there", "replicas", c.Replicas())
	}
	return beatUp
}

// fall returns the time to the next beat when Redis was found to be away.
func (c *Counter) fall() time.Duration {
	if c.now().Sub(c.pulse.upSince) >= steady {
		c.pulse.pause = 0
	}
	c.pulse.pause = min(max(beatDown, 2*c.pulse.pause), beatSlow)
	return c.pulse.pause
}

// exchange is one beat's round trip. It reports whether Redis knew this replica.
func (c *Counter) exchange(ctx context.Context, within time.Duration) (known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	asked := c.elapsed()
	answer, err := c.beats.Run(ctx, c.client, []string{c.key("replicas", "all"), c.key("rests", "all")}, c.id, replicaFor.Milliseconds()).Slice()
	if err != nil {
		return false, err
	}
	numbers := make([]int64, 3)
	for i := range numbers {
		n, ok := int64(0), false
		if i < len(answer) {
			n, ok = answer[i].(int64)
		}
		if !ok {
			return false, fmt.Errorf("redis answered a beat with %d things", len(answer))
		}
		numbers[i] = n
	}
	c.sync(numbers[0], asked)
	c.count(numbers[2])
	c.learn(answer[3:])
	return numbers[1] == 0, nil
}

// count learns how many replicas there are. A Redis that lost its data sees
// fewer until all have told it again: that is believed when it has had the time.
func (c *Counter) count(n int64) {
	now := c.now()
	switch known := c.replicas.Load(); {
	case n >= known:
		c.replicas.Store(n)
		c.pulse.fewer = time.Time{}
	case c.pulse.fewer.IsZero():
		c.pulse.fewer = now
	case now.Sub(c.pulse.fewer) >= replicaFor:
		c.replicas.Store(max(1, n))
		c.pulse.fewer = time.Time{}
	}
}

// renewAll renews the leases of all requests under way.
func (c *Counter) renewAll(ctx context.Context) error {
	c.mu.Lock()
	held := slices.Collect(maps.Keys(c.leases))
	c.mu.Unlock()
	for batch := range slices.Chunk(held, scriptBatch) {
		keys, args := make([]string, len(batch)), make([]any, 1, 1+len(batch))
		for i, l := range batch {
			keys[i], args = l.key, append(args, l.id)
		}
		if _, _, err := c.run(ctx, c.renew, backgroundTimeout, keys, args, 0); err != nil {
			return fmt.Errorf("renewing leases: %w", err)
		}
		if err := c.takeBack(ctx, batch); err != nil {
			return fmt.Errorf("taking back leases: %w", err)
		}
	}
	return nil
}

// takeBack ends those of the leases just renewed that were settled meanwhile.
func (c *Counter) takeBack(ctx context.Context, renewed []lease) error {
	keys, args := []string{c.last()}, []any{int64(0), ""}
	c.mu.Lock()
	for _, l := range renewed {
		if _, held := c.leases[l]; !held {
			keys, args = append(keys, l.key), append(args, "g", 0, l.id)
		}
	}
	c.mu.Unlock()
	if len(keys) == 1 {
		return nil
	}
	_, _, err := c.run(ctx, c.settle, backgroundTimeout, keys, args, 0)
	return err
}

// leave takes this replica out of the count when it ends.
func (c *Counter) leave(ctx context.Context) {
	if !c.Up() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	if err := c.client.ZRem(ctx, c.key("replicas", "all"), c.id).Err(); err != nil {
		c.log.Debug("leaving redis", "error", err) // it is out a few seconds later
	}
}
