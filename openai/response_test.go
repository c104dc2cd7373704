package openai

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// named writes events of the Responses API, each with the name that its data
// gives as type.
func named(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		name := regexp.MustCompile(`"type":"([^"]+)"`).FindStringSubmatch(d)[1]
		b.WriteString("event: " + name + "\ndata: " + d + "\n\n")
	}
	return b.String()
}

const (
	respCreated  = `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":7,"status":"in_progress","error":null,"incomplete_details":null,"instructions":"Be kind.","model":"gpt-5","output":[],"usage":null}}`
	respProgress = `{"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_1","object":"response","created_at":7,"status":"in_progress","model":"gpt-5","output":[]}}`
	respThinks   = `{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}`
	respSummary  = `{"type":"response.reasoning_summary_text.delta","sequence_number":3,"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"Thinking."}`
	respThought  = `{"type":"response.output_item.done","sequence_number":4,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Thinking."}]}}`
	respMessage  = `{"type":"response.output_item.added","sequence_number":5,"output_index":1,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}`
	respPart     = `{"type":"response.content_part.added","sequence_number":6,"item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}`
	respTextA    = `{"type":"response.output_text.delta","sequence_number":7,"item_id":"msg_1","output_index":1,"content_index":0,"delta":"Hé {\"type\":\"response.failed\"} \ud83d","logprobs":[],"obfuscation":"xxxx"}`
	respTextB    = `{"delta":"\ude00 there","content_index":0,"output_index":1,"item_id":"msg_1","sequence_number":8,"logprobs":[],"obfuscation":"x","type":"response.output_text.delta"}`
	respTextDone = `{"type":"response.output_text.done","sequence_number":9,"item_id":"msg_1","output_index":1,"content_index":0,"text":"Hé {\"type\":\"response.failed\"} \ud83d\ude00 there","logprobs":[]}`
	respPartDone = `{"type":"response.content_part.done","sequence_number":10,"item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"Hé {\"type\":\"response.failed\"} \ud83d\ude00 there","annotations":[]}}`
	respSaid     = `{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hé {\"type\":\"response.failed\"} \ud83d\ude00 there","annotations":[],"logprobs":[]}]}`
	respItemDone = `{"type":"response.output_item.done","sequence_number":11,"output_index":1,"item":` + respSaid + `}`
	respThinking = `{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Thinking."}],"content":[{"type":"reasoning_text","text":"secretly"}]}`
	respUsage    = `"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":2},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":7}`

	respText = `Hé {"type":"response.failed"} 😀 there`
)

// respWhole is the answer that is made of output, and respEnd the event that
// carries it.
func respWhole(status, details, output string) string {
	return `{"id":"resp_1","object":"response","created_at":7,"status":"` + status + `","error":null,"incomplete_details":` + details + `,"model":"gpt-5","output":[` + output + `],` + respUsage + `}`
}

func respEnd(status, details, output string) string {
	return `{"type":"response.` + status + `","sequence_number":99,"response":` + respWhole(status, details, output) + `}`
}

// respSpoken is everything before the end of an answer with a text.
var respSpoken = []string{respCreated, respProgress, respMessage, respPart, respTextA, respTextB, respTextDone, respPartDone, respItemDone}

func TestRelayGathersAnswersOfTheResponsesAPI(t *testing.T) {
	reported := Usage{Reported: true, PromptTokens: 3, CompletionTokens: 4, TotalTokens: 7, CachedTokens: 2, ReasoningTokens: 1}
	hello := Choice{Role: "assistant", Text: respText, FinishReason: "stop"}
	added := func(place, item string) string {
		return `{"type":"response.output_item.added","output_index":` + place + `,"item":` + item + `}`
	}
	itemDone := func(place, item string) string { return strings.Replace(added(place, item), "added", "done", 1) }
	arguments := func(place, delta string) string {
		return `{"type":"response.function_call_arguments.delta","item_id":"fc","output_index":` + place + `,"delta":"` + delta + `"}`
	}
	for _, tt := range []struct {
		name   string
		events []string
		whole  string // the same answer, not streamed
		want   Choice
	}{
		{
			name: "text", events: append(respSpoken, respEnd("completed", "null", respSaid)), whole: respWhole("completed", "null", respSaid), want: hello,
		},
		{
			name:   "reasoning and text",
			events: []string{respCreated, respThinks, respSummary, respThought, respMessage, respTextA, respTextB, respTextDone, respItemDone, respEnd("completed", "null", respThinking+","+respSaid)},
			whole:  respWhole("completed", "null", respThinking+","+respSaid),
			want:   Choice{Role: "assistant", Text: respText, FinishReason: "stop", Other: true, Annotated: true},
		},
		{
			name: "citations",
			events: []string{
				respCreated, respMessage, respTextA, respTextB, `{"type":"response.output_text.annotation.added","output_index":1,"annotation":{"type":"url_citation"}}`,
				respEnd("completed", "null", strings.Replace(respSaid, `"annotations":[]`, `"annotations":[{}]`, 1)),
			},
			whole: respWhole("completed", "null", strings.Replace(respSaid, `"annotations":[]`, `"annotations":[{}]`, 1)),
			want:  Choice{Role: "assistant", Text: respText, FinishReason: "stop", Other: true, Annotated: true},
		},
		{
			name: "logprobs", events: []string{respMessage, strings.Replace(respTextA, `"logprobs":[]`, `"logprobs":[{"token":"H"}]`, 1), respTextB, respCreated, respEnd("completed", "null", respSaid)},
			want: Choice{Role: "assistant", Text: respText, FinishReason: "stop", Other: true, Annotated: true},
		},
		{
			name: "too long", events: append(respSpoken, respEnd("incomplete", `{"reason":"max_output_tokens"}`, respSaid)), whole: respWhole("incomplete", `{"reason":"max_output_tokens"}`, respSaid),
			want: Choice{Role: "assistant", Text: respText, FinishReason: "length"},
		},
		{
			name: "filtered", events: append(respSpoken, respEnd("incomplete", `{"reason":"content_filter"}`, respSaid)), whole: respWhole("incomplete", `{"reason":"content_filter"}`, respSaid),
			want: Choice{Role: "assistant", Text: respText, FinishReason: "content_filter"},
		},
		{
			name: "ended for no reason", events: append(respSpoken, respEnd("incomplete", `null`, respSaid)), whole: respWhole("incomplete", `{"reason":null}`, respSaid),
			want: Choice{Role: "assistant", Text: respText, FinishReason: "incomplete"},
		},
		{
			name: "refusal",
			events: []string{
				respCreated, respMessage, `{"type":"response.refusal.delta","output_index":1,"content_index":0,"delta":"I can\u0027t "}`, `{"type":"response.refusal.delta","output_index":1,"content_index":0,"delta":"do that."}`,
				`{"type":"response.refusal.done","output_index":1,"content_index":0,"refusal":"I can't do that."}`,
				respEnd("completed", "null", `{"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"I can't do that."}]}`),
			},
			whole: respWhole("completed", "null", `{"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"I can't do that."}]}`),
			want:  Choice{Role: "assistant", Refusal: "I can't do that.", FinishReason: "stop"},
		},
		{
			name: "two messages",
			events: []string{
				respCreated, respMessage, respTextA, respTextB, respItemDone, added("2", `{"type":"message","role":"assistant","content":[]}`),
				`{"type":"response.output_text.delta","output_index":2,"delta":"!"}`, `{"type":"response.output_text.done","output_index":2,"text":"!"}`, respEnd("completed", "null", ""),
			},
			whole: respWhole("completed", "null", respSaid+`,{"type":"message","role":"assistant","content":[{"type":"output_text","text":"!"}]}`),
			want:  Choice{Role: "assistant", Text: respText + "!", FinishReason: "stop"},
		},
		{
			name: "calls",
			events: []string{
				respCreated, added("0", `{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":""}`), arguments("0", `{\"a\":`),
				added("1", `{"type":"function_call","id":"fc_2","call_id":"call_2","name":"g","arguments":""}`), arguments("1", `{`), arguments("0", `\"\\u00e9\"}`), arguments("1", `}`),
				`{"type":"response.function_call_arguments.done","output_index":0,"name":"f","arguments":"{\"a\":\"\\u00e9\"}"}`,
				itemDone("0", `{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"a\":\"\\u00e9\"}"}`),
				itemDone("1", `{"type":"function_call","id":"fc_2","call_id":"call_2","name":"g","arguments":"{}"}`), respEnd("completed", "null", ""),
			},
			whole: respWhole("completed", "null", `{"type":"function_call","call_id":"call_1","name":"f","arguments":"{\"a\":\"\\u00e9\"}"},{"type":"function_call","call_id":"call_2","name":"g","arguments":"{}"}`),
			want: Choice{FinishReason: "stop", ToolCalls: []ToolCall{
				{Index: 0, ID: "call_1", Type: "function", Name: "f", Arguments: `{"a":"\u00e9"}`}, {Index: 1, ID: "call_2", Type: "function", Name: "g", Arguments: `{}`},
			}},
		},
		{
			name: "calls in one piece",
			events: []string{
				respCreated, respMessage, respTextA, respTextB, added("2", `{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}`),
				itemDone("2", `{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}`), respEnd("completed", "null", ""),
			},
			want: Choice{Role: "assistant", Text: respText, FinishReason: "stop", ToolCalls: []ToolCall{{Index: 2, ID: "c", Type: "function", Name: "f", Arguments: `{}`}}},
		},
		{
			name: "custom tool",
			events: []string{
				respCreated, added("0", `{"type":"custom_tool_call","id":"ctc_1","call_id":"call_1","name":"patch","input":""}`),
				`{"type":"response.custom_tool_call_input.delta","output_index":0,"delta":"*** Begin\n"}`, `{"type":"response.custom_tool_call_input.done","output_index":0,"input":"*** Begin\n"}`,
				itemDone("0", `{"type":"custom_tool_call","call_id":"call_1","name":"patch","input":"*** Begin\n"}`), respEnd("completed", "null", ""),
			},
			whole: respWhole("completed", "null", `{"type":"custom_tool_call","call_id":"call_1","name":"patch","input":"*** Begin\n"}`),
			want:  Choice{FinishReason: "stop", Other: true, ToolCalls: []ToolCall{{Index: 0, ID: "call_1", Type: "custom", Name: "patch", Arguments: "*** Begin\n"}}},
		},
		{
			name: "search", events: []string{respCreated, added("0", `{"type":"web_search_call","id":"ws_1","status":"in_progress"}`), respMessage, respTextA, respTextB, respEnd("completed", "null", "")},
			whole: respWhole("completed", "null", `{"type":"web_search_call","id":"ws_1","status":"completed"},`+respSaid),
			want:  Choice{Role: "assistant", Text: respText, FinishReason: "stop", Other: true},
		},
		{
			name: "no index", events: []string{respCreated, `{"type":"response.output_item.added","item":{"type":"function_call","call_id":"c","name":"f"}}`, `{"type":"response.function_call_arguments.delta","delta":"1"}`, `{"type":"response.function_call_arguments.delta","delta":"2"}`, respEnd("completed", "null", "")},
			want: Choice{FinishReason: "stop", ToolCalls: []ToolCall{{ID: "c", Type: "function", Name: "f", Arguments: "12"}}},
		},
		{
			name: "a part of another kind", events: []string{respCreated, respEnd("completed", "null", `{"type":"message","content":[{"type":"output_audio","data":"x"}]}`)},
			whole: respWhole("completed", "null", `{"type":"message","content":[{"type":"output_audio","data":"x"}]}`), want: Choice{FinishReason: "stop", Other: true},
		},
		{name: "no deltas", events: []string{respCreated, respTextDone, respItemDone, respEnd("completed", "null", respSaid)}, want: hello},
		{name: "nothing said", events: []string{respCreated, respEnd("completed", "null", "")}, whole: respWhole("completed", "null", ""), want: Choice{FinishReason: "stop"}},
	} {
		want := Completion{ID: "resp_1", Model: "gpt-5", Created: 7, Usage: reported, Choices: []Choice{tt.want}, FinishReason: tt.want.FinishReason, Whole: true}
		stream := named(tt.events...)
		for _, size := range []int{1 << 20, 7} {
			w, told := &client{}, 0
			e := NewEvents(&reads{texts: chunked(stream, size)})
			got, err := Relay(w, e, Options{Keep: 1000, BeforeDone: func(c *Completion) {
				told++
				if diff := cmp.Diff(want.Choices, c.Choices, cmpopts.EquateEmpty()); diff != "" || !c.Whole || w.got.String() != stream {
					t.Errorf("%s by %d: BeforeDone got whole %v, the client %d bytes (-want +got)\n%s", tt.name, size, c.Whole, w.got.Len(), diff)
				}
			}})
			e.Release()
			want.Events, want.Bytes = len(tt.events), int64(len(stream))
			if diff := cmp.Diff(&want, got, cmpopts.EquateEmpty()); diff != "" || err != nil || told != 1 || w.got.String() != stream {
				t.Errorf("%s by %d: error %v, BeforeDone called %d times (-want +got)\n%s", tt.name, size, err, told, diff)
			}
		}
		if tt.whole == "" {
			continue
		}
		got, err := ParseCompletion([]byte(tt.whole), 1000)
		want.Events, want.Bytes = 0, int64(len(tt.whole))
		if diff := cmp.Diff(&want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%s, not streamed: error %v, (-want +got)\n%s", tt.name, err, diff)
		}
	}
}

func TestRelayKeepsWhatCameOfABrokenResponse(t *testing.T) {
	reset := errors.New("connection reset")
	call := `{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","call_id":"c","name":"f"}}`
	stream := named(respCreated, respMessage, respTextA, respTextB, call, `{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a"}`)
	want := []Choice{{Role: "assistant", Text: respText, ToolCalls: []ToolCall{{Index: 2, ID: "c", Type: "function", Name: "f", Arguments: `{"a`}}}}
	for _, tt := range []struct {
		name   string
		failAt int
	}{{"endpoint", 0}, {"client", 1}} {
		e := NewEvents(&reads{texts: []string{stream + "event: response.output_text.delta\ndata: {\"type\":\"resp"}, err: reset})
		got, err := Relay(&client{failAt: tt.failAt}, e, Options{Keep: 1000, BeforeDone: func(*Completion) { t.Errorf("%s: BeforeDone was called", tt.name) }})
		e.Release()
		var gone *ClientError
		if diff := cmp.Diff(want, got.Choices); diff != "" || got.Whole || errors.As(err, &gone) != (tt.failAt > 0) || err == nil {
			t.Errorf("%s: error %v, whole %v, (-want +got)\n%s", tt.name, err, got.Whole, diff)
		}
	}
}

func TestRelayTellsThatAResponseFailed(t *testing.T) {
	spoken := named(respCreated, respMessage, respTextA, respTextB)
	failed := `{"type":"response.failed","response":{"id":"resp_1","object":"response","status":"failed","error":{"code":"server_error","message":"sorry"},"instructions":"Be kind.",` + respUsage + `}}`
	for _, tt := range []struct {
		name, stream string
		want         StreamError
	}{
		{"failed", named(failed), StreamError{Status: 500, Body: []byte(`{"error":{"code":"server_error","message":"sorry"}}`)}},
		{"failed without a name", "data: " + failed + "\n\n", StreamError{Status: 500, Body: []byte(`{"error":{"code":"server_error","message":"sorry"}}`)}},
		{"failed for no reason", named(`{"type":"response.failed","response":{"error":null}}`), StreamError{Body: []byte(`{"type":"response.failed","response":{"error":null}}`)}},
		{"failed with the error outside", named(`{"type":"response.failed","response":{"error":{"code":429}},"error":{"code":503}}`), StreamError{Status: 503, Body: []byte(`{"type":"response.failed","response":{"error":{"code":429}},"error":{"code":503}}`)}},
		{"error", named(`{"type":"error","code":"rate_limit_exceeded","message":"no"}`), StreamError{Status: 429, Body: []byte(`{"type":"error","code":"rate_limit_exceeded","message":"no"}`)}},
		{"error without a name", "data: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\"}\n\n", StreamError{Status: 429, Body: []byte(`{"type":"error","code":"rate_limit_exceeded"}`)}},
	} {
		for _, keep := range []int{0, 1000} {
			e := NewEvents(strings.NewReader(spoken + tt.stream))
			got, err := Relay(&client{}, e, Options{Keep: keep, BeforeDone: func(*Completion) { t.Errorf("%s: BeforeDone was called", tt.name) }})
			e.Release()
			var broken *BrokenError
			var stream *StreamError
			if !errors.As(err, &broken) || !errors.As(err, &stream) || !broken.Told || got.Whole {
				t.Errorf("%s: error %v, completion %+v", tt.name, err, got)
				continue
			}
			if diff := cmp.Diff(&tt.want, stream); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
			}
			if keep > 0 && (len(got.Choices) != 1 || got.Choices[0].Text != respText || got.FinishReason != "") {
				t.Errorf("%s: %+v", tt.name, got)
			}
			if strings.Contains(tt.stream, "output_tokens") != got.Usage.Reported {
				t.Errorf("%s: usage %+v", tt.name, got.Usage)
			}
		}
	}
}

func TestParseCompletionTellsThatAResponseFailed(t *testing.T) {
	for _, keep := range []int{0, 100} {
		got, err := ParseCompletion([]byte(`{"object":"response","status":"failed","error":null,"output":[]}`), keep)
		if err != nil || got.Whole || got.FinishReason != "" {
			t.Errorf("keep %d: error %v, %+v", keep, err, got)
		}
	}
}

func TestPeekReturnsTheErrorOfAResponseThatFailsAtOnce(t *testing.T) {
	e := NewEvents(strings.NewReader(": hi\n\n" + named(`{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"},"instructions":"Be kind."}}`)))
	defer e.Release()
	var stream *StreamError
	if err := e.Peek(8 << 10); !errors.As(err, &stream) || stream.Status != 429 || string(stream.Body) != `{"error":{"code":"rate_limit_exceeded"}}` {
		t.Errorf("error %v", err)
	}
}

func TestRelayKeepsNoMoreOfAResponseThanItIsTold(t *testing.T) {
	events := append(append([]string{}, respSpoken...), `{"type":"response.refusal.delta","delta":"no"}`,
		`{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{}"}`, respEnd("completed", "null", respSaid))
	all := len(respText) + len("no") + len("{}")
	for _, tt := range []struct {
		keep int
		want []Choice
	}{
		{1, []Choice{{Role: "assistant", Text: "H", FinishReason: "stop", ToolCalls: []ToolCall{{Index: 2}}}}},
		{len(respText), []Choice{{Role: "assistant", Text: respText, FinishReason: "stop", ToolCalls: []ToolCall{{Index: 2}}}}},
		{len(respText) + 1, []Choice{{Role: "assistant", Text: respText, Refusal: "n", FinishReason: "stop", ToolCalls: []ToolCall{{Index: 2}}}}},
		{all, []Choice{{Role: "assistant", Text: respText, Refusal: "no", FinishReason: "stop", ToolCalls: []ToolCall{{Index: 2, Arguments: "{}"}}}}},
		{0, nil},
	} {
		e := NewEvents(strings.NewReader(named(events...)))
		got, err := Relay(&client{}, e, Options{Keep: tt.keep})
		e.Release()
		diff := cmp.Diff(tt.want, got.Choices, cmpopts.EquateEmpty())
		if err != nil || diff != "" || got.Truncated != (tt.keep > 0 && tt.keep < all) || !got.Usage.Reported {
			t.Errorf("keep %d: error %v, truncated %v, usage %+v (-want +got)\n%s", tt.keep, err, got.Truncated, got.Usage, diff)
		}
	}
}

func TestResponsesWithManyCallsDoNotGrow(t *testing.T) {
	a := answer{keep: 1 << 20}
	for i := range 300 {
		n := strings.Repeat("1", i%16+1) + strings.Repeat("0", i/16)
		a.read([]byte(`{"type":"response.output_item.added","output_index":` + n + `,"item":{"type":"function_call","call_id":"` + strings.Repeat("i", 5000) + `","name":"` + strings.Repeat("n", 5000) + `"}}`))
		a.read([]byte(`{"type":"response.function_call_arguments.delta","output_index":` + n + `1,"delta":"x"}`))
	}
	if len(a.choices) != 1 || len(a.choices[0].calls) != maxToolCalls || len(a.choices[0].calls[0].ID) > maxNote || len(a.choices[0].calls[0].Name) > maxNote || !a.partial {
		t.Errorf("%d choices", len(a.choices))
	}
}

func TestOnlyTheResponsesAPIIsReadAsSuch(t *testing.T) {
	for _, tt := range []struct{ name, stream string }{
		{"an error by type alone", "data: {\"type\":\"error\",\"code\":\"x\"}\n\n" + done},
		{"a delta of another kind", `data: {"type":"content_block_delta","delta":"x"}` + "\n\n" + done},
		{"an object of another kind", `data: {"object":"thread","status":"failed","output":[{"type":"message","content":[{"type":"output_text","text":"x"}]}]}` + "\n\n" + done},
	} {
		e := NewEvents(strings.NewReader(tt.stream))
		got, err := Relay(&client{}, e, Options{Keep: 100})
		e.Release()
		if err != nil || len(got.Choices) > 0 || got.FinishReason != "" {
			t.Errorf("%s: error %v, %+v", tt.name, err, got)
		}
	}
}

func TestEventsOfTheResponsesAPIFitNoPattern(t *testing.T) {
	for _, data := range []string{
		`{"type":"response.output_text.delta","delta":"x","choices":[{"index":0,"delta":{"content":"x"}}]}`,
		`{"type":"error","choices":[{"index":0,"delta":{"content":"x"}}]}`,
	} {
		a := answer{keep: 100}
		a.read([]byte(respCreated))
		a.read([]byte(data))
		if _, fits := a.like.match([]byte(data)); fits {
			t.Errorf("%s fits", data)
		}
	}
}

func TestRelayTakesNothingOfAnEventThatIsNoJSON(t *testing.T) {
	e := NewEvents(strings.NewReader(named(respCreated, respTextA+"}", respTextA, `{"type":"response.failed"`)))
	defer e.Release()
	got, err := Relay(&client{}, e, Options{Keep: 100})
	if want := `Hé {"type":"response.failed"} ` + "\uFFFD"; err != nil || len(got.Choices) != 1 || got.Choices[0].Text != want || !got.Truncated {
		t.Errorf("error %v, %+v", err, got)
	}
}

// respLong is a stream with some thousand deltas, as the endpoint writes them.
func respLong(events int) string {
	return named(respCreated, respMessage) + strings.Repeat(named(respTextA), events) + named(respEnd("completed", "null", respSaid))
}

func TestRelayAllocatesNothingPerEventOfAResponse(t *testing.T) {
	perStream := func(events int) float64 {
		stream := respLong(events)
		src := strings.NewReader(stream)
		w := &client{noNotes: true}
		return testing.AllocsPerRun(20, func() {
			src.Reset(stream)
			e := NewEvents(src)
			_, _ = Relay(w, e, Options{})
			e.Release()
		})
	}
	if few, many := perStream(100), perStream(2100); many-few > 1 {
		t.Errorf("%v allocations for 100 events, %v for 2100", few, many)
	}
}

func BenchmarkRelayResponse(b *testing.B) {
	for name, keep := range map[string]int{"keep0": 0, "keep64k": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			stream := respLong(1000)
			src := strings.NewReader(stream)
			w := &client{noNotes: true}
			b.SetBytes(int64(len(stream) / 1000))
			b.ReportAllocs()
			for n := 0; n < b.N; n += 1000 {
				src.Reset(stream)
				e := NewEvents(src)
				_, _ = Relay(w, e, Options{Keep: keep})
				e.Release()
			}
		})
	}
}
