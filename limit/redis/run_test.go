package redis

import (
	"crypto/rand"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"aigateway/limit"

	"github.com/redis/go-redis/v9"
)

func TestReplicasCountEachOther(t *testing.T) {
	all := replicas(t, 3)
	for i := range all {
		until(t, "each knows of three", func() bool { return all[i].Replicas() == 3 })
	}
}

func TestReplicaThatEndsIsNotCountedAnyMore(t *testing.T) {
	var prefix string
	var stays opened
	t.Run("two", func(t2 *testing.T) {
		stays = replica(t)
		prefix = stays.prefix
		goes := open(t2, address(t), prefix, patience)
		until(t2, "both are known", func() bool { return stays.Replicas() == 2 && goes.Replicas() == 2 })
	})
	if n := stays.raw.ZCard(t.Context(), stays.key("replicas", "all")).Val(); n != 1 {
		t.Errorf("%d replicas are there", n)
	}
	if stays.Replicas() != 2 {
		t.Error("fewer replicas are believed at once")
	}
}

func TestFewerReplicasAreBelievedAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Counter{now: time.Now}
		for _, step := range []struct {
			after time.Duration
			n     int64
			want  int
		}{
			{0, 1, 1},
			{time.Second, 4, 4},
			{time.Second, 1, 4},
			{replicaFor - 1, 3, 4},
			{1, 3, 3},
			{time.Second, 2, 3},
			{time.Second, 3, 3},
			{replicaFor, 2, 3},
			{replicaFor, 0, 1},
		} {
			time.Sleep(step.after) //nolint:forbidigo // the bubble's clock, not the machine's
			if c.count(step.n); c.Replicas() != step.want {
				t.Errorf("%+v: %d replicas", step, c.Replicas())
			}
		}
	})
}

func TestRedisThatComesAndGoesIsLookedForLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Counter{now: time.Now}
		var got []time.Duration
		for _, up := range []time.Duration{time.Hour, 0, 0, steady - 1, 0, 0, 0, steady, 0} {
			c.pulse.upSince = time.Now()
			time.Sleep(up) //nolint:forbidigo // the bubble's clock, not the machine's
			got = append(got, c.fall())
		}
		const ms = time.Millisecond
		if want := []time.Duration{200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms, 200 * ms, 400 * ms}; !slices.Equal(got, want) {
			t.Errorf("pauses %v, want %v", got, want)
		}
	})
}

func TestLeasesOfRequestsUnderWayAreRenewed(t *testing.T) {
	o := replica(t)
	lease := rand.Text()
	taking := limit.Taking{Charges: []limit.Charge{gauge("a", 9), gauge("b", 9), window("c", 1, 9)}, Lease: lease}
	if _, err := o.Take(t.Context(), taking); err != nil {
		t.Fatal(err)
	}
	late := redis.Z{Score: float64(time.Now().UnixMilli() + 5000), Member: lease}
	o.raw.ZAdd(t.Context(), o.key("g", "a"), late)
	o.raw.Del(t.Context(), o.key("g", "b"))
	if err := o.renewAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if score := o.raw.ZScore(t.Context(), o.key("g", name), lease).Val(); score < late.Score+5000 {
			t.Errorf("the lease in %s lasts until %v", name, score)
		}
	}
}

func TestRedisThatForgotThisReplicaIsToldOfItsLeasesAtOnce(t *testing.T) {
	c, err := Open(t.Context(), Options{URL: address(t), Prefix: "test-" + rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	charges := []limit.Charge{gauge("a", 9)}
	if _, err := c.Take(t.Context(), limit.Taking{Charges: charges, Lease: "held"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{0, 1} { // known still, then forgotten too
		c.client.Del(t.Context(), c.key("g", "a"))
		if want == 1 {
			c.client.Del(t.Context(), c.key("replicas", "all"))
		}
		c.beat(t.Context(), patience)
		if got, err := c.Look(t.Context(), charges); err != nil || got[0] != want {
			t.Errorf("%v leases, %v, want %d", got, err, want)
		}
	}
}

func TestLeaseSettledWhileItIsRenewedDoesNotStay(t *testing.T) {
	o := replica(t)
	a, b := lease{o.key("g", "a"), "over"}, lease{o.key("g", "a"), "held"}
	o.leases[b] = struct{}{}
	for _, l := range []lease{a, b} { // as renewed after the one was settled
		o.raw.ZAdd(t.Context(), l.key, redis.Z{Score: float64(time.Now().Add(time.Minute).UnixMilli()), Member: l.id})
	}
	if err := o.takeBack(t.Context(), []lease{a, b}); err != nil {
		t.Fatal(err)
	}
	if got := o.raw.ZRange(t.Context(), a.key, 0, -1).Val(); !slices.Equal(got, []string{"held"}) {
		t.Errorf("kept %v", got)
	}
}
