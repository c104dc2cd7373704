package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseInterval reads interval text as PostgreSQL's interval type does
// (PostgreSQL documentation, section 8.5.4): "2 minutes", "1 day 04:05",
// "1-2", "1.5 hours", "P1DT2H", "30" (seconds), "1 hour ago". Like PostgreSQL
// 17, which is stricter than earlier ones, it takes a unit only after its
// number and "ago" only at the end. Fractions go down: of a month to days, of
// a day to time, of a microsecond to none. SQL's field names after the text
// ("1" DAY) are not part of it.
func ParseInterval(s string) (Interval, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Interval{}, errors.New("an interval needs a number")
	}
	if len(s) > 200 { // PostgreSQL takes 25 fields; no interval is this long
		return Interval{}, errors.New("an interval is at most 200 characters long")
	}
	var p parts
	var err error
	if s[0] == 'P' {
		err = p.iso(s[1:])
	} else {
		err = p.postgres(s)
	}
	if err != nil {
		return Interval{}, fmt.Errorf("interval %q: %w", s, err)
	}
	v, ok := p.interval()
	if !ok {
		return Interval{}, fmt.Errorf("interval %q: %w", s, errRange)
	}
	return v, nil
}

var (
	errRange  = errors.New("out of range")
	errFormat = errors.New("not PostgreSQL's interval format")
)

// unit is what a number counts. Each adds to one part of an interval: months,
// days or microseconds.
type unit struct {
	field  string // units with the same field may not both be given
	months int64
	days   int64
	micros int64
}

// The units by all their names: deltatktbl in PostgreSQL's datetime.c.
func unitNamed(name string) (unit, bool) {
	switch name {
	case "us", "usec", "usecs", "usecond", "useconds", "microsecond", "microseconds":
		return unit{field: "microsecond", micros: 1}, true
	case "ms", "msec", "msecs", "msecond", "mseconds", "millisecond", "milliseconds":
		return unit{field: "millisecond", micros: 1e3}, true
	case "s", "sec", "secs", "second", "seconds":
		return unit{field: "second", micros: 1e6}, true
	case "m", "min", "mins", "minute", "minutes":
		return unit{field: "minute", micros: 60e6}, true
	case "h", "hr", "hrs", "hour", "hours":
		return unit{field: "hour", micros: 3600e6}, true
	case "d", "day", "days":
		return unit{field: "day", days: 1}, true
	case "w", "week", "weeks":
		return unit{field: "week", days: 7}, true
	case "mon", "mons", "month", "months":
		return unit{field: "month", months: 1}, true
	case "y", "yr", "yrs", "year", "years":
		return unit{field: "year", months: 12}, true
	case "dec", "decs", "decade", "decades":
		return unit{field: "decade", months: 120}, true
	case "c", "cent", "century", "centuries":
		return unit{field: "century", months: 1200}, true
	case "mil", "mils", "millennium", "millennia":
		return unit{field: "millennium", months: 12000}, true
	}
	return unit{}, false
}

// parts is an interval being added up.
type parts struct {
	months, days, micros int64
	overflow             bool
	seen                 map[string]bool
}

// quantity is a number as PostgreSQL splits it: both parts have its sign.
type quantity struct {
	whole    int64
	fraction float64
}

// parseQuantity reads a decimal number with an optional sign.
func parseQuantity(s string) (q quantity, err error) {
	whole, fraction, _ := strings.Cut(s, ".")
	digits := strings.TrimLeft(whole, "+-")
	if len(whole)-len(digits) > 1 || !allDigits(digits) || !allDigits(fraction) || digits+fraction == "" {
		return q, errFormat
	}
	if digits != "" {
		if q.whole, err = strconv.ParseInt(whole, 10, 64); err != nil {
			return q, errRange
		}
	}
	if fraction != "" {
		q.fraction, _ = strconv.ParseFloat("0."+fraction, 64)
		if strings.HasPrefix(whole, "-") {
			q.fraction = -q.fraction
		}
	}
	return q, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// add adds q units, its fraction carried down as PostgreSQL does: of years and
// longer units to months, of a month or a week to days, of a day to time.
func (p *parts) add(q quantity, u unit) {
	switch {
	case u.months >= monthsPerYear:
		p.months = p.sum(p.months, p.product(q.whole, u.months), int64(math.RoundToEven(q.fraction*float64(u.months))))
	case u.months > 0:
		p.months = p.sum(p.months, q.whole)
		p.addDays(q.fraction * daysPerMonth)
	case u.days > 0:
		p.days = p.sum(p.days, p.product(q.whole, u.days))
		p.addDays(q.fraction * float64(u.days))
	default:
		p.micros = p.sum(p.micros, p.product(q.whole, u.micros))
		p.addMicros(q.fraction * float64(u.micros))
	}
}

func (p *parts) addDays(days float64) {
	whole := math.Trunc(days)
	p.days = p.sum(p.days, int64(whole))
	p.addMicros((days - whole) * float64(day.Microseconds()))
}

// addMicros rounds half towards zero, as AdjustFractMicroseconds does.
func (p *parts) addMicros(micros float64) {
	whole := math.Trunc(micros)
	switch rest := micros - whole; {
	case rest > 0.5:
		whole++
	case rest < -0.5:
		whole--
	}
	p.micros = p.sum(p.micros, int64(whole))
}

// sum adds, and notes an overflow.
func (p *parts) sum(terms ...int64) (total int64) {
	for _, n := range terms {
		if n > 0 && total > math.MaxInt64-n || n < 0 && total < math.MinInt64-n {
			p.overflow = true
			return 0
		}
		total += n
	}
	return total
}

// product multiplies, and notes an overflow.
func (p *parts) product(a, b int64) int64 {
	if a > math.MaxInt64/b || a < math.MinInt64/b {
		p.overflow = true
		return 0
	}
	return a * b
}

// interval returns the sum. Months and days are 32 bits wide, as in
// PostgreSQL; time is what a time.Duration holds, 292 years.
func (p *parts) interval() (Interval, bool) {
	const most = math.MaxInt64 / int64(time.Microsecond)
	fits := !p.overflow &&
		p.months == int64(int32(p.months)) && p.days == int64(int32(p.days)) &&
		p.micros <= most && p.micros >= -most
	return Interval{int(p.months), int(p.days), time.Duration(p.micros) * time.Microsecond}, fits
}

// once notes that a field was given; giving it again is a fault.
func (p *parts) once(fields ...string) bool {
	for _, f := range fields {
		if p.seen[f] {
			return false
		}
		if p.seen == nil {
			p.seen = make(map[string]bool)
		}
		p.seen[f] = true
	}
	return true
}
