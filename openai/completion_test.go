package openai

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseCompletion(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		keep       int
		want       Completion
	}{
		{
			"chat", `{"id":"c","object":"chat.completion","created":9,"model":"gpt-4o","choices":[
				{"finish_reason":"stop","index":0,"message":{"role":"assistant","content":"H\u00e9\n","refusal":null,"annotations":[]},"logprobs":null},
				{"finish_reason":"content_filter","index":1,"message":{"role":"assistant","content":""}}],
				"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`, 100,
			Completion{
				ID: "c", Created: 9, Model: "gpt-4o", FinishReason: "stop", Whole: true,
				Usage: Usage{Reported: true, PromptTokens: 1, CompletionTokens: 2, TotalTokens: 3},
				Choices: []Choice{
					{Role: "assistant", Text: "Hé\n", FinishReason: "stop"},
					{Index: 1, Role: "assistant", FinishReason: "content_filter"},
				},
			},
		},
		{
			"tool calls", `{"choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[
				{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{\"x\":1}"}}]}}]}`, 100,
			Completion{FinishReason: "tool_calls", Whole: true, Choices: []Choice{{
				Role: "assistant", FinishReason: "tool_calls",
				ToolCalls: []ToolCall{{0, "a", "function", "f", "{}"}, {1, "b", "function", "g", `{"x":1}`}},
			}}},
		},
		{
			"parts not kept", `{"choices":[{"message":{"content":[{"type":"text","text":"x"}]}},{"index":1,"message":{"tool_calls":[{"id":"a","type":"custom","custom":{}}]}}]}`, 100,
			Completion{Whole: true, Choices: []Choice{{Other: true}, {Index: 1, Other: true, ToolCalls: []ToolCall{{ID: "a", Type: "custom"}}}}},
		},
		{"completions", `{"choices":[{"text":"abc","index":0,"finish_reason":"length"}]}`, 2, Completion{
			Whole: true, Truncated: true, FinishReason: "length", Choices: []Choice{{Text: "ab", FinishReason: "length"}},
		}},
		{"nothing kept", `{"choices":[{"message":{"content":"abc"},"index":0,"finish_reason":"stop"}]}`, 0, Completion{
			Whole: true, Truncated: true, FinishReason: "stop", Choices: []Choice{{FinishReason: "stop"}},
		}},
		{"embeddings", `{"object":"list","data":[{"embedding":[0.1,-2e-5],"index":0}],"model":"ada","usage":{"prompt_tokens":5,"total_tokens":5}}`, 10, Completion{
			Model: "ada", Whole: true, Usage: Usage{Reported: true, PromptTokens: 5, TotalTokens: 5},
		}},
		{"responses", `{"id":"r","usage":{"input_tokens":5,"output_tokens":6,"total_tokens":11,"input_tokens_details":{"cached_tokens":1},"output_tokens_details":{"reasoning_tokens":2}}}`, 10, Completion{
			ID: "r", Whole: true, Usage: Usage{Reported: true, PromptTokens: 5, CompletionTokens: 6, TotalTokens: 11, CachedTokens: 1, ReasoningTokens: 2},
		}},
		{"error", `{"error":{"message":"no"}}`, 10, Completion{}},
	} {
		tt.want.Bytes = int64(len(tt.body))
		got, err := ParseCompletion([]byte(tt.body), tt.keep)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(&tt.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestParseCompletionRefusesWhatIsNotAnObject(t *testing.T) {
	for _, body := range []string{``, `[]`, `"x"`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1}x`, `{a:1}`, `{"a":"x`, `{"a":"\`, `{"a":[1,{]}`, `{"choices":[{"index":0`, `<html>`} {
		if got, err := ParseCompletion([]byte(body), 10); err == nil {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestContentFilteredIsAFinishReason(t *testing.T) {
	if (Choice{FinishReason: "stop"}).ContentFiltered() || !(Choice{FinishReason: "content_filter"}).ContentFiltered() {
		t.Error("wrong")
	}
}

func TestHostileAnswersDoNotGrow(t *testing.T) {
	var a answer
	a.keep = 1 << 20
	for i := range 300 {
		n := strings.Repeat("1", i%16+1)
		a.read([]byte(`{"choices":[{"index":` + n + strings.Repeat("0", i/16) + `,"delta":{"role":"` + strings.Repeat("r", 5000) + `"}}]}`))
		a.read([]byte(`{"choices":[{"index":1,"delta":{"tool_calls":[{"id":"` + strings.Repeat("i", i+1) + `"}]}}]}`))
	}
	if len(a.choices) > maxChoices || len(a.choices[0].calls) != maxToolCalls || len(a.choices[0].role) > maxNote || !a.partial {
		t.Errorf("%d choices, %d calls", len(a.choices), len(a.choices[0].calls))
	}
}

func TestLooksLikeJSONObject(t *testing.T) {
	for body, want := range map[string]bool{"{}": true, " \r\n\t{": true, "": false, " ": false, "[{}]": false, "x{": false} {
		if got := LooksLikeJSONObject([]byte(body)); got != want {
			t.Errorf("%q: %v", body, got)
		}
	}
}
