package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what was measured; as JSON it is what -json writes.
type report struct {
	Go        string `json:"go"`
	Platform  string `json:"platform"`
	Processor string `json:"processor"`
	CPUs      int    `json:"cpus"`
	Rounds    int    `json:"rounds"`
	// StateRounds are the rounds of what keeps state.
	StateRounds int          `json:"stateRounds"`
	BufferPool  bool         `json:"proxyBufferPool"`
	Scenarios   []*result    `json:"scenarios,omitempty"`
	Memory      memoryResult `json:"memory"`
	// Allocations of the gateway for each relayed event; nil when not measured.
	Allocations *float64 `json:"allocationsPerEvent,omitempty"`
	Goals       []goal   `json:"goals"`

	// What keeping state and accounting cost, and the servers that they were
	// measured with.
	State      part     `json:"state,omitzero"`
	Accounting part     `json:"accounting,omitzero"`
	Servers    []string `json:"servers,omitempty"`
}

// part is what was measured beside the scenarios, without a comparison with the
// proxy.
type part struct {
	Trials []*trialResult `json:"trials"`
	Goals  []goal         `json:"goals"`
}

// result is one scenario's.
type result struct {
	scenario `json:"-"`
	Name     string `json:"name"`
	Title    string `json:"title"`
	// Samples are by target (backend alone, reverse proxy, gateway) and round.
	Samples [targets][]sample `json:"samples"`
	// The gateway's values as ratios to the reverse proxy's, round by round.
	Rate  spread `json:"rateRatio"`
	P50   spread `json:"p50Ratio"`
	P99   spread `json:"p99Ratio"`
	CPU   spread `json:"cpuRatio"`
	Added spread `json:"addedP50Ratio"` // p50 minus that of the backend alone
}

// memoryResult is the resident memory of an open stream, by repeat.
type memoryResult struct {
	Streams int       `json:"streams"`
	Proxy   []float64 `json:"proxyKB,omitempty"`
	Gateway []float64 `json:"gatewayKB,omitempty"`
	Ratio   spread    `json:"ratio"`
}

// spread is a median and what lies around it; all zero when nothing could be
// measured.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// goal is what the gateway promises; it is reached when the median is. One
// that could not be measured is missed.
type goal struct {
	Name    string  `json:"name"`
	Most    float64 `json:"most"`
	Least   float64 `json:"least,omitempty"` // instead of Most
	Unit    string  `json:"unit,omitempty"`  // empty for ratios
	Got     spread  `json:"got"`
	Reached bool    `json:"reached"`
}

const allocationsGoal = "allocations for each event, of which net/http makes 1"

func newReport(o options) *report {
	return &report{
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Processor: processor(), CPUs: runtime.NumCPU(),
		Rounds: o.rounds, StateRounds: o.stateRounds, BufferPool: o.bufferPool, Memory: memoryResult{Streams: o.held},
	}
}

func (r *report) add(s scenario, which int, got sample) {
	i := slices.IndexFunc(r.Scenarios, func(known *result) bool { return known.Name == s.name })
	if i < 0 {
		i = len(r.Scenarios)
		r.Scenarios = append(r.Scenarios, &result{scenario: s, Name: s.name, Title: s.title})
	}
	r.Scenarios[i].Samples[which] = append(r.Scenarios[i].Samples[which], got)
}

func (m *memoryResult) add(which int, kB float64) {
	if which == theProxy {
		m.Proxy = append(m.Proxy, kB)
	} else {
		m.Gateway = append(m.Gateway, kB)
	}
}

// conclude works out ratios and goals.
func (r *report) conclude() {
	for _, s := range r.Scenarios {
		s.Rate, s.P50 = s.ratio(sample.rate), s.ratio(sample.p50)
		s.P99, s.CPU = s.ratio(sample.p99), s.ratio(sample.cpu)
		s.Added = ratios(s.added(theGateway), s.added(theProxy))
		if s.cpuGoal > 0 {
			r.promise("CPU, "+s.title, s.cpuGoal, s.CPU)
		}
		if s.addedGoal > 0 {
			r.promise("added p50, "+s.title, s.addedGoal, s.Added)
		}
	}
	if len(r.Memory.Gateway) > 0 {
		r.Memory.Ratio = ratios(r.Memory.Gateway, r.Memory.Proxy)
		r.promise("memory of an open stream", 1, r.Memory.Ratio)
	}
	if a := r.Allocations; a != nil {
		// One is net/http's: its chunked writer boxes the length of each chunk,
		// which allocates from 256 bytes on, and the simulator's events are
		// longer. The tenth is for what is not of the events: the request for
		// the number itself, the look at the configuration file.
		r.promise(allocationsGoal, 1.1, spread{*a, *a, *a})
	}
	for _, p := range []*part{&r.State, &r.Accounting} {
		for _, t := range p.Trials {
			p.Goals = append(p.Goals, t.conclude()...)
		}
	}
}

func (r *report) promise(name string, most float64, got spread) {
	measured := got != spread{} || name == allocationsGoal
	r.Goals = append(r.Goals, goal{Name: name, Most: most, Got: got, Reached: measured && got.Median <= most})
}

func (s sample) rate() float64 { return s.Rate }
func (s sample) p50() float64  { return s.P50 }
func (s sample) p99() float64  { return s.P99 }
func (s sample) cpu() float64  { return s.CPU }

func (s sample) storeCPU() float64 { return s.StoreCPU }

// values are one column of one target, by round.
func (s *result) values(which int, of func(sample) float64) []float64 {
	v := make([]float64, len(s.Samples[which]))
	for i := range v {
		v[i] = of(s.Samples[which][i])
	}
	return v
}

func (s *result) ratio(of func(sample) float64) spread {
	return ratios(s.values(theGateway, of), s.values(theProxy, of))
}

// added is what a target adds to the backend's median latency, by round.
func (s *result) added(which int) []float64 {
	v, alone := s.values(which, sample.p50), s.values(theBackend, sample.p50)
	for i := range v {
		v[i] -= alone[i]
	}
	return v
}

// ratios divides round by round. A round whose divisor is not above zero says
// nothing.
func ratios(of, to []float64) spread {
	var all []float64
	for i := range of {
		if to[i] > 0 {
			all = append(all, of[i]/to[i])
		}
	}
	if len(all) == 0 {
		return spread{}
	}
	return spread{median(all), slices.Min(all), slices.Max(all)}
}

func median(of []float64) float64 {
	v := slices.Sorted(slices.Values(of))
	if len(v) == 0 {
		return math.NaN()
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func (s spread) String() string {
	if s == (spread{}) {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Min, s.Max)
}

// in prints a spread of values with a unit.
func (s spread) in(unit string) string {
	if unit == "" || s == (spread{}) {
		return s.String()
	}
	return fmt.Sprintf("%s %s (%s–%s)", number(s.Median), unit, number(s.Min), number(s.Max))
}

// number prints microseconds, or how many a second: fractions of few only.
func number(v float64) string {
	if math.Abs(v) < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	proxy := "reverse proxy: httputil.ReverseProxy, tuned transport"
	if r.BufferPool {
		proxy += ", buffer pool"
	}
	fmt.Fprintf(w, "%s %s, %d CPUs, %s\n%d rounds, interleaved; medians, ratios with their range. %s\n",
		r.Go, r.Platform, r.CPUs, r.Processor, r.Rounds, proxy)
	for _, s := range r.Scenarios {
		s.print(w)
	}
	if m := r.Memory; len(m.Gateway) > 0 {
		fmt.Fprintf(w, "\nresident memory of an open stream, %d streams\n", m.Streams)
		table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
		fmt.Fprintf(table, "%s\t%.1f kB\t\n", names[theProxy], median(m.Proxy))
		fmt.Fprintf(table, "%s\t%.1f kB\t\n", names[theGateway], median(m.Gateway))
		fmt.Fprintf(table, "ratio\t%s\t\n", m.Ratio)
		table.Flush() //nolint:errcheck // as any print to the terminal
	}
	printGoals(w, "goals, as ratios to the reverse proxy", r.Goals)
	r.State.print(w, "keeping state", r.StateRounds, r.Servers)
	r.Accounting.print(w, "accounting", r.Rounds, r.Servers)
}

func (p *part) print(w io.Writer, what string, rounds int, servers []string) {
	if len(p.Trials) == 0 {
		return
	}
	fmt.Fprintf(w, "\n== what %s costs\n%d rounds, interleaved; medians, figures with their range\n", what, rounds)
	for _, server := range servers {
		fmt.Fprintln(w, server)
	}
	for _, t := range p.Trials {
		t.print(w)
	}
	printGoals(w, "goals of "+what, p.Goals)
}

func printGoals(w io.Writer, title string, goals []goal) {
	if len(goals) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, g := range goals {
		word, bound := "missed", fmt.Sprintf("at most %.4g %s", g.Most, g.Unit)
		if g.Reached {
			word = "reached"
		}
		if g.Least > 0 {
			bound = fmt.Sprintf("at least %.4g %s", g.Least, g.Unit)
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", g.Name, strings.TrimSpace(bound), g.Got.in(g.Unit), word)
	}
	table.Flush() //nolint:errcheck // as any print to the terminal
}

func (s *result) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", s.title)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\t%ss/s\tp50 µs to %s\tp99 µs\tCPU µs/%s\tadded p50 µs\t\n", s.per, s.latency, s.per)
	for which, name := range names {
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t%.1f\t%.0f\t\n", name,
			median(s.values(which, sample.rate)), median(s.values(which, sample.p50)),
			median(s.values(which, sample.p99)), median(s.values(which, sample.cpu)), median(s.added(which)))
	}
	fmt.Fprintf(table, "ratio\t%s\t%s\t%s\t%s\t%s\t\n", s.Rate, s.P50, s.P99, s.CPU, s.Added)
	table.Flush() //nolint:errcheck // as any print to the terminal
}

// writeJSON writes the report for programs.
func (r *report) writeJSON(file string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
