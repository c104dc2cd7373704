package otlp

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aigateway/persist"
)

func TestRequestModelOfMetricsIsOneThatIsKnown(t *testing.T) {
	of := func(model, configured, answered string) *persist.Exchange {
		x := failedOver()
		x.Model, x.Trace.Model, x.Answered = model, configured, answered
		x.Attempts = x.Attempts[1:]
		if answered == "" {
			x.Attempts[0].Status = 500
		}
		return x
	}
	own := of("ada", "", "text-embedding-ada-002")
	own.Own, own.Trace = true, nil
	got := measured(
		t,
		of("gpt-4o", "", ""), // has not answered yet
		of("gpt-4o", "", "gpt-4o-2024-08-06"),
		of("gpt-4o", "", ""), // has
		of("gpt-4", "", "gpt-4o-2024-08-06"),
		of("house", "house", ""),
		of("invented", "house", "gpt-4o-2024-08-06"),
		of("o4-mini", "", "o4-mini"),
		of("", "", "o4-mini"),
		own,
	)
	counts := map[string]uint64{}
	for key, p := range pointsOf(got["gen_ai.client.operation.duration"], "gen_ai.request.model", "gen_ai.response.model", "error.type") {
		counts[key] = p.Count
	}
	want := map[string]uint64{
		"<nil> <nil> 500 ": 1, "gpt-4o <nil> 500 ": 1, "house <nil> 500 ": 1,
		"gpt-4o gpt-4o-2024-08-06 <nil> ": 1, "<nil> gpt-4o-2024-08-06 <nil> ": 2,
		"o4-mini o4-mini <nil> ": 1, "<nil> o4-mini <nil> ": 1, "ada text-embedding-ada-002 <nil> ": 1,
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestKnownModelsAreBounded(t *testing.T) {
	n := names{}
	for i := range 3 * namesMost { // of an endpoint that answers as whatever it is called
		x := failedOver()
		x.Model = fmt.Sprint("model-", i)
		x.Answered = x.Model
		if got := n.asked(x); i < namesMost && got != x.Model || i >= namesMost && got != "" {
			t.Fatalf("%s: got %q", x.Model, got)
		}
	}
	if len(n) != namesMost {
		t.Errorf("got %d names", len(n))
	}
	configured := failedOver()
	configured.Trace.Model = configured.Model
	if got := n.asked(configured); got != configured.Model {
		t.Errorf("got %q of a configured model", got)
	}
}
