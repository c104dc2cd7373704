package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"
)

func cosine(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestEmbedPutsParaphrasesNear(t *testing.T) {
	for _, pair := range [][2]string{
		{"What is the capital of France?", "what's the capital of france"},
		{"What is the capital of France?", "Please tell me the capital of France"},
		{"What is the capital of France?", "France: which is its capital?"},
		{"How do I reset my password?", "How can I reset the password?"},
		{"How do I reset my password?", "I want to know how resetting passwords is done"},
		{"Which payment methods do you accept?", "What payment method is accepted?"},
		{"How long does shipping take to Canada?", "Shipping to Canada takes how long?"},
		{"Explain the semantic cache of the gateway", "Can you please explain the gateway's semantic caching"},
		{"How do I buy a car?", "How can I purchase an automobile?"},
		{"Where are my orders?", "where is my order"},
		{"日本の首都はどこですか", "日本の首都はどこですか。"},
	} {
		if got := cosine(Embed(pair[0], 0), Embed(pair[1], 0)); got <= 0.9 {
			t.Errorf("%.3f: %q and %q", got, pair[0], pair[1])
		}
	}
}

func TestEmbedPutsDifferentQuestionsFar(t *testing.T) {
	for _, pair := range [][2]string{
		{"What is the capital of France?", "What is the capital of Germany?"},
		{"What is the capital of France?", "How do I reset my password?"},
		{"What is the status of order 17?", "What is the status of order 18?"},
		{"How do I reset my password?", "How do I change my address?"},
		{"How long does shipping take to Canada?", "Which payment methods do you accept?"},
		{"Hello world", "1+1"},
		{"What is the weather?", "What is the time?"},
		{"Explain the semantic cache", "Explain the rate limit"},
		{"How do I cancel my subscription?", "How do I upgrade the plan?"},
	} {
		if got := cosine(Embed(pair[0], 0), Embed(pair[1], 0)); got >= 0.6 {
			t.Errorf("%.3f: %q and %q", got, pair[0], pair[1])
		}
	}
}

func TestEmbedIsUnitLengthAndDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, dims := rapid.String().Draw(t, "text"), rapid.IntRange(0, maxDimensions).Draw(t, "dims")
		v := Embed(text, dims)
		if want := dims; dims > 0 && len(v) != want || dims == 0 && len(v) != Dimensions {
			t.Fatalf("width %d for %d", len(v), dims)
		}
		if length := cosine(v, v); math.Abs(length-1) > 1e-5 {
			t.Fatalf("length %v", length)
		}
		if !cmp.Equal(v, Embed(text, dims)) {
			t.Fatal("differs the second time")
		}
	})
}

func TestEmbeddingsAnswersEveryForm(t *testing.T) {
	s := New(Options{})
	const path = "/openai/deployments/e/embeddings?api-version=2024-10-21"
	w, _ := post(t, s, path, `{"input":["What is a gateway?","other"]}`)
	root := gjson.Parse(w.Body.String())
	if w.Code != 200 || root.Get("object").String() != "list" || root.Get("data.#").Int() != 2 || root.Get("data.1.index").Int() != 1 ||
		root.Get("data.0.embedding.#").Int() != Dimensions || root.Get("usage.total_tokens").Int() != int64(Tokens("What is a gateway?")+Tokens("other")) {
		t.Fatalf("%d %.300s", w.Code, w.Body)
	}
	want := Embed("What is a gateway?", 0)
	for i, x := range root.Get("data.0.embedding").Array() {
		if float32(x.Num) != want[i] {
			t.Fatalf("dimension %d: %v, want %v", i, x.Num, want[i])
		}
	}
	w, _ = post(t, s, path, `{"input":"What is a gateway?","encoding_format":"base64","dimensions":256}`)
	raw, err := base64.StdEncoding.DecodeString(member(w, "data.0.embedding"))
	if err != nil || len(raw) != 4*256 {
		t.Fatalf("%v, %d bytes", err, len(raw))
	}
	for i, x := range Embed("What is a gateway?", 256) {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); got != x {
			t.Fatalf("dimension %d: %v, want %v", i, got, x)
		}
	}
	for body, want := range map[string]string{`{"input":[1,2,3]}`: "1", `{"input":[[1,2],[3]]}`: "2", `{"input":"x"}`: "1"} {
		if w, _ := post(t, s, path, body); w.Code != 200 || member(w, "data.#") != want {
			t.Errorf("%s: %d, %s vectors", body, w.Code, member(w, "data.#"))
		}
	}
	for _, body := range []string{
		`{}`, `{"input":""}`, `{"input":[]}`, `{"input":["a",""]}`, `{"input":{}}`, `{"input":[1.5]}`, `{"input":"a","dimensions":0}`, `{"input":"a","encoding_format":"x"}`,
		`{"input":"` + strings.Repeat("a ", maxInputTokens+1) + `"}`,
	} {
		if w, _ := post(t, s, path, body); w.Code != 400 || member(w, "error.type") != "invalid_request_error" {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

func ExampleEmbed() {
	question := Embed("How do I reset my password?", 0)
	fmt.Println(cosine(question, Embed("How can I reset the password?", 0)) > 0.9)
	fmt.Println(cosine(question, Embed("Where is the nearest shop?", 0)) > 0.6)
	// Output:
	// true
	// false
}
