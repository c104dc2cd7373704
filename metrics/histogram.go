package metrics

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets of every histogram end at 10 ms, 20 ms, … 81.92 s, each at twice
// the last: those that OpenTelemetry's semantic conventions advise for the
// duration of generative AI calls (gen_ai.client.operation.duration).
const (
	firstBound = 10 * time.Millisecond
	bounds     = 14
)

// histogram counts durations.
type histogram struct {
	buckets [bounds + 1]atomic.Uint64 // the last is for those above every bound
	sum     atomic.Int64              // nanoseconds
}

// observe counts d. A negative duration, of a clock set back, counts as 0.
func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
}

// bucketOf returns the bucket of d: the first whose bound is not below it.
func bucketOf(d time.Duration) int {
	if d <= firstBound {
		return 0
	}
	return min(bits.Len64(uint64((d-1)/firstBound)), bounds)
}

// read returns the number of durations, their sum in seconds, and for each
// bound in seconds how many were not above it.
func (h *histogram) read() (count uint64, sum float64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, bounds)
	for i := range bounds {
		count += h.buckets[i].Load()
		upTo[(firstBound << i).Seconds()] = count
	}
	count += h.buckets[bounds].Load()
	return count, time.Duration(h.sum.Load()).Seconds(), upTo
}
