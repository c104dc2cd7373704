package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aigateway/limit"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

func window(key string, add, most int64) limit.Charge {
	return limit.Charge{Key: key, Kind: limit.Window, Add: add, Limit: most}
}

func period(key string, add, most int64) limit.Charge {
	return limit.Charge{Key: key, Kind: limit.Period, Add: add, Limit: most, Until: time.Now().Add(time.Hour)}
}

func gauge(key string, most int64) limit.Charge {
	return limit.Charge{Key: key, Kind: limit.Gauge, Add: 1, Limit: most}
}

// part is one of a pool of two applications with equal shares of 100.
func part(key string, app int, add int64) limit.Charge {
	return limit.Charge{Key: key, Kind: limit.Part, Add: add, Limit: 100, Pool: &limit.PoolPart{
		App: app, Names: []string{"x", "y"}, Shares: []int64{50, 50},
	}}
}

func TestEveryKindHoldsItsLimit(t *testing.T) {
	o := replica(t)
	for _, c := range []struct {
		name   string
		charge limit.Charge
		wait   time.Duration // at most
	}{
		{"window", window("a", 1, 3), 65 * time.Second},
		{"period", period("a", 1, 3), time.Hour},
		{"gauge", gauge("a", 3), time.Second},
		{"part", limit.Charge{Key: "a", Kind: limit.Part, Add: 1, Limit: 3, Pool: &limit.PoolPart{Names: []string{"x"}, Shares: []int64{2}}}, 65 * time.Second},
	} {
		for want := range int64(3) {
			if got := o.take(t, c.charge); !got.OK || got.Used[0] != want+1 || got.Wait != 0 {
				t.Errorf("%s: %+v, want %d used", c.name, got, want+1)
			}
		}
		got := o.take(t, c.charge)
		if got.OK || got.Used[0] != 3 || got.Refused != 0 || got.Wait <= 0 || got.Wait > c.wait {
			t.Errorf("%s: %+v, want refused with a wait of at most %v", c.name, got, c.wait)
		}
		any := c.charge
		any.Limit = -1
		if c.charge.Kind == limit.Part {
			continue // a pool has a capacity
		}
		if got := o.take(t, any); !got.OK || got.Used[0] != 4 {
			t.Errorf("%s without a limit: %+v", c.name, got)
		}
		if got := o.take(t, c.charge); got.OK || got.Used[0] != 4 {
			t.Errorf("%s over its limit: %+v", c.name, got)
		}
	}
}

func TestTakeChargesAllOrNothing(t *testing.T) {
	o := replica(t)
	all := []limit.Charge{window("a", 2, 10), period("b", 3, 10), gauge("c", 10), part("d", 0, 4), window("e", 1, 0)}
	empty := []int64{0, 0, 0, 0, 0}
	for refused := range all {
		charges := append([]limit.Charge(nil), all...)
		charges[4].Limit = 10
		charges[refused].Limit = 0
		got := o.take(t, charges...)
		want := append([]int64(nil), empty...)
		if got.OK || got.Refused != refused || !cmp.Equal(got.Used, want) || !cmp.Equal(o.used(t, all...), want) {
			t.Errorf("charge %d does not fit: %+v, now %v", refused, got, o.used(t, all...))
		}
	}
	all[4].Limit = 1
	if got := o.take(t, all...); !got.OK || !cmp.Equal(got.Used, []int64{2, 3, 1, 4, 1}) {
		t.Errorf("%+v", got)
	}
	if got := o.used(t, all...); !cmp.Equal(got, []int64{2, 3, 1, 4, 1}) {
		t.Errorf("then seen: %v", got)
	}
	if got := o.take(t, all...); got.OK || got.Refused != 4 {
		t.Errorf("%+v, want the last one full", got)
	}
}

func TestTakeOfNothingIsGranted(t *testing.T) {
	o := replica(t)
	if got := o.take(t); !got.OK || len(got.Used) != 0 {
		t.Errorf("%+v", got)
	}
	if got := o.used(t); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if got := o.take(t, window("a", 0, 0)); !got.OK || got.Used[0] != 0 {
		t.Errorf("adding nothing to nothing: %+v", got)
	}
	if keys := o.keys(t, "w:*"); len(keys) != 0 {
		t.Errorf("left %v", keys)
	}
}

func TestWrongChargesAreRefusedAndRedisStaysUp(t *testing.T) {
	o := replica(t)
	for _, c := range []limit.Charge{
		{Key: "a", Kind: limit.Part, Limit: 1},
		{Key: "a", Kind: limit.Part, Limit: 1, Pool: &limit.PoolPart{App: 1, Names: []string{"x"}, Shares: []int64{1}}},
		{Key: "a", Kind: limit.Part, Limit: 1, Pool: &limit.PoolPart{Names: []string{"x"}}},
		{Key: "a", Kind: limit.Gauge, Add: 2, Limit: 9},
		{Key: "a", Kind: 9},
	} {
		if _, err := o.Take(t.Context(), limit.Taking{Charges: []limit.Charge{c}}); err == nil || !o.Up() {
			t.Errorf("%+v: taken, or up is %v", c, o.Up())
		}
		if _, err := o.Look(t.Context(), []limit.Charge{c}); err == nil || !o.Up() {
			t.Errorf("%+v: seen, or up is %v", c, o.Up())
		}
	}
	if err := o.Settle(t.Context(), "id", []limit.Settlement{{Kind: limit.Part}}); err == nil || !o.Up() {
		t.Errorf("settled, or up is %v", o.Up())
	}
}

func TestNumbersAreExactUpTo2To53(t *testing.T) {
	const most = 1 << 53
	o := replica(t)
	pool := limit.Charge{Key: "a", Kind: limit.Part, Add: most - 1, Limit: most, Pool: &limit.PoolPart{Names: []string{"x"}, Shares: []int64{most}}}
	for _, c := range []limit.Charge{window("a", most-1, most), period("a", most-1, most), pool} {
		if got := o.take(t, c); !got.OK || got.Used[0] != most-1 {
			t.Errorf("%+v", got)
		}
		c.Add = 2
		if got := o.take(t, c); got.OK {
			t.Errorf("two more: %+v", got)
		}
		c.Add = 1
		if got := o.take(t, c); !got.OK || got.Used[0] != most {
			t.Errorf("one more: %+v", got)
		}
	}
	o.correct(t, limit.Settlement{Key: "a", Kind: limit.Period, Delta: 1 << 62, Until: time.Now().Add(time.Hour)})
	if got := o.used(t, period("a", 0, 0)); got[0] != most {
		t.Errorf("absurdly more is %d", got[0])
	}
}

func TestLimitsHoldAtFullConcurrencyOfManyReplicas(t *testing.T) {
	const goroutines, each, most = 64, 20, 500
	all := replicas(t, 4)
	for _, c := range []struct {
		name    string
		charges func() []limit.Charge
	}{
		{"window", func() []limit.Charge { return []limit.Charge{window("a", 1, most)} }},
		{"period", func() []limit.Charge { return []limit.Charge{period("a", 1, most)} }},
		{"gauge", func() []limit.Charge { return []limit.Charge{gauge("a", most)} }},
		{"part", func() []limit.Charge {
			return []limit.Charge{{Key: "a", Kind: limit.Part, Add: 1, Limit: most, Pool: &limit.PoolPart{Names: []string{"x"}, Shares: []int64{1}}}}
		}},
		{"all of them", func() []limit.Charge {
			return []limit.Charge{window("b", 3, 1<<40), period("b", 5, 1<<40), gauge("b", most), window("c", 1, 1<<40)}
		}},
	} {
		var granted, errs atomic.Int64
		var wg sync.WaitGroup
		for i := range goroutines {
			wg.Go(func() {
				o := all[i%len(all)]
				for range each {
					got, err := o.Take(context.Background(), limit.Taking{Charges: c.charges(), Lease: rand.Text()})
					switch {
					case err != nil:
						errs.Add(1)
					case got.OK:
						granted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		used := all[0].used(t, c.charges()...)
		want := make([]int64, len(used))
		for i, ch := range c.charges() {
			want[i] = ch.Add * granted.Load()
		}
		// An error leaves open whether it was counted; without one all is exact.
		if errs.Load() == 0 && (granted.Load() != most || !cmp.Equal(used, want)) || granted.Load() > most {
			t.Errorf("%s: %d granted, %d errors, %v used, want %v", c.name, granted.Load(), errs.Load(), used, want)
		}
	}
}

func TestWhatWasAddedLeavesAfterAMinuteAndASlot(t *testing.T) {
	o := replica(t)
	o.take(t, window("a", 5, 5))
	o.age(t, 6)
	first := o.take(t, window("a", 0, 5))
	o.take(t, window("a", 2, 7))
	o.age(t, limit.Slots-6) // the slot of now may be one later
	if got := o.take(t, window("a", 1, 7)); got.Slot == first.Slot && (got.OK || got.Wait <= 0 || got.Wait > limit.SlotLength) {
		t.Errorf("%+v in the last slot of the first, want refused for the rest of it", got)
	}
	o.age(t, 1)
	if got := o.used(t, window("a", 0, 0)); got[0] != 2 {
		t.Errorf("%d used, want the later 2", got[0])
	}
	o.age(t, limit.Slots+1)
	if got := o.take(t, window("a", 7, 7)); !got.OK || got.Used[0] != 7 {
		t.Errorf("%+v, want an empty window", got)
	}
}

func TestClockOfRedisSetBackForgivesNothingAndHoldsNothingForEver(t *testing.T) {
	o := replica(t)
	o.take(t, window("a", 5, 5), part("b", 0, 50))
	o.age(t, -100000) // what is there is of the future
	if got := o.take(t, window("a", 1, 5)); got.OK || got.Wait > 65*time.Second {
		t.Errorf("%+v", got)
	}
	o.take(t, window("a", 1, 6), part("b", 1, 1)) // writes what it sees
	o.age(t, limit.Slots+1)
	if got := o.used(t, window("a", 0, 0)); got[0] != 0 {
		t.Errorf("%d used a minute later", got[0])
	}
}

func TestLeaseThatIsNotRenewedIsTakenBack(t *testing.T) {
	o := replica(t)
	o.take(t, gauge("a", 2))
	got, err := o.Take(t.Context(), limit.Taking{Charges: []limit.Charge{gauge("a", 2)}, Lease: "crashed"})
	if err != nil || !got.OK {
		t.Fatal(got, err)
	}
	if got := o.take(t, gauge("a", 2)); got.OK {
		t.Fatalf("%+v, want it full", got)
	}
	key := o.key("g", "a")
	o.raw.ZAdd(t.Context(), key, redis.Z{Score: float64(time.Now().Add(-time.Second).UnixMilli()), Member: "crashed"})
	if got := o.used(t, gauge("a", 2)); got[0] != 1 {
		t.Errorf("%d leases are seen", got[0])
	}
	if got := o.take(t, gauge("a", 2)); !got.OK || got.Used[0] != 2 {
		t.Errorf("%+v, want the place of the one that is over", got)
	}
	if n := o.raw.ZCard(t.Context(), key).Val(); n != 2 {
		t.Errorf("%d leases are kept", n)
	}
}

func TestPoolLendsWhatOthersLeaveAndGivesItBack(t *testing.T) {
	o := replica(t)
	const x, y = 0, 1
	if got := o.take(t, part("p", x, 100)); !got.OK || got.Used[0] != 100 {
		t.Fatalf("alone: %+v", got)
	}
	if got := o.take(t, part("p", y, 10)); got.OK || got.Used[0] != 100 || got.Wait <= 0 {
		t.Fatalf("all is lent: %+v", got)
	}
	// Having asked, y is active: x gets no more than its half when its slots leave.
	o.age(t, limit.Slots)
	o.take(t, part("p", y, 10))
	o.age(t, 1)
	if got := o.take(t, part("p", x, 51)); got.OK || got.Used[0] != 50 {
		t.Errorf("y keeps room: %+v", got)
	}
	if got := o.take(t, part("p", x, 50)); !got.OK || got.Used[0] != 100 {
		t.Errorf("its own half: %+v", got)
	}
	if got := o.take(t, part("p", y, 50)); !got.OK || got.Used[0] != 100 {
		t.Errorf("the other half: %+v", got)
	}
	// Those that have gone from the configuration still hold what they took.
	o.age(t, 1)
	alone := limit.Charge{Key: "p", Kind: limit.Part, Add: 1, Limit: 100, Pool: &limit.PoolPart{Names: []string{"z"}, Shares: []int64{100}}}
	if got := o.take(t, alone); got.OK || got.Used[0] != 100 {
		t.Errorf("another configuration: %+v", got)
	}
	o.age(t, limit.Slots+1)
	if got := o.take(t, alone); !got.OK || got.Used[0] != 1 {
		t.Errorf("a minute later: %+v", got)
	}
	if got := o.raw.HKeys(t.Context(), o.key("s", "p")).Val(); !cmp.Equal(got, []string{"z"}) {
		t.Errorf("kept of %v", got)
	}
}

func TestTakeGoesOnWhenItsClientLeaves(t *testing.T) {
	o := replica(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := o.Take(ctx, limit.Taking{Charges: []limit.Charge{window("a", 1, 1)}})
	if err != nil || !got.OK || !o.Up() {
		t.Errorf("%+v, %v, up: %v", got, err, o.Up())
	}
}

func TestGatewaysOfOtherPrefixesDoNotMeet(t *testing.T) {
	a, b := replica(t), replica(t)
	a.take(t, window("a", 1, 1), gauge("a", 1))
	if got := b.take(t, window("a", 1, 1), gauge("a", 1)); !got.OK {
		t.Errorf("%+v", got)
	}
}

func TestForeignThingsUnderOurKeysCountAsNothingAndAreReplaced(t *testing.T) {
	o := replica(t)
	ctx := t.Context()
	for kind, put := range map[string]func(key string) error{
		"list":   func(key string) error { return o.raw.RPush(ctx, key, "x").Err() },
		"string": func(key string) error { return o.raw.Set(ctx, key, "x", 0).Err() },
	} {
		for _, k := range []string{"w", "p", "g", "s"} {
			if err := put(o.key(k, kind)); err != nil {
				t.Fatal(err)
			}
		}
		all := []limit.Charge{window(kind, 1, 1), period(kind, 1, 1), gauge(kind, 1), part(kind, 0, 100)}
		if got := o.take(t, all...); !got.OK || !cmp.Equal(got.Used, []int64{1, 1, 1, 100}) {
			t.Errorf("%s: %+v", kind, got)
		}
		if got := o.used(t, all...); !cmp.Equal(got, []int64{1, 1, 1, 100}) {
			t.Errorf("%s: then %v", kind, got)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	o := replica(b)
	shares := make([]int64, 20)
	names := make([]string, 20)
	for i := range names {
		shares[i], names[i] = 1000, "app-"+strconv.Itoa(i)
	}
	pool := &limit.PoolPart{Names: names, Shares: shares}
	for _, c := range []struct {
		name    string
		charges []limit.Charge
	}{
		{"one window", []limit.Charge{window("a", 1, 1<<50)}},
		{"six amounts", []limit.Charge{
			window("r", 1, 1<<50), window("t", 1000, 1<<50), period("d", 1000, 1<<50), period("m", 1000, 1<<50),
			period("c", 1000, 1<<50), gauge("g", 1<<50),
		}},
		{"a pool of 20", []limit.Charge{{Key: "p", Kind: limit.Part, Add: 1, Limit: 1 << 50, Pool: pool}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := o.Take(b.Context(), limit.Taking{Charges: c.charges, Lease: fmt.Sprint(i % 100)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
