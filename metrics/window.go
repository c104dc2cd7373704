package metrics

import (
	"sync"
	"sync/atomic"
	"time"
)

// clock divides time into windows, numbered from 0 at start.
type clock struct {
	now      func() time.Time
	start    time.Time
	interval time.Duration
	history  int64 // finished windows kept
}

// number returns the number of the window t is in; 0 before the start.
func (c *clock) number(t time.Time) int64 {
	return max(0, int64(t.Sub(c.start)/c.interval))
}

// begin returns when window n begins.
func (c *clock) begin(n int64) time.Time {
	return c.start.Add(time.Duration(n) * c.interval)
}

// window counts the calls to one endpoint in one window of time.
type window struct {
	number int64
	begin  time.Time // when counting began; later than the clock's for an endpoint added within the window

	succeeded atomic.Int64
	failed    atomic.Int64 // those throttled and filtered too
	throttled atomic.Int64 // answered 429
	filtered  atomic.Int64 // answered 400
	tokens    atomic.Int64
	latency   atomic.Int64           // nanoseconds of the calls that succeeded
	named     [maxNamed]atomic.Int64 // calls that succeeded by name; see namedCalls
}

// windows are one endpoint's current window and those before it.
//
// A call may find its window closed by another between loading it and adding
// to it. It is not lost: closed windows are kept as they are, not copied, and
// are read when they are shown, for as long as history reaches. Windows without traffic are not kept but made
// up by whoever reads, so that a long idle time costs nothing.
type windows struct {
	current atomic.Pointer[window]

	rolling sync.Mutex // held when current is replaced and when closed is used
	closed  []*window  // oldest first; only numbers that history still reaches
	first   int64      // number of the first window; set by open
}

// open begins the first window: with the clock's, or now for an endpoint that
// joins a gateway at work, for that window's rates are of the time it was there.
func (s *windows) open(c *clock, joins bool) {
	now := c.now()
	s.first = c.number(now)
	begin := c.begin(s.first)
	if joins {
		begin = now
	}
	s.current.Store(&window{number: s.first, begin: begin})
}

// at returns the current window after the clock has moved it on. A clock that
// went back stays in the window it had reached.
func (s *windows) at(c *clock) *window {
	n := c.number(c.now())
	if w := s.current.Load(); n <= w.number {
		return w
	}
	return s.roll(c, n)
}

// roll closes the current window and begins window n, unless another has.
func (s *windows) roll(c *clock, n int64) *window {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	w := s.current.Load()
	if n <= w.number {
		return w
	}
	s.closed = append(s.closed, w)
	for len(s.closed) > 0 && s.closed[0].number < n-c.history {
		s.closed[0] = nil // for the collector: the array outlives the slice's start
		s.closed = s.closed[1:]
	}
	w = &window{number: n, begin: c.begin(n)}
	s.current.Store(w)
	return w
}

// read returns the current window and the finished ones that history reaches,
// oldest first, with a window of zeros for each that saw no call.
func (s *windows) read(c *clock) (current *window, finished []*window) {
	s.at(c)
	s.rolling.Lock()
	defer s.rolling.Unlock()
	current = s.current.Load()
	closed := s.closed
	for n := max(s.first, current.number-c.history); n < current.number; n++ {
		if len(closed) > 0 && closed[0].number == n {
			finished, closed = append(finished, closed[0]), closed[1:]
			continue
		}
		finished = append(finished, &window{number: n, begin: c.begin(n)})
	}
	return current, finished
}
