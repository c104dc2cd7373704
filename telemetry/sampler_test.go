package telemetry

import (
	"net/http"
	"testing"
)

func TestSamplerFollowsTheEnvironment(t *testing.T) {
	const of, not = "00-" + someID + "-" + someSpan + "-01", "00-" + someID + "-" + someSpan + "-00"
	for _, c := range []struct {
		sampler, arg             string
		root, sampled, unsampled bool // what is chosen: of new traces, of a caller's that is, of one that is not
	}{
		{"", "", true, true, false},
		{"parentbased_always_on", "", true, true, false},
		{"parentbased_always_off", "", false, true, false},
		{"parentbased_traceidratio", "0", false, true, false},
		{"parentbased_traceidratio", "1", true, true, false},
		{"always_on", "", true, true, true},
		{"always_off", "", false, false, false},
		{"traceidratio", "0", false, false, false},
		{"traceidratio", "", true, true, true},
		{" ALWAYS_ON ", "", true, true, true},
	} {
		t.Run(c.sampler+" "+c.arg, func(t *testing.T) {
			s, err := SamplerOf(environment(map[string]string{"OTEL_TRACES_SAMPLER": c.sampler, "OTEL_TRACES_SAMPLER_ARG": c.arg}))
			if err != nil {
				t.Fatal(err)
			}
			tele := New(Options{Sinks: []Sink{&sink{}}, Sampler: s})
			if got := tele.Begin(nil).Sampled; got != c.root {
				t.Errorf("new trace: got %v", got)
			}
			if got := tele.Begin(http.Header{"Traceparent": {of}}).Sampled; got != c.sampled {
				t.Errorf("trace that the caller samples: got %v", got)
			}
			if got := tele.Begin(http.Header{"Traceparent": {not}}).Sampled; got != c.unsampled {
				t.Errorf("trace that the caller does not sample: got %v", got)
			}
		})
	}
}

func TestSamplerTakesAShare(t *testing.T) {
	s, err := SamplerOf(environment(map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Share(); got != 0.25 {
		t.Errorf("got a share of %v", got)
	}
	tele := New(Options{Sinks: []Sink{&sink{}}, Sampler: s})
	chosen := 0
	for range 10_000 {
		if tele.Begin(nil).Sampled {
			chosen++
		}
	}
	if chosen < 2200 || chosen > 2800 { // seven standard deviations
		t.Errorf("chose %d of 10,000, want about 2,500", chosen)
	}
	// As the SDKs do it: by the low 63 bits of the id.
	if low := [16]byte{8: 0x3f, 9: 0xff}; !s.root(low) {
		t.Error("an id just below the share is not chosen")
	}
	if high := [16]byte{8: 0x40}; s.root(high) {
		t.Error("an id just above the share is chosen")
	}
}

func TestTracesKnowTheShareThatIsSampled(t *testing.T) {
	caller := http.Header{"Traceparent": {"00-" + someID + "-" + someSpan + "-01"}}
	for _, c := range []struct {
		sampler, arg string
		root, part   float64
	}{
		{"", "", 1, 0},
		{"parentbased_traceidratio", "0.1", 0.1, 0}, // the caller's share is not told
		{"parentbased_always_off", "", 0, 0},
		{"traceidratio", "0.1", 0.1, 0.1},
		{"traceidratio", "1", 1, 1},
		{"always_on", "", 1, 1},
	} {
		s, err := SamplerOf(environment(map[string]string{"OTEL_TRACES_SAMPLER": c.sampler, "OTEL_TRACES_SAMPLER_ARG": c.arg}))
		if err != nil {
			t.Fatal(err)
		}
		tele := New(Options{Sinks: []Sink{&sink{}}, Sampler: s})
		if got := tele.Begin(nil).Share; got != c.root {
			t.Errorf("%s %s: new trace: got %v, want %v", c.sampler, c.arg, got, c.root)
		}
		if got := tele.Begin(caller).Share; got != c.part {
			t.Errorf("%s %s: trace of a caller: got %v, want %v", c.sampler, c.arg, got, c.part)
		}
	}
}

func TestSamplerRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range [][2]string{{"jaeger_remote", ""}, {"traceidratio", "2"}, {"traceidratio", "-1"}, {"traceidratio", "NaN"}, {"parentbased_traceidratio", "half"}} {
		s, err := SamplerOf(environment(map[string]string{"OTEL_TRACES_SAMPLER": c[0], "OTEL_TRACES_SAMPLER_ARG": c[1]}))
		if err == nil || s != (Sampler{}) {
			t.Errorf("%s %s: got %+v, %v", c[0], c[1], s, err)
		}
	}
}

func environment(set map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := set[name]
		return v, ok
	}
}
