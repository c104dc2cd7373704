package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMessagesAreTheElementsAsTheyWereWritten(t *testing.T) {
	for _, tt := range []struct {
		body string
		want []string
	}{
		{`{"prompt":"x"}`, nil},
		{`{"messages":[{"role":"user","content":"a, ] b"}]}`, []string{`{"role":"user","content":"a, ] b"}`}},
		{`{"n":1, "messages" : [ {"role": "system"} ,` + "\n" + `{"content":["é"],"role":"user"} ],"user":"u"}`, []string{`{"role": "system"}`, `{"content":["é"],"role":"user"}`}},
	} {
		req, err := ParseRequest([]byte(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range req.Messages() {
			got = append(got, string(m))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.body, diff)
		}
	}
}

func TestMessagesCannotGrowIntoEachOther(t *testing.T) {
	req, err := ParseRequest([]byte(`{"messages":[{"role":"user"},{"role":"tool"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	list := req.Messages()
	_ = append(list[0], "xxxxxxxxxx"...)
	if got := string(list[1]); got != `{"role":"tool"}` {
		t.Errorf("got %s", got)
	}
}

func TestMessageIsWhatTheAssistantSaid(t *testing.T) {
	call := ToolCall{ID: "c1", Type: "function", Name: "f", Arguments: `{"a":"é"}`}
	for _, tt := range []struct {
		name string
		c    Completion
		want string // empty: none
	}{
		{"text", Completion{Whole: true, Choices: []Choice{{Role: "assistant", Text: "Hi \"you\""}}}, `{"role":"assistant","content":"Hi \"you\""}`},
		{"no role", Completion{Whole: true, Choices: []Choice{{Text: "Hi"}}}, `{"role":"assistant","content":"Hi"}`},
		{"nothing", Completion{Whole: true, Choices: []Choice{{}}}, `{"role":"assistant","content":""}`},
		{"refusal", Completion{Whole: true, Choices: []Choice{{Refusal: "no"}}}, `{"role":"assistant","content":null,"refusal":"no"}`},
		{
			"tool calls",
			Completion{Whole: true, Choices: []Choice{{ToolCalls: []ToolCall{call, {ID: "c2"}}}}},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":\"é\"}"}},` +
				`{"id":"c2","type":"function","function":{"name":"","arguments":""}}]}`,
		},
		{
			"text and a tool call",
			Completion{Whole: true, Choices: []Choice{{Text: "Wait", ToolCalls: []ToolCall{call}}}},
			`{"role":"assistant","content":"Wait","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":\"é\"}"}}]}`,
		},
		{"second in the list", Completion{Whole: true, Choices: []Choice{{Index: 1, Text: "b", Other: true}, {Text: "a"}}}, `{"role":"assistant","content":"a"}`},
		{"beside citations", Completion{Whole: true, Choices: []Choice{{Text: "a", Other: true, Annotated: true}}}, `{"role":"assistant","content":"a"}`},
		{"with a part that is not kept", Completion{Whole: true, Choices: []Choice{{Text: "a", Other: true}}}, ""},
		{"truncated", Completion{Whole: true, Truncated: true, Choices: []Choice{{Text: "a"}}}, ""},
		{"broken off", Completion{Choices: []Choice{{Text: "a"}}}, ""},
		{"no choice", Completion{Whole: true}, ""},
		{"no choice 0", Completion{Whole: true, Choices: []Choice{{Index: 1, Text: "b"}}}, ""},
	} {
		got, ok := tt.c.Message()
		if string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: got %s, %v", tt.name, got, ok)
		}
	}
}

func TestMessageOfKeepsWhatARequestMayHold(t *testing.T) {
	for _, tt := range []struct{ name, message, want string }{
		{"text", `{"role":"assistant","content":"Hi \u00e9"}`, `{"role":"assistant","content":"Hi \u00e9"}`},
		{
			"as OpenAI answers", `{"role": "assistant", "content": "Hi", "refusal": null, "annotations": [], "audio": null, "function_call": null, "tool_calls": null}`,
			`{"role":"assistant","content":"Hi"}`,
		},
		{"on your data", `{"context":{"citations":[{"content":"c"}]},"end_turn":true,"role":"assistant","content":"Hi [doc1]"}`, `{"role":"assistant","content":"Hi [doc1]"}`},
		{"filtered", `{"role":"assistant"}`, `{"role":"assistant","content":""}`},
		{"filtered, null", `{"content":null,"tool_calls":[],"name":"n"}`, `{"name":"n","role":"assistant","content":""}`},
		{
			"tool calls", `{"content":null,"role":"assistant","tool_calls":[ {"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}`,
			`{"role":"assistant","tool_calls":[ {"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}],"content":null}`,
		},
		{"refusal", `{"role":"assistant","refusal":"no","content":null}`, `{"role":"assistant","refusal":"no","content":null}`},
		{"function call", `{"role":"assistant","content":"","function_call":{"name":"f","arguments":"1"}}`, `{"role":"assistant","content":"","function_call":{"name":"f","arguments":"1"}}`},
		{"audio", `{"role":"assistant","content":null,"audio":{"data":"AAAA","id":"audio_1","expires_at":1,"transcript":"t"}}`, `{"role":"assistant","audio":{"id":"audio_1"},"content":null}`},
		{"parts", `{"role":"assistant","content":[{"type":"text","text":"x"}]}`, `{"role":"assistant","content":[{"type":"text","text":"x"}]}`},
		{"a member twice", `{"role":"assistant","content":"a","content":"b"}`, ""},
		{"a member twice, deep", `{"role":"assistant","tool_calls":[{"id":"a","id":"b"}]}`, ""},
		{"content of another type", `{"role":"assistant","content":5}`, ""},
		{"role of another type", `{"role":5,"content":"a"}`, ""},
		{"not UTF-8", "{\"role\":\"assistant\",\"content\":\"\xff\"}", ""},
		{"not JSON", `{"role":"assistant","content":x}`, ""},
		{"too deep", `{"role":"assistant","content":` + strings.Repeat("[", 126) + strings.Repeat("]", 126) + `}`, ""},
	} {
		body := `{"id":"x","choices":[{"index":1,"message":{"content":"other"}},{"finish_reason":"stop","message":` + tt.message + `}]}`
		got, ok := MessageOf([]byte(body))
		if ok != (tt.want != "") || ok && string(got) != tt.want {
			t.Errorf("%s: got %s, %v", tt.name, got, ok)
		}
	}
	for _, body := range []string{
		``, `[]`, `{`, `{"choices":[]}`, `{"choices":{}}`, `{"error":{}}`, `{"choices":[{"text":"x"}]}`, `{"choices":[{"message":null}]}`, `{"choices":[5]}`,
		`{"choices":[{"index":1,"message":{"content":"x"}}]}`, `{"choices":[{"message":{"content":"x"`, `{"choices":[{"message":{"content"`,
	} {
		if got, ok := MessageOf([]byte(body)); ok {
			t.Errorf("%s: got %s", body, got)
		}
	}
}

func TestMessageOfIsACopy(t *testing.T) {
	body := []byte(`{"choices":[{"message":{"role":"assistant","content":"Hi"}}]}`)
	got, ok := MessageOf(body)
	clear(body)
	if string(got) != `{"role":"assistant","content":"Hi"}` || !ok {
		t.Errorf("got %s, %v", got, ok)
	}
}

// What a thread keeps must not make its next request one that is refused.
func TestMessagesFitIntoARequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCompletion(t, true)
		if rapid.Bool().Draw(t, "tool call") {
			c.Choices[0].ToolCalls = []ToolCall{{ID: rapid.String().Draw(t, "id"), Name: "f", Arguments: rapid.String().Draw(t, "arguments")}}
		}
		fits := func(said json.RawMessage, ok bool) {
			body := `{"messages":[` + string(said) + `]}`
			if _, err := ParseRequest([]byte(body)); !ok || err != nil {
				t.Fatalf("%v, %v: %s", ok, err, body)
			}
		}
		fits(c.Message())
		fits(MessageOf(c.JSON("chat/completions")))
	})
}

func FuzzMessageOf(f *testing.F) {
	f.Add([]byte(`{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{}],"audio":{"id":""}}}]}`))
	f.Add([]byte(`{"choices":[{"message":{"role":"assistant","content":"x","refusal":null}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		said, ok := MessageOf(body)
		if !ok {
			return
		}
		if _, err := ParseRequest([]byte(`{"messages":[` + string(said) + `]}`)); err != nil {
			t.Fatalf("%q became %q: %v", body, said, err)
		}
	})
}
