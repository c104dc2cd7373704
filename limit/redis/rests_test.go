package redis

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"aigateway/config"
	"aigateway/router"

	"github.com/redis/go-redis/v9"
)

// routed is a replica with an application of two endpoints.
type routed struct {
	opened
	fleet  *router.Fleet
	router *router.Router
}

// route gives a replica an application.
func route(o opened, app string) routed {
	r := routed{opened: o, fleet: router.NewFleet(time.Now)}
	r.router = router.New(&config.Application{AppID: app, Strategy: "priority", Endpoints: []config.Endpoint{
		{ID: "0", URI: "http://127.0.0.1:1/a", APIKey: "very-secret", Weight: 1},
		{ID: "1", URI: "http://127.0.0.1:1/b", APIKey: "very-secret", Weight: 1},
	}}, r.fleet)
	r.Share(r.fleet)
	return r
}

// throttle has the first endpoint ask for a rest.
func (r routed) throttle(t testing.TB, rest time.Duration) {
	t.Helper()
	r.router.Plan(router.Facts{Only: "0"}).Next().Done(router.Outcome{Kind: router.Throttled, RetryAfter: rest})
}

// resting tells how long the first endpoint rests; the other must not.
func (r routed) resting(t testing.TB) time.Duration {
	t.Helper()
	status := r.router.Status()
	if status[1].Reason != "" {
		t.Errorf("the other endpoint rests: %+v", status[1])
	}
	if status[0].Reason != router.ReasonThrottled {
		return 0
	}
	return time.Until(status[0].RestsUntil)
}

func TestRestReachesTheOtherReplicas(t *testing.T) {
	prefix := replica(t).prefix
	a, b := route(open(t, address(t), prefix, patience), "app"), route(open(t, address(t), prefix, patience), "other")
	a.throttle(t, time.Hour)
	until(t, "the other replica knows", func() bool { return b.resting(t) > 0 })
	if got := b.resting(t); got > time.Hour+time.Minute || got < time.Hour-time.Minute {
		t.Errorf("it rests for %v there", got)
	}

	// One that comes later knows too, and a longer rest follows.
	c := route(open(t, address(t), prefix, patience), "app")
	until(t, "a late one knows", func() bool { return c.resting(t) > 0 })
	if d := a.resting(t); d > time.Hour {
		t.Errorf("its own rest came back longer: %v", d)
	}
	for _, key := range a.keys(t, "rests*") {
		for _, of := range a.raw.ZRange(t.Context(), key, 0, -1).Val() {
			if len(of) != 64 || strings.Contains(of, "secret") {
				t.Errorf("redis holds %q", of)
			}
		}
		if ttl := a.raw.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > time.Hour {
			t.Errorf("rests are kept for %v", ttl)
		}
	}
}

func TestRestAppliesToOtherApplicationsOfTheReplica(t *testing.T) {
	a := route(replica(t), "app")
	other := router.New(&config.Application{AppID: "other", Strategy: "priority", Endpoints: []config.Endpoint{
		{ID: "x", URI: "http://127.0.0.1:1/a", APIKey: "very-secret", Weight: 1},
	}}, a.fleet)
	a.throttle(t, time.Minute)
	if got := other.Status()[0].Reason; got != router.ReasonThrottled {
		t.Errorf("there it is %q", got)
	}
}

func TestRestIsToldWhenRedisIsBack(t *testing.T) {
	s := serve(t)
	a, b := route(open(t, s.url, "", takeTimeout), "app"), route(open(t, s.url, "", takeTimeout), "app")
	s.kill()
	until(t, "redis is away", func() bool { return !a.Up() && !b.Up() })
	a.throttle(t, time.Hour)
	s.start(t)
	until(t, "the other replica knows", func() bool { return b.resting(t) > 0 })
}

func TestMoreRestsThanFitAreNotWaitedFor(t *testing.T) {
	c := &Counter{now: time.Now, rests: make(chan rest, 1)}
	r := route(opened{Counter: c}, "app")
	for i := range 5 {
		r.router.Plan(router.Facts{Only: "1"}).Next().Done(router.Outcome{Kind: router.Throttled, RetryAfter: 1})
		until(t, "the rest is over", func() bool { return r.router.Plan(router.Facts{Only: "1"}).Wait() == 0 })
		if len(c.rests) != 1 {
			t.Fatalf("%d wait after %d", len(c.rests), i)
		}
	}
}

func TestOnlyRestsAreHeard(t *testing.T) {
	good := strings.Repeat("ab", 32)
	for _, c := range []struct {
		of, left string
		want     time.Duration
	}{
		{good, "1500", 1500 * time.Millisecond},
		{good, "9223372036854775807", longestRest},
		{good, "0", 0},
		{good, "-5", 0},
		{good, "x", 0},
		{good, "1e3", 0},
		{good, "99999999999999999999", 0},
		{good[:62], "1500", 0},
		{good + "ab", "1500", 0},
		{strings.Repeat("xy", 32), "1500", 0},
	} {
		got, err := parseRest(c.of, c.left)
		if got.Left != c.want || (err == nil) != (c.want > 0) || err == nil && hex.EncodeToString(got.Of[:]) != c.of {
			t.Errorf("%q %q: %+v, %v", c.of, c.left, got, err)
		}
	}
}

func TestRestIsHeardWhileItIsTold(t *testing.T) {
	r, other := route(replica(t), "app"), route(opened{Counter: &Counter{now: time.Now}}, "app")
	var message string // which no beat will bring
	other.fleet.OnRest(func(r router.Rest) { message = "other " + hex.EncodeToString(r.Of[:]) + " 60000" })
	other.throttle(t, time.Minute)
	until(t, "it is heard", func() bool {
		r.raw.Publish(t.Context(), r.key("rests", "all"), message)
		return r.resting(t) > 0
	})
}

func TestOnlyWhatOthersTellIsHeard(t *testing.T) {
	r, other := route(opened{Counter: &Counter{id: "me", now: time.Now}}, "app"), route(opened{Counter: &Counter{now: time.Now}}, "app")
	var of string
	other.fleet.OnRest(func(r router.Rest) { of = hex.EncodeToString(r.Of[:]) })
	other.throttle(t, time.Hour)
	for _, message := range []string{"", "x", "x y z", "me " + of + " 5000", "other " + of + " 5000 more", of + " 5000", "\x00 \xff \n"} {
		if r.hear(message); r.resting(t) != 0 {
			t.Errorf("rests after %q", message)
		}
	}
	r.learn([]any{"x", int64(1), 5, "y", of, "5000", of})
	if r.resting(t) != 0 {
		t.Error("rests after a beat of something else")
	}
	r.hear("other " + of + " 5000")
	if r.resting(t) == 0 {
		t.Error("does not rest after it was told")
	}
}

func TestRestThatIsKnownLongerIsNotShortened(t *testing.T) {
	o := replica(t)
	of := strings.Repeat("ab", 32)
	key := o.key("rests", "all")
	for _, left := range []int{60_000, 1000} {
		if err := o.tells.Run(t.Context(), o.raw, []string{key}, of, left, o.id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if ends := o.raw.ZScore(t.Context(), key, of).Val(); ends < float64(time.Now().Add(50*time.Second).UnixMilli()) {
		t.Error("shortened")
	}
	o.raw.ZAdd(t.Context(), key, redis.Z{Score: 1, Member: "over"})
	until(t, "what is over is forgotten", func() bool { return o.raw.ZCard(t.Context(), key).Val() == 1 })
}
