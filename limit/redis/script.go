package redis

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"time"

	"aigateway/limit"

	"github.com/redis/go-redis/v9"
)

// The scripts, each behind what they have in common.
var (
	//go:embed common.lua
	commonSource string
	//go:embed take.lua
	takeSource string
	//go:embed settle.lua
	settleSource string
	//go:embed renew.lua
	renewSource string
	//go:embed beat.lua
	beatSource string
	//go:embed rest.lua
	restSource string
)

func script(source string) *redis.Script {
	constants := fmt.Sprintf("local slots, slotLength, activeSlots, leaseFor, lastFor = %d, %d, %d, %d, %d\n",
		limit.Slots, limit.SlotLength.Milliseconds(), limit.ActiveSlots, limit.LeaseFor.Milliseconds(), lastFor.Milliseconds())
	return redis.NewScript(constants + commonSource + source)
}

// errLate says that Redis came to it when nobody waited any more.
var errLate = errors.New("redis was too late")

// run runs a script that answers {status, now, …} and whose argument number
// late is the time, by Redis' clock, after which it must do nothing: a server
// that hung would otherwise do, when it wakes, all that was given up long ago.
// A tenth of the time is left for the answer, and for what is not known of that
// clock. It returns the answer behind those two.
func (c *Counter) run(ctx context.Context, s *redis.Script, within time.Duration, keys []string, args []any, late int) (status int64, answer []int64, err error) {
	// A client that leaves must not leave in doubt what was counted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	for range 2 { // once more when Redis' clock was set
		asked := c.elapsed()
		args[late] = c.ahead.Load() + asked + (within - within/10).Milliseconds()
		answer, err = s.Run(ctx, c.client, keys, args...).Int64Slice()
		if err != nil {
			return 0, nil, err
		}
		if len(answer) < 2 {
			return 0, nil, fmt.Errorf("redis answered %d numbers", len(answer))
		}
		if answer[0] >= 0 {
			return answer[0], answer[2:], nil
		}
		c.sync(answer[1], asked)
	}
	return 0, nil, errLate
}

// sync learns Redis' clock from an answer to what was asked at that time: it
// read it half way, as far as one can know.
func (c *Counter) sync(now, asked int64) { c.ahead.Store(now - (asked+c.elapsed())/2) }
