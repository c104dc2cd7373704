package azure

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"aigateway/persist"
	"aigateway/telemetry"
)

func TestOnlySampledRequestsAreSent(t *testing.T) {
	var batch []*persist.Exchange
	for i := range 20_000 {
		x := simple(i)
		x.Attempts = nil
		x.Trace.Sampled = i%10 == 0
		own := &persist.Exchange{Own: true, Operation: "embeddings", Start: begin, Attempts: failedOver().Attempts[:1], RequestID: "own"}
		batch = append(batch, x, own)
	}
	untraced := failedOver()
	untraced.Trace = nil
	in := sent(t, Options{}, append(batch, untraced)...)
	if got := len(in.of("RequestData")); got != 2000 {
		t.Errorf("got %d requests, want 2000", got)
	}
	// The share is learnt, so the first have a larger one.
	own := in.of("RemoteDependencyData")
	if got := len(own); got < 1800 || got > 2400 {
		t.Errorf("got %d own calls of 20,000, want about as large a share as of requests", got)
	}
	all := 0.
	for _, e := range own {
		all += e.represented()
	}
	if all <= 20_000-20 || all > 20_000 { // the last stand for nothing yet
		t.Errorf("the own calls sent stand for %v, want 20,000", all)
	}
}

func TestOwnCallsAreNotSentWhenNothingIsSampled(t *testing.T) {
	x := simple(1)
	x.Trace.Sampled = false
	own := &persist.Exchange{Own: true, Operation: "embeddings", Start: begin, Attempts: failedOver().Attempts[:1]}
	if got := sent(t, Options{}, x, own, own, own).items; len(got) != 0 {
		t.Errorf("got %d items", len(got))
	}
}

// began returns an exchange whose trace begins as those of requests do.
func began(tele *telemetry.Telemetry, h http.Header) *persist.Exchange {
	x := failedOver()
	trace := tele.Begin(h)
	trace.Method, trace.Route = x.Trace.Method, x.Trace.Route
	x.Trace, x.Cut = trace, true // so that there is an exception
	return x
}

// sampling returns a telemetry that samples as the environment says.
func sampling(t *testing.T, sampler, share string) *telemetry.Telemetry {
	t.Helper()
	s, err := telemetry.SamplerOf(func(name string) (string, bool) {
		v, ok := map[string]string{"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": share}[name]
		return v, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	return telemetry.New(telemetry.Options{Sinks: []telemetry.Sink{newStandIn(t).open(Options{})}, Sampler: s})
}

func TestSampledItemsStandForAll(t *testing.T) {
	const requests = 1500
	for _, c := range []struct {
		sampler, share string
		rate           float64
		deviation      float64 // seven standard deviations
	}{
		{"parentbased_always_on", "", 100, 0},
		{"parentbased_traceidratio", "0.1", 10, 815},
		{"traceidratio", "0.25", 25, 470},
	} {
		t.Run(c.sampler, func(t *testing.T) {
			tele := sampling(t, c.sampler, c.share)
			var batch []*persist.Exchange
			for range requests {
				x := began(tele, nil)
				x.Attempts = x.Attempts[:1]
				batch = append(batch, x)
			}
			in := sent(t, Options{}, batch...)
			all := map[string]float64{}
			for _, e := range in.items {
				if rate := e.SampleRate; rate == nil && c.rate != 100 || rate != nil && *rate != c.rate {
					t.Fatalf("%s: got sample rate %v", e.Data.BaseType, rate)
				}
				all[e.Data.BaseType] += e.represented()
			}
			if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, []string{"ExceptionData", "RemoteDependencyData", "RequestData"}) {
				t.Errorf("got items of %v", got)
			}
			for kind, n := range all {
				if n < requests-c.deviation || n > requests+c.deviation {
					t.Errorf("%s: those sent stand for %v, want about %d", kind, n, requests)
				}
			}
		})
	}
}

func TestItemsOfACallersTraceStandForThemselves(t *testing.T) {
	tele := sampling(t, "parentbased_traceidratio", "0.001")
	x := began(tele, http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})
	for _, e := range sent(t, Options{}, x).items {
		if e.SampleRate != nil {
			t.Errorf("%s: got sample rate %v of a trace that its caller chose", e.Data.BaseType, *e.SampleRate)
		}
	}
}

func TestMetricsOfSampledRequestsCountAll(t *testing.T) {
	in := newStandIn(t)
	s := in.open(Options{})
	tele := sampling(t, "traceidratio", "0.5")
	for range 100 {
		s.Send(t.Context(), []*persist.Exchange{began(tele, nil)})
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := in.measured()["Requests support 2xx"]; got[0] != 100 { // the stand-in refuses a rate of metrics
		t.Errorf("got %v", got)
	}
}
