// Package redis is where the replicas of a gateway count together: a request
// asks it, in one round trip, for all that it takes from the limits; and what
// one replica learns of throttled endpoints the others learn at once.
//
// It needs one Redis (6 or newer) or what speaks its protocol, not a cluster.
// Each step is one script on the server, by the server's clock. While Redis is
// away nothing waits for it: Up says so, and Run finds it again.
package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"aigateway/limit"
	"aigateway/router"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

const (
	// takeTimeout is what a request may lose by asking. A Redis nearby answers
	// within a millisecond; a busy replica may see it take a hundred times that,
	// and parting lets more through than waiting does. Only requests under way
	// when Redis hangs wait so long.
	takeTimeout = 500 * time.Millisecond

	// backgroundTimeout is for what no request waits for.
	backgroundTimeout = time.Second

	// scriptBatch is how many leases one script renews.
	scriptBatch = limit.MostSettled

	// lastFor is how long Redis remembers a replica's last settlement: a replica
	// that finds Redis again after more than that, and did not hear then whether
	// it was done, does it again. It is one key for each replica.
	lastFor = 24 * time.Hour

	// restsWaiting bounds the rests that wait to be told; each is told once when
	// it begins, so more endpoints than that would have to be throttled at once.
	restsWaiting = 256
)

// errAway is the answer while Redis is known to be away.
var errAway = errors.New("redis is away")

// Options say which Redis, and how.
type Options struct {
	// URL is redis://[user:password@]host[:port][/database], rediss:// with TLS
	// or unix://path. Required.
	URL string
	// Prefix begins all keys, so that several gateways can use one Redis;
	// empty is gateway.
	Prefix string
	// Now is the clock; nil is time.Now. What replicas share goes by Redis' own.
	Now func() time.Time
	// Log is told when Redis goes and comes; nil tells nobody.
	Log *slog.Logger
}

// Counter counts in Redis. It implements limit.Shared.
type Counter struct {
	client *redis.Client
	now    func() time.Time
	start  time.Time
	log    *slog.Logger
	prefix string
	id     string // this replica's
	// patience is how long a request, and a beat, waits: takeTimeout.
	patience time.Duration
	fleet    atomic.Pointer[router.Fleet]

	take, settle, renew, beats, tells *redis.Script

	up       atomic.Bool
	ahead    atomic.Int64 // Redis' clock less the time since start, in ms
	replicas atomic.Int64
	fell     chan struct{} // told when it is found to be away
	rests    chan rest     // to be told to the others

	mu     sync.Mutex // guards leases
	leases map[lease]struct{}

	pulse pulse // Run's own
}

var _ limit.Shared = (*Counter)(nil)

// Open returns a Counter and looks whether Redis is there; that it is away is
// no error. Run must be running for it to be found again. An error says that
// the URL is none, without quoting it, for it may hold a password.
func Open(ctx context.Context, o Options) (*Counter, error) {
	opts, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, errors.New("the address of Redis must be redis://[user:password@]host[:port][/database], rediss:// or unix://path, with special characters in the password percent-encoded")
	}
	// A command that may have been done is not sent again, nor does anything
	// wait longer than its caller.
	opts.MaxRetries = -1
	opts.ContextTimeoutEnabled = true
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = backgroundTimeout, backgroundTimeout, backgroundTimeout, backgroundTimeout
	opts.DialerRetries = 1
	opts.Protocol = 2 // pushed messages of the newer one are of no use here
	opts.DisableIdentity = true
	opts.PipelinePoolSize = -1 // everything is one script
	logging.Disable()          // it would write to stderr; what matters comes back as an error

	c := &Counter{
		now:      o.Now,
		log:      o.Log,
		prefix:   o.Prefix,
		id:       rand.Text(),
		patience: takeTimeout,
		client:   redis.NewClient(opts),
		take:     script(takeSource), settle: script(settleSource), renew: script(renewSource), beats: script(beatSource), tells: script(restSource),
		fell:   make(chan struct{}, 1),
		rests:  make(chan rest, restsWaiting),
		leases: make(map[lease]struct{}),
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.prefix == "" {
		c.prefix = "gateway"
	}
	c.start = c.now()
	c.replicas.Store(1)
	c.beat(ctx, backgroundTimeout) // the first connection may take its time
	if !c.Up() {
		c.log.Warn("redis is not there", "error", c.pulse.err)
	}
	return c, nil
}

// Close ends the connections, after Run.
func (c *Counter) Close() error {
	if err := c.client.Close(); err != nil {
		return fmt.Errorf("closing redis: %w", err)
	}
	return nil
}

// Up tells whether Redis answered when it was last asked.
func (c *Counter) Up() bool { return c.up.Load() }

// Replicas is how many replicas share this Redis, as last known.
func (c *Counter) Replicas() int { return int(c.replicas.Load()) }

// key returns a name in Redis: the braces keep all of them on one node.
func (c *Counter) key(kind, name string) string { return "{" + c.prefix + "}" + kind + ":" + name }

// down notes that Redis is away.
func (c *Counter) down(err error) {
	if c.up.CompareAndSwap(true, false) {
		c.log.Warn("redis is away", "error", err)
		select {
		case c.fell <- struct{}{}:
		default:
		}
	}
}

// elapsed is the time since start in ms.
func (c *Counter) elapsed() int64 { return c.now().Sub(c.start).Milliseconds() }
