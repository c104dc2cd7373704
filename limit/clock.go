package limit

import (
	"sync/atomic"
	"time"
)

// clock tells the time in slots and periods.
type clock struct {
	now   func() time.Time
	start time.Time
	// ahead is how many slots the clock of Shared is ahead of ours, as last
	// known.
	ahead atomic.Int64
}

// moment is one reading of the clock.
type moment struct {
	at         time.Time
	slot       int64         // by the clock of Shared
	rest       time.Duration // of the slot: 0 < rest <= SlotLength
	day, month int64         // when they began, in Unix seconds
}

// moment reads the clock. Slots follow the monotonic clock, where readings have
// one: setting the time of day moves no window.
func (c *clock) moment() moment {
	at := c.now().UTC()
	ns := c.start.UnixNano() + int64(at.Sub(c.start))
	year, month, day := at.Date()
	return moment{
		at:    at,
		slot:  ns/int64(SlotLength) + c.ahead.Load(),
		rest:  SlotLength - time.Duration(ns%int64(SlotLength)),
		day:   time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix(),
		month: time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Unix(),
	}
}

// heard learns the clock of Shared from a slot that it named just now.
func (c *clock) heard(slot int64) {
	ahead := c.ahead.Load()
	if d := slot - c.moment().slot; d != 0 {
		c.ahead.CompareAndSwap(ahead, ahead+d)
	}
}

// until returns when the amount's period that began at start ends.
func until(a amount, start int64) time.Time {
	t := time.Unix(start, 0).UTC()
	if a.monthly() {
		return t.AddDate(0, 1, 0)
	}
	return t.AddDate(0, 0, 1)
}

// period returns when the amount's period began.
func (m *moment) period(a amount) int64 {
	if a.monthly() {
		return m.month
	}
	return m.day
}

// over reports whether a period that began at start is another than now's.
func (m *moment) over(a amount, start int64) bool { return start != m.period(a) }
