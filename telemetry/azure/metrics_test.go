package azure

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"aigateway/openai"
	"aigateway/persist"
)

// measured returns the metrics that arrived: name, app and second dimension.
func (in *standIn) measured() map[string][4]float64 {
	found := map[string][4]float64{}
	for _, e := range in.of("MetricData") {
		m, p := e.metric.Metrics[0], e.metric.Properties
		found[m.Name+" "+p["App"]+" "+p["Model"]+p["Status"]] = [4]float64{*m.Value, *m.Count, *m.Min, *m.Max}
	}
	return found
}

func TestMetricsCountAllEachMinute(t *testing.T) {
	in, at := newStandIn(t), newClock()
	s := in.open(Options{Now: at.now})
	unsampled, refused, own, cached := failedOver(), failedOver(), failedOver(), failedOver()
	unsampled.Trace.Sampled = false
	unsampled.Usage = openai.Usage{Estimated: true, PromptTokens: 20, CompletionTokens: 5, TotalTokens: 25}
	refused.Status, refused.Usage = 429, openai.Usage{}
	own.Own, own.Trace, own.Answered, own.Model = true, nil, "", "ada"
	own.Usage = openai.Usage{Reported: true, PromptTokens: 8, TotalTokens: 8}
	cached.App, cached.Cached, cached.Usage, cached.Saved = "", true, openai.Usage{}, cached.Usage
	s.Send(t.Context(), []*persist.Exchange{failedOver(), unsampled, refused, own, cached})
	at.pass(time.Minute - 1)
	s.Send(t.Context(), nil)
	if got := in.measured(); len(got) != 0 {
		t.Fatalf("got %v before the minute is over", got)
	}
	at.pass(1)
	s.Send(t.Context(), nil)
	want := map[string][4]float64{
		"Requests support 2xx": {2, 2, 1, 1}, "Requests support 4xx": {1, 1, 1, 1}, "Requests none 2xx": {1, 1, 1, 1},
		"Prompt Tokens support gpt-4o-2024-08-06":     {140, 2, 20, 120},
		"Completion Tokens support gpt-4o-2024-08-06": {85, 2, 5, 80},
		"Total Tokens support gpt-4o-2024-08-06":      {225, 2, 25, 200},
		"Prompt Tokens support ada":                   {8, 1, 8, 8}, "Completion Tokens support ada": {0, 1, 0, 0}, "Total Tokens support ada": {8, 1, 8, 8},
	}
	if diff := cmp.Diff(want, in.measured()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, e := range in.of("MetricData") {
		if e.Time != "2026-03-01T12:00:00.1234567Z" || e.metric.Metrics[0].NS != "aigateway" || len(e.metric.Properties) != 2 {
			t.Errorf("got %s, %s", e.Time, e.Data.BaseData)
		}
	}
	at.pass(time.Minute)
	s.Send(t.Context(), nil)
	if got := len(in.of("MetricData")); got != len(want) {
		t.Errorf("got %d metrics after a minute without requests", got-len(want))
	}
}

func TestClientsDoNotChooseTheModelOfMetrics(t *testing.T) {
	in := newStandIn(t)
	s := in.open(Options{})
	configured, invented := failedOver(), failedOver()
	configured.Answered, configured.Model, configured.Trace.Model = "", "invented-1", "gpt-4o"
	invented.Answered, invented.Model, invented.Priced = "", "invented-2", "gpt-4o: 2.5/2.5/10"
	s.Send(t.Context(), []*persist.Exchange{configured, invented})
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := in.measured()
	for _, name := range []string{"Total Tokens support gpt-4o", "Total Tokens support unknown"} {
		if got[name][0] != 200 {
			t.Errorf("%s: got %v in %v", name, got[name], got)
		}
	}
}

func TestCloseSendsTheLastMetrics(t *testing.T) {
	in := newStandIn(t)
	s := in.open(Options{})
	s.Send(t.Context(), []*persist.Exchange{failedOver()})
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := in.measured()["Total Tokens support gpt-4o-2024-08-06"]; got[0] != 200 {
		t.Errorf("got %v", got)
	}
}

func TestSeriesAreBoundedAndLoseNothing(t *testing.T) {
	in := newStandIn(t)
	s := in.open(Options{})
	const requests = 2000
	for i := range requests {
		x := simple(i)
		x.Trace.Sampled, x.Answered = false, fmt.Sprint("model-", i)
		s.metrics.observe(x)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	total, all := 0., in.measured()
	for name, m := range all {
		if name[:12] == "Total Tokens" {
			total += m[0]
		}
	}
	if len(all) > seriesMost+4 || total != 200*requests {
		t.Errorf("got %d series of %v tokens", len(all), total)
	}
}
