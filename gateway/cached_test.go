package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

const (
	cacheOn  = `"cacheSettings":{"useCache":true,"searchDistance":0.9},`
	memoryOn = `"memorySettings":{"useMemory":true},`
)

// ask is a chat body with one user message; members come before messages.
func ask(members, question string) string {
	return `{` + members + `"messages":[{"role":"user","content":"` + question + `"}]}`
}

func TestSameQuestionIsAnsweredByTheExactLayer(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", cacheOn, "gpt-4o")))
	body := ask("", "How do I reset my router? "+promptMarker)
	_, h, first := k.post("/lb/bot", body)
	if got := h.Get("X-Cache"); got != "miss" {
		t.Errorf("first: x-cache %q, want miss", got)
	}
	status, h, second := k.post("/lb/bot", body)
	if status != http.StatusOK || h.Get("X-Cache") != "hit" || h.Get("X-Cache-Layer") != "exact" || h.Get("Age") == "" {
		t.Errorf("second: %d, x-cache %q, layer %q, age %q", status, h.Get("X-Cache"), h.Get("X-Cache-Layer"), h.Get("Age"))
	}
	if second != first {
		t.Errorf("the cache answered\n%s\nwant\n%s", second, first)
	}
	if calls := k.sim.Stats().Calls; calls["gpt-4o"] != 1 || calls["embed-ada-002"] != 1 {
		t.Errorf("calls that reached the models: %v, want one chat and one embedding", calls)
	}
}

func TestNearQuestionIsAnsweredByTheSemanticLayer(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", cacheOn, "gpt-4o")))
	_, _, first := k.post("/lb/bot", ask("", "How do I reset my router?"))
	var h http.Header
	var again string
	k.eventually("a hit on the paraphrase", func() bool {
		_, h, again = k.post("/lb/bot", ask("", "Please tell me how I can reset my router"), "Cache-Control", "no-store")
		return h.Get("X-Cache") == "hit"
	})
	if h.Get("X-Cache-Layer") != "semantic" || h.Get("X-Cache-Entry") == "" || !strings.HasPrefix(h.Get("X-Cache-Score"), "0.9") && h.Get("X-Cache-Score") != "1.0000" {
		t.Errorf("layer %q, entry %q, score %q", h.Get("X-Cache-Layer"), h.Get("X-Cache-Entry"), h.Get("X-Cache-Score"))
	}
	if again != first {
		t.Errorf("the cache answered\n%s\nwant\n%s", again, first)
	}
}

func TestHitIsStreamedToThoseWhoWantAStream(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", cacheOn, "gpt-4o")))
	_, _, first := k.post("/lb/bot", ask("", "What is a gateway?"))
	_, h, stream := k.post("/lb/bot", ask(`"stream":true,"stream_options":{"include_usage":true},`, "What is a gateway?"))
	if h.Get("X-Cache") != "hit" || !strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("x-cache %q, content-type %q", h.Get("X-Cache"), h.Get("Content-Type"))
	}
	var text strings.Builder
	usage := false
	for event := range strings.SplitSeq(stream, "\n\n") {
		data := gjson.Parse(strings.TrimPrefix(event, "data: "))
		text.WriteString(data.Get("choices.0.delta.content").String())
		usage = usage || data.Get("usage.total_tokens").Int() > 0
	}
	if want := gjson.Get(first, "choices.0.message.content").String(); text.String() != want || !usage || !strings.HasSuffix(stream, "data: [DONE]\n\n") {
		t.Errorf("streamed %q, want %q; usage %v:\n%s", text.String(), want, usage, stream)
	}
}

func TestRequestsKeepOutOfTheCache(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", cacheOn+memoryOn, "gpt-4o")))
	question := ask("", "Where is my parcel?")
	_, h, _ := k.post("/lb/bot", question)
	thread := h.Get("X-Thread-Id")
	for _, c := range []struct{ path, header, value, want string }{
		{"/lb/bot?use_cache=false", "", "", "bypass; reason=use_cache=false"},
		{"/lb/bot?use_cache=FALSE", "", "", "hit"}, // that exact word
		{"/lb/bot", "Cache-Control", "no-cache", "bypass; reason=no-cache"},
		{"/lb/bot", "Cache-Control", "max-age=100", "hit"},
		{"/lb/bot", "Cache-Control", "no-store", "hit"},
		{"/lb/bot", "X-Thread-Id", thread, "bypass; reason=thread"},
	} {
		headers := []string{}
		if c.header != "" {
			headers = []string{c.header, c.value}
		}
		if _, h, _ := k.post(c.path, question, headers...); h.Get("X-Cache") != c.want {
			t.Errorf("%s %s: %s: x-cache %q, want %q", c.path, c.header, c.value, h.Get("X-Cache"), c.want)
		}
	}
}

func TestOtherSystemPromptOrHistoryNeverHits(t *testing.T) {
	k := newKeeping(t, applications(embedApp, chatApp("bot", cacheOn, "gpt-4o")))
	user := `{"role":"user","content":"What does it cost?"}`
	bodies := []string{
		`{"messages":[` + user + `]}`,
		`{"messages":[{"role":"system","content":"You sell cars."},` + user + `]}`,
		`{"messages":[{"role":"system","content":"You sell bikes."},` + user + `]}`,
		`{"messages":[{"role":"user","content":"Tell me of trains"},{"role":"assistant","content":"They are long."},` + user + `]}`,
		`{"messages":[{"role":"user","content":"Tell me of ships"},{"role":"assistant","content":"They are long."},` + user + `]}`,
		`{"temperature":0.1,"messages":[` + user + `]}`,
		`{"seed":1,"messages":[` + user + `]}`,
		`{"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none","messages":[` + user + `]}`,
	}
	for round, want := range []string{"miss", "hit"} {
		for i, body := range bodies {
			if _, h, _ := k.post("/lb/bot", body); h.Get("X-Cache") != want {
				t.Errorf("round %d, body %d: x-cache %q, want %q", round, i, h.Get("X-Cache"), want)
			}
		}
	}
}
