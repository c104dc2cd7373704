package gateway_test

import (
	"net/http"
	"testing"
	"time"
)

// answers takes one turn of a conversation, which an empty thread begins, and
// wants it answered by an endpoint.
func (k *keeping) answers(app, thread, question, endpoint string) (begun string) {
	k.t.Helper()
	var headers []string
	if thread != "" {
		headers = []string{"X-Thread-Id", thread}
	}
	status, h, body := k.post("/lb/"+app, ask("", question), headers...)
	if status != http.StatusOK || h.Get("X-Gateway-Endpoint") != endpoint {
		k.t.Errorf("%s, %q: %d by endpoint %q, want %q: %s", app, question, status, h.Get("X-Gateway-Endpoint"), endpoint, body)
	}
	return h.Get("X-Thread-Id")
}

func TestConversationPrefersTheEndpointOfItsLastTurn(t *testing.T) {
	// rested is longer than the endpoints that answer 429 ask to rest.
	const busy, rested = "status=429; retry-after=1", 2 * time.Second
	for _, c := range []struct {
		name, memory  string
		second, fifth string // endpoints of these turns
	}{
		{"with affinity", `"memorySettings":{"useMemory":true,"affinity":true},`, "two", "one"},
		{"without", memoryOn, "one", "one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeping(t, applications(chatApp("bot", c.memory, "one", "two")))
			k.sim.Script("one", busy)
			thread := k.answers("bot", "", "First", "two")
			k.advance(rested)
			k.answers("bot", thread, "Second", c.second)
			k.answers("bot", "", "Of another conversation", "one")

			// A preferred endpoint that rests is passed over, and preferred no more.
			if c.second == "two" {
				k.sim.Script("two", busy)
			}
			k.answers("bot", thread, "Third", "one")
			k.answers("bot", thread, "Fourth", "one")
			k.advance(rested)
			k.answers("bot", thread, "Fifth", c.fifth)
		})
	}
}
