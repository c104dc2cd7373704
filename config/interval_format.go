package config

import (
	"math"
	"strconv"
	"strings"
)

// postgres reads "[@] quantity unit [quantity unit …] [ago]", with hh:mm:ss
// for the time, years-months, and a number without its unit at the end for
// seconds, or before a time for days.
func (p *parts) postgres(s string) error {
	fields, err := split(s)
	if err != nil {
		return err
	}
	ago := false
	if n := len(fields); n > 0 && fields[n-1] == "ago" {
		ago, fields = true, fields[:n-1]
	}
	if len(fields) == 0 {
		return errFormat
	}
	// From the back, because a number takes its unit from what follows it.
	second, _ := unitNamed("second")
	counts, named := &second, false
	for i := len(fields) - 1; i >= 0; i-- {
		f := fields[i]
		switch {
		case f[0] >= 'a' && f[0] <= 'z':
			u, ok := unitNamed(f)
			if !ok || named || i == 0 {
				return errFormat
			}
			counts, named = &u, true
			continue
		case strings.Contains(f, ":"):
			if named {
				return errFormat
			}
			if err := p.clock(f); err != nil {
				return err
			}
			counts = dayUnit()
		case strings.Contains(f[1:], "-"):
			if named {
				return errFormat
			}
			if err := p.yearMonth(f); err != nil {
				return err
			}
			counts = nil
		default:
			if counts == nil {
				return errFormat
			}
			q, err := parseQuantity(f)
			if err != nil {
				return err
			}
			if !p.once(counts.field) || counts.field == "second" && q.fraction != 0 && !p.once("millisecond", "microsecond") {
				return errFormat
			}
			p.add(q, *counts)
			if counts.field == "hour" { // "1 2 hours" is a day and two hours
				counts = dayUnit()
			}
		}
		named = false
	}
	if named {
		return errFormat
	}
	if ago {
		p.months, p.days, p.micros = -p.months, -p.days, -p.micros
	}
	return nil
}

func dayUnit() *unit {
	u, _ := unitNamed("day")
	return &u
}

// split cuts s into words, in lower case, and numbers with their sign and the
// '.', ':' and '-' in them. Spaces and other punctuation separate, as in
// PostgreSQL's ParseDateTime.
func split(s string) (fields []string, err error) {
	for i := 0; i < len(s); {
		start := i
		c := s[i] | 0x20
		switch {
		case c >= 'a' && c <= 'z' && s[i] >= 'A':
			for i < len(s) && s[i] >= 'A' && s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z' {
				i++
			}
			fields = append(fields, strings.ToLower(s[start:i]))
		case s[i] == '+' || s[i] == '-':
			sign := s[i : i+1]
			for i++; i < len(s) && isSpace(s[i]); i++ { // PostgreSQL allows spaces after a sign
			}
			start = i
			if i = endOfNumber(s, i); i == start || s[start] == '-' {
				return nil, errFormat
			}
			fields = append(fields, sign+s[start:i])
		case isDigit(s[i]) || s[i] == '.':
			i = endOfNumber(s, i)
			fields = append(fields, s[start:i])
		case s[i] < 0x20 && !isSpace(s[i]) || s[i] >= 0x7f || s[i] == '/':
			return nil, errFormat
		default:
			i++
		}
	}
	return fields, nil
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func endOfNumber(s string, i int) int {
	for i < len(s) && (isDigit(s[i]) || s[i] == '.' || s[i] == ':' || s[i] == '-' && i+1 < len(s) && isDigit(s[i+1])) {
		i++
	}
	return i
}

// clock reads hh:mm, hh:mm:ss[.f] or mm:ss.f with an optional sign.
func (p *parts) clock(f string) error {
	unsigned := strings.TrimLeft(f, "+-")
	negative := f[0] == '-'
	fields := strings.Split(unsigned, ":")
	last := fields[len(fields)-1]
	switch {
	case len(fields) == 2 && strings.Contains(last, "."):
		fields = append([]string{"0"}, fields...)
	case len(fields) == 2:
		fields = append(fields, "0")
	case len(fields) != 3:
		return errFormat
	}
	hours, err := parseQuantity(fields[0])
	if err != nil || hours.fraction != 0 || strings.Contains(fields[0], ".") {
		return errFormat
	}
	minutes, err := strconv.ParseUint(fields[1], 10, 31)
	if err != nil {
		return errFormat
	}
	seconds, err := parseQuantity(fields[2])
	if err != nil || fields[2][0] == '.' {
		return errFormat
	}
	if minutes > 59 || seconds.whole > 60 {
		return errRange
	}
	if !p.once("hour", "minute", "second", "millisecond", "microsecond") {
		return errFormat
	}
	// Apart from p: the sign belongs to the time and not to a fraction of a day.
	var t parts
	t.micros = t.sum(t.product(hours.whole, 3600e6), t.product(int64(minutes), 60e6), t.product(seconds.whole, 1e6))
	t.micros = t.sum(t.micros, int64(math.RoundToEven(seconds.fraction*1e6))) // as ParseFractionalSecond rounds
	if negative {
		t.micros = -t.micros
	}
	p.overflow = p.overflow || t.overflow
	p.micros = p.sum(p.micros, t.micros)
	return nil
}

// yearMonth reads SQL's years-months with an optional sign.
func (p *parts) yearMonth(f string) error {
	negative := f[0] == '-'
	y, m, _ := strings.Cut(strings.TrimLeft(f, "+-"), "-")
	years, err := parseQuantity(y)
	if err != nil || strings.Contains(y, ".") {
		return errFormat
	}
	if m == "" || !allDigits(m) {
		return errFormat
	}
	months, err := strconv.Atoi(m)
	if err != nil || months >= monthsPerYear {
		return errRange
	}
	if !p.once("month") {
		return errFormat
	}
	total := p.sum(p.product(years.whole, monthsPerYear), int64(months))
	if negative {
		total = -total
	}
	p.months = p.sum(p.months, total)
	return nil
}

// iso reads ISO 8601 after its P: with designators (P1Y2M3DT4H5M6S), or the
// alternative form (P0001-02-03T04:05:06).
func (p *parts) iso(s string) error {
	date, clock, hasTime := strings.Cut(s, "T")
	if date == "" && clock == "" {
		return errFormat
	}
	if strings.Contains(strings.TrimLeft(date, "+-"), "-") && !strings.ContainsAny(date, "YMWD") {
		return p.isoAlternative(date, clock, hasTime)
	}
	if err := p.designated(date, map[byte]string{'Y': "year", 'M': "month", 'W': "week", 'D': "day"}); err != nil {
		return err
	}
	return p.designated(clock, map[byte]string{'H': "hour", 'M': "minute", 'S': "second"})
}

// designated reads numbers, each followed by its designator.
func (p *parts) designated(s string, units map[byte]string) error {
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return r >= 'A' })
		if end < 1 {
			return errFormat
		}
		name, ok := units[s[end]]
		if !ok {
			return errFormat
		}
		q, err := parseQuantity(s[:end])
		if err != nil {
			return err
		}
		u, _ := unitNamed(name)
		p.add(q, u)
		s = s[end+1:]
	}
	return nil
}

func (p *parts) isoAlternative(date, clock string, hasTime bool) error {
	fields := strings.Split(date, "-")
	if len(fields) > 3 {
		return errFormat
	}
	for i, name := range []string{"year", "month", "day"}[:len(fields)] {
		q, err := parseQuantity(fields[i])
		if err != nil {
			return err
		}
		u, _ := unitNamed(name)
		p.add(q, u)
	}
	if !hasTime {
		return nil
	}
	if strings.ContainsAny(clock, "+-") || clock == "" {
		return errFormat
	}
	return p.clock(clock)
}
