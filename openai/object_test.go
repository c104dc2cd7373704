package openai

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestJSONIsTheObjectOfAnAnswerThatIsNotStreamed(t *testing.T) {
	for _, tt := range []struct {
		name, operation string
		c               Completion
		want            string
	}{
		{
			"chat", "chat/completions",
			Completion{
				ID: "c1", Created: 7, Model: "gpt-4o", SystemFingerprint: "fp", Whole: true,
				Choices: []Choice{{Index: 1, Text: "two", FinishReason: "length"}, {Role: "assistant", Text: "<1>\n\x01é", FinishReason: "stop"}},
				Usage:   Usage{Reported: true, PromptTokens: 3, CompletionTokens: 4, TotalTokens: 7, CachedTokens: 2, ReasoningTokens: 1},
			},
			`{"id":"c1","object":"chat.completion","created":7,"model":"gpt-4o","system_fingerprint":"fp","choices":[` +
				`{"index":0,"message":{"role":"assistant","content":"<1>\n\u0001é"},"logprobs":null,"finish_reason":"stop"},` +
				`{"index":1,"message":{"role":"assistant","content":"two"},"logprobs":null,"finish_reason":"length"}],` +
				`"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}`,
		},
		{
			"completions", "completions",
			Completion{ID: "c1", Created: 7, Model: "m", Choices: []Choice{{Text: "a"}}},
			`{"id":"c1","object":"text_completion","created":7,"model":"m","choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}]}`,
		},
		{
			"tool calls", "",
			Completion{Choices: []Choice{{ToolCalls: []ToolCall{{ID: "t", Type: "function", Name: "f", Arguments: "{}"}}, FinishReason: "tool_calls"}}},
			`{"id":"","object":"chat.completion","created":0,"model":"","choices":[{"index":0,"message":{"role":"assistant","content":null,` +
				`"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"}]}`,
		},
		{"nothing", "", Completion{}, `{"id":"","object":"chat.completion","created":0,"model":"","choices":[]}`},
	} {
		if diff := cmp.Diff(tt.want, string(tt.c.JSON(tt.operation))); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestJSONLeavesTheCompletionAsItIs(t *testing.T) {
	c := Completion{Choices: []Choice{{Index: 1}, {Index: 0}}}
	c.JSON("chat/completions")
	if c.Choices[0].Index != 1 {
		t.Errorf("got %+v", c.Choices)
	}
}

func TestJSONIsReadBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chat := rapid.Bool().Draw(t, "chat")
		want := drawCompletion(t, chat)
		if chat && rapid.Bool().Draw(t, "tool call") {
			want.Choices[0].ToolCalls = []ToolCall{{ID: "a", Type: "function", Name: anyText.Filter(short).Draw(t, "name"), Arguments: anyText.Draw(t, "arguments")}}
		}
		b := want.JSON(operationOf(chat))
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("not valid: %q", b)
		}
		got, err := ParseCompletion(b, len(b))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Completion{}, "Bytes")); diff != "" || err != nil {
			t.Fatalf("error %v, (-want +got)\n%s", err, diff)
		}
	})
}

func TestJSONIsValidWhateverTheTextIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		c := Completion{ID: raw, Model: raw, Choices: []Choice{{Text: raw, Refusal: raw, FinishReason: raw}}}
		var got struct {
			Choices []struct {
				Message struct{ Content, Refusal string }
			}
		}
		b := c.JSON("chat/completions")
		if err := json.Unmarshal(b, &got); err != nil || !utf8.Valid(b) {
			t.Fatalf("error %v in %q", err, b)
		}
		if want := strings.ToValidUTF8(raw, "\uFFFD"); got.Choices[0].Message.Content != want || got.Choices[0].Message.Refusal != want {
			t.Fatalf("%q became %+v", raw, got)
		}
	})
}

func operationOf(chat bool) string {
	if chat {
		return "chat/completions"
	}
	return "completions"
}

// anyText is text of every kind, short and long, that is valid UTF-8.
var anyText = rapid.Custom(func(t *rapid.T) string {
	s := rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{"", "\x00\x1f\x7f\"\\/\b\f\n\r\t\u2028\u2029", `data: [DONE]`, "data: {\"choices\":[]}\n\n", `\ud83d`, "日本語 😀\U0010FFFF\uFFFD", "e\u0301"}),
	).Draw(t, "text")
	return strings.ToValidUTF8(strings.Repeat(s, rapid.SampledFrom([]int{1, 1, 1, 30, 3000}).Draw(t, "times")), "\uFFFD")
})

// drawCompletion returns a whole answer of one choice or several.
func drawCompletion(t *rapid.T, chat bool) *Completion {
	c := &Completion{ID: "c1", Created: 7, Model: anyText.Filter(short).Draw(t, "model"), SystemFingerprint: rapid.SampledFrom([]string{"", "fp_1"}).Draw(t, "fingerprint"), Whole: true}
	for i := range rapid.IntRange(1, 3).Draw(t, "choices") {
		ch := Choice{Index: i, Text: anyText.Draw(t, "text"), FinishReason: rapid.SampledFrom([]string{"stop", "length", ""}).Draw(t, "finish")}
		if chat {
			ch.Role = "assistant"
			ch.Refusal = anyText.Filter(short).Draw(t, "refusal")
		}
		c.Choices = append(c.Choices, ch)
	}
	c.FinishReason = c.Choices[0].FinishReason
	if rapid.Bool().Draw(t, "usage") {
		c.Usage = Usage{Reported: true, PromptTokens: 3, CompletionTokens: 4, TotalTokens: 7, CachedTokens: 2, ReasoningTokens: 1}
	}
	return c
}

func short(s string) bool { return len(s) < maxNote/6 }
