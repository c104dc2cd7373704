package telemetry

import (
	"slices"

	"aigateway/persist"
)

// Configured is the model that the configuration names for an exchange; empty
// when it names none. Unlike what clients ask for it is bounded, as metrics
// need it.
func Configured(x *persist.Exchange) string {
	switch {
	case x.Own:
		return x.Model
	case x.Trace != nil:
		return x.Trace.Model
	}
	return ""
}

// operations are those that are told by name.
var operations = []string{
	"chat", "completions", "embeddings", "responses", "moderations", "rerank", "score",
	"images/generations", "images/edits", "images/variations",
	"audio/speech", "audio/transcriptions", "audio/translations",
	"batches", "files", "realtime/sessions",
}

// Operation is the operation of an exchange as it may be exported: other paths
// than those known are the clients' to choose, and "other".
func Operation(x *persist.Exchange) string {
	if x.Operation == "" || slices.Contains(operations, x.Operation) {
		return x.Operation
	}
	return "other"
}
