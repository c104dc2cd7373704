package config

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Interval is a span of time, kept in three parts because a month and a day
// have no fixed length. It is written as PostgreSQL's interval text: see
// ParseInterval.
type Interval struct {
	Months, Days int
	Time         time.Duration
}

// IsZero reports whether the interval is no time at all.
func (v Interval) IsZero() bool { return v == Interval{} }

// day is PostgreSQL's day where a calendar is not at hand.
const (
	day           = 24 * time.Hour
	daysPerMonth  = 30 // PostgreSQL's justify_days, and its rule for fractions of a month
	monthsPerYear = 12
)

// Duration returns the interval with days of 24 hours and months of 30 days,
// as PostgreSQL's justify_interval has them. What does not fit a
// time.Duration (292 years) becomes the longest one.
func (v Interval) Duration() time.Duration {
	days := int64(v.Months)*daysPerMonth + int64(v.Days)
	const most = int64(math.MaxInt64 / day)
	if days > most || days < -most {
		if days > 0 {
			return math.MaxInt64
		}
		return math.MinInt64
	}
	sum := time.Duration(days)*day + v.Time
	switch {
	case days > 0 && v.Time > 0 && sum < 0:
		return math.MaxInt64
	case days < 0 && v.Time < 0 && sum > 0:
		return math.MinInt64
	}
	return sum
}

// Before returns t minus the interval as PostgreSQL subtracts an interval from
// a timestamptz, in t's location: months first, where a day that the month
// does not have becomes its last, then days by the calendar, then time.
func (v Interval) Before(t time.Time) time.Time {
	if v.Months != 0 {
		year, month, d := t.Date()
		first := time.Date(year, month-time.Month(v.Months), 1, 0, 0, 0, 0, time.UTC)
		last := first.AddDate(0, 1, -1).Day()
		t = at(t, first.Year(), first.Month(), min(d, last))
	}
	if v.Days != 0 {
		year, month, d := t.Date()
		t = at(t, year, month, d-v.Days)
	}
	return t.Add(-v.Time)
}

// at returns t on another day.
func at(t time.Time, year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
}

// String returns the interval as PostgreSQL prints it (IntervalStyle
// postgres): "1 year 2 mons 3 days 04:05:06.5"; no time at all is "00:00:00".
func (v Interval) String() string {
	var b strings.Builder
	negative := false // of the part before: a positive part after it needs its sign
	part := func(n int, unit string) {
		if n == 0 {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if negative && n > 0 {
			b.WriteByte('+')
		}
		fmt.Fprintf(&b, "%d %s", n, unit)
		if n != 1 {
			b.WriteByte('s')
		}
		negative = n < 0
	}
	part(v.Months/monthsPerYear, "year")
	part(v.Months%monthsPerYear, "mon")
	part(v.Days, "day")
	if v.Time == 0 && b.Len() > 0 {
		return b.String()
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	switch {
	case v.Time < 0:
		b.WriteByte('-')
	case negative:
		b.WriteByte('+')
	}
	micros := v.Time.Microseconds()
	abs := uint64(micros)
	if micros < 0 {
		abs = -abs
	}
	seconds, fraction := abs/1e6, abs%1e6
	fmt.Fprintf(&b, "%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if fraction != 0 {
		b.WriteString(strings.TrimRight(fmt.Sprintf(".%06d", fraction), "0"))
	}
	return b.String()
}

// MarshalJSON returns the interval in words, "1 hour 30 minutes", as
// configuration files mostly write it; no time at all is "0 seconds".
func (v Interval) MarshalJSON() ([]byte, error) {
	var words []string
	part := func(n int64, unit string) {
		if n != 0 {
			plural := "s"
			if n == 1 || n == -1 {
				plural = ""
			}
			words = append(words, fmt.Sprintf("%d %s%s", n, unit, plural))
		}
	}
	part(int64(v.Months/monthsPerYear), "year")
	part(int64(v.Months%monthsPerYear), "month")
	part(int64(v.Days), "day")
	part(int64(v.Time/time.Hour), "hour")
	part(int64(v.Time%time.Hour/time.Minute), "minute")
	rest := v.Time % time.Minute
	if fraction := rest % time.Second; fraction != 0 {
		words = append(words, strconv.FormatFloat(rest.Seconds(), 'f', -1, 64)+" seconds")
	} else {
		part(int64(rest/time.Second), "second")
	}
	if len(words) == 0 {
		words = []string{"0 seconds"}
	}
	return json.Marshal(strings.Join(words, " "))
}
