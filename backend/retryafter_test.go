package backend

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterReadsEveryHeaderInOrder(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	tests := []struct {
		name string
		h    http.Header
		want time.Duration
	}{
		{"nothing said", nil, 10 * time.Second},
		{"milliseconds win", h("retry-after-ms", "1500", "retry-after", "9"), 1500 * time.Millisecond},
		{"x-ms milliseconds", h("x-ms-retry-after-ms", "250", "retry-after", "9"), 250 * time.Millisecond},
		{"seconds", h("retry-after", "9"), 9 * time.Second},
		{"fraction", h("retry-after", "0.5"), 500 * time.Millisecond},
		{"zero may be tried at once", h("retry-after", "0"), time.Millisecond},
		{"date", h("retry-after", "Sun, 01 Mar 2026 12:00:20 GMT"), 20 * time.Second},
		{"date in the past", h("retry-after", "Sun, 01 Mar 2026 11:00:00 GMT"), time.Millisecond},
		{"date beyond belief", h("retry-after", "Sun, 01 Mar 2099 11:00:00 GMT"), 10 * time.Second},
		{"negative", h("retry-after", "-5"), 10 * time.Second},
		{"absurd", h("retry-after", "99999999999999999999"), 10 * time.Second},
		{"a day", h("retry-after", "86400"), 24 * time.Hour},
		{"not a number", h("retry-after", "NaN"), 10 * time.Second},
		{"infinite", h("retry-after-ms", "Inf"), 10 * time.Second},
		{"unreadable falls to the next", h("retry-after-ms", "soon", "retry-after", "3"), 3 * time.Second},
		{"reset of the exhausted budget", h("x-ratelimit-reset-requests", "1s", "x-ratelimit-reset-tokens", "6m0s", "x-ratelimit-remaining-tokens", "0"), 6 * time.Minute},
		{"reset of both", h("x-ratelimit-reset-requests", "20ms", "x-ratelimit-reset-tokens", "4", "x-ratelimit-remaining-tokens", "0", "x-ratelimit-remaining-requests", "0"), 4 * time.Second},
		{"reset, neither exhausted", h("x-ratelimit-reset-requests", "2s", "x-ratelimit-reset-tokens", "4s"), 2 * time.Second},
		{"one reset", h("x-ratelimit-reset-tokens", "4s"), 4 * time.Second},
	}
	for _, tt := range tests {
		if got := RetryAfter(tt.h, now); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("1", "2", "3s")
	f.Add("-1", "Sun, 01 Mar 2026 12:00:20 GMT", "")
	f.Add("1e308", "\x00", "9999999h")
	f.Fuzz(func(t *testing.T, ms, after, reset string) {
		h := http.Header{"Retry-After-Ms": {ms}, "Retry-After": {after}, "X-Ratelimit-Reset-Tokens": {reset}}
		if d := RetryAfter(h, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)); d <= 0 || d > longestRest {
			t.Errorf("rest of %v for %q %q %q", d, ms, after, reset)
		}
	})
}
