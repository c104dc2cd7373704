package openai

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// client is a ResponseWriter that notes each write and flush.
type client struct {
	got     bytes.Buffer
	calls   []string
	failAt  int // number of the write that fails; 0 for none
	writes  int
	noNotes bool
}

func (c *client) Header() http.Header { return http.Header{} }
func (c *client) WriteHeader(int)     {}
func (c *client) Flush()              { c.note("flush") }

func (c *client) Write(b []byte) (int, error) {
	if c.writes++; c.writes == c.failAt {
		return 0, errors.New("broken pipe")
	}
	if c.noNotes {
		return len(b), nil
	}
	c.note("write " + string(b))
	return c.got.Write(b)
}

func (c *client) note(s string) {
	if !c.noNotes {
		c.calls = append(c.calls, s)
	}
}

const (
	textA  = `data: {"id":"c1","created":7,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"Hé {\"usage\":{}} \ud83d"},"finish_reason":null}],"usage":null}` + "\n\n"
	textB  = `data: {"id":"c1","created":7,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"\ude00 }]"},"finish_reason":null}]}` + "\n\n"
	stop   = `data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"id":"c1"}` + "\n\n"
	usage  = `data: {"choices":[],"usage": {"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}` + "\n\n"
	filter = `data: {"choices":[{"content_filter_offsets":{"check_offset":1},"content_filter_results":{},"finish_reason":null,"index":0}]}` + "\n\n"
	done   = "data: [DONE]\n\n"
)

func TestRelayPassesEventsUnchangedAndGathersThem(t *testing.T) {
	hello := Choice{Role: "assistant", Text: `Hé {"usage":{}} 😀 }]`, FinishReason: "stop"}
	reported := Usage{Reported: true, PromptTokens: 3, CompletionTokens: 4, TotalTokens: 7, CachedTokens: 2, ReasoningTokens: 1}
	whole := Completion{Model: "gpt-4o", ID: "c1", Created: 7, Choices: []Choice{hello}, FinishReason: "stop", Whole: true}
	for _, tt := range []struct {
		name   string
		stream string
		hide   bool
		output string // when it is not the stream
		want   func(c *Completion)
		broken bool
		ended  bool // broken when the answer had ended
	}{
		{name: "azure", stream: azureFirst + roleDelta + textA + textB + stop + done, want: func(c *Completion) { c.Events = 6 }},
		{
			name: "usage asked by the client", stream: roleDelta + textA + textB + stop + usage + done,
			want: func(c *Completion) { c.Usage, c.Events = reported, 6 },
		},
		{
			name: "usage hidden", hide: true, stream: roleDelta + textA + textB + stop + usage + done, output: roleDelta + textA + textB + stop + done,
			want: func(c *Completion) { c.Usage, c.Events = reported, 6 },
		},
		{
			name: "usage beside text is not hidden", hide: true,
			stream: roleDelta + textA + textB + `data: {"choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}` + "\n\n" + done,
			want:   func(c *Completion) { c.Usage, c.Events = Usage{Reported: true, PromptTokens: 1, TotalTokens: 1}, 5 },
		},
		{name: "filter events", stream: roleDelta + filter + textA + filter + textB + stop + filter + done, want: func(c *Completion) { c.Events = 8 }},
		{name: "crlf", stream: strings.ReplaceAll(roleDelta+textA+textB+stop+done, "\n", "\r\n"), want: func(c *Completion) { c.Events = 5 }},
		{name: "cr", stream: strings.ReplaceAll(roleDelta+textA+textB+stop+done, "\n", "\r"), want: func(c *Completion) { c.Events = 5 }},
		{name: "no space", stream: strings.ReplaceAll(roleDelta+textA+textB+stop+done, "data: ", "data:"), want: func(c *Completion) { c.Events = 5 }},
		{name: "byte order mark", stream: "\uFEFF" + roleDelta + textA + textB + stop + done, want: func(c *Completion) { c.Events = 5 }},
		{name: "comments", stream: ": hi\n\n" + roleDelta + ":\n" + textA + "id: 1\nretry: 5\n" + textB + "\n" + stop + done, want: func(c *Completion) { c.Events = 5 }},
		{name: "data in two lines", stream: roleDelta + textA + strings.Replace(textB, `"choices"`, "\ndata:\"choices\"", 1) + stop + done, want: func(c *Completion) { c.Events = 5 }},
		{name: "done cut short", stream: roleDelta + textA + textB + stop + "data: [DONE]", want: func(c *Completion) { c.Events = 5 }},
		{name: "done twice and more", stream: roleDelta + textA + textB + stop + done + done + ": bye\n\nx", output: roleDelta + textA + textB + stop + done, want: func(c *Completion) { c.Events = 5 }},
		{name: "done with spaces", stream: roleDelta + textA + textB + stop + "data:   [DONE] \n\n", want: func(c *Completion) { c.Events = 5 }},
		{name: "no done", stream: roleDelta + textA + textB + stop, want: func(c *Completion) { c.Events = 4 }},
		{name: "last event cut short but complete", stream: roleDelta + textA + textB + strings.TrimSpace(stop), want: func(c *Completion) { c.Events = 4 }},
		{
			name: "half an event after the finish", stream: roleDelta + textA + textB + stop + `data: {"choices":[],"us`, output: roleDelta + textA + textB + stop,
			want: func(c *Completion) { c.Events = 4 },
		},
		{
			name: "no finish, no done", stream: roleDelta + textA + textB, broken: true,
			want: func(c *Completion) {
				c.Events, c.Whole, c.FinishReason, c.Choices[0].FinishReason = 3, false, "", ""
			},
		},
		{
			name: "half an event", stream: roleDelta + textA + textB + `data: {"choices":[{"index":0`, output: roleDelta + textA + textB, broken: true,
			want: func(c *Completion) {
				c.Events, c.Whole, c.FinishReason, c.Choices[0].FinishReason = 3, false, "", ""
			},
		},
		{
			name: "error later", ended: true, stream: roleDelta + textA + textB + stop + `data: {"error":{"code":"500"}}` + "\n\n" + done, broken: true,
			want: func(c *Completion) { c.Events, c.Whole = 6, false },
		},
		{
			name: "several choices", stream: roleDelta + textA + `data: {"choices":[{"index":1,"delta":{"role":"assistant","content":"two"}}]}` + "\n\n" + textB +
				stop + `data: {"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}` + "\n\n",
			want: func(c *Completion) {
				c.Events = 6
				c.Choices = append(c.Choices, Choice{Index: 1, Role: "assistant", Text: "two", FinishReason: "length"})
			},
		},
		{
			name: "one of two choices is open", stream: roleDelta + textA + `data: {"choices":[{"index":1,"delta":{"content":"two"}}]}` + "\n\n" + textB + stop, broken: true,
			want: func(c *Completion) {
				c.Events, c.Whole = 5, false
				c.Choices = append(c.Choices, Choice{Index: 1, Text: "two"})
			},
		},
		{
			name: "tool calls", stream: `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}}]}` + "\n\n" +
				`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}},{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{"}}]}}]}` + "\n\n" +
				`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}},{"index":0,"function":{"arguments":"\"\\u00e9\"}"}}]},"finish_reason":"tool_calls"}]}` + "\n\n" + done,
			want: func(c *Completion) {
				*c = Completion{Whole: true, FinishReason: "tool_calls", Events: 4, Choices: []Choice{{
					Role: "assistant", FinishReason: "tool_calls", ToolCalls: []ToolCall{
						{Index: 0, ID: "call_1", Type: "function", Name: "f", Arguments: `{"a":"\u00e9"}`},
						{Index: 1, ID: "call_2", Type: "function", Name: "g", Arguments: `{}`},
					},
				}}}
			},
		},
		{
			name: "tool calls without an index", stream: `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"1"}},{"id":"b","function":{"name":"g","arguments":"2"}}]}}]}` + "\n\n" +
				`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"arguments":"3"}}]}}]}` + "\n\n" + done,
			want: func(c *Completion) {
				*c = Completion{Whole: true, Events: 3, Choices: []Choice{{ToolCalls: []ToolCall{
					{Index: 0, ID: "a", Name: "f", Arguments: "1"}, {Index: 1, ID: "b", Name: "g", Arguments: "23"},
				}}}}
			},
		},
		{
			name: "completions", stream: `data: {"id":"x","choices":[{"text":"one ","index":0,"logprobs":null,"finish_reason":null}]}` + "\n\n" +
				`data: {"id":"x","choices":[{"text":"two","index":0,"finish_reason":"length"}]}` + "\n\n" + done,
			want: func(c *Completion) {
				*c = Completion{ID: "x", Whole: true, FinishReason: "length", Events: 3, Choices: []Choice{{Text: "one two", FinishReason: "length"}}}
			},
		},
		{
			name: "refusal and parts that are not kept", stream: `data: {"choices":[{"index":0,"delta":{"refusal":"no","context":{"citations":[]}},"finish_reason":"stop"}]}` + "\n\n" + done,
			want: func(c *Completion) {
				*c = Completion{Whole: true, FinishReason: "stop", Events: 2, Choices: []Choice{{Refusal: "no", Other: true, Annotated: true, FinishReason: "stop"}}}
			},
		},
		{
			name: "not JSON", stream: roleDelta + textA + "data: {\"choices\":[{]}\n\n" + textB + stop + done,
			want: func(c *Completion) { c.Events, c.Truncated = 6, true },
		},
	} {
		want := whole
		want.Choices = slices.Clone(want.Choices)
		tt.want(&want)
		output := tt.output
		if output == "" {
			output = tt.stream
		}
		want.Bytes = int64(len(output))
		for _, size := range []int{1 << 20, 1, 7} {
			w := &client{}
			var before *Completion
			var seen string
			e := NewEvents(&reads{texts: chunked(tt.stream, size)})
			got, err := Relay(w, e, Options{Keep: 1000, Chat: true, HideUsage: tt.hide, BeforeDone: func(c *Completion) {
				if before != nil {
					t.Errorf("%s: BeforeDone was called twice", tt.name)
				}
				before, seen = c, w.got.String()
			}})
			e.Release()
			if w.got.String() != output {
				t.Errorf("%s by %d: client got\n%s\nwant\n%s", tt.name, size, w.got.String(), output)
			}
			if diff := cmp.Diff(&want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s by %d: (-want +got)\n%s", tt.name, size, diff)
			}
			var broken *BrokenError
			if errors.As(err, &broken) != tt.broken || !tt.broken && err != nil {
				t.Errorf("%s by %d: error %v", tt.name, size, err)
			}
			if (before != nil) != (!tt.broken || tt.ended) {
				t.Errorf("%s by %d: BeforeDone got %v", tt.name, size, before)
			}
			if before == nil {
				continue
			}
			if diff := cmp.Diff(want.Choices, before.Choices, cmpopts.EquateEmpty()); diff != "" || !before.Whole {
				t.Errorf("%s by %d: BeforeDone got whole %v (-want +got)\n%s", tt.name, size, before.Whole, diff)
			}
			if strings.Contains(seen, "[DONE]") || len(want.Choices) == 1 && strings.Contains(seen, `"finish_reason":"`) {
				t.Errorf("%s by %d: BeforeDone came after the client could know:\n%s", tt.name, size, seen)
			}
		}
	}
}

func TestRelayWritesOncePerReadAndFlushes(t *testing.T) {
	w := &client{}
	beforeWrite := 0
	e := NewEvents(&reads{texts: []string{"data: 1\n\ndata: 2\n\ndata: 3", "\n", "\ndata: 4\n\n" + done + ": x\n\n"}})
	defer e.Release()
	_, err := Relay(w, e, Options{
		BeforeWrite: func() { beforeWrite++ },
		BeforeDone:  func(*Completion) { w.note("before done") },
	})
	want := []string{
		"write data: 1\n\ndata: 2\n\n", "flush",
		"write data: 3\n\ndata: 4\n\n", "flush", "before done", "write " + done, "flush",
	}
	if diff := cmp.Diff(want, w.calls); diff != "" || err != nil || beforeWrite != 3 {
		t.Errorf("error %v, %d calls of BeforeWrite, (-want +got)\n%s", err, beforeWrite, diff)
	}
}

func TestRelayTellsWhichSideBroke(t *testing.T) {
	reset := errors.New("connection reset")
	for _, tt := range []struct {
		name    string
		stream  string
		readErr error
		failAt  int
		chat    bool
		client  bool
		want    error
		told    bool
	}{
		{name: "reader", stream: textA + "data: {", readErr: reset, chat: true, want: reset},
		{name: "reader, not chat", stream: "data: 1\n\n", readErr: reset, want: reset},
		{name: "early end", stream: textA, chat: true, want: io.ErrUnexpectedEOF},
		{name: "early end after the finish of a cut stream", stream: stop, readErr: reset, chat: true, want: reset},
		{name: "end, not chat", stream: "data: 1\n\n"},
		{name: "reader after done", stream: textA + done, readErr: reset, chat: true},
		{name: "error event", stream: textA + "event: error\ndata: x\n\n", chat: true, want: &StreamError{}, told: true},
		{name: "error event at the end, not chat", stream: "data: {\"error\":{}}", want: &StreamError{}, told: true},
		{name: "client", stream: textA + textB, failAt: 1, chat: true, client: true},
		{name: "client before done", stream: textA + done, failAt: 2, chat: true, client: true},
	} {
		w := &client{failAt: tt.failAt}
		e := NewEvents(&reads{texts: []string{tt.stream}, err: tt.readErr})
		got, err := Relay(w, e, Options{Chat: tt.chat})
		e.Release()
		var broken *BrokenError
		var gone *ClientError
		switch {
		case tt.client:
			if !errors.As(err, &gone) {
				t.Errorf("%s: error %v", tt.name, err)
			}
		case tt.want == nil:
			if err != nil || !got.Whole {
				t.Errorf("%s: error %v, whole %v", tt.name, err, got.Whole)
			}
		default:
			var stream *StreamError
			if !errors.As(err, &broken) || !errors.Is(err, tt.want) && !errors.As(err, &stream) || broken.Told != tt.told || got.Whole {
				t.Errorf("%s: error %v, completion %+v", tt.name, err, got)
			}
		}
	}
}

func TestRelayIgnoresAClientThatHangsUpAfterTheTerminator(t *testing.T) {
	w := &client{failAt: 3}
	e := NewEvents(&reads{texts: []string{textA + stop, done, ": x\n\n"}})
	defer e.Release()
	got, err := Relay(w, e, Options{Chat: true})
	if err != nil || !got.Whole {
		t.Errorf("error %v, whole %v", err, got.Whole)
	}
}

func TestRelayKeepsNoMoreThanItIsTold(t *testing.T) {
	for _, tt := range []struct {
		keep      int
		text      string
		truncated bool
	}{
		{0, "", true},
		{1, "H", true},
		{2, "H", true},
		{4, "Hé ", true},
		{len(`Hé {"usage":{}} `) + 3, `Hé {"usage":{}} `, true},
		{len(`Hé {"usage":{}} 😀 }]`), `Hé {"usage":{}} 😀 }]`, false},
		{1000, `Hé {"usage":{}} 😀 }]`, false},
	} {
		e := NewEvents(strings.NewReader(roleDelta + textA + textB + stop + done))
		got, err := Relay(&client{}, e, Options{Keep: tt.keep, Chat: true})
		e.Release()
		if err != nil || got.Choices[0].Text != tt.text || got.Truncated != tt.truncated || got.FinishReason != "stop" {
			t.Errorf("keep %d: %+v, error %v", tt.keep, got, err)
		}
	}
}

func TestRelayPassesLongEventsUnread(t *testing.T) {
	stream := roleDelta + `data: {"choices":[{"index":0,"delta":{"content":"` + strings.Repeat("x", 5<<20) + `"}}]}` + "\n\n" + stop + done
	w := httptest.NewRecorder()
	e := NewEvents(strings.NewReader(stream))
	defer e.Release()
	got, err := Relay(w, e, Options{Keep: 100, Chat: true})
	if err != nil || w.Body.String() != stream || !got.Truncated || !got.Whole || !w.Flushed {
		t.Errorf("error %v, %d bytes of %d, completion %+v", err, w.Body.Len(), len(stream), got)
	}
}

func TestRelayAfterPeekPassesEverything(t *testing.T) {
	stream := azureFirst + roleDelta + textA + textB + stop + done
	for _, size := range []int{1 << 20, 1} {
		e := NewEvents(&reads{texts: chunked(stream, size)})
		if err := e.Peek(8 << 10); err != nil {
			t.Fatal(err)
		}
		w := &client{}
		got, err := Relay(w, e, Options{Keep: 100, Chat: true})
		e.Release()
		if err != nil || w.got.String() != stream || got.Events != 6 {
			t.Errorf("by %d: error %v, completion %+v, client got\n%s", size, err, got, w.got.String())
		}
	}
}

func TestRelayAllocatesNothingPerEvent(t *testing.T) {
	event := strings.Replace(textA, `"usage":null`, `"usage":null,"system_fingerprint":"fp"`, 1)
	perStream := func(events int) float64 {
		stream := strings.Repeat(event, events)
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

func TestRelayReadsTheUsageOfTheResponsesAPI(t *testing.T) {
	stream := "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r1\",\"model\":\"gpt-5\",\"usage\":null}}\n\n" +
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r1\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n\n"
	w := &client{}
	e := NewEvents(strings.NewReader(stream))
	defer e.Release()
	got, err := Relay(w, e, Options{})
	want := &Completion{
		ID: "r1", Model: "gpt-5", Whole: true, Events: 2, Bytes: int64(len(stream)),
		Usage: Usage{Reported: true, PromptTokens: 3, CompletionTokens: 4, TotalTokens: 7},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil || w.got.String() != stream {
		t.Errorf("error %v, (-want +got)\n%s", err, diff)
	}
}

func TestErrorsNameTheirSide(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&BrokenError{Err: io.ErrUnexpectedEOF}, "the endpoint broke off its answer: unexpected EOF"},
		{&BrokenError{Err: &StreamError{Status: 429}}, "the endpoint broke off its answer: the endpoint sent an error event, status 429"},
		{&StreamError{Body: []byte("secret")}, "the endpoint sent an error event"},
		{&ClientError{Err: io.ErrClosedPipe}, "writing to the client: io: read/write on closed pipe"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestUsageAtTheEndOfALongEventIsRead(t *testing.T) {
	long := strings.Repeat("x", 3*MaxEvent)
	for name, tt := range map[string]struct {
		event string
		want  int64
	}{
		"in a response":    {`{"type":"response.completed","response":{"output":"` + long + `","usage":{"input_tokens":10,"output_tokens":200,"output_tokens_details":{"reasoning_tokens":4}}}}`, 200},
		"only in a text":   {`{"type":"response.completed","response":{"output":"` + long + ` \"usage\":{\"input_tokens\":10,\"output_tokens\":200} "}}`, 0},
		"far from its end": {`{"usage":{"input_tokens":10,"output_tokens":200},"output":"` + long + `"}`, 0},
	} {
		e := NewEvents(strings.NewReader("data: " + tt.event + "\n\n"))
		done, _ := Relay(httptest.NewRecorder(), e, Options{Keep: 1000})
		e.Release()
		if done.Usage.CompletionTokens != tt.want || done.Usage.Reported != (tt.want > 0) || done.Unread < int64(len(long)) {
			t.Errorf("%s: got %+v, %d unread", name, done.Usage, done.Unread)
		}
	}
}
