package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
)

const (
	apart = time.Minute // between the two scrapes, as the store has it

	// As in prometheus.yml.
	job         = "gateway"
	metricsPath = "/metrics"
)

// sample is one value of a scrape.
type sample struct {
	labels labels.Labels
	value  float64
}

// samples are a scrape as Prometheus keeps it.
type samples struct {
	list  []sample
	types map[string]model.MetricType // by family
}

// parse reads a scrape as strictly as Prometheus does, and adds what it adds.
func parse(s scrape) (*samples, error) {
	p, err := textparse.New(s.body, s.contentType, nil, textparse.ParserOptions{})
	if err != nil {
		return nil, fmt.Errorf("choosing a parser for %s: %w", s.contentType, err)
	}
	const instance = "gateway-0:8000"
	all := &samples{types: map[string]model.MetricType{}}
	for {
		entry, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			all.list = append(all.list, sample{labels.FromStrings(model.MetricNameLabel, "up", "job", job, "instance", instance), 1})
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("parsing what was scraped: %w", err)
		}
		switch entry {
		case textparse.EntryType:
			name, kind := p.Type()
			all.types[string(name)] = kind
		case textparse.EntrySeries:
			_, _, value := p.Series()
			var l labels.Labels
			p.Labels(&l)
			b := labels.NewBuilder(l)
			b.Set("job", job).Set("instance", instance)
			all.list = append(all.list, sample{b.Labels(), value})
		}
	}
}

// grows reports whether the series of a name only grow.
func (s *samples) grows(name string) bool {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if family, ok := strings.CutSuffix(name, suffix); ok {
			if kind := s.types[family]; kind == model.MetricTypeHistogram || kind == model.MetricTypeSummary {
				return true
			}
		}
	}
	return s.types[name] == model.MetricTypeCounter || s.types[strings.TrimSuffix(name, "_total")] == model.MetricTypeCounter
}

// matched counts the series that fit all matchers.
func (s *samples) matched(matchers []*labels.Matcher) (n int) {
	for _, one := range s.list {
		fits := true
		for _, m := range matchers {
			fits = fits && m.Matches(one.labels.Get(m.Name))
		}
		if fits {
			n++
		}
	}
	return n
}

// words is a regular expression that is a list of words.
var words = regexp.MustCompile(`^\w+(\|\w+)+$`)

// faults returns what is wrong with the selectors of an expression: those that
// match no series, in any of the words that a label may be; a rate of what does
// not grow, and the slope of what does.
func (s *samples) faults(expr parser.Expr) (faults []string) {
	inspect := func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			if s.matched(n.LabelMatchers) == 0 {
				faults = append(faults, fmt.Sprintf("%s matches no series", n))
				return nil
			}
			for i, m := range n.LabelMatchers {
				if m.Type != labels.MatchRegexp || !words.MatchString(m.Value) {
					continue
				}
				for word := range strings.SplitSeq(m.Value, "|") {
					one := append([]*labels.Matcher(nil), n.LabelMatchers...)
					one[i] = labels.MustNewMatcher(labels.MatchEqual, m.Name, word)
					if s.matched(one) == 0 {
						faults = append(faults, fmt.Sprintf("%s matches no series with %s", n, one[i]))
					}
				}
			}
		case *parser.Call:
			var wantsGrowing bool
			switch n.Func.Name {
			case "rate", "irate", "increase", "resets":
				wantsGrowing = true
			case "delta", "idelta", "deriv", "predict_linear":
			default:
				return nil
			}
			if over, ok := n.Args[0].(*parser.MatrixSelector); ok {
				of := over.VectorSelector.(*parser.VectorSelector)
				if s.matched(of.LabelMatchers) > 0 && s.grows(of.Name) != wantsGrowing {
					faults = append(faults, fmt.Sprintf("%s of %s, which only grows: %v", n.Func.Name, of.Name, !wantsGrowing))
				}
			}
		}
		return nil
	}
	parser.Inspect(expr, inspect)
	return faults
}

// history is a store with both scrapes, and an engine to ask it.
type history struct {
	engine *promql.Engine
	store  *teststorage.TestStorage
	now    time.Time
	last   *samples
}

func historyOf(t *testing.T) *history {
	t.Helper()
	r := recordingOf(t)
	h := &history{engine: promqltest.NewTestEngine(t, false, 0, 1e6), store: teststorage.New(t), now: time.Now()}
	for i, one := range []scrape{r.first, r.second} {
		at := h.now.Add(time.Duration(i-1) * apart)
		all, err := parse(one)
		if err != nil {
			t.Fatal(err)
		}
		a := h.store.Appender(t.Context())
		for _, s := range all.list {
			if _, err := a.Append(0, s.labels, at.UnixMilli(), s.value); err != nil {
				t.Fatalf("storing %s: %v", s.labels, err)
			}
		}
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
		h.last = all
	}
	return h
}

// ask runs an expression at the second scrape.
func (h *history) ask(ctx context.Context, expr string) (promql.Vector, error) {
	q, err := h.engine.NewInstantQuery(ctx, h.store, nil, expr, h.now)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	if err := result.Warnings.AsErrors(); len(err) > 0 {
		return nil, errors.Join(err...)
	}
	vector, err := result.Vector()
	if err != nil {
		return nil, err
	}
	list := make(promql.Vector, len(vector)) // the engine takes its own back
	copy(list, vector)
	return list, nil
}

// numbers counts the values that are numbers.
func numbers(v promql.Vector) (n int) {
	for _, one := range v {
		if !math.IsNaN(one.F) {
			n++
		}
	}
	return n
}
