package redis

import (
	"context"
	"fmt"
	"time"

	"aigateway/limit"
)

// Settle implements limit.Shared: one script, which does all or nothing and
// remembers its id. It waits no longer than ctx allows, nor than a second; Redis
// does nothing for it later than that.
func (c *Counter) Settle(ctx context.Context, id string, all []limit.Settlement) error {
	c.release(all) // whatever comes of it: what is over is not renewed
	if len(all) == 0 {
		return nil
	}
	keys, args, err := c.encodeSettlements(id, all)
	if err != nil {
		return err
	}
	if !c.Up() {
		return errAway
	}
	within := backgroundTimeout
	if end, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(end))
	}
	if err = ctx.Err(); err == nil {
		_, _, err = c.run(ctx, c.settle, within, keys, args, 0)
	}
	if err != nil {
		if ctx.Err() == nil { // else it had less than a fair time
			c.down(err)
		}
		return fmt.Errorf("settling with shared limits: %w", err)
	}
	return nil
}

// last is where Redis keeps the id of this replica's last settlement.
func (c *Counter) last() string { return c.key("settled", c.id) }

// encodeSettlements returns settlements as settle.lua reads them.
func (c *Counter) encodeSettlements(id string, all []limit.Settlement) (keys []string, args []any, err error) {
	keys, args = make([]string, 1, 1+len(all)), make([]any, 2, 2+4*len(all))
	keys[0], args[0], args[1] = c.last(), int64(0), id
	for i := range all {
		s := &all[i]
		key, kind, err := c.account(s.Kind, s.Key, s.Pool)
		if err != nil {
			return nil, nil, err
		}
		keys, args = append(keys, key), append(args, kind, s.Delta)
		switch s.Kind {
		case limit.Window:
			args = append(args, s.Slot)
		case limit.Period:
			args = append(args, s.Until.UnixMilli())
		case limit.Gauge:
			args = append(args, s.Lease)
		case limit.Part:
			args = append(args, s.Slot, s.Pool.Names[s.Pool.App])
		}
	}
	return keys, args, nil
}

// release forgets the leases that are over.
func (c *Counter) release(all []limit.Settlement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range all {
		if s := &all[i]; s.Kind == limit.Gauge {
			delete(c.leases, lease{c.key("g", s.Key), s.Lease})
		}
	}
}
