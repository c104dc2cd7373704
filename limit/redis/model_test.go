package redis

import (
	"crypto/rand"
	"testing"
	"time"

	"aigateway/limit"

	"pgregory.net/rapid"
)

// model is what Redis should hold, said as plainly as can be. Its slots are
// Redis' and those that the test let pass.
type model struct {
	window map[int64]int64 // by slot
	parts  map[string]map[int64]int64
	asked  map[string]int64
	period int64
	gauge  map[string]bool
}

func held(slots map[int64]int64, now int64) (sum int64) {
	for slot, n := range slots {
		if now-slot <= limit.Slots {
			sum += n
		}
	}
	return sum
}

// fits is the rule of limit.PoolPart, word for word.
func (m *model) fits(c limit.Charge, now, add int64) bool {
	app := c.Pool.Names[c.Pool.App]
	mine, sum, claimed := held(m.parts[app], now), int64(0), int64(0)
	for i, other := range c.Pool.Names {
		has := held(m.parts[other], now)
		sum += has
		asked, ever := m.asked[other]
		switch {
		case other == app:
		case ever && now-asked <= limit.ActiveSlots:
			claimed += max(has, c.Pool.Shares[i])
		default:
			claimed += has
		}
	}
	return sum+add <= c.Limit && (mine+add <= c.Pool.Shares[c.Pool.App] || mine+add+claimed <= c.Limit)
}

// used is what Taken.Used and Look tell of an account.
func (m *model) used(c limit.Charge, now int64) int64 {
	switch c.Kind {
	case limit.Window:
		return held(m.window, now)
	case limit.Period:
		return m.period
	case limit.Gauge:
		return int64(len(m.gauge))
	case limit.Part:
		room := c.Limit
		for room > -1000 && !m.fits(c, now, room) {
			room--
		}
		return c.Limit - room
	}
	panic("no kind")
}

func (m *model) add(c limit.Charge, now int64, lease string) {
	switch c.Kind {
	case limit.Window:
		m.window[now] += c.Add
	case limit.Period:
		m.period += c.Add
	case limit.Gauge:
		if c.Add > 0 {
			m.gauge[lease] = true
		}
	case limit.Part:
		app := c.Pool.Names[c.Pool.App]
		if m.parts[app] == nil {
			m.parts[app] = map[int64]int64{}
		}
		m.parts[app][now] += c.Add
		m.asked[app] = now
	}
}

// TestRedisAgreesWithAPlainModel takes, settles and lets time pass at random.
func TestRedisAgreesWithAPlainModel(t *testing.T) {
	o := replica(t)
	names := []string{"x", "y", "z"}
	shares := []int64{10, 5, 0}
	rapid.Check(t, func(rt *rapid.T) {
		for _, kind := range []string{"w", "p", "g", "s"} {
			o.raw.Del(t.Context(), o.key(kind, "a"))
		}
		until := time.Now().Add(time.Hour)
		m := model{window: map[int64]int64{}, parts: map[string]map[int64]int64{}, asked: map[string]int64{}, gauge: map[string]bool{}}
		passed := int64(0)
		type taken struct {
			charges []limit.Charge
			slot    int64
			lease   string
		}
		var open []taken
		rt.Repeat(map[string]func(*rapid.T){
			"take": func(rt *rapid.T) {
				most := rapid.SampledFrom([]int64{-1, 0, 3, 10, 20}).Draw(rt, "limit")
				charges := []limit.Charge{
					{Kind: limit.Window, Add: rapid.Int64Range(0, 8).Draw(rt, "tokens"), Limit: 20},
					{Kind: limit.Period, Add: rapid.Int64Range(0, 3).Draw(rt, "requests"), Limit: most},
					{Kind: limit.Gauge, Add: rapid.Int64Range(0, 1).Draw(rt, "gauge"), Limit: 4},
					{Kind: limit.Part, Add: rapid.Int64Range(0, 12).Draw(rt, "part"), Limit: 18, Pool: &limit.PoolPart{
						App: rapid.IntRange(0, 2).Draw(rt, "app"), Names: names, Shares: shares,
					}},
				}
				charges = rapid.Permutation(charges).Draw(rt, "order")[:rapid.IntRange(1, 4).Draw(rt, "charges")]
				for i := range charges {
					charges[i].Key, charges[i].Until = "a", until
				}
				lease := rand.Text()
				got, err := o.Take(t.Context(), limit.Taking{Charges: charges, Lease: lease})
				if err != nil {
					rt.Fatal(err)
				}
				now := got.Slot + passed
				ok, refused := true, 0
				want := make([]int64, len(charges))
				for i, c := range charges {
					want[i] = m.used(c, now)
					if ok && c.Limit >= 0 && want[i]+c.Add > c.Limit {
						ok, refused = false, i
					}
				}
				switch {
				case ok:
					for i, c := range charges {
						want[i] += c.Add
						m.add(c, now, lease)
					}
					open = append(open, taken{charges, now, lease})
				case charges[refused].Kind == limit.Part:
					m.asked[names[charges[refused].Pool.App]] = now
				}
				if got.OK != ok || got.Refused != refused {
					rt.Fatalf("%+v, want %v, %d for %+v", got, ok, refused, charges)
				}
				for i := range want {
					if got.Used[i] != want[i] {
						rt.Fatalf("%+v, want %v used by %+v", got, want, charges[i])
					}
				}
				if !ok && (got.Wait <= 0 || got.Wait > time.Hour) {
					rt.Fatalf("wait %v", got.Wait)
				}
			},
			"settle": func(rt *rapid.T) {
				if len(open) == 0 {
					rt.Skip()
				}
				i := rapid.IntRange(0, len(open)-1).Draw(rt, "which")
				one := open[i]
				open = append(open[:i], open[i+1:]...)
				var all []limit.Settlement
				for _, c := range one.charges {
					s := limit.Settlement{
						Key: c.Key, Kind: c.Kind, Slot: one.slot - passed, Until: c.Until, Pool: c.Pool, Lease: one.lease,
						Delta: rapid.Int64Range(-c.Add-1, 4).Draw(rt, "delta"),
					}
					all = append(all, s)
					correct := func(slots map[int64]int64) { slots[one.slot] = max(0, slots[one.slot]+s.Delta) }
					switch c.Kind {
					case limit.Window:
						correct(m.window)
					case limit.Period:
						m.period = max(0, m.period+s.Delta)
					case limit.Gauge:
						delete(m.gauge, one.lease)
					case limit.Part:
						correct(m.parts[names[c.Pool.App]])
					}
				}
				id := rand.Text()
				for range rapid.IntRange(1, 2).Draw(rt, "times") {
					if err := o.Settle(t.Context(), id, all); err != nil {
						rt.Fatal(err)
					}
				}
			},
			"wait": func(rt *rapid.T) {
				slots := rapid.IntRange(1, 15).Draw(rt, "slots")
				o.age(t, slots)
				passed += int64(slots)
			},
		})
	})
}
