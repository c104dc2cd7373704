package limit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aigateway/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when tests begin: not at the beginning of a slot, day or month.
var noon = time.Date(2025, 3, 14, 12, 0, 1, 500_000_000, time.UTC)

// fakeClock stands until it is moved.
type fakeClock struct{ at atomic.Pointer[time.Time] }

func newFakeClock() *fakeClock {
	c := new(fakeClock)
	c.set(noon)
	return c
}

func (c *fakeClock) set(t time.Time)         { c.at.Store(&t) }
func (c *fakeClock) now() time.Time          { return *c.at.Load() }
func (c *fakeClock) forward(d time.Duration) { c.set(c.now().Add(d)) }

// fixture is limits with a clock that a test moves.
type fixture struct {
	*Limits
	t     testing.TB
	clock *fakeClock
	rules *Rules
}

func newFixture(t testing.TB, o Options, cfg *config.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: newFakeClock()}
	f.start(o, cfg)
	return f
}

// start starts limits, as a new process would, at the time that it is.
func (f *fixture) start(o Options, cfg *config.Config) {
	f.t.Helper()
	if o.Now == nil {
		o.Now = f.clock.now
	}
	l, err := New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Limits = l
	f.reload(cfg)
}

func (f *fixture) reload(cfg *config.Config) {
	f.rules = f.Compile(cfg)
	f.Keep(f.rules)
}

// admit asks the app's limits and wants to be admitted.
func (f *fixture) admit(app string, ask Ask) *Grant {
	f.t.Helper()
	g, refused := f.rules.For(app).Admit(f.t.Context(), ask)
	if refused != nil {
		f.t.Fatalf("%+v was refused: %v", ask, refused)
	}
	return g
}

// refuse asks the app's limits and wants to be refused.
func (f *fixture) refuse(app string, ask Ask) *Exceeded {
	f.t.Helper()
	g, refused := f.rules.For(app).Admit(f.t.Context(), ask)
	if refused == nil {
		g.Settle(0, 0)
		f.t.Fatalf("%+v was admitted", ask)
	}
	return refused
}

// used returns how much of an amount is used, as a caller is told.
func (f *fixture) used(app string, ask Ask, limit, amount string) int64 {
	f.t.Helper()
	return f.standing(app, ask, limit, amount).Used
}

func (f *fixture) standing(app string, ask Ask, limit, amount string) Standing {
	f.t.Helper()
	for _, s := range f.rules.For(app).Standings(f.t.Context(), ask) {
		if s.Limit == limit && s.Amount == amount {
			return s
		}
	}
	f.t.Fatalf("%s of limit %s has no standing", amount, limit)
	return Standing{}
}

// apps returns a configuration of applications without endpoints.
func apps(ids []string, limits ...config.Limit) *config.Config {
	cfg := &config.Config{Limits: limits}
	for _, id := range ids {
		cfg.Applications = append(cfg.Applications, config.Application{AppID: id})
	}
	return cfg
}

// one returns a configuration of app "a" with one limit "l".
func one(allow config.Amounts, per ...string) *config.Config {
	return apps([]string{"a"}, config.Limit{ID: "l", Per: per, Allow: allow})
}

var errTest = errors.New("a fault for this test")

// fakeShared is a Shared in memory, by the letter of its interface.
type fakeShared struct {
	now      func() time.Time
	replicas int
	down     atomic.Bool // everything fails
	up       atomic.Bool // as Up tells

	mu      sync.Mutex // guards what follows
	slots   map[string]map[int64]int64
	periods map[string]int64
	leases  map[string]map[string]bool
	asked   map[string]int64
	stale   int // settlements of slots that have left
	largest int // settlements at once
	// failSettle is what Settle answers, doing nothing; with lose it answers an
	// error to what it does.
	failSettle error
	lose       bool
	last       string // id that was settled
}

func newFakeShared(now func() time.Time, replicas int) *fakeShared {
	s := &fakeShared{now: now, replicas: replicas}
	s.up.Store(true)
	s.flush()
	return s
}

func (s *fakeShared) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = ""
	s.slots, s.periods, s.leases, s.asked = map[string]map[int64]int64{}, map[string]int64{}, map[string]map[string]bool{}, map[string]int64{}
}

// fail lets settlements fail, or not.
func (s *fakeShared) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failSettle = err
}

// loseAnswers lets the answers of settlements get lost, or not.
func (s *fakeShared) loseAnswers(so bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = so
}

// away takes it away, or brings it back.
func (s *fakeShared) away(so bool) { s.down.Store(so); s.up.Store(!so) }

func (s *fakeShared) Up() bool      { return s.up.Load() }
func (s *fakeShared) Replicas() int { return s.replicas }

func (s *fakeShared) slot() int64 { return s.now().UnixNano() / int64(SlotLength) }

func (s *fakeShared) held(key string) (n int64) {
	maps.DeleteFunc(s.slots[key], func(slot, _ int64) bool { return slot < s.slot()-Slots })
	for _, v := range s.slots[key] {
		n += v
	}
	return n
}

func partKey(c *Charge, i int) string { return c.Key + "/" + c.Pool.Names[i] }

// used is what Taken.Used says of a charge.
func (s *fakeShared) used(c *Charge) int64 {
	switch c.Kind {
	case Period:
		return s.periods[c.Key]
	case Gauge:
		return int64(len(s.leases[c.Key]))
	case Part:
		var total, claimed int64
		me := c.Pool.App
		for i := range c.Pool.Names {
			held := s.held(partKey(c, i))
			total += held
			asked, ok := s.asked[partKey(c, i)]
			if i != me && ok && asked >= s.slot()-ActiveSlots {
				claimed += max(held, c.Pool.Shares[i])
			} else if i != me {
				claimed += held
			}
		}
		held := s.held(partKey(c, me))
		return c.Limit - min(c.Limit-total, max(c.Pool.Shares[me]-held, c.Limit-held-claimed))
	}
	return s.held(c.Key)
}

func (s *fakeShared) add(key string, slot, n int64) {
	if s.slots[key] == nil {
		s.slots[key] = map[int64]int64{}
	}
	s.slots[key][slot] = max(s.slots[key][slot]+n, 0)
}

func (s *fakeShared) Take(_ context.Context, t Taking) (Taken, error) {
	if s.down.Load() {
		return Taken{}, errTest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := Taken{OK: true, Slot: s.slot()}
	for i, c := range t.Charges {
		if len(c.Key) > 300 || c.Key == "" {
			return Taken{}, fmt.Errorf("a key of %d bytes", len(c.Key))
		}
		if c.Kind == Part {
			s.asked[partKey(&c, c.Pool.App)] = taken.Slot
		}
		if taken.OK && c.Limit >= 0 && s.used(&c)+c.Add > c.Limit {
			taken.OK, taken.Refused, taken.Wait = false, i, time.Second
		}
	}
	for _, c := range t.Charges {
		switch {
		case !taken.OK:
		case c.Kind == Period:
			s.periods[c.Key] += c.Add
		case c.Kind == Gauge:
			if s.leases[c.Key] == nil {
				s.leases[c.Key] = map[string]bool{}
			}
			s.leases[c.Key][t.Lease] = true
		case c.Kind == Part:
			s.add(partKey(&c, c.Pool.App), taken.Slot, c.Add)
		default:
			s.add(c.Key, taken.Slot, c.Add)
		}
	}
	for _, c := range t.Charges {
		taken.Used = append(taken.Used, s.used(&c))
	}
	return taken, nil
}

func (s *fakeShared) Settle(_ context.Context, id string, all []Settlement) error {
	if s.down.Load() {
		return errTest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failSettle != nil {
		return s.failSettle
	}
	s.largest = max(s.largest, len(all))
	if id == "" || id != s.last {
		s.settle(all)
	}
	if id != "" {
		s.last = id
	}
	if s.lose {
		return errTest
	}
	return nil
}

func (s *fakeShared) settle(all []Settlement) {
	for _, x := range all {
		switch x.Kind {
		case Period:
			s.periods[x.Key] = max(s.periods[x.Key]+x.Delta, 0)
		case Gauge:
			delete(s.leases[x.Key], x.Lease)
		case Part:
			s.add(x.Key+"/"+x.Pool.Names[x.Pool.App], x.Slot, x.Delta)
		default:
			s.add(x.Key, x.Slot, x.Delta)
		}
		if (x.Kind == Part || x.Kind == Window) && x.Slot < s.slot()-Slots {
			s.stale++
		}
	}
}

func (s *fakeShared) Look(_ context.Context, charges []Charge) (used []int64, err error) {
	if s.down.Load() {
		return nil, errTest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range charges {
		used = append(used, s.used(&c))
	}
	return used, nil
}
