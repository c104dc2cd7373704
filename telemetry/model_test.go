package telemetry

import (
	"testing"

	"aigateway/persist"
)

func TestConfiguredIsNotTheClientsChoice(t *testing.T) {
	for _, c := range []struct {
		name string
		x    persist.Exchange
		want string
	}{
		{"a client's", persist.Exchange{Model: "invented", Trace: &persist.Trace{}}, ""},
		{"a client's of an application with a model", persist.Exchange{Model: "invented", Trace: &persist.Trace{Model: "gpt-4o"}}, "gpt-4o"},
		{"a client's without a trace", persist.Exchange{Model: "invented"}, ""},
		{"the gateway's own", persist.Exchange{Own: true, Model: "ada"}, "ada"},
	} {
		if got := Configured(&c.x); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestPathsThatClientsChooseAreNoOperations(t *testing.T) {
	for operation, want := range map[string]string{
		"chat": "chat", "images/generations": "images/generations", "": "", "other": "other", "v1/my/key": "other",
	} {
		if got := Operation(&persist.Exchange{Operation: operation}); got != want {
			t.Errorf("%q: got %q, want %q", operation, got, want)
		}
	}
}
