package openai

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

const (
	storedChat = `{"choices":[
  {"content_filter_results":{},"finish_reason":"stop","index":0,"logprobs":null,"message":{"content":"Hé <you>\n","role":"assistant","refusal":null,"annotations":[]}}],
 "created":7,"id":"c1","model":"gpt-4o","object":"chat.completion","prompt_filter_results":[],"system_fingerprint":"fp_1",
 "usage":{
   "prompt_tokens":3, "completion_tokens":4, "total_tokens":7, "completion_tokens_details":{"audio_tokens":0}
 }}`
	storedText = `{"id":"c2","object":"text_completion","created":7,"model":"m","choices":[{"text":"one","index":0,"logprobs":null,"finish_reason":"length"},{"text":"two","index":1,"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`
)

func TestReplayWritesTheEventsOfAStream(t *testing.T) {
	chunk := func(usage string, choices ...string) string {
		var b strings.Builder
		for _, choice := range choices {
			fmt.Fprintf(&b, `data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"gpt-4o","system_fingerprint":"fp_1","choices":[%s]%s}`+"\n\n", choice, usage)
		}
		return b.String()
	}
	chat := []string{
		`{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}`,
		`{"index":0,"delta":{"content":"Hé <you>\n"},"logprobs":null,"finish_reason":null}`,
		`{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}`,
	}
	const textHead = `data: {"id":"c2","object":"text_completion","created":7,"model":"m","choices":[`
	const last = "data: [DONE]\n\n"
	for _, tt := range []struct {
		name, answer string
		usage        bool
		want         string
	}{
		{"chat", storedChat, false, chunk("", chat...) + last},
		{
			"chat with usage", storedChat, true, chunk(`,"usage":null`, chat...) +
				chunk(`,"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"completion_tokens_details":{"audio_tokens":0}}`, "") + last,
		},
		{
			"completions", storedText, false,
			textHead + `{"index":0,"text":"one","logprobs":null,"finish_reason":null}]}` + "\n\n" +
				textHead + `{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]}` + "\n\n" +
				textHead + `{"index":1,"text":"two","logprobs":null,"finish_reason":null}]}` + "\n\n" +
				textHead + `{"index":1,"text":"","logprobs":null,"finish_reason":"stop"}]}` + "\n\n" + last,
		},
		{
			"refusal, no usage known", `{"id":"c1","created":7,"model":"gpt-4o","system_fingerprint":"fp_1","choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}],"usage":null}`, true,
			chunk(`,"usage":null`, chat[0], `{"index":0,"delta":{"refusal":"No."},"logprobs":null,"finish_reason":null}`, chat[2]) + last,
		},
	} {
		w := &client{}
		err := Replay(t.Context(), w, []byte(tt.answer), ReplayOptions{Stream: true, IncludeUsage: tt.usage})
		if diff := cmp.Diff(strings.SplitAfter(tt.want, "\n\n"), strings.SplitAfter(w.got.String(), "\n\n")); diff != "" || err != nil {
			t.Errorf("%s: error %v, (-want +got)\n%s", tt.name, err, diff)
		}
		if w.writes != 1 {
			t.Errorf("%s: %d writes, want 1", tt.name, w.writes)
		}
	}
}

func TestReplayWithoutStreamWritesTheAnswerAsItIs(t *testing.T) {
	for _, answer := range []string{storedChat, `{"choices":[{"message":{"tool_calls":[{"id":"a"}]}}]}`} {
		w := httptest.NewRecorder()
		err := Replay(t.Context(), w, []byte(answer), ReplayOptions{Speed: 1})
		if got, length := w.Body.String(), w.Header().Get("Content-Length"); err != nil || got != answer || length != fmt.Sprint(len(answer)) {
			t.Errorf("error %v, Content-Length %s, got %s", err, length, got)
		}
	}
}

func TestReplayRefusesWhatCannotBeAStreamBeforeItWrites(t *testing.T) {
	for name, answer := range map[string]string{
		"not an object":  `[]`,
		"no choices":     `{"object":"chat.completion","choices":[]}`,
		"an error":       `{"error":{"message":"no"}}`,
		"tool calls":     `{"choices":[{"index":0,"message":{"content":"x","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}}]}}]}`,
		"function call":  `{"choices":[{"index":0,"message":{"content":null,"function_call":{"name":"f"}}}]}`,
		"citations":      `{"choices":[{"index":0,"message":{"content":"x","context":{"citations":[{}]}}}]}`,
		"logprobs":       `{"choices":[{"index":0,"message":{"content":"x"},"logprobs":{"content":[{}]}}]}`,
		"parts":          `{"choices":[{"index":0,"message":{"content":[{"type":"text","text":"x"}]}}]}`,
		"usage not JSON": `{"choices":[{"index":0,"message":{"content":"x"}}],"usage":{"prompt_tokens":x}}`,
	} {
		w := &client{}
		called := false
		err := Replay(t.Context(), w, []byte(answer), ReplayOptions{Stream: true, IncludeUsage: true, BeforeDone: func() { called = true }})
		var gone *ClientError
		if err == nil || errors.As(err, &gone) || w.writes > 0 || called {
			t.Errorf("%s: error %v, %d writes, BeforeDone called: %v", name, err, w.writes, called)
		}
	}
}

func TestBeforeDoneComesBeforeTheClientCanKnowTheEnd(t *testing.T) {
	for name, o := range map[string]ReplayOptions{"whole": {Stream: true}, "paced": {Stream: true, Speed: 1}, "not streamed": {}} {
		w := &client{}
		o.BeforeDone = func() { w.note("before done") }
		o.BeforeWrite = func() { w.note("before write") }
		if err := Replay(t.Context(), w, []byte(storedChat), o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := []string{"before done", "before write", "write"}
		if name == "paced" {
			want = []string{"before write", "write", "flush", "before done", "before write", "write", "flush"}
		}
		var got []string
		for _, call := range w.calls {
			if strings.HasPrefix(call, "write ") {
				call = "write"
			}
			got = append(got, call)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestReplayReportsAClientThatHasLeft(t *testing.T) {
	for failAt := 1; failAt <= 3; failAt++ {
		for _, o := range []ReplayOptions{{Stream: true, Speed: 1, Marks: []Mark{{0, 1}, {1, 4}}, Wait: noWait}, {Stream: true}, {}} {
			w := &client{failAt: failAt}
			err := Replay(t.Context(), w, []byte(storedChat), o)
			var gone *ClientError
			if failed := w.writes >= failAt; errors.As(err, &gone) != failed {
				t.Errorf("%+v: after %d writes of which number %d fails: %v", o, w.writes, failAt, err)
			}
		}
	}
}

// What Replay writes, Relay reads: at once and at any pace.
func TestReplayIsReadBackByRelay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chat := rapid.Bool().Draw(t, "chat")
		want := drawCompletion(t, chat)
		o := ReplayOptions{Stream: true, IncludeUsage: true, Wait: noWait}
		if rapid.Bool().Draw(t, "paced") {
			o.Speed = rapid.SampledFrom([]float64{1e-300, 0.5, 1, 1e9}).Draw(t, "speed")
			o.Chunk = rapid.IntRange(-1, 100).Draw(t, "chunk")
			o.Marks = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Mark {
				return Mark{At: durations.Draw(t, "at"), Text: rapid.IntRange(-3, len(want.Choices[0].Text)+3).Draw(t, "to")}
			}), 0, 20).Draw(t, "marks")
		}
		w := &client{}
		if err := Replay(t.Context(), w, want.JSON(operationOf(chat)), o); err != nil {
			t.Fatal(err)
		}
		for event := range strings.SplitSeq(w.got.String(), "\n\n") {
			if len(event) >= MaxEvent {
				t.Fatalf("an event of %d bytes", len(event))
			}
		}
		e := NewEvents(strings.NewReader(w.got.String()))
		defer e.Release()
		got, err := Relay(&client{noNotes: true}, e, Options{Chat: true, Keep: 1 << 30})
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Completion{}, "Bytes", "Events")); diff != "" || err != nil {
			t.Fatalf("error %v, (-want +got)\n%s", err, diff)
		}
	})
}

func TestReplayOfALongTextCostsInProportion(t *testing.T) {
	for _, o := range []ReplayOptions{{Stream: true}, {Stream: true, Speed: 1, Wait: noWait}} {
		text := strings.Repeat("long \"text\" ", 100_000)
		c := Completion{Choices: []Choice{{Role: "assistant", Text: text, FinishReason: "stop"}}}
		answer := c.JSON("chat/completions")
		if allocs := testing.AllocsPerRun(2, func() {
			if err := Replay(t.Context(), &client{noNotes: true}, answer, o); err != nil {
				t.Error(err)
			}
		}); allocs > 100 {
			t.Errorf("%+v: %v allocations", o, allocs)
		}
		w := &client{}
		_ = Replay(t.Context(), w, answer, o)
		if n := w.got.Len(); n > len(answer)*5/4 {
			t.Errorf("%+v: %d bytes of %d became %d", o, len(text), len(answer), n)
		}
	}
}

func FuzzReplay(f *testing.F) {
	f.Add([]byte(storedChat), true, 1.0)
	f.Add([]byte(storedText), true, 0.0)
	f.Add([]byte(`{"choices":[{"message":{"content":"\ud83d"}}],"usage":{"a":"\u0000"}}`), true, 0.0)
	f.Fuzz(func(t *testing.T, answer []byte, usage bool, speed float64) {
		w := &client{}
		if err := Replay(t.Context(), w, answer, ReplayOptions{Stream: true, IncludeUsage: usage, Speed: speed, Wait: noWait}); err != nil {
			if w.writes > 0 {
				t.Fatalf("error %v after a write", err)
			}
			return
		}
		want, err := ParseCompletion(answer, len(answer))
		if err != nil {
			t.Fatal(err)
		}
		e := NewEvents(strings.NewReader(w.got.String()))
		defer e.Release()
		got, err := Relay(&client{noNotes: true}, e, Options{Chat: true, Keep: 1 << 30})
		if err != nil || len(got.Choices) != len(want.Choices) {
			t.Fatalf("%q became %q: %v", answer, w.got.String(), err)
		}
		for i := range want.Choices {
			if want.Choices[i].Text != got.Choices[i].Text {
				t.Fatalf("%q became %q", want.Choices[i].Text, got.Choices[i].Text)
			}
		}
	})
}

func BenchmarkReplay(b *testing.B) {
	c := Completion{ID: "chatcmpl-1", Created: 7, Model: "gpt-4o", Choices: []Choice{{Role: "assistant", Text: strings.Repeat("Some words of an answer.\n", 40), FinishReason: "stop"}}}
	answer := c.JSON("chat/completions")
	for name, o := range map[string]ReplayOptions{"object": {}, "whole": {Stream: true}, "paced": {Stream: true, Speed: 1, Wait: noWait}} {
		b.Run(name, func(b *testing.B) {
			w := &client{noNotes: true}
			b.ReportAllocs()
			for b.Loop() {
				_ = Replay(b.Context(), w, answer, o)
			}
		})
	}
}
