package backend

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultRest is how long a throttled endpoint rests when it does not
	// say: contract section 6.
	defaultRest = 10 * time.Second
	// longestRest is the longest wait that is believed. Azure's free tier asks
	// for a day; what is beyond that is a broken header, and resting for it
	// would take the endpoint away for ever.
	longestRest = 24 * time.Hour
)

// RetryAfter reads how long a throttled endpoint asks to be left alone, from
// the headers of Azure OpenAI and OpenAI in the order of the contract:
// retry-after-ms, x-ms-retry-after-ms, retry-after in seconds or as an HTTP
// date (RFC 9110 section 10.2.3), then x-ratelimit-reset-requests and -tokens.
// What is missing, negative, unreadable or longer than a day counts as not
// said; when nothing is said the rest is 10 s.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if d, ok := number(h.Get(name), time.Millisecond); ok {
			return d
		}
	}
	if v := h.Get("Retry-After"); v != "" {
		if d, ok := number(v, time.Second); ok {
			return d
		}
		if at, err := http.ParseTime(v); err == nil {
			if d := at.Sub(now); d <= 0 {
				return time.Millisecond // the moment has passed: it may be tried again
			} else if d <= longestRest {
				return d
			}
		}
	}
	if d, ok := reset(h); ok {
		return d
	}
	return defaultRest
}

// reset reads the wait until the exhausted one of the two budgets is full
// again; when neither says that it is exhausted, the shorter wait, so that an
// endpoint never rests longer than it asked.
func reset(h http.Header) (time.Duration, bool) {
	requests, okRequests := span(h.Get("X-Ratelimit-Reset-Requests"))
	tokens, okTokens := span(h.Get("X-Ratelimit-Reset-Tokens"))
	switch {
	case !okRequests:
		return tokens, okTokens
	case !okTokens:
		return requests, true
	}
	noRequests := h.Get("X-Ratelimit-Remaining-Requests") == "0"
	noTokens := h.Get("X-Ratelimit-Remaining-Tokens") == "0"
	switch {
	case noRequests && noTokens:
		return max(requests, tokens), true
	case noRequests:
		return requests, true
	case noTokens:
		return tokens, true
	}
	return min(requests, tokens), true
}

// span reads OpenAI's durations ("6m0s", "20ms") and plain seconds.
func span(v string) (time.Duration, bool) {
	if d, ok := number(v, time.Second); ok {
		return d, true
	}
	d, err := time.ParseDuration(strings.TrimSpace(v))
	return d, err == nil && d > 0 && d <= longestRest
}

// number reads a count of units, which may have a fraction.
func number(v string, unit time.Duration) (time.Duration, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > float64(longestRest/unit) {
		return 0, false
	}
	return max(time.Duration(math.Ceil(f*float64(unit))), time.Millisecond), true
}
