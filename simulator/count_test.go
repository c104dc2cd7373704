package simulator

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"pgregory.net/rapid"
)

// letters counts one token a byte, so that sums can be done by hand. It does not count spaces.
func letters(_, text string) int { return len(text) - strings.Count(text, " ") }

func TestPromptOfAChatCountsByThePublishedRule(t *testing.T) {
	for name, c := range map[string]struct {
		messages string
		want     int
	}{
		"one message":        {`[{"role":"user","content":"abc"}]`, 3 + 4 + 3 + 3},
		"two messages":       {`[{"role":"system","content":"ab"},{"role":"user","content":"abc"}]`, 3 + 6 + 2 + 3 + 4 + 3 + 3},
		"a name":             {`[{"role":"user","content":"abc","name":"jo"}]`, 3 + 4 + 3 + 1 + 2 + 3},
		"parts":              {`[{"role":"user","content":[{"type":"text","text":"abc"},{"type":"text","text":"de"}]}]`, 3 + 4 + 5 + 3},
		"an image":           {`[{"role":"user","content":[{"type":"text","text":"abc"},{"type":"image_url","image_url":{"url":"data:,"}}]}]`, 3 + 4 + 3 + 85 + 3},
		"no content":         {`[{"role":"assistant","content":null},{"role":"user","content":""}]`, 3 + 9 + 3 + 4 + 3},
		"characters escaped": {`[{"role":"user","content":"\u0061\n"}]`, 3 + 4 + 2 + 3},
	} {
		w, _ := post(t, New(Options{Count: letters}), chatPath, `{"messages":`+c.messages+`}`)
		answer := member(w, "choices.0.message.content")
		if got, want := member(w, "usage"), fmt.Sprintf(`{"completion_tokens":%d,"prompt_tokens":%d,"total_tokens":%d}`,
			letters("", answer), c.want, c.want+letters("", answer)); got != want {
			t.Errorf("%s: usage %s, want %s", name, got, want)
		}
	}
}

func TestPartsOfAMessageAreCountedEachByItself(t *testing.T) {
	var counted []string
	s := New(Options{Count: func(model, text string) int {
		counted = append(counted, model+": "+text)
		return 1
	}, Deployments: map[string]Deployment{"d": {Model: "gpt-4"}}})
	post(t, s, chatPath, `{"messages":[{"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]}]}`)
	for _, want := range []string{"gpt-4: user", "gpt-4: one", "gpt-4: two"} {
		found := false
		for _, got := range counted {
			found = found || got == want
		}
		if !found {
			t.Errorf("%q was not counted, only %q", want, counted)
		}
	}
}

func TestPromptsAndInputsAreSummedOverTheirList(t *testing.T) {
	s := New(Options{Count: letters})
	const embeddingsPath = "/openai/deployments/d/embeddings?api-version=2024-10-21"
	for _, c := range []struct {
		path, body string
		want       string
	}{
		{completionsPath, `{"prompt":"abc"}`, "3"},
		{completionsPath, `{"prompt":["abc","de"]}`, "5"},
		{completionsPath, `{"prompt":[7,1234567,9]}`, "3"},
		{completionsPath, `{"prompt":["ab",[1234567,9]]}`, "4"},
		{completionsPath, `{}`, "0"},
		{embeddingsPath, `{"input":"abc"}`, "3"},
		{embeddingsPath, `{"input":["abc","de"]}`, "5"},
		{embeddingsPath, `{"input":[[1,2,3],[4]]}`, "4"},
		{"/v1/responses", `{"model":"m","input":"abc","instructions":"de"}`, ""},
	} {
		w, _ := post(t, s, c.path, c.body)
		if got := member(w, "usage.prompt_tokens"); w.Code != 200 || got != c.want {
			t.Errorf("%s %s: %d, %s prompt tokens, want %s", c.path, c.body, w.Code, got, c.want)
		}
	}
	w, _ := post(t, s, "/v1/responses", `{"model":"m","input":"abc","instructions":"de"}`)
	if got := member(w, "usage.input_tokens"); got != "9" {
		t.Errorf("responses: %s input tokens, want 4 + 3 + 2", got)
	}
}

func TestAnswersAreCutByTheCountInForce(t *testing.T) {
	for _, limit := range []int{1, 2, 7, 30, 1000} {
		w, _ := post(t, New(Options{Count: letters}), chatPath, fmt.Sprintf(`{"max_tokens":%d,%s`, limit, hello[1:]))
		answer, finish := member(w, "choices.0.message.content"), member(w, "choices.0.finish_reason")
		if got := letters("", answer); got > limit || finish == "length" && got < limit-2 || (finish == "length") != (limit < 1000) {
			t.Errorf("max_tokens %d: %d tokens, %s: %q", limit, got, finish, answer)
		}
	}
}

func TestCutKeepsToItsLimitWhateverTheCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		n := counter{model: "m"}
		if every := rapid.IntRange(0, 5).Draw(t, "bytes of a token"); every > 0 {
			// As a vocabulary's: a longer text may have fewer tokens.
			n.count = func(_, s string) int { return (len(s)+every-1)/every - strings.Count(s, "e") }
		}
		kept, finish := n.limited(text, limit)
		if !strings.HasPrefix(text, kept) || n.tokens(kept) > limit && kept != "" {
			t.Fatalf("kept %q of %q: %d tokens", kept, text, n.tokens(kept))
		}
		if (finish == "stop") != (kept == text) || utf8.ValidString(text) && !utf8.ValidString(kept) {
			t.Fatalf("%s after %q of %q", finish, kept, text)
		}
	})
}

func TestLongTextIsCutWithoutCountingAllOfIt(t *testing.T) {
	counted := 0
	n := counter{count: func(_, s string) int { counted += len(s); return len(s) }}
	if kept, _ := n.limited(strings.Repeat("x", maxText), 100); len(kept) != 100 || counted > 10_000 {
		t.Errorf("kept %d bytes of 100, counted %d", len(kept), counted)
	}
}

func TestLimitsOfADeploymentCountAsUsageDoes(t *testing.T) {
	s := New(Options{Count: letters, Deployments: map[string]Deployment{"d": {TPM: 1000}}})
	w, _ := post(t, s, chatPath, hello)
	if got, want := w.Header().Get("X-Ratelimit-Remaining-Tokens"), 1000-gjson.Get(w.Body.String(), "usage.total_tokens").Int(); got != fmt.Sprint(want) {
		t.Errorf("%s tokens remain, want %d", got, want)
	}
}
