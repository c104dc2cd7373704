package metrics

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// shown is a window as read gives it: its number and successful calls.
type shown struct{ Number, Calls int64 }

func read(a *App) (current shown, finished []shown) {
	w, closed := a.endpoints[0].windows.read(a.clock)
	for _, f := range closed {
		finished = append(finished, shown{f.number, f.succeeded.Load()})
	}
	return shown{w.number, w.succeeded.Load()}, finished
}

func TestWindowsRollWithTheClock(t *testing.T) {
	for _, tt := range []struct {
		name     string
		history  int
		calls    []time.Duration // since the start
		readAt   time.Duration
		current  shown
		finished []shown
	}{
		{"within the first", 5, []time.Duration{0, 59 * time.Second}, 59 * time.Second, shown{0, 2}, nil},
		{"on the boundary", 5, []time.Duration{0, time.Minute}, time.Minute, shown{1, 1}, []shown{{0, 1}}},
		{"idle reader rolls", 5, []time.Duration{0}, 2 * time.Minute, shown{2, 0}, []shown{{0, 1}, {1, 0}}},
		{"gap filled with zeros", 5, []time.Duration{0, 3 * time.Minute}, 4 * time.Minute, shown{4, 0}, []shown{{0, 1}, {1, 0}, {2, 0}, {3, 1}}},
		{"history drops the oldest", 2, []time.Duration{0, time.Minute, 2 * time.Minute}, 3 * time.Minute, shown{3, 0}, []shown{{1, 1}, {2, 1}}},
		{"gap longer than history", 2, []time.Duration{0, 9 * time.Minute}, 10 * time.Minute, shown{10, 0}, []shown{{8, 0}, {9, 1}}},
		{"a year idle", 3, []time.Duration{0}, 365 * 24 * time.Hour, shown{525600, 0}, []shown{{525597, 0}, {525598, 0}, {525599, 0}}},
		{"no history", 0, []time.Duration{0, time.Minute}, 2 * time.Minute, shown{2, 0}, nil},
		{"clock goes back a window", 5, []time.Duration{0, 90 * time.Second, 30 * time.Second}, 30 * time.Second, shown{1, 2}, []shown{{0, 1}}},
		{"clock goes back before the start", 5, []time.Duration{-time.Hour, 0}, -time.Hour, shown{0, 2}, nil},
		{"clock goes back and on", 5, []time.Duration{2 * time.Minute, 0, 3 * time.Minute}, 3 * time.Minute, shown{3, 1}, []shown{{0, 0}, {1, 0}, {2, 2}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, clock := newMetrics(tt.history)
			a := m.Configure([]AppSpec{spec("app", "x")})[0]
			for _, at := range tt.calls {
				clock.set(at)
				a.Observe(answer(0))
			}
			clock.set(tt.readAt)
			current, finished := read(a)
			if diff := cmp.Diff(tt.current, current); diff != "" {
				t.Errorf("current: %s", diff)
			}
			if diff := cmp.Diff(tt.finished, finished); diff != "" {
				t.Errorf("finished: %s", diff)
			}
		})
	}
}

func TestEndpointThatJoinsHasNoWindowsFromBefore(t *testing.T) {
	m, clock := newMetrics(5)
	m.Configure([]AppSpec{spec("app", "x")})
	clock.set(150 * time.Second)
	a := m.Configure([]AppSpec{spec("app", "new", "x")})[0]
	a.Observe(answer(0))
	clock.set(4 * time.Minute)
	current, finished := read(a)
	if diff := cmp.Diff([]shown{{2, 1}, {3, 0}}, finished); diff != "" || current != (shown{4, 0}) {
		t.Errorf("current %v, finished %s", current, diff)
	}
	_, windows := a.endpoints[0].windows.read(a.clock)
	if got, want := windows[0].begin, start.Add(150*time.Second); !got.Equal(want) {
		t.Errorf("its first window begins at %v, want %v", got, want)
	}
	if got, want := windows[1].begin, start.Add(3*time.Minute); !got.Equal(want) {
		t.Errorf("its second window begins at %v, want %v", got, want)
	}
}

func TestClosedWindowsThatAreOutOfReachAreDropped(t *testing.T) {
	m, clock := newMetrics(3)
	a := m.Configure([]AppSpec{spec("app", "x")})[0]
	for i := range 100 {
		clock.set(time.Duration(i) * time.Minute)
		a.Observe(answer(0))
	}
	if got := len(a.endpoints[0].windows.closed); got != 3 {
		t.Errorf("%d closed windows are kept, want 3", got)
	}
}

func TestCallThatMeetsAClosedWindowIsNotLost(t *testing.T) {
	m, clock := newMetrics(3)
	a := m.Configure([]AppSpec{spec("app", "x")})[0]
	late := a.endpoints[0].windows.at(a.clock) // a call has loaded its window …
	clock.set(time.Minute)
	a.Observe(answer(0)) // … and another closes it
	late.succeeded.Add(1)
	if _, finished := read(a); !cmp.Equal(finished, []shown{{0, 1}}) {
		t.Errorf("finished: %v, want the late call in window 0", finished)
	}
}

func TestNoCallIsLostWhileWindowsRoll(t *testing.T) {
	const callers, each = 4, 2000
	m, clock := newMetrics(600)
	a := m.Configure([]AppSpec{spec("app", "x", "y")})[0]
	var calls, others sync.WaitGroup
	done := make(chan struct{})
	others.Go(func() { // moves the clock, through fewer windows than are kept
		for i := range 500 {
			select {
			case <-done:
				return
			default:
			}
			clock.set(time.Duration(i) * time.Minute)
			m.JSON(Header{})
		}
	})
	others.Go(func() { // reloads
		for {
			select {
			case <-done:
				return
			default:
				m.Configure([]AppSpec{spec("app", "y", "x")})
			}
		}
	})
	for range callers {
		calls.Go(func() {
			for i := range each {
				a.Observe(answer(i % 2))
			}
		})
	}
	calls.Wait()
	close(done)
	others.Wait()

	for i, e := range a.endpoints {
		current, finished := e.windows.read(a.clock)
		sum := current.succeeded.Load()
		for _, w := range finished {
			sum += w.succeeded.Load()
		}
		if want := int64(callers * each / 2); sum != want || e.attempts[attemptOK].Load() != want {
			t.Errorf("endpoint %d: windows hold %d calls, %d since the start, want %d", i, sum, e.attempts[attemptOK].Load(), want)
		}
	}
	if got := m.totals.success.Load(); got != callers*each {
		t.Errorf("the totals hold %d requests, want %d", got, callers*each)
	}
}

// TestWindowsAgreeWithAPlainModel compares the windows with a map from window
// number to calls, the clock going wherever it likes.
func TestWindowsAgreeWithAPlainModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := rapid.IntRange(0, 4).Draw(t, "history")
		m, clock := newMetrics(history)
		a := m.Configure([]AppSpec{spec("app", "x")})[0]
		calls, reached := map[int64]int64{}, int64(0)
		for _, seconds := range rapid.SliceOf(rapid.IntRange(-100, 1000)).Draw(t, "times") {
			clock.set(time.Duration(seconds) * time.Second)
			reached = max(reached, int64(seconds)/60)
			if seconds%2 == 0 {
				a.Observe(answer(0))
				calls[reached]++
			}
			current, finished := read(a)
			if want := (shown{reached, calls[reached]}); current != want {
				t.Fatalf("current %v, want %v", current, want)
			}
			var want []shown
			for n := max(0, reached-int64(history)); n < reached; n++ {
				want = append(want, shown{n, calls[n]})
			}
			if diff := cmp.Diff(want, finished); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}
