package redis

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"aigateway/router"
)

// longestRest bounds what is believed of a rest: quotas of a day are the longest
// that endpoints are known to ask for.
const longestRest = 24 * time.Hour

// rest is one to be told.
type rest struct {
	of   router.Digest
	ends time.Time
}

// Share has the rests that the fleet's endpoints ask for told to the other
// replicas, and theirs applied to the fleet; an endpoint that several
// applications have rests in all of them.
func (c *Counter) Share(fleet *router.Fleet) {
	c.fleet.Store(fleet)
	fleet.OnRest(func(r router.Rest) {
		fleet.Rest(r)
		select {
		case c.rests <- rest{r.Of, c.now().Add(r.Left)}:
		default: // the others find out for themselves
		}
	})
}

// tell tells the others of a rest.
func (c *Counter) tell(ctx context.Context, r rest) {
	left := min(r.ends.Sub(c.now()), longestRest).Milliseconds()
	if left <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	if err := c.tells.Run(ctx, c.client, []string{c.key("rests", "all")}, hex.EncodeToString(r.of[:]), left, c.id).Err(); err != nil {
		c.down(fmt.Errorf("telling of a rest: %w", err))
	}
}

// hear applies a rest that another replica told of: its id, the endpoint and
// the ms left. Anything else is not ours.
func (c *Counter) hear(message string) {
	if words := strings.Fields(message); len(words) == 3 && words[0] != c.id {
		c.apply(words[1], words[2])
	}
}

// learn applies the rests that a beat brought: endpoints, each with the ms left.
// A replica that was not there when they were told hears of them so.
func (c *Counter) learn(told []any) {
	for i := 0; i+1 < len(told); i += 2 {
		of, ok := told[i].(string)
		left, isNumber := told[i+1].(int64)
		if ok && isNumber {
			c.apply(of, strconv.FormatInt(left, 10))
		}
	}
}

func (c *Counter) apply(of, left string) {
	fleet := c.fleet.Load()
	if r, err := parseRest(of, left); err == nil && fleet != nil {
		fleet.Rest(r)
	}
}

func parseRest(of, left string) (r router.Rest, err error) {
	ms, err := strconv.ParseInt(left, 10, 64)
	if err != nil || ms <= 0 || len(of) != hex.EncodedLen(len(r.Of)) {
		return router.Rest{}, errors.New("no rest")
	}
	if _, err := hex.Decode(r.Of[:], []byte(of)); err != nil {
		return router.Rest{}, fmt.Errorf("reading whose rest it is: %w", err)
	}
	r.Left = time.Duration(min(ms, longestRest.Milliseconds())) * time.Millisecond
	return r, nil
}
