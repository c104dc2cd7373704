// Package capacity tells from recorded traffic how much throughput would have
// served it: what an application asked for in each minute, and what part of
// that some units of provisioned throughput could have done. No request meets
// it: admins ask for it.
package capacity

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"aigateway/persist"
)

// Unit is what one unit of provisioned throughput does.
type Unit struct {
	// TokensPerMinute is how many prompt tokens; 2,500 is what Azure documents
	// for gpt-4o.
	TokensPerMinute float64
	// OutputWeight is how many prompt tokens one token of an answer takes; 4 is
	// what Azure documents for newer models, 3 was that of gpt-4o.
	OutputWeight float64
}

// DefaultUnit is a unit of gpt-4o, as Azure documents it:
// https://learn.microsoft.com/azure/ai-foundry/openai/how-to/provisioned-throughput-onboarding
func DefaultUnit() Unit { return Unit{TokensPerMinute: 2500, OutputWeight: 3} }

// Report is what was asked for from From until To. Percentiles are over all
// minutes between the first that was busy and the last, idle ones too.
type Report struct {
	App      string    `json:"applicationId"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Minutes  int       `json:"minutes"`
	Busy     int       `json:"busyMinutes"`
	Requests Spread    `json:"requestsPerMinute"`
	Tokens   Spread    `json:"tokensPerMinute"` // prompts and answers
	// Load is in prompt tokens as units count them: answers weigh more, what the
	// endpoint had cached nothing.
	Load Spread `json:"loadPerMinute"`
	Unit Unit   `json:"unit"`
	Fits []Fit  `json:"units"`

	start time.Time // of the first of loads
	loads []float64 // by minute
}

// Spread are percentiles of what minutes had.
type Spread struct {
	Peak  float64 `json:"peak"`
	P99   float64 `json:"p99"`
	P95   float64 `json:"p95"`
	P90   float64 `json:"p90"`
	P50   float64 `json:"p50"`
	Mean  float64 `json:"mean"`
	Total float64 `json:"total"`
}

// Fit is what some units would have done.
type Fit struct {
	Units int `json:"units"`
	// Share is the part of the load that would have fitted, from 0 to 1; Spill
	// the rest of it in prompt tokens, SpillPeak the most of that in a minute,
	// and Over the minutes that had any: what pay-as-you-go would have done.
	Share     float64 `json:"share"`
	Spill     float64 `json:"spill"`
	SpillPeak float64 `json:"spillPeakPerMinute"`
	Over      int     `json:"minutesOver"`
	// Used is the part of the units' throughput that would have been used.
	Used float64 `json:"used"`
}

// ParseUnits reads numbers of units, separated by commas; none of an empty text.
func ParseUnits(text string) ([]int, error) {
	var units []int
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n > MostUnits || len(units) == mostFits {
			return nil, fmt.Errorf("units must be whole numbers up to %d, separated by commas, at most %d of them", MostUnits, mostFits)
		}
		units = append(units, n)
	}
	return units, nil
}

// mostFits bounds how many numbers of units are asked about at once.
const mostFits = 100

// MostUnits bounds the units that are asked about.
const MostUnits = 1_000_000

// Plan makes the report of an application's minutes, which are in order. Units
// are what is asked about; none asks for those that would have done half, 90 %,
// 99 % and all of it.
func Plan(app string, minutes []persist.Minute, from, to time.Time, unit Unit, units []int) *Report {
	r := &Report{App: app, From: from.UTC(), To: to.UTC(), Unit: unit, Busy: len(minutes), Fits: []Fit{}}
	if len(minutes) == 0 {
		return r
	}
	r.start = minutes[0].Start
	r.Minutes = int(minutes[len(minutes)-1].Start.Sub(r.start)/time.Minute) + 1
	requests, tokens := make([]float64, r.Minutes), make([]float64, r.Minutes)
	r.loads = make([]float64, r.Minutes)
	for _, m := range minutes {
		i := int(m.Start.Sub(r.start) / time.Minute)
		requests[i] = float64(m.Requests)
		tokens[i] = float64(m.Prompt + m.Completion)
		r.loads[i] = float64(max(m.Prompt-m.Cached, 0)) + unit.OutputWeight*float64(m.Completion)
	}
	r.Requests, r.Tokens, r.Load = spread(requests), spread(tokens), spread(r.loads)
	if len(units) == 0 {
		units = r.usual()
	}
	for _, n := range units {
		r.Fits = append(r.Fits, r.fit(n))
	}
	return r
}

func spread(values []float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	at := func(p float64) float64 { // nearest rank
		return sorted[max(int(math.Ceil(p*float64(len(sorted))))-1, 0)]
	}
	s := Spread{Peak: sorted[len(sorted)-1], P99: at(0.99), P95: at(0.95), P90: at(0.90), P50: at(0.50)}
	for _, v := range sorted {
		s.Total += v
	}
	s.Mean = s.Total / float64(len(sorted))
	return s
}

// fit says what n units would have done.
func (r *Report) fit(n int) Fit {
	capacity := float64(n) * r.Unit.TokensPerMinute
	f := Fit{Units: n, Share: 1}
	for _, load := range r.loads {
		if over := load - capacity; over > 0 {
			f.Spill += over
			f.SpillPeak = max(f.SpillPeak, over)
			f.Over++
		}
	}
	if r.Load.Total > 0 {
		f.Share = 1 - f.Spill/r.Load.Total
	}
	if capacity > 0 {
		f.Used = (r.Load.Total - f.Spill) / (capacity * float64(r.Minutes))
	}
	return f
}

// usual are the least units that would have done some parts of the load.
func (r *Report) usual() []int {
	var list []int
	most := int(min(math.Ceil(r.Load.Peak/r.Unit.TokensPerMinute), MostUnits))
	for _, share := range []float64{0.5, 0.9, 0.99, 1} {
		n := sort.Search(most, func(n int) bool { return r.fit(n).Share >= share }) // it grows with the units
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}
