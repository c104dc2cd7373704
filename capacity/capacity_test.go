package capacity

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"aigateway/persist"
)

func start() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

func minute(i int, requests, prompt, completion, cached int64) persist.Minute {
	return persist.Minute{Start: start().Add(time.Duration(i) * time.Minute), Requests: requests, Prompt: prompt, Completion: completion, Cached: cached}
}

func TestUnitsServeWhatIsBelowThemAndSpillTheRest(t *testing.T) {
	minutes := []persist.Minute{minute(0, 1, 1000, 0, 0), minute(1, 2, 1000, 500, 500), minute(3, 10, 4000, 2000, 0)}
	r := Plan("a", minutes, start(), start().Add(time.Hour), Unit{TokensPerMinute: 1000, OutputWeight: 3}, []int{0, 2, 10})
	// Loads: 1000, 500+1500, 0, 4000+6000.
	if r.Minutes != 4 || r.Busy != 3 || r.Load.Peak != 10000 || r.Load.Total != 13000 || r.Tokens.Peak != 6000 || r.Requests.P50 != 1 {
		t.Errorf("got %+v", r)
	}
	want := []Fit{
		{Units: 0, Share: 0, Spill: 13000, SpillPeak: 10000, Over: 3},
		{Units: 2, Share: 5.0 / 13, Spill: 8000, SpillPeak: 8000, Over: 1, Used: 5000.0 / 8000},
		{Units: 10, Share: 1, Used: 13000.0 / 40000},
	}
	for i, f := range r.Fits {
		if math.Abs(f.Share-want[i].Share) > 1e-9 {
			t.Errorf("%d units: share %v, want %v", f.Units, f.Share, want[i].Share)
		}
		f.Share = want[i].Share
		if f != want[i] {
			t.Errorf("got %+v, want %+v", f, want[i])
		}
	}
}

func TestWithoutAQuestionTheLeastUnitsForSomeSharesAreTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var minutes []persist.Minute
		for i := range rapid.IntRange(1, 50).Draw(t, "minutes") {
			minutes = append(minutes, minute(i, 1, rapid.Int64Range(0, 100_000).Draw(t, "prompt"), rapid.Int64Range(0, 10_000).Draw(t, "completion"), 0))
		}
		r := Plan("a", minutes, start(), start().Add(time.Hour), DefaultUnit(), nil)
		if last := r.Fits[len(r.Fits)-1]; last.Spill != 0 {
			t.Fatalf("the most units told leave %v", last.Spill)
		}
		for _, f := range r.Fits {
			if f.Units > 0 && r.fit(f.Units-1).Share >= 1 {
				t.Fatalf("%d units are more than is needed", f.Units)
			}
		}
	})
}

func TestThePlotFitsItsWidth(t *testing.T) {
	var minutes []persist.Minute
	for i := range 600 {
		minutes = append(minutes, minute(i, 1, int64(2000+1900*math.Sin(float64(i)/60)), 0, 0))
	}
	var b strings.Builder
	if err := Plan("a", minutes, start(), start().Add(10*time.Hour), DefaultUnit(), []int{1, 2}).Write(&b, 100); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for _, want := range []string{"600 minutes", "1 units", "03-01 08:00", "03-01 18:00", "█"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestNoTrafficIsSaid(t *testing.T) {
	var b strings.Builder
	if err := Plan("", nil, start(), start(), DefaultUnit(), nil).Write(&b, 80); err != nil || !strings.Contains(b.String(), "No endpoint was asked") {
		t.Errorf("got %v, %q", err, b.String())
	}
}

func TestUnitsAreWholeNumbers(t *testing.T) {
	if got, err := ParseUnits(" 1, 20,,300 "); err != nil || len(got) != 3 || got[2] != 300 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"x", "-1", "1.5", "9999999", strings.Repeat("1,", 101)} {
		if got, err := ParseUnits(bad); err == nil {
			t.Errorf("%.20s: got %v", bad, got)
		}
	}
}
