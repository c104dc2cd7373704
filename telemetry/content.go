package telemetry

import "strings"

// ContentOf reads OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: whether
// spans may have prompts and answers. The values are those of OpenTelemetry's
// own instrumentations: true, span_only, span_and_event; all others mean no.
func ContentOf(lookup func(string) (string, bool)) bool {
	value, _ := lookup("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "true", "span_only", "span_and_event":
		return true
	}
	return false
}
