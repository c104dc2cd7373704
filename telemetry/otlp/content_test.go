package otlp

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aigateway/persist"
)

const (
	someChat = `{"messages":[
		{"role":"system","content":"Be brief."},
		{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"https://x/y.png"}},
			{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"input_audio","input_audio":{"data":"AAAA"}}]},
		{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{\"at\":1}"}}]},
		{"role":"tool","tool_call_id":"c1","content":"a cat"}]}`
	someAnswer = `{"choices":[{"index":0,"message":{"role":"assistant","content":"A cat."},"finish_reason":"stop"},
		{"index":1,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c2","function":{"name":"look","arguments":"{\"at\""}}]},"finish_reason":"tool_calls"}]}`
)

func TestContentHasTheConventionsForm(t *testing.T) {
	for _, c := range []struct {
		name, prompt, completion string
		input, output            string
	}{
		{
			"chat", someChat, someAnswer,
			`[{"role":"system","parts":[{"type":"text","content":"Be brief."}]},
			{"role":"user","parts":[{"type":"text","content":"What is this?"},{"type":"uri","modality":"image","uri":"https://x/y.png"},{"type":"image"},{"type":"input_audio"}]},
			{"role":"assistant","parts":[{"type":"tool_call","id":"c1","name":"look","arguments":{"at":1}}]},
			{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"a cat"}]}]`,
			`[{"role":"assistant","parts":[{"type":"text","content":"A cat."}],"finish_reason":"stop"},
			{"role":"assistant","parts":[{"type":"tool_call","id":"c2","name":"look","arguments":"{\"at\""}],"finish_reason":"tool_call"}]`,
		},
		{
			"completions", `{"prompt":"Once"}`, `{"choices":[{"text":" upon","finish_reason":"length"}]}`,
			`[{"role":"user","parts":[{"type":"text","content":"Once"}]}]`,
			`[{"role":"assistant","parts":[{"type":"text","content":" upon"}],"finish_reason":"length"}]`,
		},
		{
			"prompts", `{"prompt":["a","b"]}`, ``,
			`[{"role":"user","parts":[{"type":"text","content":"a"}]},{"role":"user","parts":[{"type":"text","content":"b"}]}]`, ``,
		},
		{
			"responses", `{"instructions":"Be brief.","input":"Hi"}`,
			`{"output":[{"type":"reasoning"},{"type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hello"}]}]}`,
			`[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]`,
			`[{"role":"assistant","parts":[{"type":"text","content":"Hello"}],"finish_reason":"stop"}]`,
		},
		{
			"responses with messages", `{"input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]}]}`, ``,
			`[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]`, ``,
		},
		{
			"an answer that broke off", `{"messages":[]}`, `{"choices":[{"message":{"role":"assistant","content":"A c"},"finish_reason":null}]}`,
			``, `[{"role":"assistant","parts":[{"type":"text","content":"A c"}],"finish_reason":"error"}]`,
		},
		{"no JSON", `{"messages":`, `<html>`, ``, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := failedOver()
			x.Trace.Prompt, x.Trace.Completion = []byte(c.prompt), []byte(c.completion)
			spans := exported(t, Options{Content: true}, x)
			for i, span := range spans[:2] {
				if _, ok := pairs(span.Attributes)["gen_ai.input.messages"]; ok {
					t.Errorf("span %d has content, too", i)
				}
			}
			got := pairs(spans[2].Attributes)
			for k, want := range map[string]string{"gen_ai.input.messages": c.input, "gen_ai.output.messages": c.output} {
				text, _ := got[k].(string)
				if diff := cmp.Diff(parsed(t, want), parsed(t, text)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", k, diff)
				}
			}
		})
	}
}

func parsed(t *testing.T, s string) (v any) {
	t.Helper()
	if s == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	return v
}

func TestContentIsOfCachedAnswersToo(t *testing.T) {
	x := failedOver()
	x.Attempts, x.Cached = nil, true
	x.Trace.Prompt, x.Trace.Completion = []byte(someChat), []byte(someAnswer)
	if got := pairs(exported(t, Options{Content: true}, x)[0].Attributes); got["gen_ai.output.messages"] == nil {
		t.Errorf("got %v", got)
	}
}

func TestContentStaysUnlessSwitchedOn(t *testing.T) {
	embedded := failedOver()
	embedded.Operation = "embeddings"
	for _, c := range []struct {
		content bool
		x       *persist.Exchange
	}{{false, failedOver()}, {true, embedded}} {
		c.x.Trace.Prompt, c.x.Trace.Completion = []byte(`{"messages":[{"role":"user","content":"sesame"}],"input":"sesame"}`), []byte(someAnswer)
		for _, span := range exported(t, Options{Content: c.content}, c.x) {
			if text := span.String(); strings.Contains(text, "sesame") || strings.Contains(text, "cat") {
				t.Errorf("got %s", text)
			}
		}
	}
}

func TestLongContentIsLeftOut(t *testing.T) {
	long := strings.Repeat("a", contentMost)
	for _, c := range []struct {
		name, prompt, completion string
		input, tools, output     bool // what is there all the same
	}{
		{"prompt", `{"messages":[{"role":"user","content":"` + long + `"}],"tools":[{"type":"web_search"}]}`, someAnswer, false, true, true},
		{"both", `{"messages":[{"role":"user","content":"` + long + `"}]}`, `{"choices":[{"message":{"content":"` + long + `"}}]}`, false, false, false},
		{"tools", `{"prompt":"Hi","functions":[{"name":"f","description":"` + long + `"}]}`, someAnswer, true, false, true},
		{"too long to be read", `{"messages":[{"role":"user","content":"` + strings.Repeat(long, 4) + `"}]}`, someAnswer, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := failedOver()
			x.Trace.Prompt, x.Trace.Completion = []byte(c.prompt), []byte(c.completion)
			got := pairs(exported(t, Options{Content: true}, x)[2].Attributes)
			if got["gateway.content.omitted"] != true {
				t.Error("nothing says that content was left out")
			}
			for key, want := range map[string]bool{
				"gen_ai.input.messages": c.input, "gen_ai.tool.definitions": c.tools, "gen_ai.output.messages": c.output,
			} {
				if _, there := got[key]; there != want {
					t.Errorf("%s: got %v", key, there)
				}
			}
		})
	}
}
