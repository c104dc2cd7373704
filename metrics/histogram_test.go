package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDurationsFallIntoTheFirstBucketThatHoldsThem(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want int
	}{
		{0, 0},
		{10 * time.Millisecond, 0},
		{10*time.Millisecond + 1, 1},
		{20 * time.Millisecond, 1},
		{20*time.Millisecond + 1, 2},
		{81920 * time.Millisecond, 13},
		{81920*time.Millisecond + 1, 14},
		{1 << 62, 14},
	} {
		if got := bucketOf(tt.d, firstBound); got != tt.want {
			t.Errorf("bucket of %v: got %d, want %d", tt.d, got, tt.want)
		}
	}
}

func TestBucketIsTheFirstWhoseBoundIsNotBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "d"))
		first := rapid.SampledFrom([]time.Duration{firstBound, firstTokenBound}).Draw(t, "first")
		want := 0
		for want < bounds && d > first<<want {
			want++
		}
		if got := bucketOf(d, first); got != want {
			t.Fatalf("bucket of %v: got %d, want %d", d, got, want)
		}
	})
}

func TestHistogramReadsCumulatively(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{-time.Second, 5 * time.Millisecond, 15 * time.Millisecond, 100 * time.Second} {
		h.observe(d)
	}
	count, sum, upTo := h.read()
	if count != 4 || sum != 100.02 {
		t.Errorf("got count %d, sum %v, want 4, 100.02", count, sum)
	}
	want := map[float64]uint64{
		0.01: 2, 0.02: 3, 0.04: 3, 0.08: 3, 0.16: 3, 0.32: 3, 0.64: 3,
		1.28: 3, 2.56: 3, 5.12: 3, 10.24: 3, 20.48: 3, 40.96: 3, 81.92: 3,
	}
	if diff := cmp.Diff(want, upTo); diff != "" {
		t.Error(diff)
	}
}

func TestHistogramOfTokensBeginsLower(t *testing.T) {
	h := histogram{first: firstTokenBound}
	h.observe(3 * time.Millisecond)
	_, _, upTo := h.read()
	if upTo[0.002] != 0 || upTo[0.004] != 1 || upTo[8.192] != 1 || len(upTo) != bounds {
		t.Errorf("got %v", upTo)
	}
}
