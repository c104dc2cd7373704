package telemetry

import (
	"encoding/hex"
	"net/http"
	"testing"

	"pgregory.net/rapid"
)

const (
	someID   = "4bf92f3577b34da6a3ce929d0e0e4736"
	someSpan = "00f067aa0ba902b7"
)

func TestBeginTakesUpValidTracesOnly(t *testing.T) {
	for _, c := range []struct {
		name, traceparent string
		valid, sampled    bool
	}{
		{"the standard's example, sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true, true},
		{"the standard's example, not sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true, false},
		{"other flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe", true, false},
		{"other flags and sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", true, true},
		{"a later version", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true, true},
		{"a later version with more", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings", true, true},
		{"a later version with more, not divided", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", false, false},
		{"version 00 with more", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false, false},
		{"the forbidden version", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, false},
		{"no version", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, false},
		{"a trace id of zeros", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", false, false},
		{"a span id of zeros", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false, false},
		{"capitals", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false, false},
		{"no digits", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", false, false},
		{"wrong dividers", "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", false, false},
		{"too short", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", false, false},
		{"empty", "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			trace := on(t).Begin(http.Header{"Traceparent": {c.traceparent}, "Tracestate": {"vendor=1"}})
			id, parent := hex.EncodeToString(trace.ID[:]), hex.EncodeToString(trace.Parent[:])
			if !c.valid {
				if id == someID || trace.ID == [16]byte{} || trace.Parent != [8]byte{} || trace.State != "" || !trace.Sampled {
					t.Errorf("got trace %s of %s with state %q, want a new one", id, parent, trace.State)
				}
				return
			}
			if id != someID || parent != someSpan || trace.State != "vendor=1" {
				t.Errorf("got trace %s of %s with state %q", id, parent, trace.State)
			}
			if trace.Sampled != c.sampled {
				t.Errorf("got sampled %v, want %v", trace.Sampled, c.sampled)
			}
			if trace.Span == trace.Parent || trace.Span == [8]byte{} {
				t.Errorf("got span %x, want a new one", trace.Span)
			}
		})
	}
}

func TestBeginStartsAnewWhenTraceparentIsRepeated(t *testing.T) {
	h := http.Header{}
	for range 2 {
		h.Add("traceparent", "00-"+someID+"-"+someSpan+"-01")
	}
	if trace := on(t).Begin(h); hex.EncodeToString(trace.ID[:]) == someID {
		t.Error("took up a trace that the header names twice")
	}
}

func TestBeginMakesIdsOfItsOwn(t *testing.T) {
	tele := on(t)
	seen := map[[16]byte]bool{}
	for range 1000 {
		trace := tele.Begin(nil)
		if seen[trace.ID] || trace.ID == [16]byte{} || trace.Span == [8]byte{} {
			t.Fatalf("got trace %x, span %x", trace.ID, trace.Span)
		}
		seen[trace.ID] = true
	}
}

func TestParentIsWhatBeginReads(t *testing.T) {
	tele := on(t)
	rapid.Check(t, func(t *rapid.T) {
		ours := tele.Begin(nil)
		ours.Sampled = rapid.Bool().Draw(t, "sampled")
		span := NewSpan()
		theirs := tele.Begin(http.Header{"Traceparent": {Parent(ours, span)}})
		if theirs.ID != ours.ID || theirs.Parent != span || theirs.Sampled != ours.Sampled {
			t.Fatalf("got %x %x %v, want %x %x %v", theirs.ID, theirs.Parent, theirs.Sampled, ours.ID, span, ours.Sampled)
		}
	})
}

func TestAnyHeaderMakesATrace(t *testing.T) {
	tele := on(t)
	rapid.Check(t, func(t *rapid.T) {
		trace := tele.Begin(http.Header{
			"Traceparent": {rapid.String().Draw(t, "traceparent")},
			"Tracestate":  rapid.SliceOf(rapid.String()).Draw(t, "tracestate"),
		})
		if trace.ID == [16]byte{} || trace.Span == [8]byte{} || len(trace.State) > stateLength {
			t.Fatalf("got %+v", trace)
		}
	})
}
