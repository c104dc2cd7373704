package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadingsAreShownToScrapers(t *testing.T) {
	m := New(Options{})
	m.AddReadings(func() []Reading {
		return []Reading{
			{Name: "prompts_waiting", Help: "Rows.", Value: 3},
			{Name: "job_runs_total", Help: "Runs.", Counter: true, Value: 1, Labels: []string{"job", "cache", "outcome", "ok"}},
			{Name: "job_runs_total", Help: "Runs.", Counter: true, Value: 2, Labels: []string{"job", "memory", "outcome", "ok"}},
		}
	})
	m.AddReadings(func() []Reading { return []Reading{{Name: "other", Help: "Other.", Value: 7}} })
	w := httptest.NewRecorder()
	m.ServePrometheus(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		"# TYPE gateway_prompts_waiting gauge", "gateway_prompts_waiting 3", "# TYPE gateway_job_runs_total counter",
		`gateway_job_runs_total{job="memory",outcome="ok"} 2`, "gateway_other 7",
	} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("no line %q in\n%s", line, w.Body)
		}
	}
}
