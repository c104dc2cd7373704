package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"aigateway/limit"
)

// lease is one of a gauge.
type lease struct{ key, id string }

// Take implements limit.Shared: one script, one round trip. It fails at once
// while Redis is away and after half a second at most, and goes on when ctx is over, so
// that the caller knows what was counted. No account may be charged twice, and
// a gauge counts leases: 0 or 1 is added to it.
//
// Redis does nothing for it when the time is over. What an error leaves open is
// an answer that was lost on its way: then the charges stay, the safe side.
func (c *Counter) Take(ctx context.Context, t limit.Taking) (limit.Taken, error) {
	if len(t.Charges) == 0 {
		return limit.Taken{OK: true}, nil
	}
	keys, args, err := c.encode("take", t)
	if err != nil {
		return limit.Taken{}, err
	}
	if !c.Up() {
		return limit.Taken{}, errAway
	}
	ok, answer, err := c.run(ctx, c.take, c.patience, keys, args, lateOfTake)
	if err == nil && len(answer) != 3+len(keys) {
		err = fmt.Errorf("redis answered %d numbers for %d accounts", len(answer), len(keys))
	}
	if err != nil {
		c.down(err)
		return limit.Taken{}, fmt.Errorf("taking from %d shared limits: %w", len(keys), err)
	}
	if ok == 1 {
		c.hold(t, keys)
		return limit.Taken{OK: true, Slot: answer[0], Used: answer[3:]}, nil
	}
	return limit.Taken{
		Slot: answer[0], Refused: int(answer[1]), Wait: time.Duration(answer[2]) * time.Millisecond, Used: answer[3:],
	}, nil
}

// Look implements limit.Shared.
func (c *Counter) Look(ctx context.Context, charges []limit.Charge) ([]int64, error) {
	if len(charges) == 0 {
		return nil, nil
	}
	keys, args, err := c.encode("look", limit.Taking{Charges: charges})
	if err != nil {
		return nil, err
	}
	if !c.Up() {
		return nil, errAway
	}
	_, answer, err := c.run(ctx, c.take, c.patience, keys, args, lateOfTake)
	if err == nil && len(answer) != 3+len(keys) {
		err = fmt.Errorf("redis answered %d numbers for %d accounts", len(answer), len(keys))
	}
	if err != nil {
		c.down(err)
		return nil, fmt.Errorf("looking at %d shared limits: %w", len(keys), err)
	}
	return answer[3:], nil
}

// lateOfTake is where take.lua has the time after which it is too late.
const lateOfTake = 1

// encode returns a taking as take.lua reads it.
func (c *Counter) encode(do string, t limit.Taking) (keys []string, args []any, err error) {
	keys, args = make([]string, 0, len(t.Charges)), make([]any, 0, 3+4*len(t.Charges))
	args = append(args, do, int64(0), t.Lease)
	for i := range t.Charges {
		ch := &t.Charges[i]
		key, kind, err := c.account(ch.Kind, ch.Key, ch.Pool)
		if err != nil {
			return nil, nil, err
		}
		keys, args = append(keys, key), append(args, kind, ch.Add, ch.Limit)
		switch ch.Kind {
		case limit.Period:
			args = append(args, ch.Until.UnixMilli())
		case limit.Gauge:
			if ch.Add != 0 && ch.Add != 1 {
				return nil, nil, fmt.Errorf("a gauge counts leases, not %d", ch.Add)
			}
		case limit.Part:
			args = append(args, ch.Pool.Names[ch.Pool.App], len(ch.Pool.Names))
			for j, name := range ch.Pool.Names {
				args = append(args, name, ch.Pool.Shares[j])
			}
		}
	}
	return keys, args, nil
}

// account returns the key of an account and the letter of its kind.
func (c *Counter) account(kind limit.Kind, name string, pool *limit.PoolPart) (key, letter string, err error) {
	switch kind {
	case limit.Window:
		letter = "w"
	case limit.Period:
		letter = "p"
	case limit.Gauge:
		letter = "g"
	case limit.Part:
		if pool == nil || len(pool.Names) != len(pool.Shares) || pool.App < 0 || pool.App >= len(pool.Names) {
			return "", "", errors.New("a part of a pool needs the pool's applications and their shares")
		}
		letter = "s"
	default:
		return "", "", fmt.Errorf("there is no kind %d of account", kind)
	}
	return c.key(letter, name), letter, nil
}

// hold keeps the leases of a taking, for Run to renew.
func (c *Counter) hold(t limit.Taking, keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range t.Charges {
		if t.Charges[i].Kind == limit.Gauge && t.Charges[i].Add > 0 {
			c.leases[lease{keys[i], t.Lease}] = struct{}{}
		}
	}
}
