package job

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when something recurs.
type Schedule struct {
	spec string
	cron cron.Schedule
}

// ParseSchedule reads a cron expression: five fields (minute, hour, day of
// month, month, day of week), or six with leading seconds; @yearly, @monthly,
// @weekly, @daily, @hourly, or @every with a duration of at least 1 s. In
// front may stand TZ= or CRON_TZ= with the name of a time zone and a blank;
// without it, times are those of the clock's zone. A schedule that never comes
// is refused.
func ParseSchedule(spec string) (Schedule, error) {
	refuse := func(why string) (Schedule, error) {
		return Schedule{}, fmt.Errorf("schedule %q: %s", spec, why)
	}
	fields := strings.Fields(spec)
	if len(fields) > 0 && (strings.HasPrefix(fields[0], "TZ=") || strings.HasPrefix(fields[0], "CRON_TZ=")) {
		fields = fields[1:]
	}
	if len(fields) == 0 {
		return refuse("it has no fields")
	}
	for _, f := range fields {
		if strings.Trim(f, ",") == "" { // the parser takes it for a field that nothing matches
			return refuse("a field is empty")
		}
	}
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	c, err := parser.Parse(strings.Join(strings.Fields(spec), " "))
	if err != nil {
		return refuse(err.Error())
	}
	if fields[0] == "@every" {
		if d, err := time.ParseDuration(fields[1]); err != nil || d < time.Second {
			return refuse("the interval must be at least 1 second")
		}
	}
	// From a leap year, because the search ends after five years.
	if c.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return refuse("there is no such day: it never comes")
	}
	return Schedule{spec: spec, cron: c}, nil
}

// String returns the expression.
func (s Schedule) String() string { return s.spec }

// Next returns the first time after t, or the zero time when there is none
// within five years.
func (s Schedule) Next(t time.Time) time.Time { return s.cron.Next(t) }

// Outcome tells how one run of a scheduled job went.
type Outcome struct {
	Name     string
	Start    time.Time
	Duration time.Duration
	Rows     int // what the job counts
	Err      error
}

// firstRetry is the time after which a run that failed is tried again. Each
// further time it doubles.
const firstRetry = time.Minute

// Cron runs f whenever s says, never twice at once, until Close. f returns
// what it counts. A run that fails or panics is logged, and tried again after
// 1, 2, 4 … minutes as long as that is before the next regular time. now is
// the clock; nil is time.Now. observe, unless nil, is told of every run; it
// must not block.
func (g *Group) Cron(name string, s Schedule, now func() time.Time, f func(ctx context.Context) (rows int, err error), observe func(Outcome)) {
	if now == nil {
		now = time.Now
	}
	g.wg.Go(func() {
		regular := s.Next(now())
		retry := firstRetry
		for at := regular; g.wait(at, now); {
			o := g.outcome(name, now, f)
			if observe != nil {
				observe(o)
			}
			if o.Err != nil && g.ctx.Err() == nil {
				g.log.Error("scheduled job failed", "job", name, "error", o.Err, "duration", o.Duration)
			}

			end := o.Start.Add(o.Duration)
			if !regular.After(end) { // times that passed meanwhile are left out
				regular, retry = s.Next(end), firstRetry
			}
			at = regular
			if o.Err != nil {
				if again := end.Add(retry); again.Before(regular) {
					at = again
				}
				retry *= 2
			}
		}
	})
}

// outcome runs f once. A panic is its error.
func (g *Group) outcome(name string, now func() time.Time, f func(ctx context.Context) (int, error)) (o Outcome) {
	o = Outcome{Name: name, Start: now()}
	defer func() {
		if p := recover(); p != nil {
			o.Err = fmt.Errorf("panic: %v", p)
			g.log.Error("job panicked", "job", name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		o.Duration = max(0, now().Sub(o.Start))
	}()
	o.Rows, o.Err = f(g.ctx)
	return o
}

// longestWait is how long a wait trusts its timer. A clock that is set is
// noticed after it.
const longestWait = time.Hour

// wait waits until a time, or reports false at Close. It waits for the zero
// time forever.
func (g *Group) wait(at time.Time, now func() time.Time) bool {
	for {
		d := longestWait
		if !at.IsZero() {
			if d = min(d, at.Sub(now())); d <= 0 {
				return g.ctx.Err() == nil
			}
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-g.ctx.Done():
			timer.Stop()
			return false
		}
	}
}
