package openai

import (
	"strings"
	"testing"
)

func TestUsageIsReportedOnlyWhenEveryCountIsOne(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		want Usage
	}{
		{`{"prompt_tokens":1,"completion_tokens":2,"total_tokens":4}`, Usage{true, 1, 2, 3, 0, 0, false}}, // the parts are billed
		{`{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`, Usage{Reported: true}},
		{`{"prompt_tokens":1,"completion_tokens":2}`, Usage{true, 1, 2, 3, 0, 0, false}},
		{`{"prompt_tokens":100000000}`, Usage{true, 100_000_000, 0, 100_000_000, 0, 0, false}},
		{`{"prompt_tokens":1,"completion_tokens":100000001}`, Usage{}},
		{`{"prompt_tokens":9007199254740992}`, Usage{}},
		{`{"prompt_tokens":1,"completion_tokens":null,"prompt_tokens_details":null,"x":"y"}`, Usage{true, 1, 0, 1, 0, 0, false}},
		{`{"prompt_tokens":3,"prompt_tokens_details":{"audio_tokens":1,"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":0}}`, Usage{true, 3, 0, 3, 2, 0, false}},
		{`{"prompt_tokens":9007199254740993}`, Usage{}},
		{`{"prompt_tokens":-1}`, Usage{}},
		{`{"prompt_tokens":1.5}`, Usage{}},
		{`{"prompt_tokens":1e3}`, Usage{}},
		{`{"prompt_tokens":"1"}`, Usage{}},
		{`{"prompt_tokens":99999999999999999999999}`, Usage{}},
		{`{"prompt_tokens":1,"total_tokens":true}`, Usage{}},
		{`{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":-1}}`, Usage{}},
		{`{"prompt_tokens":1,"completion_tokens_details":{"reasoning_tokens":"1"}}`, Usage{}},
		{`{"prompt_tokens":null,"completion_tokens":null,"total_tokens":null}`, Usage{}},
		{`{"total_tokens":12}`, Usage{}},
		{`{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":5000}}`, Usage{true, 9, 0, 9, 9, 0, false}},
		{`{}`, Usage{}},
		{`null`, Usage{}},
		{`{"prompt_tokens":1`, Usage{}},
	} {
		if got := parseUsage([]byte(tt.raw)); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.raw, got, tt.want)
		}
	}
}

func TestTailUsageReadsTheStructureFromTheEnd(t *testing.T) {
	five := Usage{Reported: true, PromptTokens: 5, TotalTokens: 5}
	for _, tt := range []struct {
		tail string
		want Usage
	}{
		{`2,0.3]}],"model":"ada","usage":{"prompt_tokens":5,"total_tokens":5}}`, five},
		{"2,0.3]}],\n \"usage\" : {\"prompt_tokens\":5,\"total_tokens\":5} ,\"model\":\"a\\\\\\\"}{\" }\n", five},
		{`x"}],"usage":{"prompt_tokens":5},"n":[{"a":{"usage":{"prompt_tokens":9}}}]}`, five},
		{`{"usage":{"prompt_tokens":5}}`, five},
		{`"},"a":{"usage":{"prompt_tokens":9}}}`, Usage{}},
		{`0.1],"text":"\"usage\":{\"prompt_tokens\":9}"}`, Usage{}},
		{`,"x\"usage":{"prompt_tokens":9}}`, Usage{}},
		{`,"usage":null}`, Usage{}},
		{`,"usage":[{"prompt_tokens":9}]}`, Usage{}},
		{`,"usage":{"prompt_tokens":9}`, Usage{}},
		{`tokens":5}}`, Usage{}},
		{`,"usage":{"prompt_tokens":9}}]`, Usage{}},
		{`abc"}`, Usage{}},
		{`}`, Usage{}},
		{`}}}}`, Usage{}},
		{` `, Usage{}},
		{``, Usage{}},
	} {
		if got := TailUsage([]byte(tt.tail)); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.tail, got, tt.want)
		}
	}
	body := `{"data":[` + strings.Repeat("0.1,", 1000) + `1],"usage":{"prompt_tokens":5}}`
	for i := range len(body) {
		if got := TailUsage([]byte(body[i:])); got != five && got != (Usage{}) {
			t.Errorf("from %d: %+v", i, got)
		}
	}
}

func TestUsageOfAStreamIsThatOfItsEnd(t *testing.T) {
	const early, text, empty = `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}`, `{"choices":[{"index":0,"delta":{"content":"word"}}]}`, `{"choices":[],"usage":{}}`
	const each = `{"choices":[{"index":0,"delta":{"content":"word"}}],"usage":{"prompt_tokens":9,"completion_tokens":2}}`
	const finish = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	for name, tt := range map[string]struct {
		events []string
		want   int64 // completion tokens; -1 for not reported
	}{
		"last":                        {[]string{text, finish, early}, 1},
		"first":                       {[]string{early, text, text, finish}, -1},
		"before the finish reason":    {[]string{text, early, finish}, 1},
		"in every event":              {[]string{each, each, finish}, 2},
		"in one that text follows":    {[]string{each, text}, -1},
		"and then an empty one":       {[]string{text, early, empty}, 1},
		"first, and then at the end":  {[]string{early, text, each}, 2},
		"first, then text, then null": {[]string{early, text, `{"choices":[],"usage":null}`}, -1},
	} {
		a := answer{keep: 1000}
		for _, e := range tt.events {
			a.read([]byte(e))
		}
		u := a.completion().Usage
		if u.Reported != (tt.want >= 0) || u.Reported && u.CompletionTokens != tt.want {
			t.Errorf("%s: got %+v, want %d", name, u, tt.want)
		}
	}
}
