package capacity

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// Write prints the report for people: figures, what units would have done, and
// a plot that is width columns wide.
func (r *Report) Write(w io.Writer, width int) error {
	out := bufio.NewWriter(w)
	name := r.App
	if name == "" {
		name = "all applications"
	}
	fmt.Fprintf(out, "Capacity of %s, %s to %s\n", name, r.From.Format("2006-01-02 15:04"), r.To.Format("2006-01-02 15:04 MST"))
	if r.Busy == 0 {
		fmt.Fprintln(out, "No endpoint was asked in this time, or the ledger is off (API_GATEWAY_LEDGER).")
		return out.Flush()
	}
	fmt.Fprintf(out, "%d minutes, %d of them busy\n\n", r.Minutes, r.Busy)
	fmt.Fprintf(out, "%-22s %12s %12s %12s %12s %12s %12s\n", "per minute", "peak", "p99", "p95", "p90", "p50", "mean")
	for _, row := range []struct {
		name string
		s    Spread
	}{{"requests", r.Requests}, {"tokens", r.Tokens}, {"load (prompt tokens)", r.Load}} {
		fmt.Fprintf(out, "%-22s %12.0f %12.0f %12.0f %12.0f %12.0f %12.1f\n", row.name, row.s.Peak, row.s.P99, row.s.P95, row.s.P90, row.s.P50, row.s.Mean)
	}
	fmt.Fprintf(out, "\nUnits of %.0f prompt tokens a minute, a token of an answer counting %g:\n", r.Unit.TokensPerMinute, r.Unit.OutputWeight)
	fmt.Fprintf(out, "%8s %10s %14s %18s %13s %10s\n", "units", "fits", "spill, tokens", "spill, peak/min", "minutes over", "used")
	for _, f := range r.Fits {
		fmt.Fprintf(out, "%8d %9.2f%% %14.0f %18.0f %13d %9.1f%%\n", f.Units, 100*f.Share, f.Spill, f.SpillPeak, f.Over, 100*f.Used)
	}
	fmt.Fprintln(out)
	r.plot(out, width)
	return out.Flush()
}

// plotHeight is the plot's lines.
const plotHeight = 12

// plot draws the load: each column is the highest minute of its time, the
// lines are what the units would have done.
func (r *Report) plot(out io.Writer, width int) {
	columns := r.columns(max(width-axis, 10))
	top := r.Load.Peak
	for _, f := range r.Fits {
		if c := float64(f.Units) * r.Unit.TokensPerMinute; c < 2*r.Load.Peak {
			top = max(top, c)
		}
	}
	if top == 0 {
		return
	}
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	for line := plotHeight - 1; line >= 0; line-- {
		low, high := top*float64(line)/plotHeight, top*float64(line+1)/plotHeight
		mark, empty := "", ' '
		for _, f := range r.Fits {
			if c := float64(f.Units) * r.Unit.TokensPerMinute; c > low && c <= high {
				mark, empty = fmt.Sprintf(" %d units", f.Units), '┈'
			}
		}
		var b strings.Builder
		for _, v := range columns {
			full := int((v - low) / (high - low) * 8)
			if full <= 0 && v > low {
				full = 1 // there was something
			}
			if full <= 0 {
				b.WriteRune(empty)
				continue
			}
			b.WriteRune(blocks[min(full, 8)])
		}
		fmt.Fprintf(out, "%10.0f ┤%s%s\n", high, b.String(), mark)
	}
	fmt.Fprintf(out, "%10d └%s\n", 0, strings.Repeat("─", len(columns)))
	end := r.start.Add(time.Duration(r.Minutes) * time.Minute).UTC().Format("01-02 15:04")
	begin := r.start.UTC().Format("01-02 15:04")
	fmt.Fprintf(out, "%12s%s%*s\n", "", begin, max(len(columns)-len(begin), len(end)+1), end)
}

// axis is the room left of the plot and behind it.
const axis = 24

// columns are the highest loads of equal parts of the time.
func (r *Report) columns(n int) []float64 {
	n = min(n, len(r.loads))
	columns := make([]float64, n)
	for i, v := range r.loads {
		at := i * n / len(r.loads)
		columns[at] = max(columns[at], v)
	}
	return columns
}
