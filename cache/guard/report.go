package guard

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// Report says how often the pairs would be answered from the cache, rightly
// and wrongly.
type Report struct {
	Paraphrases, Traps int
	// Rows is one for each threshold. The first has threshold 0 and stands for
	// the guards alone: nearness admits every pair.
	Rows    []Row
	Groups  []Group // the guards alone, by category and by language
	Failing []Failure
	Verbose bool // Write lists the failing pairs too
}

// Row is what one threshold of cosine similarity admits: of the paraphrases the
// hits, of the traps the false hits.
type Row struct {
	Threshold             float64
	Hits, FalseHits       int // by nearness alone
	Guarded, FalseGuarded int // by nearness and the guards
}

// Group is what the guards alone let pass of one category or language.
type Group struct {
	By, Name           string // "category" or "language", and which
	Paraphrases, Hits  int
	Traps, FalseHits   int
	RightReason, Other int // refused traps, by whether the reason is the category
}

// Failure is a paraphrase that the guards refuse or a trap that they let pass.
type Failure struct {
	Pair
	Reason string // of the refusal; "" for a trap
}

// Measure embeds the pairs and counts what each threshold admits, with and
// without the guards. A nil embed measures the guards alone.
func Measure(ctx context.Context, embed func(ctx context.Context, text string) ([]float32, error), thresholds []float64) (Report, error) {
	pairs := Pairs()
	r := Report{Rows: []Row{{}}}
	if embed != nil {
		for _, t := range thresholds {
			r.Rows = append(r.Rows, Row{Threshold: t})
		}
	}
	groups := map[[2]string]*Group{}
	for _, p := range pairs {
		score := 1.0
		if embed != nil {
			var err error
			if score, err = similarity(ctx, embed, p); err != nil {
				return Report{}, err
			}
		}
		ok, reason := Agree(p.A, p.B)
		r.count(p, ok, reason, score)
		for _, by := range [...][2]string{{"category", p.Category}, {"language", p.Language}} {
			if groups[by] == nil {
				groups[by] = &Group{By: by[0], Name: by[1]}
			}
			groups[by].count(p, ok, reason)
		}
	}
	for _, g := range groups {
		r.Groups = append(r.Groups, *g)
	}
	slices.SortFunc(r.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.By, b.By), cmp.Compare(a.Name, b.Name))
	})
	return r, nil
}

// count adds a pair to each row.
func (r *Report) count(p Pair, ok bool, reason string, score float64) {
	if p.Trap {
		r.Traps++
	} else {
		r.Paraphrases++
	}
	if ok == p.Trap {
		r.Failing = append(r.Failing, Failure{p, reason})
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		if i > 0 && score < row.Threshold {
			continue
		}
		near, guarded := &row.Hits, &row.Guarded
		if p.Trap {
			near, guarded = &row.FalseHits, &row.FalseGuarded
		}
		*near++
		if ok {
			*guarded++
		}
	}
}

func (g *Group) count(p Pair, ok bool, reason string) {
	switch {
	case !p.Trap:
		g.Paraphrases++
		if ok {
			g.Hits++
		}
		return
	case ok:
		g.FalseHits++
	case reason == p.Category:
		g.RightReason++
	default:
		g.Other++
	}
	g.Traps++
}

// similarity is the cosine similarity of a pair's two texts.
func similarity(ctx context.Context, embed func(context.Context, string) ([]float32, error), p Pair) (float64, error) {
	a, err := embed(ctx, p.A)
	if err != nil {
		return 0, fmt.Errorf("embedding a pair: %w", err)
	}
	b, err := embed(ctx, p.B)
	if err != nil {
		return 0, fmt.Errorf("embedding a pair: %w", err)
	}
	if len(a) != len(b) {
		return 0, fmt.Errorf("embedding a pair: widths %d and %d differ", len(a), len(b))
	}
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0, nil
	}
	return dot / math.Sqrt(aa*bb), nil
}

// Write prints the report as tables.
func (r Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%d paraphrases, %d traps\n\n", r.Paraphrases, r.Traps)
	fmt.Fprintln(t, "threshold\thits\twith guards\tfalse hits\twith guards")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%.3f\t%s\t%s\t%s\t%s\n", row.Threshold,
			share(row.Hits, r.Paraphrases), share(row.Guarded, r.Paraphrases),
			share(row.FalseHits, r.Traps), share(row.FalseGuarded, r.Traps))
	}
	for _, by := range [...]string{"category", "language"} {
		fmt.Fprintf(t, "\n%s, guards alone\thits\tfalse hits\tfor this reason\tfor another\n", by)
		for _, g := range r.Groups {
			if g.By == by {
				fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\n", g.Name, share(g.Hits, g.Paraphrases), share(g.FalseHits, g.Traps), g.RightReason, g.Other)
			}
		}
	}
	if r.Verbose {
		fmt.Fprintln(t, "\nfailing\tlanguage\tcategory\treason\ta\tb")
		for _, f := range r.Failing {
			what := "refused"
			if f.Trap {
				what = "passed"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", what, f.Language, f.Category, cmp.Or(f.Reason, "-"), f.A, f.B)
		}
	}
	return t.Flush()
}

// share is "n/of (percent)".
func share(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d (%.1f %%)", n, of, 100*float64(n)/float64(of))
}
