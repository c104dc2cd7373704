package openai

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Whatever comes in whatever order, the short cut through pattern must not
// change what is gathered.
func TestEventsThatFitAPatternAreReadTheSameAsOthers(t *testing.T) {
	texts := rapid.SampledFrom([]string{
		``, `a`, ` the`, `\"`, `\\`, `\ud83d`, `\ude00`, `"`, `\`, `x"},"finish_reason":"stop`, "日本", `{\"usage\":{`, strings.Repeat("long ", 2000),
	})
	shapes := rapid.SampledFrom([]string{
		`{"id":"a","choices":[{"index":0,"delta":{"content":"%"},"finish_reason":null}],"usage":null}`,
		`{"id":"a","choices":[{"index":1,"delta":{"content":"%"},"finish_reason":null}],"usage":null}`,
		`{"choices":[{"delta":{"role":"assistant","content":"%"},"index":0}],"obfuscation":"%"}`,
		`{"obfuscation":"%","choices":[{"text":"%","index":0}]}`,
		`{"choices":[{"index":0,"delta":{"content":"%"}},{"index":1}]}`,
		`{"choices":[{"index":0,"delta":{"content":"%"}},{"index":1,"delta":{"content":"%"}}]}`,
		`{"choices":[{"index":0,"delta":{"content":"%","refusal":"%"}}]}`,
		`{"choices":[{"index":0,"delta":{"content":"%"},"finish_reason":"%"}]}`,
		`{"choices":[{"index":0,"delta":{"content":"%"}}],"usage":{"prompt_tokens":1}}`,
		`{"choices":[{"index":0,"delta":{"content":"%","tool_calls":[{"index":0,"id":"%","function":{"arguments":"%"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{"content":"%"}}],"error":{"message":"%"}}`,
		`{"type":"response.output_text.delta","output_index":0,"delta":"%","obfuscation":"%"}`,
		`{"type":"response.function_call_arguments.delta","output_index":0,"delta":"%"}`,
		`{"type":"response.output_text.delta","delta":"%","choices":[{"index":0,"delta":{"content":"%"}}]}`,
		`{"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"%"}]}]}}`,
		`{"type":"error","choices":[{"index":0,"delta":{"content":"%"}}]}`,
	})
	rapid.Check(t, func(t *rapid.T) {
		keep := rapid.SampledFrom([]int{0, 10, 100_000}).Draw(t, "keep")
		quick, full := answer{keep: keep}, answer{keep: keep}
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			data := shapes.Draw(t, "shape")
			for strings.Contains(data, "%") {
				data = strings.Replace(data, "%", texts.Draw(t, "text"), 1)
			}
			full.like = pattern{}
			want := full.read([]byte(data))
			if got := quick.read([]byte(data)); got != want {
				t.Fatalf("%s: got %+v, want %+v", data, got, want)
			}
		}
		if diff := cmp.Diff(full.completion(), quick.completion()); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

func TestPatternFitsEventsThatDifferInTextAndPaddingOnly(t *testing.T) {
	var a answer
	a.read([]byte(`{"choices":[{"index":0,"delta":{"content":"one"}}],"obfuscation":"xxxx"}`))
	for _, tt := range []struct {
		data string
		fits bool
	}{
		{`{"choices":[{"index":0,"delta":{"content":"\"two\" and more"}}],"obfuscation":"y"}`, true},
		{`{"choices":[{"index":0,"delta":{"content":"x"}}],"obfuscation":""}`, true},
		{`{"choices":[{"index":0,"delta":{"content":""}}],"obfuscation":"y"}`, false},
		{`{"choices":[{"index":1,"delta":{"content":"two"}}],"obfuscation":"y"}`, false},
		{`{"choices":[{"index":0,"delta":{"content":"two","a":"b"}}],"obfuscation":"y"}`, false},
		{`{"choices":[{"index":0,"delta":{"content":"two"}}],"obfuscation":"y","error":{}}`, false},
		{`{"choices":[{"index":0,"delta":{"content":"two\"}}],"obfuscation":"y"}`, false},
		{`{"choices":[{"index":0,"delta":{"content":"two"}}],"obfuscation":"y"`, false},
		{`{"choices":[{"index":0,"delta":{"content":null}}],"obfuscation":"y"}`, false},
	} {
		if _, fits := a.like.match([]byte(tt.data)); fits != tt.fits {
			t.Errorf("%s: fits %v", tt.data, fits)
		}
	}
}
