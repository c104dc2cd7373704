package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"aigateway/simulator"
)

// twoEmbedders makes embeddings with two endpoints; members are added to the
// first.
func twoEmbedders(members string) string {
	endpoint := func(deployment, members string) string {
		return `{"id":"` + deployment + `","apikey":"key-of-` + deployment + `",` + members + `"uri":"{{sim}}/openai/deployments/` + deployment + `/embeddings` + apiVersion + `"}`
	}
	return `{"appId":"embed","appType":"azure_oai","endpoints":[` + endpoint("embed-one", members) + `,` + endpoint("embed-two", "") + `]}`
}

// topics are so far from each other that no question on one hits another.
var topics = []string{"volcanoes in Iceland", "baking rye bread", "quantum cryptography", "medieval falconry", "tax law of Peru", "jazz drumming"}

// misses asks a new question, and wants it answered by the model, what x-cache
// says, and how many embeddings each endpoint was asked for so far.
func (k *keeping) misses(topic int, want string, one, two int) {
	k.t.Helper()
	status, h, body := k.post("/lb/bot", ask("", "Tell me about "+topics[topic]))
	if status != http.StatusOK || h.Get("X-Cache") != want || gjson.Get(body, "choices.#").Int() != 1 {
		k.t.Errorf("%s: %d, x-cache %q, want %q: %s", topics[topic], status, h.Get("X-Cache"), want, body)
	}
	if a, b := k.sim.Calls("embed-one"), k.sim.Calls("embed-two"); a != one || b != two {
		k.t.Errorf("%s: the endpoints were asked for %d and %d embeddings, want %d and %d", topics[topic], a, b, one, two)
	}
}

// embedderState is what instanceinfo says of the first endpoint.
func (k *keeping) embedderState() (state string, resting float64) {
	k.t.Helper()
	_, _, page := k.get("/instanceinfo")
	e := gjson.Get(page, `aiApplications.#(applicationId=="embed").endpoints.0`)
	return e.Get("state").String(), e.Get("restingSeconds").Float()
}

func TestEmbeddingsFollowTheRestsOfTheirApplication(t *testing.T) {
	k := newKeeping(t, applications(twoEmbedders(""), chatApp("bot", cacheOn, "gpt-4o")))
	if state, _ := k.embedderState(); state != "available" {
		t.Fatalf("state %q at first", state)
	}
	k.sim.Script("embed-one", "status=429; retry-after=30")
	k.misses(0, "miss", 1, 1)
	if state, resting := k.embedderState(); state != "throttled" || resting <= 20 || resting > 30 {
		t.Errorf("state %q for %v s, want throttled for 30", state, resting)
	}
	k.misses(1, "miss", 1, 2)

	// What either endpoint embeds is compared.
	k.entries("bot", 2)
	k.advance(31 * time.Second)
	if state, _ := k.embedderState(); state != "available" {
		t.Errorf("state %q after its rest", state)
	}
	_, h, _ := k.post("/lb/bot", ask("", "Please tell me about "+topics[0]))
	if h.Get("X-Cache") != "hit" || h.Get("X-Cache-Layer") != "semantic" {
		t.Errorf("a near question: x-cache %q, layer %q", h.Get("X-Cache"), h.Get("X-Cache-Layer"))
	}
	k.misses(2, "miss", 3, 2)
}

func TestEmbeddingsAreNoMoreThanTheirRPM(t *testing.T) {
	k := newKeeping(t, applications(twoEmbedders(`"rpm":2,`), chatApp("bot", cacheOn, "gpt-4o")))
	k.misses(0, "miss", 1, 0)
	k.misses(1, "miss", 2, 0)
	k.misses(2, "miss", 2, 1)
	k.misses(3, "miss", 2, 2)
	k.advance(61 * time.Second)
	k.misses(4, "miss", 3, 2)
}

func TestChatIsAnsweredWhenNoEndpointEmbeds(t *testing.T) {
	const throttled = "status=429; retry-after=5"
	for _, fault := range []simulator.Fault{throttled, "status=500", "reset", "html"} {
		t.Run(string(fault), func(t *testing.T) {
			k := newKeeping(t, applications(twoEmbedders(""), chatApp("bot", cacheOn, "gpt-4o")))
			for _, deployment := range []string{"embed-one", "embed-two"} {
				k.sim.Script(deployment, fault)
			}
			const failed = "miss; reason=embedding-failed"
			k.misses(0, failed, 1, 1)
			if fault == throttled { // both rest: nobody is asked, and the chat waits for nobody
				k.misses(1, failed, 1, 1)
				k.advance(6 * time.Second)
			}
			k.misses(2, "miss", 2, 1)

			// The answer is kept for the exact layer all the same.
			_, h, _ := k.post("/lb/bot", ask("", "Tell me about "+topics[0]))
			if h.Get("X-Cache") != "hit" || h.Get("X-Cache-Layer") != "exact" {
				t.Errorf("again: x-cache %q, layer %q", h.Get("X-Cache"), h.Get("X-Cache-Layer"))
			}
		})
	}
}
