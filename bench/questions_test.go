package main

import (
	"testing"

	"aigateway/cache/guard"
	"aigateway/simulator"
)

func cosine(a, b []float32) (sum float64) { // both have length 1
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestWordingsOfOneQuestionAreNearAndPassTheGuards(t *testing.T) {
	for number := range 200 {
		first := question(number, 0)
		for wording := range questionFrames {
			other := question(number, wording)
			if c := cosine(simulator.Embed(first, 0), simulator.Embed(other, 0)); c < nearEnough+0.005 {
				t.Errorf("cosine %.3f of %q and %q", c, first, other)
			}
			if ok, why := guard.Agree(other, first); !ok {
				t.Errorf("%q and %q: refused for %s", first, other, why)
			}
		}
	}
}

func TestQuestionsAreApart(t *testing.T) {
	known := map[string]bool{}
	for number := range 5_000 {
		known[question(number, 0)] = true
	}
	if len(known) != 5_000 {
		t.Errorf("%d different questions of 5,000", len(known))
	}
	first := simulator.Embed("What is the annual agenda of the airport for the actor?", 0)
	other := simulator.Embed("What is the annual agenda of the airport for the barber?", 0)
	if c := cosine(first, other); c > 0.9 {
		t.Errorf("questions that share three words of four have a cosine of %.3f", c)
	}
}
