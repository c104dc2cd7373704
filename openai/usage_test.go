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
		{`{"prompt_tokens":1,"completion_tokens":2,"total_tokens":4}`, Usage{true, 1, 2, 4, 0, 0, false}},
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
