package telemetry

import (
	"net/http"
	"testing"

	"aigateway/persist"
)

// on is a Telemetry that is on, and whose sink nobody minds.
func on(t *testing.T) *Telemetry {
	t.Helper()
	return New(Options{Sinks: []Sink{&sink{}}})
}

func TestNilIsOff(t *testing.T) {
	tele := New(Options{Content: true})
	if tele != nil {
		t.Fatal("no sinks, and yet on")
	}
	if tele.Begin(http.Header{}) != nil || tele.Content() || tele.Loops() != nil || tele.Dropped() != 0 {
		t.Error("a nil Telemetry does something")
	}
	tele.End(&persist.Exchange{})
	if got := Parent(nil, NewSpan()); got != "" {
		t.Errorf("got traceparent %q without a trace", got)
	}
}
