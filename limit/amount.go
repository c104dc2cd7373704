package limit

import (
	"math"
	"time"

	"aigateway/config"
)

// amount is one thing that a limit can bound. The most lasting come first: a
// request that exceeds several is told of the one that it has to wait for
// longest.
type amount uint8

const (
	costPerMonth amount = iota
	tokensPerMonth
	costPerDay
	tokensPerDay
	tokensPerMinute
	poolTokens // of a pool, in a minute
	requestsPerMinute
	concurrent
	amounts // how many there are

	quotas = tokensPerDay + 1 // the first so many are periods
)

// String returns the amount's name in the configuration.
func (a amount) String() string {
	return [amounts]string{
		"costPerMonth", "tokensPerMonth", "costPerDay", "tokensPerDay",
		"tokensPerMinute", "tokensPerMinute", "requestsPerMinute", "concurrent",
	}[a]
}

func (a amount) kind() Kind {
	switch {
	case a < quotas:
		return Period
	case a == poolTokens:
		return Part
	case a == concurrent:
		return Gauge
	}
	return Window
}

func (a amount) monthly() bool { return a <= tokensPerMonth }

func (a amount) cost() bool { return a == costPerMonth || a == costPerDay }

func (a amount) tokens() bool {
	return a == tokensPerMonth || a == tokensPerDay || a == tokensPerMinute || a == poolTokens
}

// of returns how much of the amount a request is.
func (a amount) of(tokens, cost int64) int64 {
	switch {
	case a.cost():
		return cost
	case a.tokens():
		return tokens
	}
	return 1
}

const (
	// mostAsked bounds what one request is believed to need or use, so that
	// sums stay in range: what doubles, and so scripts of Redis, hold exactly.
	mostAsked = 1 << 53
	// mostCounted bounds sums.
	mostCounted = 1 << 62
	// billion is how many parts of a unit of currency costs are counted in.
	billion = 1e9
)

// bounded returns n as something that can be counted.
func bounded(n int64) int64 { return min(max(n, 0), mostAsked) }

// most are the configured amounts in the form they are counted in; 0 is no
// limit.
type most [amounts]int64

func newMost(a *config.Amounts) most {
	return most{
		costPerMonth:      billionths(a.CostPerMonth),
		tokensPerMonth:    a.TokensPerMonth,
		costPerDay:        billionths(a.CostPerDay),
		tokensPerDay:      a.TokensPerDay,
		tokensPerMinute:   a.TokensPerMinute,
		requestsPerMinute: a.RequestsPerMinute,
		concurrent:        a.Concurrent,
	}
}

// billionths returns a sum of money as it is counted; what is less than one
// is one, for 0 would be no limit.
func billionths(money float64) int64 {
	if money <= 0 {
		return 0
	}
	return int64(min(max(math.Round(money*billion), 1), mostCounted))
}

// mode returns the name of a limit's mode.
func mode(observe bool) string {
	if observe {
		return "observe"
	}
	return "enforce"
}

// dated returns the name of an account of a period.
func dated(key string, a amount, start int64) string {
	form := time.DateOnly
	if a.monthly() {
		form = "2006-01"
	}
	return key + " " + a.String() + " " + time.Unix(start, 0).UTC().Format(form)
}
