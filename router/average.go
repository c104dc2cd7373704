package router

import (
	"math"
	"time"
)

const (
	// fadeTime is the time in which an observation's weight falls to 1/e; ten
	// seconds are Finagle's default for the same balancer (peak EWMA), and a few
	// answers of a model.
	fadeTime = 10 * time.Second

	// assumedLatency stands for the latency of an endpoint that has been tried
	// and not measured: slower than any that is fit to use.
	assumedLatency = time.Minute
)

// average is a peak-sensitive, exponentially weighted moving average of
// latency: a slower answer counts at once and whole, faster ones little by
// little. The zero average has nothing measured. Its owner guards it.
type average struct {
	value    time.Duration // 0 until something is measured
	measured time.Duration // when value was
	touched  time.Duration // when the endpoint was last chosen or measured
	tried    bool          // it has been chosen before
}

// chosen notes that a request is sent.
func (a *average) chosen(at time.Duration) { a.touched, a.tried = at, true }

// observe notes the latency of an answer; one that was not measured is ignored.
func (a *average) observe(at, latency time.Duration) {
	if latency <= 0 {
		return
	}
	if latency < a.value {
		keep := fade(at - a.measured)
		latency = time.Duration(keep*float64(a.value) + (1-keep)*float64(latency))
	}
	a.value, a.measured, a.touched = latency, at, at
}

// cost returns the latency to expect with that many requests before, in
// nanoseconds. It fades from the last time the endpoint was chosen or answered,
// so one that lies idle is tried again, by one request and not by all at once.
// An endpoint never tried costs nothing.
func (a *average) cost(at time.Duration, inFlight int) float64 {
	if !a.tried {
		return 0
	}
	value := a.value
	if value == 0 {
		value = assumedLatency
	}
	return float64(value) * fade(at-a.touched) * float64(inFlight+1)
}

func fade(d time.Duration) float64 { return math.Exp(-float64(d) / float64(fadeTime)) }
