package redis

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"aigateway/limit"

	"github.com/google/go-cmp/cmp"
)

func TestSettlementReplacesWhatWasReserved(t *testing.T) {
	o := replica(t)
	all := []limit.Charge{window("a", 10, 100), period("b", 10, 100), gauge("c", 1), part("d", 1, 10)}
	lease := rand.Text()
	got, err := o.Take(t.Context(), limit.Taking{Charges: all, Lease: lease})
	if err != nil || !got.OK {
		t.Fatal(got, err)
	}
	settle := func(delta int64) []limit.Settlement {
		return []limit.Settlement{
			{Key: "a", Kind: limit.Window, Slot: got.Slot, Delta: delta},
			{Key: "b", Kind: limit.Period, Until: all[1].Until, Delta: delta},
			{Key: "c", Kind: limit.Gauge, Lease: lease, Delta: -1},
			{Key: "d", Kind: limit.Part, Slot: got.Slot, Delta: delta, Pool: all[3].Pool},
		}
	}
	for _, c := range []struct {
		delta int64
		want  int64
	}{{-3, 7}, {20, 27}, {0, 27}, {-100, 0}, {-1, 0}, {5, 5}} {
		o.correct(t, settle(c.delta)...)
		if used := o.used(t, all...); !cmp.Equal(used, []int64{c.want, c.want, 0, c.want}) {
			t.Errorf("after %d: %v used, want %d", c.delta, used, c.want)
		}
	}
	if len(o.leases) != 0 {
		t.Errorf("%d leases are still renewed", len(o.leases))
	}
}

func TestWindowIsCorrectedInTheSlotItWasChargedIn(t *testing.T) {
	o := replica(t)
	first := o.take(t, window("a", 10, 100), part("d", 1, 10))
	o.age(t, 5)
	second := o.take(t, window("a", 10, 100), part("d", 1, 10))
	o.correct(t,
		limit.Settlement{Key: "a", Slot: first.Slot - 5, Delta: -10},
		limit.Settlement{Key: "d", Kind: limit.Part, Slot: first.Slot - 5, Delta: -10, Pool: part("d", 1, 0).Pool},
		limit.Settlement{Key: "a", Slot: second.Slot - limit.Slots - 2, Delta: 50}, // has left
		limit.Settlement{Key: "d", Kind: limit.Part, Slot: second.Slot - limit.Slots - 2, Delta: 50, Pool: part("d", 1, 0).Pool},
		limit.Settlement{Key: "never", Slot: second.Slot, Delta: -50},
		limit.Settlement{Key: "never", Kind: limit.Part, Slot: second.Slot, Delta: 50, Pool: part("d", 1, 0).Pool})
	if got := o.used(t, window("a", 0, 0), part("d", 1, 0), window("never", 0, 0)); !cmp.Equal(got, []int64{10, 10, 0}) {
		t.Errorf("%v used", got)
	}
	o.age(t, limit.Slots-5)
	if got := o.used(t, window("a", 0, 0)); got[0] != 10 {
		t.Errorf("%d used: the later charge was corrected, not the earlier", got[0])
	}
}

func TestWhatAnApplicationUsedAloneCountsInItsPool(t *testing.T) {
	o := replica(t)
	slot := o.take(t, window("a", 1, 100)).Slot
	before := o.used(t, part("d", 1, 0))[0]
	o.correct(t, limit.Settlement{Key: "d", Kind: limit.Part, Slot: slot, Delta: 50, Pool: part("d", 1, 0).Pool})
	if got := o.used(t, part("d", 1, 0))[0]; got != before+50 {
		t.Errorf("%d used, %d before", got, before)
	}
}

func TestPeriodThatWasLostIsLifted(t *testing.T) {
	o := replica(t)
	o.correct(t, limit.Settlement{Key: "a", Kind: limit.Period, Until: time.Now().Add(time.Hour), Delta: 70})
	if got := o.take(t, period("a", 31, 100)); got.OK || got.Used[0] != 70 {
		t.Errorf("%+v", got)
	}
}

func TestManySettlementsAreDoneOnceTogether(t *testing.T) {
	o := replica(t)
	taken := o.take(t, window("a", 5000, 5000))
	all := make([]limit.Settlement, limit.MostSettled)
	for i := range all {
		all[i] = limit.Settlement{Key: "a", Slot: taken.Slot, Delta: -2}
	}
	for range 2 {
		if err := o.Settle(t.Context(), "id", all); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := o.used(t, window("a", 0, 0))[0], 5000-2*int64(len(all)); got != want {
		t.Errorf("%d used, want %d", got, want)
	}
	o.correct(t)
}

func TestIdsOfSettlementsAreOfOneReplica(t *testing.T) {
	all := replicas(t, 2)
	taken := all[0].take(t, window("a", 100, 100))
	for _, o := range all {
		for range 3 {
			if err := o.Settle(t.Context(), "id", []limit.Settlement{{Key: "a", Slot: taken.Slot, Delta: -10}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := all[0].used(t, window("a", 0, 0))[0]; got != 80 {
		t.Errorf("%d used, want 80", got)
	}
}

func TestOneIdOfEachReplicaIsKept(t *testing.T) {
	o := replica(t)
	key := o.last()
	o.raw.RPush(t.Context(), key, "foreign")
	for _, id := range []string{"", "first", "second", ""} {
		if err := o.Settle(t.Context(), id, []limit.Settlement{{Key: "a", Kind: limit.Gauge, Lease: "none"}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.raw.Get(t.Context(), key).Val(); got != "second" {
		t.Errorf("%q is kept", got)
	}
	if left := o.raw.PTTL(t.Context(), key).Val(); left <= 0 || left > lastFor {
		t.Errorf("it is kept for %v", left)
	}
	if keys := o.keys(t, "settled:*"); len(keys) != 1 {
		t.Errorf("%v are kept", keys)
	}
}

func TestSettlementThatMayNotWaitIsNoFaultOfRedis(t *testing.T) {
	o := replica(t)
	o.take(t, window("a", 5, 5))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	for _, ctx := range []context.Context{ctx, late} {
		if err := o.Settle(ctx, "id", []limit.Settlement{{Key: "a", Slot: 1 << 50, Delta: -1}}); err == nil || !o.Up() {
			t.Errorf("settled: %v, up: %v", err == nil, o.Up())
		}
	}
	if got := o.used(t, window("a", 0, 0))[0]; got != 5 {
		t.Errorf("%d used", got)
	}
}

func TestSettlementWhoseAnswerIsLostIsDoneOnce(t *testing.T) {
	s := serve(t)
	addr, cut := lossy(t, filepath.Join(s.dir, "socket"))
	c, err := Open(t.Context(), Options{URL: "redis://" + addr}) // nothing runs whose answer could be lost
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.patience = patience
	charges := []limit.Charge{window("a", 90, 100), period("b", 90, 100), part("c", 0, 90)}
	taken, err := c.Take(t.Context(), limit.Taking{Charges: charges})
	if err != nil || !taken.OK {
		t.Fatal(taken, err)
	}
	settle := func(id string) error {
		return c.Settle(t.Context(), id, []limit.Settlement{
			{Key: "a", Slot: taken.Slot, Delta: -20},
			{Key: "b", Kind: limit.Period, Until: charges[1].Until, Delta: -20},
			{Key: "c", Kind: limit.Part, Slot: taken.Slot, Delta: -20, Pool: charges[2].Pool},
		})
	}
	used := func(want int64) {
		t.Helper()
		if got, err := c.Look(t.Context(), charges); err != nil || !cmp.Equal(got, []int64{want, want, want}) {
			t.Errorf("%v used, %v, want %d", got, err, want)
		}
	}
	if err := settle("first"); err != nil { // Redis knows the script from now on
		t.Fatal(err)
	}
	used(70)
	cut.Store(true)
	if err := settle("second"); err == nil || c.Up() {
		t.Errorf("settled without an answer; up: %v", c.Up())
	}
	c.beat(t.Context(), patience)
	used(50)
	for range 2 {
		if err := settle("second"); err != nil {
			t.Error(err)
		}
	}
	used(50)
	if err := settle("third"); err != nil {
		t.Error(err)
	}
	used(30)
}
