package metrics

import (
	"cmp"
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets of a histogram end at 10 ms, 20 ms, … 81.92 s, each at twice
// the last: those that OpenTelemetry's semantic conventions advise for the
// duration of generative AI calls (gen_ai.client.operation.duration). Those of
// the time per token begin at 1 ms, and end at 8.192 s.
const (
	firstBound      = 10 * time.Millisecond
	firstTokenBound = time.Millisecond
	bounds          = 14
)

// histogram counts durations.
type histogram struct {
	first   time.Duration             // the lowest bound; firstBound when 0
	buckets [bounds + 1]atomic.Uint64 // the last is for those above every bound
	sum     atomic.Int64              // nanoseconds
}

// observe counts d. A negative duration, of a clock set back, counts as 0.
func (h *histogram) observe(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucketOf(d, h.lowest())].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) lowest() time.Duration { return cmp.Or(h.first, firstBound) }

// bucketOf returns the bucket of d: the first whose bound is not below it. The
// bounds are first and its doubles.
func bucketOf(d, first time.Duration) int {
	if d <= first {
		return 0
	}
	return min(bits.Len64(uint64((d-1)/first)), bounds)
}

// read returns the number of durations, their sum in seconds, and for each
// bound in seconds how many were not above it.
func (h *histogram) read() (count uint64, sum float64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, bounds)
	for i := range bounds {
		count += h.buckets[i].Load()
		upTo[(h.lowest() << i).Seconds()] = count
	}
	count += h.buckets[bounds].Load()
	return count, time.Duration(h.sum.Load()).Seconds(), upTo
}
