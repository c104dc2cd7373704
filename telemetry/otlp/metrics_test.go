package otlp

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"pgregory.net/rapid"

	"aigateway/persist"
)

// measured returns the metrics of exchanges, by name, as a collector gets them.
func measured(t *testing.T, batch ...*persist.Exchange) map[string]*metricspb.Metric {
	t.Helper()
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	to := collecting(t)
	s := open(t, Options{})
	s.Send(t.Context(), batch)
	to.close(s)
	if len(to.metrics) != 1 {
		t.Fatalf("got %d exports of metrics", len(to.metrics))
	}
	return to.metrics[0]
}

// point is what a data point says, its attributes as text.
type point struct {
	Count uint64
	Sum   float64
}

func pointsOf(m *metricspb.Metric, attributes ...string) map[string]point {
	out := map[string]point{}
	for _, p := range m.GetHistogram().GetDataPoints() {
		key, set := "", pairs(p.Attributes)
		for _, a := range attributes {
			key += fmt.Sprint(set[a], " ")
		}
		out[key] = point{p.Count, math.Round(p.GetSum()*1e6) / 1e6}
	}
	return out
}

func TestMetricsHaveTheConventionsForm(t *testing.T) {
	own := &persist.Exchange{
		Own: true, Operation: "embeddings", Answered: "ada", Start: begin, Duration: time.Second,
		Attempts: []persist.Attempt{{Status: 200, Duration: time.Second, Host: "one.openai.azure.com:443"}},
	}
	own.Usage.Reported, own.Usage.PromptTokens = true, 9
	got := measured(t, failedOver(), failedOver(), own)

	genAI := []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	for name, want := range map[string]struct {
		unit    string
		buckets []float64
	}{
		"gen_ai.client.operation.duration":              {"s", genAI},
		"gen_ai.client.operation.time_to_first_chunk":   {"s", genAI},
		"gen_ai.client.operation.time_per_output_chunk": {"s", genAI},
		"gen_ai.client.token.usage":                     {"{token}", []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}},
		"http.server.request.duration":                  {"s", []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}},
	} {
		m := got[name]
		if m == nil {
			t.Errorf("no metric %s", name)
			continue
		}
		h := m.GetHistogram()
		if m.Unit != want.unit || m.Description == "" || h.AggregationTemporality != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
			t.Errorf("%s: got unit %q, description %q, %v", name, m.Unit, m.Description, h.AggregationTemporality)
		}
		if diff := cmp.Diff(want.buckets, h.DataPoints[0].ExplicitBounds); diff != "" {
			t.Errorf("%s: buckets (-want +got):\n%s", name, diff)
		}
	}
	if len(got) != 5 {
		t.Errorf("got %d metrics", len(got))
	}

	for _, c := range []struct {
		metric     string
		attributes []string
		want       map[string]point
	}{
		{
			"gen_ai.client.operation.duration",
			[]string{"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "server.address", "server.port", "error.type"},
			map[string]point{
				"chat azure.ai.openai gpt-4o <nil> one.openai.azure.com 443 429 ":      {2, 0.18},
				"chat openai gpt-4o gpt-4o-2024-08-06 api.openai.com 443 <nil> ":       {2, 2.78},
				"embeddings azure.ai.openai <nil> ada one.openai.azure.com 443 <nil> ": {1, 1},
			},
		},
		{
			"gen_ai.client.token.usage",
			[]string{"gen_ai.operation.name", "gen_ai.token.type", "gen_ai.response.model"},
			map[string]point{
				"chat input gpt-4o-2024-08-06 ":  {2, 240},
				"chat output gpt-4o-2024-08-06 ": {2, 160},
				"embeddings input ada ":          {1, 9},
			},
		},
		{"gen_ai.client.operation.time_to_first_chunk", []string{"error.type"}, map[string]point{"<nil> ": {2, 1.18}}},
		{"gen_ai.client.operation.time_per_output_chunk", []string{"error.type"}, map[string]point{"<nil> ": {160, 1.6}}}, // 2 × 80 chunks after the first, in 0.8 s
		{
			"http.server.request.duration",
			[]string{"http.request.method", "url.scheme", "http.route", "http.response.status_code", "error.type"},
			map[string]point{"POST http /lb/:app 200 <nil> ": {2, 3}},
		},
	} {
		if diff := cmp.Diff(c.want, pointsOf(got[c.metric], c.attributes...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.metric, diff)
		}
	}
}

func TestCachedAnswersAndOtherServicesAreNoOperations(t *testing.T) {
	cached, service := failedOver(), failedOver()
	cached.Attempts, cached.Cached = nil, true
	service.Operation, service.Call = "other", "translateApiCalls"
	got := measured(t, cached, service)
	if len(got) != 1 || got["http.server.request.duration"].GetHistogram().DataPoints[0].Count != 2 {
		t.Errorf("got %v", got)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	var batch []*persist.Exchange
	for i := range 3 * setsMost {
		x := failedOver()
		x.Answered, x.Operation, x.Status = fmt.Sprint("model-", i), fmt.Sprint("invented/", i), 200+i
		batch = append(batch, x)
	}
	got := measured(t, batch...)
	for name, bound := range map[string]int{"gen_ai.client.operation.duration": setsMost + 1, "http.server.request.duration": setsMost + 1, "gen_ai.client.token.usage": 2*setsMost + 2} {
		points := got[name].GetHistogram().DataPoints
		if len(points) > bound {
			t.Errorf("%s: got %d series, want at most %d", name, len(points), bound)
		}
		overflowed, all := uint64(0), uint64(0)
		for _, p := range points {
			all += p.Count
			set := pairs(p.Attributes)
			if set["otel.metric.overflow"] == true {
				overflowed += p.Count
			} else if set["gen_ai.operation.name"] != nil && set["gen_ai.operation.name"] != "other" {
				t.Errorf("%s: a client's operation %v is a label", name, set["gen_ai.operation.name"])
			}
		}
		if overflowed == 0 || all < 3*setsMost {
			t.Errorf("%s: counted %d, of them %d beyond the bound", name, all, overflowed)
		}
	}
}

func TestDeltaTemporalityBeginsAnew(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	to := collecting(t)
	s := open(t, Options{})
	for range 2 {
		s.Send(t.Context(), []*persist.Exchange{failedOver()})
		if err := s.metrics.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(to.metrics) != 2 {
		t.Fatalf("got %d exports", len(to.metrics))
	}
	first, second := to.metrics[0]["http.server.request.duration"].GetHistogram(), to.metrics[1]["http.server.request.duration"].GetHistogram()
	if second.AggregationTemporality != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA {
		t.Errorf("got %v", second.AggregationTemporality)
	}
	if first.DataPoints[0].Count != 1 || second.DataPoints[0].Count != 1 {
		t.Errorf("got %d, then %d", first.DataPoints[0].Count, second.DataPoints[0].Count)
	}
	if first.DataPoints[0].TimeUnixNano != second.DataPoints[0].StartTimeUnixNano {
		t.Error("the second does not begin where the first ended")
	}
}

func TestSumsAreThoseOfTheirValues(t *testing.T) {
	bounds := []float64{1, 2, 5}
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 9), 1, 50).Draw(t, "values")
		s := &sum{}
		want := make([]uint64, len(bounds)+1)
		least, most := values[0], values[0]
		for _, v := range values {
			s.add(bounds, v, 1)
			switch {
			case v <= 1:
				want[0]++
			case v <= 2:
				want[1]++
			case v <= 5:
				want[2]++
			default:
				want[3]++
			}
			least, most = min(least, v), max(most, v)
		}
		if diff := cmp.Diff(want, s.counts); diff != "" || s.count != uint64(len(values)) || s.least != least || s.most != most {
			t.Fatalf("got %+v\n%s", s, diff)
		}
	})
}
