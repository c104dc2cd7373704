package simulator

import (
	"bytes"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

const completionsPath = "/openai/deployments/d/completions?api-version=2024-10-21"

func TestCompletionsAnswerEachPrompt(t *testing.T) {
	s := New(Options{})
	w, _ := post(t, s, completionsPath, `{"prompt":["first one","second one"],"n":2}`)
	if w.Code != 200 || member(w, "object") != "text_completion" || member(w, "choices.#") != "4" || member(w, "prompt_filter_results.#") != "2" ||
		!strings.Contains(member(w, "choices.1.text"), "first one") || !strings.Contains(member(w, "choices.2.text"), "second one") || member(w, "choices.3.finish_reason") != "stop" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	whole, _ := post(t, s, completionsPath, `{"prompt":"first one","max_tokens":3}`)
	if member(whole, "choices.0.finish_reason") != "length" || member(whole, "usage.completion_tokens") != "3" {
		t.Errorf("max_tokens: %s", whole.Body)
	}
	for _, body := range []string{
		`{"prompt":3}`, `{"prompt":[{}]}`, `{"prompt":"a","n":"x"}`,
		`{"n":128,"prompt":[` + strings.Repeat(`"some words",`, maxPrompts-1) + `"last"]}`,
	} {
		if w, _ := post(t, s, completionsPath, body); w.Code != 400 {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
	if w, _ := post(t, s, completionsPath, `{"prompt":["a","hate-test"]}`); w.Code != 400 || member(w, "error.code") != "content_filter" {
		t.Errorf("filter: %d %s", w.Code, w.Body)
	}
	if w, _ := post(t, s, "/v1/completions", `{"model":"m","prompt":"a"}`); w.Code != 200 || strings.Contains(w.Body.String(), "filter") {
		t.Errorf("OpenAI: %d %s", w.Code, w.Body)
	}
}

func TestCompletionsStream(t *testing.T) {
	s := New(Options{})
	whole, _ := post(t, s, completionsPath, `{"prompt":"first one"}`)
	w, _ := post(t, s, completionsPath, `{"prompt":"first one","stream":true,"stream_options":{"include_usage":true}}`)
	list := events(w.Body.String())
	var text string
	for _, e := range list {
		text += gjson.Get(e, "choices.0.text").String()
	}
	n := len(list)
	if text != member(whole, "choices.0.text") || list[n-1] != "[DONE]" || gjson.Get(list[n-2], "usage").Raw != gjson.Get(whole.Body.String(), "usage").Raw ||
		gjson.Get(list[n-3], "choices.0.finish_reason").String() != "stop" {
		t.Errorf("text %q, last events %q", text, list[n-3:])
	}
}

func TestResponsesWholeAndStreamed(t *testing.T) {
	s := New(Options{})
	w, _ := post(t, s, "/v1/responses", `{"model":"gpt","input":"What is a gateway?"}`)
	answer := member(w, "output.0.content.0.text")
	if w.Code != 200 || member(w, "object") != "response" || member(w, "status") != "completed" || !strings.Contains(answer, "gateway") || member(w, "usage.output_tokens") == "0" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w, _ = post(t, s, "/openai/v1/responses", `{"model":"gpt","stream":true,"input":[{"role":"user","content":[{"type":"input_text","text":"What is a gateway?"}]}]}`)
	var names []string
	var text string
	for i, e := range events(w.Body.String()) {
		if !gjson.Valid(e) || gjson.Get(e, "sequence_number").Int() != int64(i) {
			t.Errorf("event %d: %s", i, e)
		}
		name := gjson.Get(e, "type").String()
		if !strings.Contains(w.Body.String(), "event: "+name+"\ndata: {") {
			t.Errorf("event %d has no event line", i)
		}
		if name != "response.output_text.delta" || names[len(names)-1] != name {
			names = append(names, name)
		}
		if name == "response.output_text.delta" {
			text += gjson.Get(e, "delta").String()
		}
		if name == "response.completed" && gjson.Get(e, "response.output.0.content.0.text").String() != text {
			t.Errorf("completed: %s", e)
		}
	}
	want := []string{
		"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta",
		"response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	w, _ = post(t, s, "/v1/responses", `{"model":"gpt","max_output_tokens":16,"input":"`+strings.Repeat("long words ", 20)+`"}`)
	if member(w, "status") != "incomplete" || member(w, "incomplete_details.reason") != "max_output_tokens" {
		t.Errorf("cut: %s", w.Body)
	}
	for _, body := range []string{`{}`, `{"input":[]}`, `{"input":3}`, `{"input":"a","max_output_tokens":1}`} {
		if w, _ := post(t, s, "/v1/responses", body); w.Code != 400 {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
}

func TestImages(t *testing.T) {
	const path = "/openai/deployments/d/images/generations?api-version=2024-10-21"
	w, _ := post(t, New(Options{}), path, `{"prompt":"a cat","n":2}`)
	if w.Code != 200 || member(w, "data.#") != "2" || !strings.HasPrefix(member(w, "data.1.url"), "https://") || member(w, "data.0.revised_prompt") != "a cat" || !gjson.Valid(w.Body.String()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _ := post(t, New(Options{}), path, `{"prompt":"a cat","response_format":"b64_json"}`); member(w, "data.0.b64_json") != pixel {
		t.Errorf("%s", w.Body)
	}
	if w, _ := post(t, New(Options{}), path, `{}`); w.Code != 400 {
		t.Errorf("no prompt: %d", w.Code)
	}
	if w, _ := post(t, New(Options{}), path, `{"prompt":"sexual-test"}`); w.Code != 400 || member(w, "error.code") != "content_filter" {
		t.Errorf("filter: %d", w.Code)
	}
}

func TestAudio(t *testing.T) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	if err := form.WriteField("model", "whisper"); err != nil {
		t.Fatal(err)
	}
	file, err := form.CreateFormFile("file", "talk.mp3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	s := New(Options{})
	w, _ := post(t, s, "/v1/audio/transcriptions", b.String(), "Content-Type", form.FormDataContentType())
	if w.Code != 200 || member(w, "text") != "Simulated transcription of “talk.mp3”, 5 bytes." || s.Calls("whisper") != 1 {
		t.Errorf("%d %s, calls %d", w.Code, w.Body, s.Calls("whisper"))
	}
	if w, _ := post(t, s, "/v1/audio/transcriptions", hello); w.Code != 400 {
		t.Errorf("JSON: %d", w.Code)
	}
	const path = "/openai/deployments/tts/audio/speech?api-version=2024-10-21"
	w, _ = post(t, s, path, `{"input":"say it","voice":"alloy"}`)
	again, _ := post(t, s, path, `{"input":"say it","voice":"alloy"}`)
	if w.Code != 200 || w.Header().Get("Content-Type") != "audio/mpeg" || !bytes.HasPrefix(w.Body.Bytes(), []byte("ID3")) || !bytes.Equal(w.Body.Bytes(), again.Body.Bytes()) {
		t.Errorf("speech: %d %v", w.Code, w.Header())
	}
}

func TestModerations(t *testing.T) {
	w, _ := post(t, New(Options{}), "/v1/moderations", `{"input":["fine","self-harm-test"]}`)
	if w.Code != 200 || !gjson.Valid(w.Body.String()) || member(w, "results.0.flagged") != "false" || member(w, "results.1.flagged") != "true" || member(w, "results.1.categories.self-harm") != "true" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
