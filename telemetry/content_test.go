package telemetry

import "testing"

func TestContentIsOffUnlessAskedFor(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "false": false, "no_content": false, "event_only": false, "1": false,
		"true": true, "TRUE": true, "span_only": true, "SPAN_AND_EVENT": true,
	} {
		if got := ContentOf(environment(map[string]string{"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": value})); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
}
