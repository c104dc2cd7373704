package main

import (
	"strings"
	"testing"
)

func TestMedianIsTheMiddle(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.of, got, c.want)
		}
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	got := ratios([]float64{2, 30, 4, 7}, []float64{1, 10, 4, 0}) // nothing can be said of the last
	if want := (spread{2, 1, 3}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := ratios([]float64{1}, []float64{-1}); got != (spread{}) {
		t.Errorf("a ratio to less than nothing: %v", got)
	}
}

func TestGoalsAreOfTheAddedLatencyAndTheCPU(t *testing.T) {
	f := func(gateway sample, want ...bool) {
		t.Helper()
		r := newReport(options{sizes: quick})
		s := scenario{name: "s", title: "a load", cpuGoal: 1.25, addedGoal: 1.2}
		r.add(s, theBackend, sample{P50: 100, CPU: 1})
		r.add(s, theProxy, sample{P50: 200, CPU: 10})
		r.add(s, theGateway, gateway)
		r.conclude()
		if len(r.Goals) != len(want) {
			t.Fatalf("%d goals, want %d", len(r.Goals), len(want))
		}
		for i, g := range r.Goals {
			if g.Reached != want[i] {
				t.Errorf("%+v: %s reached %t, want %t (%v)", gateway, g.Name, g.Reached, want[i], g.Got)
			}
		}
	}
	f(sample{P50: 220, CPU: 12.5}, true, true)
	f(sample{P50: 221, CPU: 12.5}, true, false)
	f(sample{P50: 200, CPU: 12.6}, false, true)
}

func TestReportSaysWhatWasMissed(t *testing.T) {
	r := newReport(options{sizes: quick})
	r.Memory.add(theProxy, 50)
	r.Memory.add(theGateway, 60)
	r.conclude()
	var out strings.Builder
	r.print(&out)
	if !strings.Contains(out.String(), "1.20 (1.20–1.20)   missed") {
		t.Errorf("report:\n%s", &out)
	}
}
