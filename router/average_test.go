package router

import (
	"math"
	"testing"
	"time"
)

func TestAverageRisesAtOnceAndFallsSlowly(t *testing.T) {
	var a average
	for _, c := range []struct{ at, latency, want time.Duration }{
		{0, time.Second, time.Second},
		{0, 5 * time.Second, 5 * time.Second}, // slower: at once
		{0, time.Second, 5 * time.Second},     // faster, no time between: no weight
		{fadeTime, time.Second, 2471517764 * time.Nanosecond},
		{time.Hour, time.Second, time.Second},
		{time.Hour, 0, time.Second}, // not measured
	} {
		a.observe(c.at, c.latency)
		if diff := (a.value - c.want).Abs(); diff > time.Microsecond {
			t.Fatalf("at %v: %v, want %v", c.at, a.value, c.want)
		}
	}
}

func TestCostOfALatency(t *testing.T) {
	const s = time.Second
	tried := average{tried: true, touched: 10 * s}
	measured := average{tried: true, touched: 10 * s, measured: 10 * s, value: 2 * s}
	for _, c := range []struct {
		name     string
		average  average
		at       time.Duration
		inFlight int
		want     time.Duration
	}{
		{"never tried", average{}, 10 * s, 0, 0},
		{"tried, unmeasured", tried, 10 * s, 1, 2 * assumedLatency},
		{"idle", measured, 10 * s, 0, 2 * s},
		{"shared by three", measured, 10 * s, 2, 6 * s},
		{"faded", measured, 10*s + fadeTime, 0, 735758882 * time.Nanosecond},
		{"long idle", measured, 10 * time.Hour, 0, 0},
	} {
		if got := c.average.cost(c.at, c.inFlight); math.Abs(got-float64(c.want)) > 1e3 {
			t.Errorf("%s: %v, want %v", c.name, time.Duration(got), c.want)
		}
	}
}
