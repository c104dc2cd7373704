package check

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// dashboard is what of Grafana's model concerns queries and layout.
type dashboard struct {
	Panels      []panel
	Templating  struct{ List []variable }
	Annotations struct {
		List []struct{ Name, Expr string }
	}
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ RefID, Expr, LegendFormat string }
}

type variable struct {
	Name, Type, AllValue, Definition string
	Query                            json.RawMessage
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	text, err := os.ReadFile("../grafana/gateway.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

// filled is an expression as Grafana sends it with every variable at All.
func (d *dashboard) filled(expr string) string {
	pairs := []string{"$__rate_interval", "5m", "$__range", "1h"}
	for _, v := range d.Templating.List {
		if v.AllValue != "" {
			pairs = append(pairs, "$"+v.Name, v.AllValue)
		}
	}
	return strings.NewReplacer(pairs...).Replace(expr)
}

// check returns the expression as it is asked, once its selectors match.
func check(t *testing.T, last *samples, expr string) (asked string) {
	t.Helper()
	if strings.Contains(expr, "$") {
		t.Fatalf("a variable is left in %s", expr)
	}
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatalf("parsing %s: %v", expr, err)
	}
	for _, fault := range last.faults(parsed) {
		t.Error(fault)
	}
	return expr
}

var legendLabels = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

func TestEveryPanelShowsSomething(t *testing.T) {
	d, h := readDashboard(t), historyOf(t)
	targets := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			targets++
			t.Run(fmt.Sprintf("%s %s", p.Title, target.RefID), func(t *testing.T) {
				asked := check(t, h.last, d.filled(target.Expr))
				got, err := h.ask(t.Context(), asked)
				if err != nil {
					t.Fatalf("%s: %v", asked, err)
				}
				if numbers(got) == 0 {
					t.Fatalf("%s has no value", asked)
				}
				for _, label := range legendLabels.FindAllStringSubmatch(target.LegendFormat, -1) {
					for _, one := range got {
						if !one.Metric.Has(label[1]) {
							t.Errorf("%s has no label %s, which its legend names: %s", asked, label[1], one.Metric)
						}
					}
				}
			})
		}
	}
	if targets < 50 {
		t.Errorf("only %d queries were found", targets)
	}
}

func TestEveryAnnotationMatchesSeries(t *testing.T) {
	d, h := readDashboard(t), historyOf(t)
	for _, a := range d.Annotations.List {
		if a.Expr == "" { // Grafana's own
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			if _, err := h.ask(t.Context(), check(t, h.last, d.filled(a.Expr))); err != nil {
				t.Error(err)
			}
		})
	}
}

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

func TestEveryVariableHasValues(t *testing.T) {
	d, h := readDashboard(t), historyOf(t)
	queries := 0
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		queries++
		t.Run(v.Name, func(t *testing.T) {
			var q struct{ Query string }
			if err := json.Unmarshal(v.Query, &q); err != nil || q.Query != v.Definition {
				t.Errorf("query %q is not its definition %q (%v)", q.Query, v.Definition, err)
			}
			parts := labelValues.FindStringSubmatch(q.Query)
			if parts == nil {
				t.Fatalf("%s is not label_values(selector, label)", q.Query)
			}
			got, err := h.ask(t.Context(), check(t, h.last, d.filled(parts[1])))
			if err != nil || len(got) == 0 {
				t.Fatalf("%s: %d series, %v", parts[1], len(got), err)
			}
			for _, one := range got {
				if !one.Metric.Has(parts[2]) {
					t.Errorf("%s has no label %s", one.Metric, parts[2])
				}
			}
		})
	}
	if queries == 0 {
		t.Error("no variable was found")
	}
}

func TestPanelsHaveAPlaceOfTheirOwn(t *testing.T) {
	const columns = 24 // of Grafana's grid
	ids, taken := map[int]string{}, map[[2]int]string{}
	for _, p := range readDashboard(t).Panels {
		if other, ok := ids[p.ID]; ok {
			t.Errorf("%s and %s have the id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		g := p.GridPos
		if g.W <= 0 || g.H <= 0 || g.X < 0 || g.X+g.W > columns {
			t.Errorf("%s is at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("%s covers %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
