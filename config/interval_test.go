package config

import (
	"encoding/json"
	"math"
	"testing"
	"time"
	_ "time/tzdata" // the machine need not have the zones

	"pgregory.net/rapid"
)

// The wanted values and texts are what PostgreSQL 15 answers.
func TestParseIntervalAgreesWithPostgreSQL(t *testing.T) {
	const (
		second = time.Second
		minute = time.Minute
		hour   = time.Hour
	)
	for _, c := range []struct {
		in   string
		want Interval
		text string
	}{
		{"2 minutes", Interval{0, 0, 2 * minute}, "00:02:00"},
		{"1 day", Interval{0, 1, 0}, "1 day"},
		{"7 days", Interval{0, 7, 0}, "7 days"},
		{"1 hour 30 minutes", Interval{0, 0, 90 * minute}, "01:30:00"},
		{"01:30:00", Interval{0, 0, 90 * minute}, "01:30:00"},
		{"01:30", Interval{0, 0, 90 * minute}, "01:30:00"},
		{"04:05.5", Interval{0, 0, 4*minute + 5500*time.Millisecond}, "00:04:05.5"},
		{"00:00:60", Interval{0, 0, minute}, "00:01:00"},
		{"100:00", Interval{0, 0, 100 * hour}, "100:00:00"},
		{"1 day 04:05", Interval{0, 1, 4*hour + 5*minute}, "1 day 04:05:00"},
		{"3 4:05:06", Interval{0, 3, 4*hour + 5*minute + 6*second}, "3 days 04:05:06"},
		{"1 12:59:10", Interval{0, 1, 12*hour + 59*minute + 10*second}, "1 day 12:59:10"},
		{"1-2", Interval{14, 0, 0}, "1 year 2 mons"},
		{"-1-2", Interval{-14, 0, 0}, "-1 years -2 mons"},
		{"1 year 2 months 3 days 4 hours 5 minutes 6 seconds", Interval{14, 3, 4*hour + 5*minute + 6*second}, "1 year 2 mons 3 days 04:05:06"},
		{"P1Y2M3DT4H5M6S", Interval{14, 3, 4*hour + 5*minute + 6*second}, "1 year 2 mons 3 days 04:05:06"},
		{"P0001-02-03T04:05:06", Interval{14, 3, 4*hour + 5*minute + 6*second}, "1 year 2 mons 3 days 04:05:06"},
		{"P1D", Interval{0, 1, 0}, "1 day"},
		{"P2W", Interval{0, 14, 0}, "14 days"},
		{"PT1H30M", Interval{0, 0, 90 * minute}, "01:30:00"},
		{"PT1.5S", Interval{0, 0, 1500 * time.Millisecond}, "00:00:01.5"},
		{"P-1Y", Interval{-12, 0, 0}, "-1 years"},
		{"@ 1 minute", Interval{0, 0, minute}, "00:01:00"},
		{"1 hour ago", Interval{0, 0, -hour}, "-01:00:00"},
		{"1 mon -1 day ago", Interval{-1, 1, 0}, "-1 mons +1 day"},
		{"-1 day +02:03", Interval{0, -1, 2*hour + 3*minute}, "-1 days +02:03:00"},
		{"1 day -1 hour", Interval{0, 1, -hour}, "1 day -01:00:00"},
		{"- 2 days", Interval{0, -2, 0}, "-2 days"},
		{"500 ms", Interval{0, 0, 500 * time.Millisecond}, "00:00:00.5"},
		{"3 us", Interval{0, 0, 3 * time.Microsecond}, "00:00:00.000003"},
		{"30s", Interval{0, 0, 30 * second}, "00:00:30"},
		{"30", Interval{0, 0, 30 * second}, "00:00:30"},
		{"1.5", Interval{0, 0, 1500 * time.Millisecond}, "00:00:01.5"},
		{"0", Interval{}, "00:00:00"},
		{"1 MIN", Interval{0, 0, minute}, "00:01:00"},
		{"1 mon", Interval{1, 0, 0}, "1 mon"},
		{"5 m", Interval{0, 0, 5 * minute}, "00:05:00"},
		{"2 weeks", Interval{0, 14, 0}, "14 days"},
		{"1 decade 1 year", Interval{132, 0, 0}, "11 years"},
		{"1 century", Interval{1200, 0, 0}, "100 years"},
		{"1 millennium", Interval{12000, 0, 0}, "1000 years"},
		{"1.5 hours", Interval{0, 0, 90 * minute}, "01:30:00"},
		{"1.5 days", Interval{0, 1, 12 * hour}, "1 day 12:00:00"},
		{"1.5 weeks", Interval{0, 10, 12 * hour}, "10 days 12:00:00"},
		{"1.5 months", Interval{1, 15, 0}, "1 mon 15 days"},
		{"0.1 months", Interval{0, 3, 0}, "3 days"},
		{"1.75 years", Interval{21, 0, 0}, "1 year 9 mons"},
		{"0.3333 year", Interval{4, 0, 0}, "4 mons"},
		{"1.25 decades", Interval{150, 0, 0}, "12 years 6 mons"},
		{"0.0000015 seconds", Interval{0, 0, time.Microsecond}, "00:00:00.000001"},
		{"0.0000016 seconds", Interval{0, 0, 2 * time.Microsecond}, "00:00:00.000002"},
		{"-0.0000016 seconds", Interval{0, 0, -2 * time.Microsecond}, "-00:00:00.000002"},
		{"1:2:3.4567895", Interval{0, 0, hour + 2*minute + 3456790*time.Microsecond}, "01:02:03.45679"},
		{"1 2 hours", Interval{0, 1, 2 * hour}, "1 day 02:00:00"},
		{"1 day, 2 hours", Interval{0, 1, 2 * hour}, "1 day 02:00:00"},
		{" 1\tday ", Interval{0, 1, 0}, "1 day"},
	} {
		got, err := ParseInterval(c.in)
		if err != nil || got != c.want {
			t.Errorf("%q: got %+v, %v, want %+v", c.in, got, err, c.want)
		}
		if got.String() != c.text {
			t.Errorf("%q: prints as %q, want %q", c.in, got, c.text)
		}
	}
}

func TestEveryUnitNameIsKnown(t *testing.T) {
	for want, names := range map[string][]string{
		"00:00:00.000001": {"us", "usec", "usecs", "usecond", "useconds", "microsecond", "microseconds"},
		"00:00:00.001":    {"ms", "msec", "msecs", "msecond", "mseconds", "millisecond", "milliseconds"},
		"00:00:01":        {"s", "sec", "secs", "second", "seconds"},
		"00:01:00":        {"m", "min", "mins", "minute", "minutes"},
		"01:00:00":        {"h", "hr", "hrs", "hour", "hours"},
		"1 day":           {"d", "day", "days"},
		"7 days":          {"w", "week", "weeks"},
		"1 mon":           {"mon", "mons", "month", "months"},
		"1 year":          {"y", "yr", "yrs", "year", "years"},
		"10 years":        {"dec", "decs", "decade", "decades"},
		"100 years":       {"c", "cent", "century", "centuries"},
		"1000 years":      {"mil", "mils", "millennium", "millennia"},
	} {
		for _, name := range names {
			if got, err := ParseInterval("1" + name); err != nil || got.String() != want {
				t.Errorf("1%s: got %v, %v, want %s", name, got, err, want)
			}
		}
	}
}

func TestParseIntervalRefuses(t *testing.T) {
	for _, in := range []string{
		"", " ", "day", "ago", "@", "1 minuets", "1 fortnight", "1 day 1 day", "1 hour 01:00", "1.5.5 days", "1 day hour",
		"1:2:3:4", "1:60", "1:00:61", "1-12", "1-2-3", "1:-5", "1--2", "-", "+ day", "--1 day", "1e3 days",
		"P", "PT", "P1", "P1H", "PT1D", "P1D2", "p1d", "PD", "P1DT1H2", "P1-2-3-4", "P1-2-3T", "P1-2T-1:00",
		"9223372036854775808 s", "3000000000 days", "2147483647 months 1 month", "200000000 years", "9223372036854775807 minutes", "-9223372036854775807 minutes",
		"9223372036854775807 us 9223372036854775 ms", "-9223372036854775807 us -9223372036854775 ms", "9223372036854775807 days", "99999999999999999999:00", "2562048 hours", "-99999999999999 weeks",
		"1 day\x00", "1 jour née", "1/2 day", "infinity", "1 day ago 2 hours",
	} {
		if got, err := ParseInterval(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

func TestIntervalBefore(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ at, interval, want string }{
		{"2024-03-31T12:00:00Z", "1 month", "2024-02-29T12:00:00Z"},
		{"2023-03-31T12:00:00Z", "1 month", "2023-02-28T12:00:00Z"},
		{"2024-02-29T12:00:00Z", "1 year", "2023-02-28T12:00:00Z"},
		{"2024-03-31T12:00:00Z", "1 month 1 day", "2024-02-28T12:00:00Z"},
		{"2024-01-15T00:30:00Z", "13 months 20 days 1 hour", "2022-11-24T23:30:00Z"},
		{"2024-01-31T12:00:00Z", "1 month ago", "2024-02-29T12:00:00Z"},
		{"2024-05-01T00:00:00Z", "2 minutes", "2024-04-30T23:58:00Z"},
		// Summer time began on 31 March 2024: a day there had 23 hours.
		{"2024-03-31T12:00:00+02:00", "1 day", "2024-03-30T12:00:00+01:00"},
		{"2024-03-31T12:00:00+02:00", "24 hours", "2024-03-30T11:00:00+01:00"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if at.Location() != time.UTC {
			at = at.In(berlin)
		}
		if got := interval(c.interval).Before(at).Format(time.RFC3339); got != c.want {
			t.Errorf("%s before %s: got %s, want %s", c.interval, c.at, got, c.want)
		}
	}
}

func TestIntervalDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"1 mon 1 day 1 s": 31*day + time.Second,
		"1 year":          360 * day,
		"-1 day +1 hour":  -23 * time.Hour,
		"292 years":       292 * 360 * day,
		"1000 years":      math.MaxInt64,
		"-1000 years":     math.MinInt64,
		"106751 days 24h": math.MaxInt64,
		"0":               0,
	} {
		if got := interval(in).Duration(); got != want {
			t.Errorf("%s: got %v, want %v", in, got, want)
		}
	}
}

func TestIntervalTextIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		months := rapid.IntRange(-1<<31, 1<<31-1).Draw(t, "months")
		days := rapid.IntRange(-1<<31, 1<<31-1).Draw(t, "days")
		micros := rapid.Int64Range(-math.MaxInt64/1000, math.MaxInt64/1000).Draw(t, "microseconds")
		want := Interval{months, days, time.Duration(micros) * time.Microsecond}
		got, err := ParseInterval(want.String())
		if err != nil || got != want {
			t.Fatalf("%v read back as %v, %v", want, got, err)
		}
	})
}

func TestIntervalMarshalsInWordsThatAreReadBack(t *testing.T) {
	for text, want := range map[string]string{
		"2 minutes": "2 minutes", "1 day": "1 day", "7 days": "7 days", "1 hour 30 minutes": "1 hour 30 minutes", "01:30:00": "1 hour 30 minutes",
		"P1Y2M3DT4H5M6.5S": "1 year 2 months 3 days 4 hours 5 minutes 6.5 seconds", "500 ms": "0.5 seconds", "0": "0 seconds", "1 second": "1 second",
	} {
		v, err := ParseInterval(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(v)
		if err != nil || string(got) != `"`+want+`"` {
			t.Errorf("%s marshals as %s, %v; want %s", text, got, err, want)
		}
		if again, err := ParseInterval(want); err != nil || again != v {
			t.Errorf("%s is read back as %v, %v", want, again, err)
		}
	}
}

func FuzzParseInterval(f *testing.F) {
	for _, s := range []string{"2 minutes", "1 day 04:05", "P1Y2M3DT4H5M6S", "P0001-02-03T04:05:06.5", "-1-2 +3 -4:05:06.789", "@ 1.5 mons ago", "1.", "9223372036854775807 us"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseInterval(s)
		if err != nil {
			return
		}
		again, err := ParseInterval(v.String())
		if err != nil || again != v {
			t.Fatalf("%q is %v, which is read back as %v, %v", s, v, again, err)
		}
		_ = v.Duration()
		_ = v.Before(time.Unix(1e9, 0).UTC())
	})
}
