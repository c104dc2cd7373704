package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// trialResult is what a trial measured.
type trialResult struct {
	trial   `json:"-"`
	Title   string              `json:"title"`
	Subject string              `json:"subject"`
	Samples map[string][]sample `json:"samples"` // by take and round
	Figures []*figureResult     `json:"figures"`
}

// figureResult is a figure by round.
type figureResult struct {
	figure `json:"-"`
	Name   string    `json:"name"`
	Unit   string    `json:"unit,omitempty"` // empty for ratios
	Rounds []float64 `json:"rounds"`
	Got    spread    `json:"got"`
}

func newTrialResult(t *trial) *trialResult {
	r := &trialResult{trial: *t, Title: t.title, Subject: t.subject, Samples: map[string][]sample{}}
	for _, f := range t.figures {
		r.Figures = append(r.Figures, &figureResult{figure: f, Name: f.name, Unit: f.unit})
	}
	return r
}

// add adds a round.
func (r *trialResult) add(samples round) {
	for name, s := range samples {
		r.Samples[name] = append(r.Samples[name], s)
	}
	for _, f := range r.Figures {
		if v := f.of(samples); !math.IsNaN(v) && !math.IsInf(v, 0) {
			f.Rounds = append(f.Rounds, v)
		}
	}
}

// conclude works out the figures and returns the goals among them.
func (r *trialResult) conclude() (goals []goal) {
	for _, f := range r.Figures {
		if len(f.Rounds) > 0 {
			f.Got = spread{median(f.Rounds), slices.Min(f.Rounds), slices.Max(f.Rounds)}
		}
		if f.most == 0 && f.least == 0 {
			continue
		}
		g := goal{Name: r.Subject + ": " + f.name, Most: f.most, Least: f.least, Unit: f.unit, Got: f.Got}
		g.Reached = len(f.Rounds) > 0 && (f.most == 0 || f.Got.Median <= f.most) && f.Got.Median >= f.least
		goals = append(goals, g)
	}
	return goals
}

func (r *trialResult) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", r.Subject, r.Title)
	per := cmp.Or(r.per, "request")
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\t%ss/s\tp50 µs\tp99 µs\tCPU µs/%s\tdatabase CPU µs\t\n", per, per)
	for _, t := range r.takes {
		of := func(column func(sample) float64) string {
			var v []float64
			for _, s := range r.Samples[t.name] {
				v = append(v, column(s))
			}
			if m := median(v); m > 0 {
				return number(m)
			}
			return "-" // not measured
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t\n", t.name, of(sample.rate), of(sample.p50), of(sample.p99), of(sample.cpu), of(sample.storeCPU))
	}
	table.Flush() //nolint:errcheck // as any print to the terminal
	list := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, f := range r.Figures {
		fmt.Fprintf(list, "   %s\t%s\t\n", f.name, f.Got.in(f.unit))
	}
	list.Flush() //nolint:errcheck // as any print to the terminal
}
