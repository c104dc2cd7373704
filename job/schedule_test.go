package job

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseScheduleRefusesWhatNeverComes(t *testing.T) {
	for _, tt := range []struct{ spec, want string }{
		{"", "no fields"},
		{"   ", "no fields"},
		{"TZ=UTC", "no fields"},
		{"CRON_TZ=Europe/Paris ", "no fields"},
		{"soon", "expected 5 to 6 fields"},
		{"* * * *", "expected 5 to 6 fields"},
		{"* * * * * * *", "expected 5 to 6 fields"},
		{"60 * * * *", "above maximum"},
		{"* * * * 8", "above maximum"},
		{"*/0 * * * *", "positive"},
		{", * * * *", "a field is empty"},
		{"* * ,, * *", "a field is empty"},
		{"0 0 30 2 *", "never comes"},
		{"0 0 31 2,4,6,9,11 *", "never comes"},
		{"TZ=Nowhere/Nothing 0 0 * * *", "location"},
		{"@soon", "unrecognized"},
		{"@every", "unrecognized"},
		{"@every 0s", "at least 1 second"},
		{"@every -1h", "at least 1 second"},
		{"@every 999ms", "at least 1 second"},
		{"@every soon", "duration"},
	} {
		_, err := ParseSchedule(tt.spec)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want one with %q", tt.spec, err, tt.want)
		}
	}
}

func TestScheduleComesWhenItsExpressionSays(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	for _, tt := range []struct{ spec, from, want string }{
		{"*/45 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:45:00Z"},
		{"*/45 * * * *", "2026-01-01T00:45:00Z", "2026-01-01T01:00:00Z"},
		{"*/10 * * * * *", "2026-01-01T00:00:01Z", "2026-01-01T00:00:10Z"},
		{"  30   4 * * mon ", "2026-01-01T00:00:00Z", "2026-01-05T04:30:00Z"},
		{"@hourly", "2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"},
		{"@every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"},
		{"TZ=UTC 0 3 * * *", "2026-07-01T04:00:00Z", "2026-07-02T03:00:00Z"},
		{"0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
	} {
		s, err := ParseSchedule(tt.spec)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, want := s.Next(at(tt.from)), at(tt.want); !got.Equal(want) || s.String() != tt.spec {
			t.Errorf("%s after %s: %s, want %s", s, tt.from, got, want)
		}
	}
}

func schedule(t *testing.T, spec string) Schedule {
	t.Helper()
	s, err := ParseSchedule(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// watch runs a job of a schedule for a while and returns the outcomes and the
// log. A bubble's clock starts at midnight, 1 January 2000, UTC.
func watch(t *testing.T, spec string, long time.Duration, f func(context.Context) (int, error)) (outcomes []Outcome, log string) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		g := NewGroup(slog.New(slog.NewTextHandler(&b, nil)))
		g.Cron("job", schedule(t, spec), nil, f, func(o Outcome) { outcomes = append(outcomes, o) })
		<-time.After(long)
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
		log = b.String()
	})
	return outcomes, log
}

func minutes(outcomes []Outcome) (at []float64) {
	for _, o := range outcomes {
		at = append(at, o.Start.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Minutes())
	}
	return at
}

func TestCronRunsAtItsTimesAndTellsTheOutcome(t *testing.T) {
	got, _ := watch(t, "*/10 * * * *", 35*time.Minute, func(context.Context) (int, error) {
		<-time.After(time.Second)
		return 7, nil
	})
	if diff := cmp.Diff([]float64{10, 20, 30}, minutes(got)); diff != "" {
		t.Error(diff)
	}
	if got[0].Name != "job" || got[0].Rows != 7 || got[0].Duration != time.Second || got[0].Err != nil {
		t.Errorf("%+v", got[0])
	}
}

func TestCronTriesAgainAtGrowingIntervalsBeforeTheNextRegularTime(t *testing.T) {
	broken := errors.New("broken")
	got, log := watch(t, "0,20 * * * *", 82*time.Minute, func(context.Context) (int, error) { return 0, broken })
	// After minute 20 there is room until 60, after 60 until 80.
	want := []float64{20, 21, 23, 27, 35, 51, 60, 61, 63, 67, 75, 80, 81}
	if diff := cmp.Diff(want, minutes(got)); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(log, "scheduled job failed"); n != len(want) || !errors.Is(got[0].Err, broken) {
		t.Errorf("%d failures logged, first outcome %+v", n, got[0])
	}
}

func TestCronReturnsToItsTimesWhenAnotherTrySucceeds(t *testing.T) {
	runs := 0
	got, _ := watch(t, "*/30 * * * *", 65*time.Minute, func(context.Context) (int, error) {
		if runs++; runs == 1 {
			panic("broken")
		}
		return 0, nil
	})
	if diff := cmp.Diff([]float64{30, 31, 60}, minutes(got)); diff != "" {
		t.Error(diff)
	}
	if got[0].Err == nil || got[0].Err.Error() != "panic: broken" {
		t.Errorf("the panic's outcome is %+v", got[0])
	}
}

func TestCronLeavesOutTimesThatPassWhileItRuns(t *testing.T) {
	running := false
	got, _ := watch(t, "* * * * *", 9*time.Minute+45*time.Second, func(context.Context) (int, error) {
		if running {
			t.Error("runs twice at once")
		}
		running = true
		<-time.After(150 * time.Second)
		running = false
		return 0, nil
	})
	if diff := cmp.Diff([]float64{1, 4, 7}, minutes(got)); diff != "" {
		t.Error(diff)
	}
}

func TestCronEndsAtCloseWithoutBlame(t *testing.T) {
	got, log := watch(t, "@every 1m", 61*time.Second, func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 3, ctx.Err()
	})
	if len(got) != 1 || got[0].Rows != 3 || log != "" {
		t.Errorf("outcomes %+v, log %s", got, log)
	}
}

func TestCronObeysItsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(slog.New(slog.DiscardHandler))
		ahead := 30 * time.Minute
		now := func() time.Time { return time.Now().Add(ahead) }
		runs := 0
		g.Cron("job", schedule(t, "@hourly"), now, func(context.Context) (int, error) { runs++; return 0, nil }, nil)
		<-time.After(31 * time.Minute)
		if err := g.Close(t.Context()); err != nil || runs != 1 {
			t.Errorf("%d runs, want 1; %v", runs, err)
		}
	})
}
