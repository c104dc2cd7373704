package simulator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tidwall/gjson"
)

func TestUsageReportsCachedAndReasoningTokens(t *testing.T) {
	plain, _ := post(t, New(Options{}), chatPath, hello)
	prompt, completion := gjson.Get(plain.Body.String(), "usage.prompt_tokens").Int(), gjson.Get(plain.Body.String(), "usage.completion_tokens").Int()
	if strings.Contains(plain.Body.String(), "details") {
		t.Errorf("details that nobody asked for: %s", plain.Body)
	}
	s := New(Options{Deployments: map[string]Deployment{"d": {Fault: "cachedprompt=5; reasoning=64"}}})
	want := fmt.Sprintf(`{"completion_tokens":%d,"completion_tokens_details":{"reasoning_tokens":64},"prompt_tokens":%d,"prompt_tokens_details":{"cached_tokens":5},"total_tokens":%d}`,
		completion+64, prompt, prompt+completion+64)
	w, _ := post(t, s, chatPath, hello)
	if got := member(w, "usage"); got != want {
		t.Errorf("whole: %s, want %s", got, want)
	}
	w, _ = post(t, s, chatPath, `{"stream_options":{"include_usage":true},`+streamed[1:])
	list := events(w.Body.String())
	if got := gjson.Get(list[len(list)-2], "usage").Raw; got != want {
		t.Errorf("stream: %s, want %s", got, want)
	}
	post(t, s, chatPath, hello, "X-Sim-Fault", "cachedprompt=1000000")
	w, _ = post(t, s, "/openai/v1/responses", `{"model":"d","input":"a"}`)
	if got := member(w, "usage.input_tokens_details.cached_tokens") + " " + member(w, "usage.output_tokens_details.reasoning_tokens"); got != "5 64" {
		t.Errorf("responses: %s", w.Body)
	}
	lines := s.Invoice()
	for i, line := range lines {
		cached := 5
		if i == 2 {
			cached = line.PromptTokens // more than all cannot be cached
		}
		if line.CachedTokens != cached || line.ReasoningTokens != 64 || line.CompletionTokens <= 64 || line.Ended != EndedWhole {
			t.Errorf("line %d: %+v", i, line)
		}
	}
}

func TestUsageThatIsMissingOrWrongIsBilledRight(t *testing.T) {
	paths := map[string]string{
		chatPath: hello, completionsPath: `{"prompt":"a"}`, "/openai/v1/responses": `{"model":"d","input":"a"}`, "/openai/v1/embeddings": `{"model":"d","input":"a"}`,
	}
	for path, body := range paths {
		plain := New(Options{})
		post(t, plain, path, body)
		for fault, right := range map[string]func(usage, count gjson.Result) bool{
			"nousage":           func(usage, _ gjson.Result) bool { return usage.Type == gjson.Null },
			"badusage=strings":  func(_, count gjson.Result) bool { return count.Type == gjson.String && count.Int() > 0 },
			"badusage=negative": func(_, count gjson.Result) bool { return count.Type == gjson.Number && count.Int() < 0 },
			"badusage=huge":     func(_, count gjson.Result) bool { return count.Raw == "9223372036854775808" },
		} {
			s := New(Options{})
			w, _ := post(t, s, path, body, "X-Sim-Fault", fault)
			usage := gjson.Get(w.Body.String(), "usage")
			if !gjson.Valid(w.Body.String()) || !right(usage, usage.Get("total_tokens")) {
				t.Errorf("%s of %s: %s", fault, path, w.Body)
			}
			if diff := cmp.Diff(only(t, plain), only(t, s), cmpopts.IgnoreFields(Line{}, "RequestID", "Start")); diff != "" {
				t.Errorf("%s of %s: %s", fault, path, diff)
			}
		}
	}
	w, _ := post(t, New(Options{Fault: "nousage"}), chatPath, `{"stream_options":{"include_usage":true},`+streamed[1:])
	if strings.Contains(w.Body.String(), "usage") {
		t.Errorf("nousage, streamed: %s", w.Body)
	}
	w, _ = post(t, New(Options{Fault: "badusage=huge"}), chatPath, `{"stream_options":{"include_usage":true},`+streamed[1:])
	if !strings.Contains(w.Body.String(), `"total_tokens":9223372036854775808}`) {
		t.Errorf("badusage, streamed: %s", w.Body)
	}
}
